"""Half fit: where it must place."""

from __future__ import annotations

from kernel_sim.study.contract.rules.by_size import BySize
from kernel_sim.zones import Range


class HalfFit(BySize):
    """Powers of two: the first hole of the least class from the rounded logarithm on."""

    def choose(self, n_frames: int) -> Range | None:
        return self.front_from(self.class_from(n_frames))


def rule() -> type:
    return HalfFit
