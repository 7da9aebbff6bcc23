"""Holes by size: lists of free runs of about the same length, and two levels of bitmaps that say which lists are not empty.

The *first level* are the powers of two, the *second* divides each of them evenly into 2^N classes (N is the policy's):

    N = 2     1   2   3  | 4  5  6  7 | 8  10  12  14 | 16  20  24  28 | 32 …      the least size of each class

so lengths below 2^(N+1) have a class each. With N = 0 the classes are the powers of two themselves. Each class has a doubly linked list that
runs through its holes' first frames; one word has a bit for each power that has a hole, and one word a power has a bit for each of its classes.
The least class from some class on that has a hole is then two *find first set* away, however many holes there are.

Holes have the boundary tags (`hole_tags`) and are carved and coalesced as the fits' are (`holes`); this is how they are found again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from kernel_sim.allocators import holes
from kernel_sim.allocators.base import Place, Policy, Request, examine
from kernel_sim.allocators.hole_tags import FIRST, LAST, alone, length, tag
from kernel_sim.allocators.linked_lists import link_first, link_last, unlink_item
from kernel_sim.compiled import Array, bind, bit_length, compiled, int64, plain, trailing_zeros
from kernel_sim.errors import BrokenInvariant
from kernel_sim.frames import NIL, frame, words_at

N_POWERS = 34       # first levels: sizes below 2^N, then each power of two up to the largest zone
N = 0               # bound by the policy: the second level has 2^N classes


class ClassArea(NamedTuple):
    """One zone's holes, by class."""

    frames: Array
    powers: Array       # int64: one word, the first level's bitmap
    classes: Array      # int64 by power: the second level's bitmaps
    heads: Array        # int64 by class: the hole that is first in its list, or NIL
    tails: Array        # int64 by class: the hole that is last, or NIL
    tally: Array
    first: int
    end: int


@compiled
def open_area(frames: Array, words: int, n_words: int, tally: Array, first: int, end: int) -> ClassArea:
    heads = words + 8 * (1 + N_POWERS)
    n_lists = N_POWERS << N
    return ClassArea(frames, words_at(words, 1), words_at(words + 8, N_POWERS), words_at(heads, n_lists), words_at(heads + 8 * n_lists, n_lists),
                     tally, first, end)


@compiled
def class_of(n_frames: int) -> int:
    """The class of a hole: the largest whose least size is not above its length."""
    above = max(bit_length(n_frames) - 1 - N, 0)
    return int64((above << N) + (n_frames >> above))


@compiled
def class_from(n_frames: int) -> int:
    """The class from which on every hole is large enough: the smallest whose least size is not below the request."""
    above = max(bit_length(n_frames) - 1 - N, 0)
    return class_of(n_frames + (int64(1) << above) - 1)


@compiled
def least_class(area: ClassArea, wanted: int) -> int:
    """The least class, from `wanted` on, that has a hole; -1 for none."""
    power = wanted >> N
    found = area.classes[power] & (int64(-1) << (wanted & ((int64(1) << N) - 1)))
    if found == 0:
        larger = area.powers[0] & (int64(-2) << power)
        if larger == 0:
            return int64(-1)
        power = trailing_zeros(larger)
        found = area.classes[power]
    return int64((power << N) + trailing_zeros(found))


@compiled
def enter(area: ClassArea, hole: int, n_frames: int) -> None:
    """Put a hole at the front of its class."""
    at = class_of(n_frames)
    if area.heads[at] == NIL:
        mark_filled(area, at)
    link_first(area.frames, area.heads, area.tails, at, hole)


@compiled
def enter_back(area: ClassArea, hole: int, n_frames: int) -> None:
    """Put a hole at the end of its class."""
    at = class_of(n_frames)
    if area.heads[at] == NIL:
        mark_filled(area, at)
    link_last(area.frames, area.heads, area.tails, at, hole)


@compiled
def leave(area: ClassArea, hole: int, n_frames: int) -> None:
    """Take a hole out of its class, wherever it stands in it."""
    at = class_of(n_frames)
    unlink_item(area.frames, area.heads, area.tails, at, hole)
    if area.heads[at] == NIL:
        mark_empty(area, at)


@compiled
def mark_filled(area: ClassArea, at: int) -> None:
    """A class has a hole now."""
    power = at >> N
    area.classes[power] |= int64(1) << (at & ((int64(1) << N) - 1))
    area.powers[0] |= int64(1) << power


@compiled
def mark_empty(area: ClassArea, at: int) -> None:
    """A class has none any more."""
    power = at >> N
    area.classes[power] &= ~(int64(1) << (at & ((int64(1) << N) - 1)))
    if area.classes[power] == 0:
        area.powers[0] &= ~(int64(1) << power)


@compiled
def moved(area: ClassArea, hole: int, n_frames: int, other: int, n_other: int) -> None:
    """A hole has become a shorter or a longer one, and goes to the list of its new class."""
    leave(area, hole, n_frames)
    enter(area, other, n_other)


@compiled
def behind(area: ClassArea, hole: int) -> int:
    """The next hole in the list of a class, or NIL."""
    return int64(frame(area.frames, hole)["next"])


@compiled
def note_nothing(area: ClassArea, hole: int, end: int) -> None:
    """Where the last allocation was does not matter."""


@compiled
def good_fit(area: ClassArea, n_frames: int) -> int:
    """The first hole of the least class in which every hole is large enough, or NIL. There is no search."""
    found = least_class(area, class_from(n_frames))
    if found < 0:
        return NIL
    examine(area, found)
    return int64(area.heads[found])


