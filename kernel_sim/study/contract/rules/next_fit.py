"""Next fit: where it must place."""

from __future__ import annotations

from kernel_sim.study.contract.rules.fits import Fit, variant
from kernel_sim.zones import Range


class NextFit(Fit):
    """The first that is large enough from the end of the last allocation on, then from the start. In other orders: from its place in the list on."""

    def choose(self, n_frames: int) -> Range | None:
        if self.order == "address":
            start = sum(hole[0] < self.last_end for hole in self.holes)
        else:
            start = self.holes.index(self.place) if self.place else 0
        return self.first_of(self.holes[start:] + self.holes[:start], n_frames)


def rule(order: str, coalesce: str, carve: str, search: str) -> type:
    return variant(NextFit, order, coalesce, carve, search)
