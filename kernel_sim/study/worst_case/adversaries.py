"""Requesters of the literature, for games too large to be searched. Each is a program that drives a real manager until a request is refused.

robson           against every allocator there is (Robson 1971 and 1974). He looks where his frames were put.
knuth            against buddies (Knuth, exercise 2.5-41).
robson-best-fit  against best fit (Robson 1977; Knuth, exercise 2.5-42). It asks blindly: best fit's placements are known beforehand.
every-size       against first fit. Derived here; Robson 1977, which has one, was not at hand.

How good they are is for the bounds to say (`worst_case.bounds`); `reach` finds out by playing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

from kernel_sim.allocators.base import Policy
from kernel_sim.allocators.plain import load_policy
from kernel_sim.errors import BadInput, OutOfFrames, Unsettled
from kernel_sim.manager import FrameManager
from kernel_sim.study.worst_case import bounds
from kernel_sim.study.worst_case.bounds import Bound
from kernel_sim.study.worst_case.game import Alloc, Free, Operation, Progress

_WORTH_COMPILING = 100_000      # operations: they take as long in the interpreter as the compiler does


@dataclass
class Requester:
    """Somebody who asks a manager for frames, and keeps account. OutOfFrames comes through."""

    manager: FrameManager
    limit: int                                      # frames live at most
    operations: list[Operation] = field(default_factory=list)
    live: dict[int, tuple[int, int]] = field(default_factory=dict)     # slot -> (pfn, frames)
    n_live: int = 0
    n_slots: int = 0
    highest: int = 0                                # frames, from the first on, that were ever used

    def alloc(self, n_frames: int) -> int:
        """Frames into the next slot; its number."""
        assert self.n_live + n_frames <= self.limit, "more live frames than the game allows"
        self.operations.append(Alloc(n_frames))
        pfn = self.manager.alloc(n_frames)
        self.live[self.n_slots] = (pfn, n_frames)
        self.highest = max(self.highest, pfn + n_frames)
        self.n_live += n_frames
        self.n_slots += 1
        return self.n_slots - 1

    def free(self, *slots: int) -> None:
        """All of some slots."""
        for slot in slots:
            self.operations.append(Free(slot))
            pfn, n_frames = self.live.pop(slot)
            self.manager.free(pfn)
            self.n_live -= n_frames

    def fill(self, n_frames: int, at_most: int | None = None) -> None:
        """As many allocations of one size as may be live."""
        room = (self.limit - self.n_live) // n_frames
        for _ in range(room if at_most is None else min(room, at_most)):
            self.alloc(n_frames)


def robson(requester: Requester, largest: int) -> None:
    """Sizes 1, 2, 4, … in turn. Before each, free what is not needed to spoil places for it, and then fill up.

    An allocation *occupies* an offset f when one of its frames is f, modulo the size that comes. Only those that occupy f are kept, so that no
    run of that size is free between two neighbours that are kept next to each other. Of the two offsets that continue the last one the requester
    takes that which spoils more: the sum, over those kept, of the size less the allocation's own.
    """
    requester.fill(1)
    offset, size = 0, 2
    while size <= largest:
        offset = max(offset, offset + size // 2, key=lambda f: sum(size - n for pfn, n in requester.live.values() if occupies(pfn, n, f, size)))
        requester.free(*[slot for slot, (pfn, n) in requester.live.items() if not occupies(pfn, n, offset, size)])
        requester.fill(size)
        size *= 2


def occupies(pfn: int, n_frames: int, offset: int, size: int) -> bool:
    """Whether one of so many frames is `offset` modulo `size`."""
    return (offset - pfn) % size < n_frames


def knuth(requester: Requester, largest: int) -> None:
    """Sizes 1, 2, 4, … in turn. Before each, 2^k, free what does not begin at a multiple of 2^k; then ask for half of the limit."""
    requester.fill(1)
    size = 2
    while size <= largest:
        requester.free(*[slot for slot, (pfn, _) in requester.live.items() if pfn % size])
        requester.fill(size, requester.limit // (2 * size))
        size *= 2


def robson_best_fit(requester: Requester, largest: int) -> None:
    """Build a row of holes of m - 3 frames, each kept from the next by one frame in use; m frames never fit there, nor do m - 2.

    With R for what is in use and F for what is free, a row R(m-2) [F(m-3) R(1)]^k is made one longer by

        R(m-2) [F(m-3) R(1)]^(k-1) F(m-3) R(1) R(m-2) R(m-2)      ask for m - 2, twice
        R(m-2) [F(m-3) R(1)]^(k-1) F(2m-4) R(m-2)                 free the row's last frame and the one before the last
        R(m-2) [F(m-3) R(1)]^(k-1) F(m) R(m-5) R(1)               ask for m, m - 5, 1; free the first and the last

    Then F(m) R(m-5) R(1) changes places with what stands before it, which is as long as R(m-2), until it stands first; and

        F(m) R(m-5) R(1) [F(m-3) R(1)]^k  becomes  R(m-2) F(m-3) R(1) [F(m-3) R(1)]^k      free m - 5, ask for m - 2

    When what is left behind the row cannot hold what may still be asked for in pieces of m - 2, or the limit forbids a longer row, that is asked for.
    (Behind a row that fills the memory best fit's choices would be others; the papers' endgame gets a little further.)
    """
    ask, give = requester.alloc, requester.free
    units = [ask(largest - 2)]      # the row upwards: R(m-2), then every hole's single frame
    while len(units) - 1 + 4 * largest - 8 <= requester.limit and holds(requester, len(units), largest - 2):
        last, end = ask(largest - 2), ask(largest - 2)
        give(units.pop(), last)
        large, middle, single = ask(largest), ask(largest - 5), ask(1)
        give(large, end)
        behind: list[int] = []
        while units:
            filler, pair = ask(largest - 2), ask(2)
            give(units.pop(), filler)
            large, new_middle, new_single = ask(largest), ask(largest - 5), ask(1)
            give(large, pair, middle)
            behind.append(single)
            middle, single = new_middle, new_single
        give(middle)
        units = [ask(largest - 2), single, *reversed(behind)]
    requester.fill(largest - 2)


def every_size(requester: Requester, largest: int) -> None:
    """Sizes 1, 2, 3, 4, … in turn, each and all. Before each, free whatever leaves only holes that are smaller than it, and then fill up.

    First fit then finds no place for it below the highest frame in use, so that all it gives is new. The part of memory that was filled with s
    frames at a time keeps half of them until holes of 3 s frames would be too small, then every fourth, every eighth from 7 s on, and so on: its
    share in what is live is 1/2, 1/4, 1/8, … for ln 3, ln (7/3), ln (15/7), … on a logarithmic scale of sizes, and the sum of these products is
    0.945. As all shares together are N, every factor of e in size brings N / 0.945 new frames, every doubling 0.733 N: about 0.733 N log2 m in
    all, for large m and N much larger. With powers of two alone, as ``robson`` asks, it would be N / 2. First fit is safe with N log2 m and a
    little (`bounds.first_fit_upper`): for that the shares would be the least possible, s / (s + size), whose sum is ln 2; but to widen a hole
    from s frames to any number below 3 s one would have to move what is kept.
    """
    requester.fill(1)
    for size in range(2, largest + 1):
        requester.free(*without_holes_of(requester, size))
        requester.fill(size)


def without_holes_of(requester: Requester, size: int) -> list[int]:
    """The slots that may be freed, from the lowest on, so that no hole below the highest allocation has so many frames."""
    freed: list[int] = []
    kept_end = 0
    in_order = sorted(requester.live.items(), key=lambda item: item[1])
    for (slot, (pfn, n_frames)), (_, (following, _)) in pairwise(in_order):
        if following - kept_end < size:
            freed.append(slot)
        else:
            kept_end = pfn + n_frames
    return freed


def holds(requester: Requester, n_units: int, n_frames: int) -> bool:
    """Whether so many frames may be asked for as often as the limit allows behind a row of so many times as many."""
    return (requester.limit - requester.n_live) // n_frames * n_frames <= requester.manager.n_table_frames - n_units * n_frames


@dataclass(frozen=True)
class Adversary:
    """A requester, the games it is for, and what is proved of it."""

    play: Callable[[Requester, int], None]
    against: str
    refuses: Callable[[int, int], str | None]       # (live, largest) -> what is wrong with such a game
    bounds: Callable[[int, int], list[Bound]]       # (live, largest)
    n_operations: Callable[[int], int]              # (live): about as many in one memory


def _powers(live: int, largest: int, times: int = 1) -> str | None:
    if largest & (largest - 1):
        return f"the largest request is a power of two, not {largest}"
    return f"the live frames are a multiple of {times * largest}, not {live}" if live % (times * largest) else None


def _best_fit_game(live: int, largest: int) -> str | None:
    if largest < 6:
        return f"the largest request has at least 6 frames, not {largest}"
    return f"at least {4 * largest} frames are live when {largest} can be asked for, not {live}" if live < 4 * largest else None


def _any_sizes(live: int, largest: int) -> str | None:
    return f"{largest} frames can never be asked for when at most {live} are live" if largest > live else None


ADVERSARIES = {
    "robson": Adversary(robson, "every allocator", _powers, lambda live, largest: [bounds.any_allocator(live, largest.bit_length() - 1)],
                        lambda live: 4 * live),
    "knuth": Adversary(knuth, "buddies", lambda live, largest: _powers(live, largest, 2), lambda live, largest: [
        bounds.buddy_lower(live, largest.bit_length() - 1), bounds.buddy_upper(live, largest.bit_length() - 1)], lambda live: 4 * live),
    "robson-best-fit": Adversary(robson_best_fit, "best fit", _best_fit_game, lambda live, largest: [bounds.best_fit_lower(live, largest)],
                                 lambda live: 5 * live * live),
    "every-size": Adversary(every_size, "first fit", _any_sizes, bounds.of_first_fit, lambda live: 8 * live),
}


@dataclass(frozen=True)
class Reached:
    """How far an adversary came.

    The policy fails in a memory of `defeated` frames, by the operations `defeating`, the largest such memory that was found: so it needs one frame
    more at least. In a memory of `roomy` frames, where nothing is refused, the adversary makes it use the first `used`.
    """

    defeated: int
    defeating: list[Operation]
    used: int
    roomy: int
    bounds: list[Bound]


def reach(name: str, policy: str | type | Policy, live: int, largest: int, progress: Progress | None = None) -> Reached:
    """Play an adversary in ever larger memories. BadInput for a game it is not made for.

    Unsettled when it wins however large the memory is, as it does when the policy never gives `largest` frames at once.
    """
    adversary = adversary_for(name, live, largest)
    quick = adversary.n_operations(live) * (2 * largest + 24) < _WORTH_COMPILING     # in so many memories at most
    match = Match(adversary, load_policy(policy, uncompiled=quick), live, largest, progress)
    roomy = 1 << (2 * live * largest).bit_length()
    requester, lost = match.play(roomy)
    if lost:
        raise Unsettled(f"not settled: {name} defeats {match.policy.name} even in a memory of {roomy} frames")
    used = requester.highest
    fails = used - 1 if used > 1 and match.play(used - 1)[1] else largest_defeat(match, used)
    defeating = match.play(fails)[0].operations if fails else []
    return Reached(fails, defeating, used, roomy, match.adversary.bounds(live, largest))


def largest_defeat(match: Match, used: int) -> int:
    """The largest memory in which a policy fails, of those that are tried below the one whose frames are all `used` where there are plenty."""
    fails, does = match.live - 1, match.live
    while match.play(does)[1]:
        fails, does = does, 2 * does
    while does - fails > 1:
        between = (fails + does) // 2
        fails, does = (between, does) if match.play(between)[1] else (fails, between)
    for n_frames in range(min(used - 1, fails + 2 * match.largest), fails, -1):     # more memory may be worse, for best fit it often is
        if match.play(n_frames)[1]:
            return n_frames
    return fails


def adversary_for(name: str, live: int, largest: int) -> Adversary:
    """An adversary by its name. BadInput for an unknown one, or a game it is not made for."""
    if name not in ADVERSARIES:
        raise BadInput(f"no adversary {name!r}; there are {', '.join(ADVERSARIES)}")
    if live < 1 or largest < 1:
        raise BadInput("live frames and the largest request: at least 1 frame")
    if wrong := ADVERSARIES[name].refuses(live, largest):
        raise BadInput(f"adversary {name}: {wrong}")
    return ADVERSARIES[name]


@dataclass(frozen=True)
class Match:
    """An adversary and a policy, to be brought together in any memory."""

    adversary: Adversary
    policy: Policy
    live: int
    largest: int
    progress: Progress | None

    def play(self, n_frames: int) -> tuple[Requester, bool]:
        """The requester afterwards, and whether he was refused something."""
        requester = Requester(FrameManager(n_frames, self.policy), self.live)
        try:
            self.adversary.play(requester, self.largest)
            lost = False
        except OutOfFrames:
            lost = True
        if self.progress:
            self.progress(n_frames, len(requester.operations))
        return requester, lost
