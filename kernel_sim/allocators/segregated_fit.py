"""Segregated fit: an array of free lists, one for each class of sizes, and first fit within a list.

Source: P. R. Wilson, M. S. Johnstone, M. Neely, D. Boles, "Dynamic storage allocation: a survey and critical review", IWMM 1995.

Idea: a list for each class of sizes makes of first fit a *good* fit, for all holes of a list are about as long as the request. The list of the
request's class is searched for a hole that is long enough; if there is none, the next larger class that has a hole gives its first, which is long
enough in any case. The remainder goes to the list of its own class, and freed holes coalesce at once, by boundary tags.

Invariant: each hole is in the list of its class, no two holes touch, and a bit is set exactly where a list is not empty.

Cost: at most `tries` holes looked at, one find-first-set for the larger classes: constant. Only where no larger class has a hole the request's own
list is searched to its end, in time linear in it, so nothing is refused for which there is a hole.

Use: for mixed sizes with a few common ones: nearly best fit's packing at a constant cost.

Parameters: ``classes=powers`` has a class for each power of two, ``classes=quarters`` four of them, as Lea's dlmalloc has. ``order`` is that of
each list: ``lifo`` takes first what was freed last, ``fifo`` what was freed longest ago. ``tries=N`` is how many holes of its own class a request
looks at before it goes to the larger ones.
"""

from __future__ import annotations

from typing import Any

from kernel_sim.allocators.base import Policy, Whole, examine
from kernel_sim.allocators.hole_tags import length
from kernel_sim.allocators.size_classes import ClassArea, Steps, behind, class_of, enter, enter_back, least_class
from kernel_sim.compiled import bind, compiled, int64
from kernel_sim.frames import NIL

PARAMETERS: dict[str, Any] = {"classes": ("powers", "quarters"), "order": ("lifo", "fifo"), "tries": Whole(16, 1, 64)}
TRIES = 16          # bound by the policy


@compiled
def first_of_own_class(area: ClassArea, n_frames: int, tries: int) -> int:
    """The first hole of the request's class that is large enough, among the first `tries`; NIL for none."""
    hole = int64(area.heads[class_of(n_frames)])
    while hole != NIL and tries > 0:
        examine(area, ~hole)
        if length(area, hole) >= n_frames:
            return hole
        hole = behind(area, hole)
        tries -= 1
    return NIL


@compiled
def choose(area: ClassArea, n_frames: int) -> int:
    """A hole of the request's own class if one turns up soon, else one of a larger class, else any of its own."""
    hole = first_of_own_class(area, n_frames, TRIES)
    if hole != NIL:
        return hole
    larger = least_class(area, class_of(n_frames) + 1)
    if larger >= 0:
        examine(area, larger)
        return int64(area.heads[larger])
    return first_of_own_class(area, n_frames, area.end - area.first)


def build(name: str, classes: str, order: str, tries: str) -> Policy:
    steps = Steps(name, {"powers": 0, "quarters": 2}[classes], {"lifo": enter, "fifo": enter_back}[order])
    steps.names["first_of_own_class"] = steps.bind(first_of_own_class)
    return steps.policy(bind(choose, name, TRIES=int(tries)))
