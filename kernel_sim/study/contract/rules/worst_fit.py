"""Worst fit: where it must place."""

from __future__ import annotations

from kernel_sim.study.contract.rules.fits import Fit
from kernel_sim.zones import Range


class WorstFit(Fit):
    """The largest hole, the lowest of equals."""

    def choose(self, n_frames: int) -> Range | None:
        return min(self.large_enough(n_frames), key=lambda hole: (hole[0] - hole[1], hole[0]), default=None)


def rule() -> type:
    return WorstFit
