"""Weighted buddy: blocks of 2^k and of 3·2^k frames, which come apart in the ratios 3 to 1 and 2 to 1.

Source: K. K. Shen and J. L. Peterson, "A weighted buddy method for dynamic storage allocation", CACM 17(10), 1974.

Idea: nearly twice the sizes of a binary buddy, 1, 2, 3, 4, 6, 8, 12, 16 …, so that at most a third of a block is wasted by rounding up. A block
of 2^(k+2) comes apart into 3·2^k and 2^k, one of 3·2^k into 2^(k+1) and 2^k. What is gained inside of the blocks is lost between them: unequal
parts find together again less often, and small ones are left over.

Invariant: every free block is a block of the zone's recursive subdivision (`subdivision`), and two buddies are never both free.

Cost: logarithmic in the size of the largest block, 1024 frames. Finding a block's buddy takes a walk down the tree that it was split from, of up
to 19 steps; up to one split or merge for each size.

Use: when requests are spread over all sizes and rounding them to powers of two is what hurts; for short-lived memory, as it scatters.

A block of 2 comes apart into 1 and 1. The larger part of a block lies low. A request that the smaller part can hold is served from it, and the
larger one is left whole. Lists are last in, first out.
"""

from __future__ import annotations

from kernel_sim.allocators.base import Policy
from kernel_sim.allocators.subdivision import subdivided

PARAMETERS: dict[str, tuple[str, ...]] = {}

SIZES = (1, *(size << k for k in range(9) for size in (2, 3)), 1024)
SMALLER = (0, 0, 0, *(SIZES.index(size // 4 if size & (size - 1) == 0 else size // 3) for size in SIZES[3:]))


def build(name: str) -> Policy:
    return subdivided(name, SIZES, SMALLER)
