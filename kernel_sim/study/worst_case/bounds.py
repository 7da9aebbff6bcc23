"""What is proved about the worst case, and where. N frames live at most, the largest request n = 2^k frames, or m frames where any size will do.

Sources:

Robson 1971     J. M. Robson, "An estimate of the store size necessary for dynamic storage allocation", JACM 18(3), 416-423.
Robson 1974     J. M. Robson, "Bounds for some functions concerning dynamic storage allocation", JACM 21(3), 491-499.
Robson 1977     J. M. Robson, "Worst case fragmentation of first fit and best fit storage allocation strategies", Computer Journal 20(3), 242-244.
Knuth           D. E. Knuth, The Art of Computer Programming, volume 1, third edition, section 2.5, exercises 36 to 43.

The papers themselves were not at hand: the formulas are quoted as Knuth's exercises and SQLite's ``mem5.c`` (on Robson 1974) state them, and
`tests/outside/test_worst_case.py` holds each against exact searches.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import log

from kernel_sim.study.worst_case.game import Game


@dataclass(frozen=True)
class Bound:
    """A number of frames, what it is a bound of, and its source."""

    n_frames: int
    what: str
    source: str


def any_allocator_of_two_sizes(live: int) -> Bound:
    """Sizes 1 and 2: the best allocator needs exactly floor((3 N - 1) / 2)."""
    return Bound((3 * live - 1) // 2, "the best allocator there can be needs exactly this", "Robson 1971; Knuth, exercise 38")


def any_allocator(live: int, order: int) -> Bound:
    """Sizes 1, 2, 4, …, 2^k: every allocator needs N (1 + k/2) - 2^k + 1, and one that rounds up and takes the lowest aligned place no more.

    For N a multiple of 2^k.
    """
    return Bound(live + live * order // 2 - (1 << order) + 1, "every allocator needs at least this", "Robson 1971 and 1974")


def buddy_upper(live: int, order: int) -> Bound:
    """Sizes 1, 2, 4, …, 2^k: (k + 1) N frames are enough for a buddy system, N being a multiple of 2^k."""
    return Bound((order + 1) * live, "enough for a buddy", "Knuth, exercise 41")


def buddy_lower(live: int, order: int) -> Bound:
    """The requester of the same exercise makes a buddy use N (1 + k/2), N being a multiple of 2^(k+1)."""
    return Bound(live + live * order // 2, "what the exercise's requester makes a buddy use", "Knuth, exercise 41")


def first_fit_upper(live: int, largest: int) -> Bound:
    """Sizes 1 to m: N H_m / ln 2 frames are enough for first fit, H_m = 1 + 1/2 + … + 1/m."""
    harmonic = sum(Fraction(1, i) for i in range(1, largest + 1))
    return Bound(int(float(live * harmonic) / log(2)), "enough for first fit", "Robson 1977; Knuth, exercise 43")


def best_fit_lower(live: int, largest: int) -> Bound:
    """Sizes 1 to m: best fit needs m N - O(N + m^2). The requester of `adversaries` makes it need at least (N - 4 m + 11)(m - 2), for m from 6 on."""
    return Bound((live - 4 * largest + 11) * (largest - 2), "best fit needs at least this", "Robson 1977; Knuth, exercise 42")


def any_fit_upper(game: Game) -> Bound:
    """Enough for every policy that fails only when no hole is large enough.

    A request of s frames is refused when N - s are live at most, in as many allocations at most, and none of the holes between and around them
    has s frames: N - s + (N - s + 1)(s - 1), the largest over the sizes there are, and one frame more is enough.
    """
    refused = max(game.live - size + (game.live - size + 1) * (size - 1) for size in game.sizes)
    return Bound(refused + 1, "enough for every policy that fails only when no hole is large enough", "counting holes")
