"""First fit: the lowest hole that is large enough.

Source: D. E. Knuth, The Art of Computer Programming, volume 1, section 2.5, algorithm A.

Idea: take the first that will do. Small holes gather at the low end, and large ones survive at the high end.

Invariant: holes are in order of address, and no two touch (by default).

Cost: a search linear in the number of holes; freeing finds its neighbours by boundary tags, its place by the same walk. With
``search=indexed`` all of it is logarithmic.

Use: as the fit to begin with: fast, and of the four the one that classical simulations rarely find beaten. With ``search=indexed`` where there
are many holes.

Parameters: ``order=``, ``coalesce=``, ``carve=`` and ``search=`` are those of all fits (`kernel_sim.allocators.fits`).
In another order than by address the first is not the lowest: first fit on holes by
size, ascending, is best fit, and descending, worst fit.
"""

from __future__ import annotations

from kernel_sim.allocators.base import Policy, examine
from kernel_sim.allocators.fits import FIT_PARAMETERS, Decision, fit
from kernel_sim.allocators.hole_index import first_hole
from kernel_sim.allocators.hole_order import behind, front
from kernel_sim.allocators.hole_tags import HoleArea, length
from kernel_sim.compiled import compiled
from kernel_sim.frames import NIL

PARAMETERS = FIT_PARAMETERS


@compiled
def choose(area: HoleArea, n_frames: int) -> int:
    """The first hole that is large enough."""
    hole = front(area)
    while hole != NIL:
        examine(area, hole)
        if length(area, hole) >= n_frames:
            return hole
        hole = behind(area, hole)
    return NIL


DECISION = Decision(choose, first_hole)


def build(name: str, order: str, coalesce: str, carve: str, search: str) -> Policy:
    return fit(name, DECISION, order, coalesce, carve, search)
