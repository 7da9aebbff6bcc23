"""What the tests of published simulations share: a memory that requests queue for, and how sure a mean is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from heapq import heappop, heappush
from statistics import mean, stdev

from kernel_sim import FrameManager


def efficiency(policy: str, n_frames: int, sizes: Sequence[int], lifetimes: Sequence[float]) -> float:
    """The time-memory product that is used, as a share of what there is.

    J. E. Shore's experiment (1975): there is always a next request, and it waits until the policy finds room for it; meanwhile those that are
    done go, in order of their time. The first tenth of the requests fills the memory and does not count.
    """
    manager = FrameManager(n_frames, policy)
    due: list[tuple[float, int, int]] = []
    now, used, product, begin = 0.0, 0, 0.0, 0.0
    for number, (size, lifetime) in enumerate(zip(sizes, lifetimes, strict=True)):
        if number == len(sizes) // 10:
            product, begin = 0.0, now
        while (pfn := int(manager.entries.alloc(manager.root, size, 0, 0, 0))) < 0:     # a refusal is no exception here: there are many
            then, gone, freed = heappop(due)
            product += used * (then - now)
            now = then
            manager.free(gone)
            used -= freed
        heappush(due, (now + lifetime, pfn, size))
        used += size
    return product / (n_frames * (now - begin))


def mean_and_error(values: Iterable[float]) -> tuple[float, float]:
    """The mean, and its standard error."""
    values = list(values)
    return mean(values), stdev(values) / len(values) ** 0.5
