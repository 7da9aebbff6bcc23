"""Next fit: where it must place."""

from __future__ import annotations

from kernel_sim.study.contract.rules.fits import Fit
from kernel_sim.zones import Range


class NextFit(Fit):
    """The first that is large enough from the end of the last allocation on, then from the start."""

    def choose(self, n_frames: int) -> Range | None:
        onwards = [hole for hole in self.holes if hole[0] >= self.last_end]
        return self.first_of(onwards + [hole for hole in self.holes if hole not in onwards], n_frames)


def rule() -> type:
    return NextFit
