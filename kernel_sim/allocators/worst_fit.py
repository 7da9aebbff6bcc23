"""Worst fit: the largest hole, the lowest of equals.

Source: D. E. Knuth, The Art of Computer Programming, volume 1, section 2.5.

Idea: what remains of the largest hole is still large, and likely of use. It is also what the next large request will miss.

Invariant: holes are in order of address, and no two touch.

Cost: every search looks at every hole.
"""

from __future__ import annotations

from kernel_sim.allocators.base import EXAMINED, Policy
from kernel_sim.allocators.holes import HoleArea, behind, fit, length, lowest
from kernel_sim.compiled import compiled, int64
from kernel_sim.frames import NIL

PARAMETERS: dict[str, tuple[str, ...]] = {}


@compiled
def choose(area: HoleArea, n_frames: int) -> int:
    """The largest hole, if it is large enough."""
    worst, worst_size = int64(NIL), int64(0)
    hole = lowest(area)
    while hole != NIL:
        area.tally[EXAMINED] += 1
        size = length(area, hole)
        if size >= n_frames and size > worst_size:
            worst, worst_size = hole, size
        hole = behind(area, hole)
    return worst


def build(name: str) -> Policy:
    return fit(name, choose)
