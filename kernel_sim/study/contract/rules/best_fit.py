"""Best fit: where it must place."""

from __future__ import annotations

from kernel_sim.study.contract.rules.fits import Fit
from kernel_sim.zones import Range


class BestFit(Fit):
    """The smallest hole that is large enough, the lowest of equals."""

    def choose(self, n_frames: int) -> Range | None:
        return min(self.large_enough(n_frames), key=lambda hole: (hole[1] - hole[0], hole[0]), default=None)


def rule() -> type:
    return BestFit
