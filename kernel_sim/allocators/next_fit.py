"""Next fit: the first hole that is large enough, from where the last allocation ended.

Source: D. E. Knuth, The Art of Computer Programming, volume 1, section 2.5, exercise 6 (the roving pointer).

Idea: do not search again the small holes at the low end. The search goes on at the first hole that begins at or after the end of the zone's
last allocation, and once more from the zone's start when it comes to the end.

Invariant: holes are in order of address, and no two touch.

Cost: a search linear in the number of holes, on average much shorter than first fit's; the memory's large holes are used up evenly.
"""

from __future__ import annotations

from kernel_sim.allocators.base import EXAMINED, Policy
from kernel_sim.allocators.holes import ROVER, HoleArea, behind, fit, length, lowest
from kernel_sim.compiled import compiled
from kernel_sim.frames import NIL

PARAMETERS: dict[str, tuple[str, ...]] = {}


@compiled
def choose(area: HoleArea, n_frames: int) -> int:
    """The first hole from the rover on that is large enough, then from the start."""
    start = lowest(area)
    while start != NIL and start < area.words[ROVER]:
        start = behind(area, start)
    hole = search(area, start, NIL, n_frames)
    return hole if hole != NIL else search(area, lowest(area), start, n_frames)


@compiled
def search(area: HoleArea, hole: int, stop: int, n_frames: int) -> int:
    """The first hole that is large enough, before `stop`."""
    while hole != stop:
        area.tally[EXAMINED] += 1
        if length(area, hole) >= n_frames:
            return hole
        hole = behind(area, hole)
    return NIL


def build(name: str) -> Policy:
    return fit(name, choose)
