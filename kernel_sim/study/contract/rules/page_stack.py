"""Page stack: where it must place."""

from __future__ import annotations

from collections.abc import Sequence

from kernel_sim.study.contract.rules.common import Tallies
from kernel_sim.zones import Range, Zone


class PageStack(Tallies):
    """Single frames; the last of the list is the top of the stack."""

    def __init__(self, zone: Zone, free_runs: Sequence[Range]) -> None:
        super().__init__()
        self.stack = sorted((pfn for run in free_runs for pfn in range(*run)), reverse=True)

    def granted(self, n_frames: int) -> int:
        return 1 if n_frames == 1 else 0

    def alloc(self, n_frames: int) -> int | None:
        self.examined += 1
        return self.stack.pop() if self.stack else None

    def free(self, pfn: int, n_frames: int) -> None:
        self.stack += range(pfn, pfn + n_frames)


def rule() -> type:
    return PageStack
