"""TLSF: two-level segregated good fit, constant time whatever the memory looks like.

Source: M. Masmano, I. Ripoll, A. Crespo, J. Real, "TLSF: a new dynamic memory allocator for real-time systems", ECRTS 2004.

Idea: holes are kept by size, in classes fine enough that rounding a request up to the next class costs little: each power of two is divided
evenly into 2^N classes. From the rounded class on every hole will do, so the first hole of the least class that is not empty is taken, and two
bitmaps find that class with two *find first set* instructions. Freed holes coalesce at once, by boundary tags.

Invariant: each hole is in the list of its class, no two holes touch, and a bit is set exactly where a list is not empty.

Cost: constant for allocating and for freeing. The price of never searching: a hole of the request's own class may be large enough and is not
looked at, so a request may be refused although a hole fits it, one that is longer than the request by less than 1/2^N of it.

Use: in real-time systems, and wherever best fit's packing is wanted in constant time.

Parameters: ``second_level=N`` divides each power of two into 2^N classes (the paper recommends 4 or 5). ``fallback=none`` is the paper's;
``fallback=own-class`` searches the request's own class before it refuses, in time linear in that list: then nothing is refused that fits.
"""

from __future__ import annotations

from typing import Any

from kernel_sim.allocators.base import Policy, Whole, examine
from kernel_sim.allocators.hole_tags import length
from kernel_sim.allocators.size_classes import ClassArea, Steps, behind, class_of, good_fit
from kernel_sim.compiled import compiled, int64
from kernel_sim.frames import NIL

PARAMETERS: dict[str, Any] = {"second_level": Whole(5, 0, 6), "fallback": ("none", "own-class")}


@compiled
def good_fit_or_own(area: ClassArea, n_frames: int) -> int:
    """A hole of a class above, and when there is none the first of the request's own class that is large enough."""
    hole = good_fit(area, n_frames)
    if hole == NIL:
        hole = int64(area.heads[class_of(n_frames)])
        while hole != NIL:
            examine(area, ~hole)
            if length(area, hole) >= n_frames:
                return hole
            hole = behind(area, hole)
    return hole


def build(name: str, second_level: str, fallback: str) -> Policy:
    steps = Steps(name, int(second_level))
    return steps.policy({"none": good_fit, "own-class": good_fit_or_own}[fallback])
