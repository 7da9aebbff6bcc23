"""First fit: where it must place."""

from __future__ import annotations

from kernel_sim.study.contract.rules.fits import Fit, variant
from kernel_sim.zones import Range


class FirstFit(Fit):
    """The first hole that is large enough."""

    def choose(self, n_frames: int) -> Range | None:
        return self.first_of(self.holes, n_frames)


def rule(order: str, coalesce: str, carve: str, search: str) -> type:
    return variant(FirstFit, order, coalesce, carve, search)
