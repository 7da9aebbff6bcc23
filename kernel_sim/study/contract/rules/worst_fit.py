"""Worst fit: where it must place."""

from __future__ import annotations

from kernel_sim.study.contract.rules.fits import Fit, size, variant
from kernel_sim.zones import Range


class WorstFit(Fit):
    """The largest hole, the first of equals."""

    def choose(self, n_frames: int) -> Range | None:
        return max(self.large_enough(n_frames), key=size, default=None)


def rule(order: str, coalesce: str, carve: str, search: str) -> type:
    return variant(WorstFit, order, coalesce, carve, search)
