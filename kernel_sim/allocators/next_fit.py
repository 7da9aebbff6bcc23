"""Next fit: the first hole that is large enough, from where the last allocation ended.

Source: D. E. Knuth, The Art of Computer Programming, volume 1, section 2.5, exercise 6 (the roving pointer).

Idea: do not search again the small holes at the low end. The search goes on at the first hole that begins at or after the end of the zone's
last allocation, and once more from the zone's start when it comes to the end.

Invariant: holes are in order of address, and no two touch (by default).

Cost: a search linear in the number of holes, on average much shorter than first fit's; the memory's large holes are used up evenly. With
``search=indexed`` it is logarithmic.

Use: where searches must be short without an index, and the memory is much larger than what is live: it packs worst of the four.

Parameters: ``order=``, ``coalesce=``, ``carve=`` and ``search=`` are those of all fits (`kernel_sim.allocators.fits`).
In another order than by address the search goes on at the last hole's place in the
list: at what is left of it, if that stays there, or else at the hole that stood behind.
"""

from __future__ import annotations

from kernel_sim.allocators.base import Policy, examine
from kernel_sim.allocators.fits import FIT_PARAMETERS, Decision, fit
from kernel_sim.allocators.hole_index import next_hole
from kernel_sim.allocators.hole_order import behind, front
from kernel_sim.allocators.hole_tags import HoleArea, length
from kernel_sim.compiled import compiled
from kernel_sim.frames import NIL

PARAMETERS = FIT_PARAMETERS


@compiled
def rover(area: HoleArea) -> int:
    """Where the search goes on, or NIL."""
    raise NotImplementedError


@compiled
def choose(area: HoleArea, n_frames: int) -> int:
    """The first hole from the rover on that is large enough, then from the start."""
    start = rover(area)
    hole = search(area, start, NIL, n_frames)
    return hole if hole != NIL else search(area, front(area), start, n_frames)


@compiled
def search(area: HoleArea, hole: int, stop: int, n_frames: int) -> int:
    """The first hole that is large enough, before `stop`."""
    while hole != stop:
        examine(area, hole)
        if length(area, hole) >= n_frames:
            return hole
        hole = behind(area, hole)
    return NIL


DECISION = Decision(choose, next_hole, roves=True)


def build(name: str, order: str, coalesce: str, carve: str, search: str) -> Policy:
    return fit(name, DECISION, order, coalesce, carve, search)
