"""The fifty-percent rule: in equilibrium there are half as many holes as allocations.

Source: D. E. Knuth, The Art of Computer Programming, volume 1, section 2.5. With N allocations, each equally likely to be freed next, and p the
probability that a request takes less than the whole of its hole, there are pN/2 holes on average. The reason: let A, B and C be the allocations
with no, one and two neighbours that are free. A free adds a hole for each of A's kind and takes one away for each of C's; a request takes one away
with probability 1 - p. In equilibrium (C - A)/N = p - 1, and as N = A + B + C and there are C + B/2 holes but for the two ends of the memory,
there are pN/2.

How exact that is here follows from it: the frees' part is the mean of F steps of -1, 0 or 1 that are right on average, so its standard error
is at most 1/sqrt(F), half of it in the ratio, and so is what the memory gained of holes on the way, a free each; the ends make at most one more.

J. E. Shore, "Anomalous behavior of the fifty-percent rule in dynamic memory allocation", CACM 20(11), 1977: where allocations are released in the
order in which they came, the rule fails, "considerably and in both directions".
"""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest

from kernel_sim.operations import ALLOC
from kernel_sim.study.replay import Replay, replay
from kernel_sim.study.workload import generate, parse

POLICIES = ["first-fit", "best-fit", "next-fit", "worst-fit"]
SAMPLE = 50


def played(policy: str, lifetimes: str, sizes: str = "uniform(100,2000)") -> tuple[Replay, float, float]:
    """The replay, and what the mean of the second half is: holes for each allocation, and allocations."""
    trace = generate(parse(f"sizes={sizes} lifetimes={lifetimes} load=0.5 memory=1G operations=20000 seed=1"))
    done = replay(trace, policy, every=SAMPLE)
    assert done.samples is not None
    assert done.performed.failed == 0
    live = np.cumsum(np.where(trace.kind == ALLOC, 1, -1))
    half = len(done.samples.rows) // 2
    n = live[np.array(done.samples.column("operation")[half:]) - 1]
    return done, float((np.array(done.samples.column("holes")[half:]) / n).mean()), float(n.mean())


@pytest.mark.parametrize("policy", [pytest.param(policy, marks=pytest.mark.slow) if policy != "first-fit" else policy for policy in POLICIES])
def test_half_as_many_holes(policy: str) -> None:
    """Sizes from 100 to 2000 hardly ever fit exactly: p is nearly 1."""
    done, ratio, n = played(policy, "exponential")
    p = share_of_splits(done)
    assert p > 0.9
    n_frees = len(done.plan.operations) // 4
    assert done.samples is not None
    holes = done.samples.column("holes")
    gained = abs(holes[-1] - holes[len(holes) // 2]) / n_frees
    assert ratio == pytest.approx(p / 2, abs=(4 / sqrt(n_frees) + gained) / 2 + 1 / n)


def test_equal_sizes_leave_no_remainder() -> None:
    """p is 0, and so, nearly, are the holes: only the frames that are free at the end of the memory are one, and those that nobody took yet."""
    done, ratio, _ = played("first-fit", "exponential", "constant(1024)")
    assert share_of_splits(done) < 0.05
    assert ratio < 0.05


def test_order_breaks_the_rule() -> None:
    """First in, first out: what lies side by side came, and goes, together; holes merge at once."""
    _, ratio, _ = played("first-fit", "fifo")
    assert ratio < 0.5 / 4


def share_of_splits(done: Replay) -> float:
    """p in the second half: what was carved from a hole that was larger."""
    assert done.samples is not None
    operations, placements = done.plan.operations, done.performed.placements
    return carved(operations, placements, len(operations) // 2)


def carved(operations: np.ndarray, placements: np.ndarray, after: int) -> float:
    """The share of allocations, of those after so many operations, that do not end where something else begins."""
    first_of: dict[int, int] = {}
    seen = whole = 0
    for number, operation in enumerate(operations.tolist()):
        kind, _, _, _, _, n_frames, _, slot = operation
        pfn = int(placements[slot])
        if kind != ALLOC:
            del first_of[pfn]
            continue
        first_of[pfn] = pfn + n_frames
        if number >= after:
            seen += 1
            whole += pfn + n_frames in first_of or pfn + n_frames == 1 << 18
    return 1 - whole / seen
