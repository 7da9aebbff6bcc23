"""First fit: where it must place."""

from __future__ import annotations

from kernel_sim.study.contract.rules.fits import Fit
from kernel_sim.zones import Range


class FirstFit(Fit):
    """The lowest hole that is large enough."""

    def choose(self, n_frames: int) -> Range | None:
        return self.first_of(self.holes, n_frames)


def rule() -> type:
    return FirstFit