@compiled
def setup(area: ClassArea, firsts: Array, ends: Array) -> None:
    """One hole for each free run, entered from the highest down."""
    for at in range(len(area.heads)):
        area.heads[at] = NIL
        area.tails[at] = NIL
    for i in range(len(firsts) - 1, -1, -1):
        enter(area, firsts[i], ends[i] - firsts[i])
        tag(area, firsts[i], ends[i] - firsts[i])


def least_size(at: int, second_level: int) -> int:
    """The length of the shortest holes of a class."""
    above = max((at >> second_level) - 1, 0)
    return (at - (above << second_level)) << above


def listed(area: Any) -> Iterator[tuple[int, int, int]]:
    """Every hole as (class, pfn, n_frames), in list order. BrokenInvariant where links or tags do not fit."""
    for at, (head, tail) in enumerate(zip(area.heads.tolist(), area.tails.tolist(), strict=True)):
        before, hole, n_seen = NIL, head, 0
        while hole != NIL:
            n_seen += 1
            record = area.frames[min(hole, len(area.frames) - 1)]
            if hole >= area.end or int(record["prev"]) != before or not record["order"] & FIRST or n_seen > area.end - area.first:
                raise BrokenInvariant(f"the list of class {at} is torn at frame {hole:#x}")
            n_frames = int(plain(length)(area, hole))
            last = hole + n_frames - 1
            if last >= area.end or not area.frames[last]["order"] & LAST or (n_frames > 1 and int(area.frames[last]["prev"]) != hole):
                raise BrokenInvariant(f"the boundary tags of the hole at {hole:#x} do not fit its {n_frames} frames")
            yield at, hole, n_frames
            before, hole = hole, int(record["next"])
        if tail != before:
            raise BrokenInvariant(f"the last hole of class {at} is {before:#x}, and not {tail:#x}" if before != NIL
                                  else f"class {at} is empty, and has a last hole, {tail:#x}")


def blocks(area: Any) -> Iterator[tuple[int, int]]:
    """Every hole as (pfn, n_frames)."""
    return ((hole, n_frames) for _, hole, n_frames in listed(area))


def check_holes(area: Any, second_level: int) -> None:
    """Each hole is of its class, no two touch, and the bitmaps know every class that has one, and no other."""
    found = list(listed(area))
    ends = {hole + n_frames for _, hole, n_frames in found}
    for at, hole, n_frames in found:
        low, high = least_size(at, second_level), least_size(at + 1, second_level)
        if not low <= n_frames < high:
            raise BrokenInvariant(f"the hole of {n_frames} frames at {hole:#x} is in class {at}, for {low} to {high - 1} frames")
        if hole in ends:
            raise BrokenInvariant(f"two holes touch at frame {hole:#x}; they should be one")
    filled = {at for at, _, _ in found}
    classes, powers = area.classes.tolist(), int(area.powers[0])
    for at in range(len(area.heads)):
        power, bit = at >> second_level, at & ((1 << second_level) - 1)
        if bool(classes[power] >> bit & 1) != (at in filled):
            raise BrokenInvariant(f"the second level's bitmap is wrong about class {at}")
        if bool(powers >> power & 1) != bool(classes[power]):
            raise BrokenInvariant(f"the first level's bitmap is wrong about power {power}, class {at}")


def place(area: Any, number: int, second_level: int) -> Place:
    """What `examine` calls by a number: the list of a class, named by its least size, or, at ~pfn, a hole."""
    if number < 0:
        return alone(area, ~number)
    return Place(f"from {least_size(number, second_level)}", tuple((hole, n_frames) for at, hole, n_frames in listed(area) if at == number))


class Steps:
    """The steps above, made for a policy that divides each power of two into 2^second_level classes. `enter` says where in its list a hole goes."""

    def __init__(self, name: str, second_level: int, enter: Callable[..., Any] = enter) -> None:
        self.name, self.second_level = name, second_level
        self.names: dict[str, Any] = {"N": second_level}
        for step in (class_of, class_from, least_class, mark_filled, mark_empty, good_fit, leave):
            self.names[step.__name__] = self.bind(step)
        self.names["enter"] = self.bind(enter)
        self.names["carved"] = self.names["joined"] = self.bind(moved)

    def bind(self, function: Callable[..., Any], **names: Callable[..., Any]) -> Callable[..., Any]:
        """A function that calls some of the steps by name, made for the policy."""
        return compiled(bind(function, self.name, **self.names, **names))

    def search_order(self, area: Any, request: Request) -> list[Place]:
        """The classes that have a hole, from the smallest upwards."""
        return [self.place(area, at) for at in sorted({at for at, _, _ in listed(area)})]

    def place(self, area: Any, number: int) -> Place:
        return place(area, number, self.second_level)

    def policy(self, choose: Callable[..., Any]) -> Policy:
        """The policy that is made of one decision: which hole."""
        give = self.bind(holes.give)
        carve = self.bind(holes.carve, give=give, split_off=holes.low_end, note=note_nothing)
        n_words = 1 + N_POWERS + 2 * (N_POWERS << self.second_level)
        return Policy(self.name, open_area=self.bind(open_area), setup=self.bind(setup),
                      alloc=self.bind(holes.alloc, choose=self.bind(choose), carve=carve), free=self.bind(holes.free),
                      granted=holes.granted, n_words=lambda first, end, n_runs: n_words, blocks=blocks,
                      check=lambda area: check_holes(area, self.second_level), take=self.bind(holes.take, give=give),
                      search_order=self.search_order, place=self.place)
