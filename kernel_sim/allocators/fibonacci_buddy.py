"""Fibonacci buddy: blocks of 1, 2, 3, 5, 8, 13 … frames; each comes apart into the two sizes before its own.

Source: D. S. Hirschberg, "A class of dynamic memory allocation algorithms", CACM 16(10), 1973; B. Cranston and R. Thomas, "A simplified
recombination scheme for the Fibonacci buddy system", CACM 18(6), 1975; see also D. E. Knuth, The Art of Computer Programming, volume 1, section 2.5.

Idea: the sizes of a binary buddy double from one to the next, and a request that just misses one wastes half of the next. Fibonacci numbers grow
by 1.618, so there are more sizes to choose from and less is wasted inside of blocks; but a block comes apart into unequal parts, and a small
part is of use to small requests only.

Invariant: every free block is a block of the zone's recursive subdivision (`subdivision`), and two buddies are never both free.

Cost: logarithmic in the size of the largest block, 1597 frames, the first that holds Linux' largest of 1024. Finding a block's buddy takes a walk
down the tree that it was split from, of up to 15 steps; up to one split or merge for each size.

Use: to see what finer sizes buy: less waste inside of blocks than `buddy`, more between them, and no alignment to speak of.

What the sources leave open: the larger part of a block lies low. A request that the smaller part can hold is served from it, and the larger one
is left whole. Lists are last in, first out.
"""

from __future__ import annotations

from kernel_sim.allocators.base import Policy
from kernel_sim.allocators.subdivision import subdivided

PARAMETERS: dict[str, tuple[str, ...]] = {}

SIZES = (1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233, 377, 610, 987, 1597)
SMALLER = (0, 0, *range(len(SIZES) - 2))        # 5 comes apart into 3 and 2, and so on; 2 into 1 and 1


def build(name: str) -> Policy:
    return subdivided(name, SIZES, SMALLER)
