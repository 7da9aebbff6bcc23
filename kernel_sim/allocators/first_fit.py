"""First fit: the lowest hole that is large enough.

Source: D. E. Knuth, The Art of Computer Programming, volume 1, section 2.5, algorithm A.

Idea: take the first that will do. Small holes gather at the low end, and large ones survive at the high end.

Invariant: holes are in order of address, and no two touch.

Cost: a search linear in the number of holes; freeing finds its neighbours by boundary tags, its place by the same walk.
"""

from __future__ import annotations

from kernel_sim.allocators.base import EXAMINED, Policy
from kernel_sim.allocators.holes import HoleArea, behind, fit, length, lowest
from kernel_sim.compiled import compiled
from kernel_sim.frames import NIL

PARAMETERS: dict[str, tuple[str, ...]] = {}


@compiled
def choose(area: HoleArea, n_frames: int) -> int:
    """The lowest hole that is large enough."""
    hole = lowest(area)
    while hole != NIL:
        area.tally[EXAMINED] += 1
        if length(area, hole) >= n_frames:
            return hole
        hole = behind(area, hole)
    return NIL


def build(name: str) -> Policy:
    return fit(name, choose)
