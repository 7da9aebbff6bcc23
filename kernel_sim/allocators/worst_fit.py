"""Worst fit: the largest hole, the lowest of equals.

Source: D. E. Knuth, The Art of Computer Programming, volume 1, section 2.5.

Idea: what remains of the largest hole is still large, and likely of use. It is also what the next large request will miss.

Invariant: holes are in order of address, and no two touch (by default).

Cost: every search looks at every hole. With ``search=indexed`` it is logarithmic.

Use: as the counterexample: large requests fail first. It is here to be compared with.

Parameters: ``order=``, ``coalesce=``, ``carve=`` and ``search=`` are those of all fits (`kernel_sim.allocators.fits`).
In another order than by address it is the first of equals that is taken.
"""

from __future__ import annotations

from kernel_sim.allocators.base import Policy, examine
from kernel_sim.allocators.fits import FIT_PARAMETERS, Decision, fit
from kernel_sim.allocators.hole_index import largest_hole
from kernel_sim.allocators.hole_order import behind, front
from kernel_sim.allocators.hole_tags import HoleArea, length
from kernel_sim.compiled import compiled, int64
from kernel_sim.frames import NIL

PARAMETERS = FIT_PARAMETERS


@compiled
def choose(area: HoleArea, n_frames: int) -> int:
    """The largest hole, if it is large enough."""
    worst, worst_size = int64(NIL), int64(0)
    hole = front(area)
    while hole != NIL:
        examine(area, hole)
        size = length(area, hole)
        if size >= n_frames and size > worst_size:
            worst, worst_size = hole, size
        hole = behind(area, hole)
    return worst


DECISION = Decision(choose, largest_hole)


def build(name: str, order: str, coalesce: str, carve: str, search: str) -> Policy:
    return fit(name, DECISION, order, coalesce, carve, search)
