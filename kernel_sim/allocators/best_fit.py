"""Best fit: the smallest hole that is large enough, the lowest of equals.

Source: D. E. Knuth, The Art of Computer Programming, volume 1, section 2.5.

Idea: leave the large holes whole for those who need them. What remains of a close fit is small, and of little use to anyone.

Invariant: holes are in order of address, and no two touch (by default).

Cost: every search looks at every hole. With ``search=indexed`` it is logarithmic.

Use: where memory is tight and large requests must not fail; with ``search=indexed`` wherever time matters.

Parameters: ``order=``, ``coalesce=``, ``carve=`` and ``search=`` are those of all fits (`kernel_sim.allocators.fits`).
In another order than by address it is the first of equals that is taken.
"""

from __future__ import annotations

from kernel_sim.allocators.base import Policy, examine
from kernel_sim.allocators.fits import FIT_PARAMETERS, Decision, fit
from kernel_sim.allocators.hole_index import closest_hole
from kernel_sim.allocators.hole_order import behind, front
from kernel_sim.allocators.hole_tags import HoleArea, length
from kernel_sim.compiled import compiled, int64
from kernel_sim.frames import NIL

PARAMETERS = FIT_PARAMETERS


@compiled
def choose(area: HoleArea, n_frames: int) -> int:
    """The smallest hole that is large enough."""
    best, best_size = int64(NIL), int64(NIL)
    hole = front(area)
    while hole != NIL:
        examine(area, hole)
        size = length(area, hole)
        if n_frames <= size < best_size:
            best, best_size = hole, size
        hole = behind(area, hole)
    return best


DECISION = Decision(choose, closest_hole, by_length=True)


def build(name: str, order: str, coalesce: str, carve: str, search: str) -> Policy:
    return fit(name, DECISION, order, coalesce, carve, search)
