"""Segregated fit: where it must place."""

from __future__ import annotations

from kernel_sim.study.contract.rules.by_size import BySize
from kernel_sim.zones import Range


class SegregatedFit(BySize):
    """First fit among a few of the own class, then the larger classes, then the whole of the own."""

    tries = 16

    def choose(self, n_frames: int) -> Range | None:
        return (self.own_class(n_frames, self.tries) or self.front_from(self.class_of(n_frames) + 1)
                or self.own_class(n_frames))


def rule(classes: str, order: str, tries: str) -> type:
    return type("SegregatedFit", (SegregatedFit,), {"divisions": {"powers": 1, "quarters": 4}[classes], "last_in_first": order == "lifo",
                                                     "tries": int(tries)})
