"""What the rules have in common."""

from __future__ import annotations

from typing import Protocol

TOP = 10
"""The largest order of Linux' buddies."""


class Placement(Protocol):
    """A policy's rule, for one zone. It counts what it examines, splits and merges."""

    judged: tuple[str, ...]     # which of the three the policy must count alike
    examined: int
    splits: int
    merges: int

    def granted(self, n_frames: int) -> int: ...        # 0 for more than it ever gives
    def alloc(self, n_frames: int) -> int | None: ...
    def free(self, pfn: int, n_frames: int) -> None: ...


class Tallies:
    """Nothing counted yet. All of it is what the policy must count, unless a rule says that its effort is another."""

    judged: tuple[str, ...] = ("examined", "splits", "merges")

    def __init__(self) -> None:
        self.examined = self.splits = self.merges = 0


def aligned_blocks(first: int, end: int, top: int = TOP) -> list[tuple[int, int]]:
    """(pfn, order) of the largest aligned blocks of a range, lowest first; none larger than of the top order."""
    blocks = []
    while first < end:
        order = max(k for k in range(top + 1) if first % 2**k == 0 and first + 2**k <= end)
        blocks.append((first, order))
        first += 2**order
    return blocks
