"""Internal fragmentation of buddies: how much rounding up to one of their sizes costs.

Source: J. L. Peterson and T. A. Norman, "Buddy systems", CACM 20(6), 1977. For requests uniform on 1 .. 2^k u with 1 <= u <= 2 and large k, a
binary buddy grants (4u - 8/3) / u^2 times what was asked for: 1.3333, 1.5, 1.4815 and 1.3333 at u = 1, 4/3, 3/2 and 2. A Fibonacci buddy grants
between 1.2361 and 1.3090, and 1.2843 in the mean.

The same for any row of sizes s(1) < s(2) < ...: requests uniform on 0 .. N are granted the sum of s(i) (s(i) - s(i-1)) over the sizes up to N, and
what is left at the next size, over N^2 / 2. With sizes in a constant ratio the sum is a geometric series:

    Fibonacci, s(i) = phi^i, N = phi^k u, 1 <= u <= phi     2 (phi u - 1) / u^2             highest at u = 2 / phi: phi^2 / 2
    weighted, 2^k and 3 2^(k-1), N = 2^k u, u <= 3/2        (3u - 11/6) / u^2               highest at u = 11/9: 27/22
                                            u >= 3/2        (4u - 10/3) / u^2               highest at u = 5/3: 6/5

Means are over the logarithm of N, for all octaves (and their golden counterparts) count alike: 1 / ln 2 for the binary buddy, 5 / (6 ln 2) for the
weighted. The sums over all sizes from 1 to N are exact here; the formulas are their limits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import count
from math import exp, log, sqrt

import pytest

from kernel_sim import FrameManager, load_policy

PUBLISHED = [(Fraction(1), "1.3333"), (Fraction(4, 3), "1.5000"), (Fraction(3, 2), "1.4815"), (Fraction(2), "1.3333")]
PHI = (1 + sqrt(5)) / 2


def binary() -> Iterator[int]:
    return (2**k for k in count())


def fibonacci() -> Iterator[int]:
    small, large = 1, 2
    while True:
        yield small
        small, large = large, small + large


def weighted() -> Iterator[int]:
    yield 1
    yield from (size * 2**k for k in count() for size in (2, 3))


def binary_limit(u: float) -> float:
    return (4 * u - 8 / 3) / u**2


def fibonacci_limit(u: float) -> float:
    return 2 * (PHI * u - 1) / u**2


def weighted_limit(u: float) -> float:
    return (3 * u - 11 / 6) / u**2 if u < 1.5 else (4 * u - 10 / 3) / u**2


def exact(sizes: Iterator[int], largest: int) -> Fraction:
    """Granted over asked for when every size from 1 to `largest` is asked for once."""
    granted = below = 0
    while below < largest:
        size = next(sizes)
        granted += size * (min(size, largest) - below)
        below = size
    return Fraction(granted, largest * (largest + 1) // 2)


def steps_of(ratio: float, n: int = 2000) -> list[float]:
    """Values of u from 1 to the ratio of two sizes, evenly by their logarithms."""
    return [exp(log(ratio) * (step + 0.5) / n) for step in range(n)]


@pytest.mark.parametrize("u, published", PUBLISHED, ids=str)
def test_the_limit_is_what_was_published(u: Fraction, published: str) -> None:
    assert f"{binary_limit(float(u)):.4f}" == published
    assert f"{float(exact(binary(), int(2**30 * u))):.4f}" == published


SYSTEMS = {
    "buddy": (binary, binary_limit, 2, 2**30, "1.3333", "1.5000", 1 / log(2)),
    "fibonacci-buddy": (fibonacci, fibonacci_limit, PHI, 1346269, "1.2361", "1.3090", 1.2843),
    "weighted-buddy": (weighted, weighted_limit, 2, 2**30, "1.1667", "1.2273", 5 / (6 * log(2))),
}
"""The sizes, the formula, the ratio at which it repeats, a large size, and the least, the highest and the mean ratio."""


@pytest.mark.parametrize("sizes, limit, ratio, large, least, highest, mean", SYSTEMS.values(), ids=SYSTEMS)
def test_the_range_and_the_mean(sizes: Callable[[], Iterator[int]], limit: Callable[[float], float], ratio: float, large: int, least: str,
                                highest: str, mean: float) -> None:
    """The formula has the bounds and the mean that are published, and is the limit of the sums over all sizes."""
    values = [limit(u) for u in (1.0, *steps_of(ratio), ratio)]
    assert (f"{min(values):.4f}", f"{max(values):.4f}") == (least, highest)
    assert sum(values) / len(values) == pytest.approx(mean, abs=5e-4)
    for u in steps_of(ratio, 9):
        assert float(exact(sizes(), int(large * u))) == pytest.approx(limit(u), abs=1e-5)


@pytest.mark.parametrize("policy", ["buddy", "buddy:order=address"])
@pytest.mark.parametrize("u", [u for u, _ in PUBLISHED], ids=str)
def test_through_the_manager(policy: str, u: Fraction) -> None:
    """Every size from 1 to 512 u, asked for and given back: the manager's count is the exact sum, within 1% of the limit."""
    manager = FrameManager(1024, policy)
    for n_frames in range(1, int(512 * u) + 1):
        manager.free(manager.alloc(n_frames))
    stats = manager.stats()
    ratio = Fraction(stats.granted, stats.requested)
    assert ratio == exact(binary(), int(512 * u))
    assert abs(float(ratio) / binary_limit(float(u)) - 1) < 0.01
    assert stats.internal_fragmentation == pytest.approx(float(1 - 1 / ratio))


@pytest.mark.parametrize("policy, step, largest", [("fibonacci-buddy", 377, 609), ("fibonacci-buddy", 377, 466), ("fibonacci-buddy", 377, 377),
                                                   ("weighted-buddy", 256, 511), ("weighted-buddy", 256, 313), ("weighted-buddy", 256, 427)])
def test_the_other_buddies_through_the_manager(policy: str, step: int, largest: int) -> None:
    """The same for every size from 1 to one between two sizes of their rows, the worst (2 / phi, 11/9 and 5/3 times a size) among them."""
    sizes, limit = SYSTEMS[policy][:2]
    manager = FrameManager(1597, load_policy(policy, uncompiled=True))
    for n_frames in range(1, largest + 1):
        manager.free(manager.alloc(n_frames))
    stats = manager.stats()
    assert Fraction(stats.granted, stats.requested) == exact(sizes(), largest)
    assert stats.granted / stats.requested == pytest.approx(limit(largest / step), rel=0.01)


@pytest.mark.parametrize("policy", ["first-fit", "best-fit", "worst-fit", "next-fit"])
def test_a_fit_has_none(policy: str) -> None:
    manager = FrameManager(1024, policy)
    for n_frames in range(1, 1025):
        manager.free(manager.alloc(n_frames))
    assert manager.stats().internal_fragmentation == 0
