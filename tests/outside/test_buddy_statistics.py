"""Single frames that come and go at random under the buddy system, and under first fit.

Sources: P. W. Purdom and S. M. Stigler, "Statistical properties of the buddy system", JACM 17(4), 1970: with Poisson requests and exponential service
times, and rho cells in use on average, the space lost to pairs of which one cell is free is about 0.513 sqrt(rho), and the bottom level asks the next
one for a pair once in about 1.880 sqrt(rho) requests. E. G. Coffman, T. T. Kadota and L. A. Shepp, "A stochastic model of fragmentation in
dynamic storage allocation", SIAM J. Computing 14(2), 1985: under first fit the frames free below the highest one in use are, on average,
never more than a third of those in use, and a vanishing share of them for large rho.

The bottom level is a Markov chain of (full pairs, half-full pairs); solved here for itself, it is what the manager is held against, sample by
sample, and the published asymptotics against it.
"""

from __future__ import annotations

from functools import cache
from math import sqrt
from typing import Any

import numpy as np
import pytest
from outside.placing import mean_and_error

from kernel_sim.study.replay import replay
from kernel_sim.study.workload import generate, parse

Array = np.ndarray[Any, Any]


@cache
def chain(rho: float) -> Array:
    """The equilibrium, by (half-full pairs, cells in use).

    Requests come at rate rho and take half of a half-full pair if there is one; each cell in use is freed at rate 1. With `n` cells in use and
    `h` half-full pairs, a request goes to (h - 1, n + 1), or from h = 0 to (1, n + 1); a free of a half-full pair's cell, at rate h, to
    (h - 1, n - 1); of a full pair's, at rate n - h, to (h + 1, n - 1).
    """
    most_n, most_h = int(rho + 8 * sqrt(rho) + 10), int(6 * sqrt(rho) + 10)
    h, n = np.meshgrid(np.arange(most_h + 1), np.arange(most_n + 1), indexing="ij")
    there = (h <= n) & ((h + n) % 2 == 0)
    share = np.where(there, 1.0, 0.0)
    share /= share.sum()
    fastest = rho + most_n
    come, of_half, of_full = rho * there * (n < most_n) / fastest, h * there / fastest, (n - h) * there * (h < most_h) / fastest
    for _ in range(200_000):
        after = share * (1 - come - of_half - of_full)
        flow = share * come
        after[:-1, 1:] += flow[1:, :-1]
        after[1, 1:] += flow[0, :-1]
        after[:-1, :-1] += (share * of_half)[1:, 1:]
        after[1:, :-1] += (share * of_full)[:-1, 1:]
        if np.abs(after - share).max() < 1e-13:
            break
        share = after
    return share


def test_the_published_asymptotics() -> None:
    """The chain comes nearer to both each time that rho grows, and is 5.3% and 1.5% away at 80."""
    lost, between = [], []
    for rho in (5, 20, 80):
        share = chain(rho)
        lost.append(float((share.sum(axis=1) * np.arange(len(share))).sum()) / (0.513 * sqrt(rho)))
        between.append(1 / float(share[0].sum()) / (1.880 * sqrt(rho)))
    assert lost == sorted(lost, reverse=True)
    assert 1 < lost[-1] < 1.06
    assert between == sorted(between)
    assert 0.98 < between[-1] < 1


@pytest.mark.parametrize("policy", ["buddy", pytest.param("buddy:order=address", marks=pytest.mark.slow)])
def test_the_buddy_system_loses_what_the_chain_says(policy: str) -> None:
    """Free blocks of order 0, just after events: there the chain's states weigh by how often they are left, rho + n."""
    rho = 20
    share = chain(rho)
    left = share * (rho + np.arange(share.shape[1]))
    left /= left.sum()
    expected = float((left.sum(axis=1) * np.arange(len(share))).sum())
    runs = [replay(generate(parse(f"sizes=constant(1) lifetimes=exponential({rho}) memory=1M operations=3000 seed={seed}")), policy, every=10)
            for seed in range(16)]
    means = [float(np.mean(run.samples.column("free_blocks_0")[30:])) for run in runs if run.samples is not None]
    seen, error = mean_and_error(means)
    assert abs(seen - expected) < 4 * error
    assert error < expected / 20, "sharp enough to tell"


@pytest.mark.parametrize("rho", [5, 50, 500])
def test_first_fit_wastes_no_more_than_a_third(rho: int) -> None:
    """All free frames but those of the last run, which is the largest, lie below the highest frame in use."""
    waste = wasted(rho)
    assert waste <= 1 / 3


def test_first_fit_wastes_less_of_more() -> None:
    assert wasted(5) > wasted(50) > wasted(500)


@cache
def wasted(rho: int) -> float:
    """Free frames below the highest in use, for each in use."""
    trace = generate(parse(f"sizes=constant(1) lifetimes=exponential({rho}) memory=16M operations={40 * rho + 4000} seed=3"))
    samples = replay(trace, "first-fit", every=10).samples
    assert samples is not None
    half = len(samples.rows) // 2
    free, largest, used = (np.array(samples.column(name)[half:]) for name in ("free_frames", "largest_free_run", "used_frames"))
    return float((free - largest).mean() / used.mean())


def test_a_buddy_memory_is_full_when_it_overflows() -> None:
    """Sizes that are powers of two, the larger the rarer: what is lost to scattering is little.

    D. E. Knuth, The Art of Computer Programming, volume 1, section 2.5, of his experiments: 95 percent of the memory was reserved when it overflowed.
    """
    shares = []
    for seed in range(8):
        spec = f"sizes=histogram(1:32,2:16,4:8,8:4,16:2,32:1) lifetimes=exponential(100000) memory=16M operations=6000 seed={seed}"
        samples = replay(generate(parse(spec)), "buddy", every=5).samples
        assert samples is not None
        overflow = next(at for at, failed in enumerate(samples.column("failed")) if failed)
        shares.append(samples.column("used_frames")[overflow] / 4096)
    assert min(shares) > 0.95
