"""What is proved about the worst case, and where. N frames live at most, the largest request n = 2^k frames, or m frames where any size will do.

Sources:

Robson 1971     J. M. Robson, "An estimate of the store size necessary for dynamic storage allocation", JACM 18(3), 416-423.
Robson 1974     J. M. Robson, "Bounds for some functions concerning dynamic storage allocation", JACM 21(3), 491-499.
Robson 1977     J. M. Robson, "Worst case fragmentation of first fit and best fit storage allocation strategies", Computer Journal 20(3), 242-244.
Knuth           D. E. Knuth, The Art of Computer Programming, volume 1, third edition, section 2.5, exercises 36 to 43.

The papers themselves were not at hand. Formulas are quoted as the exercises state them, and for Robson 1974 as SQLite does (``src/mem5.c``);
`tests/outside/test_robson.py` holds each against exact searches and against requesters that are played. What is derived here says so.
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
    """Sizes 1 and 2: the best allocator needs exactly floor((3 N - 1) / 2).

    The exercise gives 23 frames for N = 16 and asks for the rest; exact searches agree with the formula as far as they were made.
    """
    return Bound((3 * live - 1) // 2, "the best allocator there can be needs exactly this", "Robson 1971; Knuth, exercise 38")


def any_allocator(live: int, order: int) -> Bound:
    """Sizes 1, 2, 4, …, 2^k, N a multiple of 2^k: N (1 + k/2) - 2^k + 1.

    So much is enough for the allocator that takes the lowest free aligned place (Robson 1974, says SQLite). That no allocator does with less is
    what the requester ``robson`` shows to whoever plays against it.
    """
    return Bound(live + live * order // 2 - (1 << order) + 1, "every allocator needs at least this", "Robson 1971 and 1974")


def buddy_upper(live: int, order: int) -> Bound:
    """Sizes 1, 2, 4, …, 2^k, N a multiple of 2^k: (k + 1) N frames are enough for a buddy system."""
    return Bound((order + 1) * live, "enough for a buddy", "Knuth, exercise 41")


def buddy_lower(live: int, order: int) -> Bound:
    """The requester of the same exercise makes a buddy use N (1 + k/2), N being a multiple of 2^(k+1), in a memory that has them."""
    return Bound(live + live * order // 2, "what the exercise's requester makes a buddy use in a large memory", "Knuth, exercise 41")


def first_fit_upper(live: int, largest: int) -> Bound:
    """Sizes 1 to m: N H_m / ln 2 frames are enough for first fit, H_m = 1 + 1/2 + … + 1/m."""
    harmonic = sum(Fraction(1, i) for i in range(1, largest + 1))
    return Bound(int(float(live * harmonic) / log(2)), "enough for first fit", "Robson 1977; Knuth, exercise 43")


def first_fit_by_size(live: int, largest: int) -> Bound:
    """Sizes 1 to m: another number of frames that is enough for first fit, smaller than N H_m / ln 2 while m^2 is much smaller than N.

    Let no s frames that were ever given end above E(s). When T frames are asked for, the N - T others live at most; all holes below the place that
    they get have T - 1 frames at most. Count each hole with the allocation behind it: one of s frames stands for s + T - 1 frames of memory at
    most, and those of up to s frames together for E(s) at most. Small ones stand for the most, so the worst is to have E(1) frames of memory
    in ones, E(2) - E(1) in twos, and so on, and what the limit then leaves in pieces of T. Above them all are the T frames themselves, and E(T) is
    their end.
    """
    ends = [0.0]
    for size in range(1, largest + 1):
        smaller = sum((ends[s] - ends[s - 1]) * s / (s + size - 1) for s in range(1, size))
        ends.append(ends[-1] + max(live - size - smaller, 0) * (2 * size - 1) / size + size)
    return Bound(int(ends[-1] + 1e-6), "enough for first fit", "derived here")


def of_first_fit(live: int, largest: int) -> list[Bound]:
    """What is proved of first fit and all sizes from 1 to m: of what is enough, the quoted bound, and the derived one where that is smaller."""
    quoted, derived = first_fit_upper(live, largest), first_fit_by_size(live, largest)
    return [quoted, derived] if derived.n_frames < quoted.n_frames else [quoted]


def best_fit_lower(live: int, largest: int) -> Bound:
    """Sizes 1 to m: best fit needs m N - O(N + m^2), says the exercise.

    Derived here for the requester ``robson-best-fit``: to lengthen a row of k single frames he has 4 m - 8 + k frames live at most, so the row grows
    to k = N - 4 m + 9 units of m - 2 frames, behind R(m-2); with the 3 m - 7 frames that are left two more of m - 2 are asked for. Together
    (N - 4 m + 12)(m - 2) frames, in a memory that has them.
    """
    return Bound((live - 4 * largest + 12) * (largest - 2), "what this requester makes best fit use in a large memory",
                 "derived here; m N - O(N + m²) by Robson 1977 and Knuth, exercise 42")


def any_fit_upper(game: Game) -> Bound:
    """Enough for every policy that fails only when no hole is large enough.

    A request of s frames is refused only when N - s are live at most, in (N - s) / (smallest size) allocations at most, and none of the holes
    between and around them has s frames. One frame more than all that is enough, for the worst of the sizes.
    """
    smallest = game.sizes[0]
    refused = max(game.live - size + ((game.live - size) // smallest + 1) * (size - 1) for size in game.sizes)
    return Bound(refused + 1, "enough for every policy that fails only when no hole is large enough", "counting holes")


def of_game(game: Game, policy: str | None) -> list[Bound]:
    """What is proved of an exact game: for a policy by its name, or, with None, for the best allocator there can be."""
    known: list[Bound] = []
    live, sizes, largest = game.live, game.sizes, game.sizes[-1]
    order = largest.bit_length() - 1
    powers = sizes == tuple(1 << i for i in range(order + 1)) and live % largest == 0
    if sizes == (1, 2) and policy is None:
        known.append(any_allocator_of_two_sizes(live))
    elif powers:
        known.append(any_allocator(live, order))
    if policy in ("buddy", "buddy:order=address") and powers:
        known.append(buddy_upper(live, order))
    if policy == "first-fit":
        known += of_first_fit(live, largest)
    if policy in ("first-fit", "next-fit", "best-fit", "worst-fit"):
        known.append(any_fit_upper(game))
    return known
