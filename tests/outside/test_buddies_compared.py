"""The three buddy systems compared: what finer sizes save inside of blocks, and lose between them.

Sources: K. K. Shen and J. L. Peterson, "A weighted buddy method for dynamic storage allocation", CACM 17(10), 1974, whose simulations "indicate that,
for a uniform request distribution, the buddy system has less total memory fragmentation than the weighted buddy algorithm. However, the total
fragmentation is smaller for the weighted buddy method when the requests are for exponentially distributed block sizes" (from its abstract);
J. L. Peterson and T. A. Norman, "Buddy systems", CACM 20(6), 1977, which adds the Fibonacci system and tells internal from external.

The directions are theirs, the figures ours: their memories, sizes and lifetimes are not those of page frames. Here requests come until one cannot
be served; then the state of the memory is looked at, and random blocks are given back until it can be.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from random import Random
from typing import NamedTuple

import pytest

from kernel_sim import FrameManager, OutOfFrames, load_policy

MEMORIES = {"buddy": 4 * 1024, "fibonacci-buddy": 3 * 1597, "weighted-buddy": 4 * 1024}
"""Frames: a few blocks of each system's largest size, so that no rest favours any."""

DRAWS: dict[str, Callable[[Random], int]] = {
    "uniform": lambda random: random.randint(1, 128),
    "exponential": lambda random: min(1 + int(random.expovariate(1 / 40)), 512),
}
SEEDS = (1, 2)
N_FAILURES = 100


class Waste(NamedTuple):
    """Means over the moments at which a request could not be served."""

    internal: float     # of the frames that were granted, the part that nobody asked for
    external: float     # of all frames, the part that was free
    total: float        # of all frames, the part that nobody asked for


def served(manager: FrameManager, n_frames: int) -> int | None:
    try:
        return int(manager.alloc(n_frames))
    except OutOfFrames:
        return None


@cache
def simulate(policy: str, sizes: str, seed: int) -> Waste:
    """Fill a memory, and keep it full."""
    random, n_frames = Random(seed), MEMORIES[policy]
    manager = FrameManager(n_frames, load_policy(policy, uncompiled=True))
    live: list[tuple[int, int]] = []
    seen: list[Waste] = []
    while len(seen) < N_FAILURES:
        size = DRAWS[sizes](random)
        pfn = served(manager, size)
        if pfn is None:
            used, asked = manager.stats().n_used, sum(asked for _, asked in live)
            seen.append(Waste(1 - asked / used, 1 - used / n_frames, 1 - asked / n_frames))
        while pfn is None:
            manager.free(live.pop(random.randrange(len(live)))[0])
            pfn = served(manager, size)
        live.append((pfn, size))
    seen = seen[N_FAILURES // 10:]      # by then it has forgotten how it was filled
    return Waste(*(sum(column) / len(seen) for column in zip(*seen, strict=True)))


def waste(policy: str, sizes: str) -> Waste:
    """The mean over all seeds."""
    return Waste(*(sum(column) / len(SEEDS) for column in zip(*(simulate(policy, sizes, seed) for seed in SEEDS), strict=True)))


@pytest.mark.slow
@pytest.mark.parametrize("sizes", DRAWS)
def test_finer_sizes_waste_less_inside_and_more_between(sizes: str) -> None:
    """Binary, Fibonacci, weighted: the more sizes, the less is lost inside of blocks, and the more between them."""
    binary, fibonacci, weighted = (waste(policy, sizes) for policy in MEMORIES)
    assert binary.internal > fibonacci.internal > weighted.internal
    assert binary.external < fibonacci.external < weighted.external


def test_uniform_sizes_favour_the_binary_buddy() -> None:
    """The largest size asked for, 128, is one of the binary buddy's, as it is one of the weighted buddy's."""
    assert waste("buddy", "uniform").total < waste("weighted-buddy", "uniform").total


def test_exponential_sizes_favour_the_weighted_buddy() -> None:
    assert waste("weighted-buddy", "exponential").total < waste("buddy", "exponential").total


@pytest.mark.parametrize("sizes", DRAWS)
def test_in_total_they_are_not_far_apart(sizes: str) -> None:
    """Whatever is saved on one side is mostly lost on the other: in total no system wastes half as much again as another."""
    totals = [waste(policy, sizes).total for policy in MEMORIES]
    assert max(totals) < 1.5 * min(totals)
