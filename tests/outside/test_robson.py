"""What is proved about the worst case, held against exact searches and against requesters that are played.

Sources:

J. M. Robson, "An estimate of the store size necessary for dynamic storage allocation", JACM 18(3), 1971: what every allocator needs.
J. M. Robson, "Bounds for some functions concerning dynamic storage allocation", JACM 21(3), 1974: what is enough for a good one. SQLite quotes it in
src/mem5.c: N frames live, requests of powers of two up to n: N (1 + log2(n) / 2) - n + 1.
J. M. Robson, "Worst case fragmentation of first fit and best fit storage allocation strategies", Computer Journal 20(3), 1977.
D. E. Knuth, The Art of Computer Programming, volume 1, section 2.5: exercise 38 (sizes 1 and 2: N(16, 2) = 23), 41 (buddies), 42 (best fit needs
m N - O(N + m^2)), 43 (N H_m / ln 2 is enough for first fit).
"""

from __future__ import annotations

import pytest

from kernel_sim import load_policy
from kernel_sim.allocators.base import policy_names
from kernel_sim.study.worst_case import bounds
from kernel_sim.study.worst_case.adversaries import reach
from kernel_sim.study.worst_case.game import Game
from kernel_sim.study.worst_case.smallest import smallest_for_the_best, smallest_memory

FITS = ["best-fit", "first-fit", "next-fit", "worst-fit"]


def best(live: int, *sizes: int) -> int:
    return smallest_for_the_best("first-fit", Game(live, sizes)).n_frames


def exact(policy: str, live: int, *sizes: int) -> int:
    return smallest_memory(policy, Game(live, sizes)).n_frames


def test_knuths_number() -> None:
    """Exercises 36 and 37: a lunch counter for 16, singles and couples, has 23 seats."""
    assert bounds.any_allocator_of_two_sizes(16).n_frames == 23 == bounds.any_allocator(16, 1).n_frames


@pytest.mark.parametrize("live", range(2, 11))
def test_the_best_allocator_of_two_sizes(live: int) -> None:
    assert best(live, 1, 2) == bounds.any_allocator_of_two_sizes(live).n_frames == (3 * live - 1) // 2


@pytest.mark.parametrize("live, sizes", [(4, (1, 2)), (8, (1, 2)), (4, (1, 2, 4)), (8, (1, 2, 4)), (8, (1, 2, 4, 8))], ids=str)
def test_the_best_allocator_of_powers_of_two(live: int, sizes: tuple[int, ...]) -> None:
    order = len(sizes) - 1
    assert best(live, *sizes) == bounds.any_allocator(live, order).n_frames == live + live * order // 2 - 2**order + 1


@pytest.mark.parametrize("policy", [*FITS, "buddy:order=address"])
@pytest.mark.parametrize("live, sizes", [(8, (1, 2)), (6, (1, 2, 3, 4)), (7, (2, 3)), (7, (1, 2, 4))], ids=str)
def test_no_policy_is_better_than_the_best(policy: str, live: int, sizes: tuple[int, ...]) -> None:
    assert exact(policy, live, *sizes) >= best(live, *sizes)


@pytest.mark.parametrize("live, largest", [(8, 2), (12, 2), (8, 3), (10, 3), (8, 4)])
def test_first_fit(live: int, largest: int) -> None:
    """Robson's upper bound; not far above the best possible."""
    assert exact("first-fit", live, *range(1, largest + 1)) <= bounds.first_fit_upper(live, largest).n_frames


@pytest.mark.parametrize("live, largest", [(8, 2), (12, 2), (8, 3), (11, 3), (8, 4), (9, 4)])
def test_first_fit_by_size(live: int, largest: int) -> None:
    """The derived bound and the derived requester, on either side of the exact answer, which knows of neither."""
    needed = exact("first-fit", live, *range(1, largest + 1))
    reached = reach("every-size", load_policy("first-fit", uncompiled=True), live, largest)
    assert reached.defeated < needed <= bounds.first_fit_by_size(live, largest).n_frames


def test_two_sizes_are_settled_but_for_a_frame_or_two() -> None:
    """N = 10: 16 frames are enough, says the derivation; 16 are needed, says the exact search."""
    assert exact("first-fit", 10, 1, 2) == bounds.first_fit_by_size(10, 2).n_frames == 16


@pytest.mark.parametrize("live, largest, least", [(256, 8, 0.70), (256, 16, 0.69)])
def test_every_size_in_turn_is_worse_for_first_fit_than_powers_of_two(live: int, largest: int, least: float) -> None:
    """More than the requester against everybody gets, who gets just what every allocator needs; in all, most of what is enough for first fit."""
    first_fit = load_policy("first-fit", uncompiled=True)
    ours, universal = reach("every-size", first_fit, live, largest), reach("robson", first_fit, live, largest)
    assert ours.used > universal.used
    assert all(least * bound.n_frames <= ours.used <= bound.n_frames for bound in ours.bounds)


@pytest.mark.parametrize("policy", FITS)
@pytest.mark.parametrize("live, sizes", [(8, (1, 2)), (6, (1, 2, 3)), (9, (2, 5)), (4, (4,))], ids=str)
def test_counting_holes(policy: str, live: int, sizes: tuple[int, ...]) -> None:
    assert exact(policy, live, *sizes) <= bounds.any_fit_upper(Game(live, sizes)).n_frames


@pytest.mark.parametrize("policy", ["buddy:order=address", "buddy"])
@pytest.mark.parametrize("live, order", [(4, 1), (6, 1), (4, 2)])
def test_buddies(policy: str, live: int, order: int) -> None:
    """Exercise 41: (k + 1) N frames are enough; nothing needs less than every allocator does."""
    needed = exact(policy, live, *(2**k for k in range(order + 1)))
    assert bounds.any_allocator(live, order).n_frames <= needed <= bounds.buddy_upper(live, order).n_frames


@pytest.mark.parametrize("policy", [name for name in policy_names() if name != "page-stack"])
@pytest.mark.parametrize("live, order", [(8, 1), (16, 2), (32, 3)])
def test_robsons_requester_defeats_every_policy(policy: str, live: int, order: int) -> None:
    """He makes each need what Robson proved every allocator needs."""
    reached = reach("robson", load_policy(policy, uncompiled=True), live, 2**order)
    [bound] = reached.bounds
    assert reached.defeated >= bound.n_frames - 1
    assert reached.used >= bound.n_frames


@pytest.mark.parametrize("policy", ["buddy:order=address", "buddy"])
@pytest.mark.parametrize("live, order", [(8, 2), (16, 3), (64, 4)])
def test_knuths_requester_against_buddies(policy: str, live: int, order: int) -> None:
    """Exercise 41: he makes a buddy use 1 + k/2 times what is ever live, to the frame."""
    reached = reach("knuth", load_policy(policy, uncompiled=True), live, 2**order)
    lower, upper = reached.bounds
    assert reached.used == lower.n_frames == live + live * order // 2
    assert reached.defeated < upper.n_frames


@pytest.mark.parametrize("live, largest", [(24, 6), (28, 6), (32, 7), (33, 8)])
def test_robsons_requester_against_best_fit(live: int, largest: int) -> None:
    """(N - 4 m + 12)(m - 2) frames used, to the frame; every memory that is smaller by the height of two pieces is defeated."""
    reached = reach("robson-best-fit", load_policy("best-fit", uncompiled=True), live, largest)
    [bound] = reached.bounds
    assert reached.used == bound.n_frames == (live - 4 * largest + 12) * (largest - 2)
    assert bound.n_frames - 2 * (largest - 2) <= reached.defeated < bound.n_frames
