"""Best fit: the smallest hole that is large enough, the lowest of equals.

Source: D. E. Knuth, The Art of Computer Programming, volume 1, section 2.5.

Idea: leave the large holes whole for those who need them. What remains of a close fit is small, and of little use to anyone.

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
    """The smallest hole that is large enough."""
    best, best_size = int64(NIL), int64(NIL)
    hole = lowest(area)
    while hole != NIL:
        area.tally[EXAMINED] += 1
        size = length(area, hole)
        if n_frames <= size < best_size:
            best, best_size = hole, size
        hole = behind(area, hole)
    return best


def build(name: str) -> Policy:
    return fit(name, choose)
