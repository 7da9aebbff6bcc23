"""LLFree's fragmentation protocol: how many huge frames a half-full memory has to give, and how many more after each round of exchanges.

Source: L. Wrenger and others, "LLFree: Scalable and Optionally-Persistent Page-Frame Allocation", USENIX ATC 2023, and its benchmark
``bench/src/bin/frag.rs``; `kernel_sim.study.workload.llfree` plays it. The paper: Linux' buddy allocator "suffers from huge-frame fragmentation", an
allocator may instead show "antifragmentation behavior". Blocks of order 6 are the largest that the benchmark takes.
"""

from __future__ import annotations

from functools import cache
from math import gcd, prod, sqrt

import pytest

from kernel_sim.study.replay import replay
from kernel_sim.study.workload import generate, marks, parse

ORDER, N_FRAMES, ROUNDS = 6, 1 << 18, 40
N_BLOCKS, N_HUGE, TO_A_HUGE = N_FRAMES >> ORDER, N_FRAMES >> 9, 1 << 9 - ORDER


@cache
def free_huge_frames(policy: str, seed: int, rounds: int) -> list[int]:
    """When half is freed, and after each round."""
    workload = parse(f"protocol=llfree({ORDER},{rounds}) memory=1G seed={seed}")
    at = marks(workload)
    samples = replay(generate(workload), policy, every=gcd(*at)).samples
    assert samples is not None
    counts = dict(zip(samples.column("operation"), samples.column("free_huge_frames"), strict=True))
    return [int(counts[mark]) for mark in at]


def test_when_half_is_freed_at_random() -> None:
    """A huge frame is free when all of its eight blocks are among the freed half: a matter of counting, whatever the policy.

    Its variance is near that of as many independent draws, and below it, since the draws are without replacement.
    """
    share = prod((N_BLOCKS // 2 - i) / (N_BLOCKS - i) for i in range(TO_A_HUGE))
    seeds = range(24)
    seen = sum(free_huge_frames("first-fit", seed, 0)[0] for seed in seeds)
    expected = len(seeds) * N_HUGE * share
    assert abs(seen - expected) < 4 * sqrt(expected)
    assert expected > 40, "enough to tell"


@pytest.mark.parametrize("policy", ["first-fit", "buddy:order=address", "buddy"])
def test_exchanges_bring_huge_frames_back(policy: str) -> None:
    counts = free_huge_frames(policy, 1, ROUNDS)
    assert counts[10] > counts[0]


def test_a_buddy_that_takes_the_latest_gets_stuck() -> None:
    """Half is free; of that, first fit brings most together again, and a buddy with last-in-first-out lists, as Linux' is, the least."""
    first_fit, by_address, lifo = (free_huge_frames(policy, 1, ROUNDS)[-1] for policy in ("first-fit", "buddy:order=address", "buddy"))
    assert first_fit > by_address > lifo
    assert first_fit > N_HUGE / 4 > lifo
