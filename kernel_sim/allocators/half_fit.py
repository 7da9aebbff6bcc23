"""Half fit: holes by powers of two, and any hole of the class above will do.

Source: T. Ogasawara, "An algorithm with constant execution time for dynamic storage allocation", RTCSA 1995.

Idea: class i has the holes of 2^i to 2^(i+1) - 1 frames. A request for n frames takes the first hole of the least class that is not empty and
not below the logarithm of n, rounded up: every hole there is large enough, so nothing is searched. One word with a bit for each class finds it.
The request is carved from the hole's low end, and freed holes coalesce at once, by boundary tags.

Invariant: each hole is in the list of its class, no two holes touch, and a bit is set exactly where a list is not empty.

Cost: constant for allocating and for freeing, the first such algorithm. Holes of up to nearly twice the request, those of the class below, are
never looked at, so a request may be refused although there is a hole for it (the paper's *incomplete memory use*). `tlsf` makes the classes finer.

Use: in real-time systems where the time of every single request must be bounded and memory is plenty; `tlsf` bounds it too and wastes less.
"""

from __future__ import annotations

from kernel_sim.allocators.base import Policy
from kernel_sim.allocators.size_classes import Steps, good_fit

PARAMETERS: dict[str, tuple[str, ...]] = {}


def build(name: str) -> Policy:
    return Steps(name, second_level=0).policy(good_fit)
