"""TLSF: where it must place."""

from __future__ import annotations

from kernel_sim.study.contract.rules.by_size import BySize
from kernel_sim.zones import Range


class GoodFit(BySize):
    """The first hole of the least class in which every hole is large enough."""

    def choose(self, n_frames: int) -> Range | None:
        return self.front_from(self.class_from(n_frames))


class GoodFitOrOwn(BySize):
    """And when there is none, the first of the own class that will do."""

    def choose(self, n_frames: int) -> Range | None:
        return self.front_from(self.class_from(n_frames)) or self.own_class(n_frames)


def rule(second_level: str, fallback: str) -> type:
    base = {"none": GoodFit, "own-class": GoodFitOrOwn}[fallback]
    return type(base.__name__, (base,), {"divisions": 2 ** int(second_level)})
