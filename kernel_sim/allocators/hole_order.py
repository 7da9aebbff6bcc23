"""Holes on a list, in one of five orders: the textbook's free list, and the order in which the fits look at holes.

The list is doubly linked through the records of the holes' first frames.

    address           by address; a hole that is joined or carved keeps its place
    insert-front      a new hole goes to the front (last in, first out), and so does a joined one; what is left of a carved one keeps its place
    insert-back       the same at the back (first in, first out)
    size-ascending    the smallest first, the lowest of equals; a hole whose size changes is put where it now belongs
    size-descending   the largest first, the lowest of equals; likewise

At the start the holes are entered by address; by insertion, the lowest stands in front.

One place in the list may be marked. When the marked hole leaves, the mark passes to the one behind it. For next fit, in any order but by
address, the mark is the rover.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

from kernel_sim.allocators.hole_tags import FIRST, HEAD, MARK, ROVER, TAIL, HoleArea, check_tags, length, tag
from kernel_sim.allocators.linked_lists import link_between, link_first, link_last, unlink_item
from kernel_sim.compiled import Array, compiled, int64, plain
from kernel_sim.errors import BrokenInvariant
from kernel_sim.frames import NIL, frame

ORDERS = ("address", "insert-front", "insert-back", "size-ascending", "size-descending")


@compiled
def front(area: HoleArea) -> int:
    """The first hole of the list, or NIL."""
    return int64(area.words[HEAD])


@compiled
def behind(area: HoleArea, hole: int) -> int:
    """The next hole of the list, or NIL."""
    return int64(frame(area.frames, hole)["next"])


@compiled
def link(area: HoleArea, before: int, hole: int, after: int) -> None:
    """Put a hole into the list between two others; NIL stands for either end."""
    link_between(area.frames, area.words, area.tails, HEAD, before, hole, after)


@compiled
def unlink(area: HoleArea, hole: int, n_frames: int) -> None:
    """`leave`: take a hole out of the list."""
    after = behind(area, hole)
    unlink_item(area.frames, area.words, area.tails, HEAD, hole)
    if area.words[MARK] == hole:
        area.words[MARK] = after


@compiled
def move(area: HoleArea, hole: int, n_frames: int, now: int, n_now: int) -> None:
    """`carved` or `joined`, for one that keeps its place."""
    link(area, int64(frame(area.frames, hole)["prev"]), now, int64(frame(area.frames, hole)["next"]))
    if area.words[MARK] == hole:
        area.words[MARK] = now


@compiled
def move_anew(area: HoleArea, hole: int, n_frames: int, now: int, n_now: int) -> None:
    """`carved` or `joined`, for one that does not."""
    unlink(area, hole, n_frames)
    enter(area, now, n_now)


# -- where a new hole goes: one `enter` for each order ---------------------------------------------------------------------------------------

@compiled
def enter(area: HoleArea, hole: int, n_frames: int) -> None:
    raise NotImplementedError


@compiled
def enter_by_address(area: HoleArea, hole: int, n_frames: int) -> None:
    """By a walk from the low end."""
    before, after = int64(NIL), front(area)
    while after != NIL and after < hole:
        before, after = after, behind(area, after)
    link(area, before, hole, after)


@compiled
def enter_front(area: HoleArea, hole: int, n_frames: int) -> None:
    link_first(area.frames, area.words, area.tails, HEAD, hole)


@compiled
def enter_back(area: HoleArea, hole: int, n_frames: int) -> None:
    link_last(area.frames, area.words, area.tails, HEAD, hole)


@compiled
def smaller(area: HoleArea, other: int, hole: int, n_frames: int) -> bool:
    """Whether the other stands before a hole of that length, for size-ascending."""
    n_other = length(area, other)
    return n_other < n_frames or (n_other == n_frames and other < hole)


@compiled
def larger(area: HoleArea, other: int, hole: int, n_frames: int) -> bool:
    """The same for size-descending."""
    n_other = length(area, other)
    return n_other > n_frames or (n_other == n_frames and other < hole)


@compiled
def stands_before(area: HoleArea, other: int, hole: int, n_frames: int) -> bool:
    raise NotImplementedError


@compiled
def enter_by_size(area: HoleArea, hole: int, n_frames: int) -> None:
    """By a walk from the front."""
    before, after = int64(NIL), front(area)
    while after != NIL and stands_before(area, after, hole, n_frames):
        before, after = after, behind(area, after)
    link(area, before, hole, after)


# -- next fit's place ------------------------------------------------------------------------------------------------------------------------

@compiled
def forget(area: HoleArea, hole: int, end: int) -> None:
    """`note` for the fits that do not go on from there."""


@compiled
def note_end(area: HoleArea, hole: int, end: int) -> None:
    """`note` for order=address: next fit goes on where the allocation ends."""
    area.words[ROVER] = end


@compiled
def note_place(area: HoleArea, hole: int, end: int) -> None:
    """`note` for the other orders: at the carved hole's place in the list. The mark passes on when the hole leaves it."""
    area.words[MARK] = hole


@compiled
def rover_by_address(area: HoleArea) -> int:
    """Where next fit begins: the first hole that begins at or after the end of the zone's last allocation, or NIL."""
    hole = front(area)
    while hole != NIL and hole < area.words[ROVER]:
        hole = behind(area, hole)
    return hole


@compiled
def rover_by_place(area: HoleArea) -> int:
    """The same in the other orders: the marked hole, or NIL."""
    return int64(area.words[MARK])


# -- coalescing all --------------------------------------------------------------------------------------------------------------------------

@compiled
def nowhere(area: HoleArea) -> int:
    """`settled`: any two holes of the list may touch."""
    return int64(NIL)


@compiled
def keep_nothing(area: HoleArea) -> None:
    """`settle`, then: there is nothing to keep in mind."""


# -- the whole -------------------------------------------------------------------------------------------------------------------------------

@compiled
def clear(area: HoleArea) -> None:
    """No holes at all."""
    area.words[HEAD] = NIL
    area.words[TAIL] = NIL
    area.words[MARK] = NIL
    area.words[ROVER] = area.first


@compiled
def setup(area: HoleArea, firsts: Array, ends: Array) -> None:
    """One hole for each free run, behind those that are there."""
    clear(area)
    for i in range(len(firsts)):
        enter_back(area, firsts[i], ends[i] - firsts[i])
        tag(area, firsts[i], ends[i] - firsts[i])


@compiled
def setup_by_size(area: HoleArea, firsts: Array, ends: Array) -> None:
    """One hole for each free run, where it belongs."""
    clear(area)
    for i in range(len(firsts)):
        enter(area, firsts[i], ends[i] - firsts[i])
        tag(area, firsts[i], ends[i] - firsts[i])


def listed(area: Any) -> Iterator[tuple[int, int]]:
    """Every hole of the list as (pfn, n_frames), in its order. BrokenInvariant where links or tags do not fit."""
    before, hole = NIL, int(plain(front)(area))
    while hole != NIL:
        record = area.frames[hole]
        if int(record["prev"]) != before or not record["order"] & FIRST:
            raise BrokenInvariant(f"the list of holes is torn at frame {hole:#x}")
        yield hole, check_tags(area, hole)
        before, hole = hole, int(record["next"])
    if int(area.words[TAIL]) != before:
        raise BrokenInvariant(f"the list of holes does not end where it should, at frame {int(area.words[TAIL]):#x}")


def check_order(order: str, holes: Sequence[tuple[int, int]]) -> None:
    """The holes stand as the order says, where it says more than who came first."""
    keys: dict[str, Callable[[tuple[int, int]], tuple[int, int]]] = {
        "address": lambda hole: (hole[0], 0), "size-ascending": lambda hole: (hole[1], hole[0]), "size-descending": lambda hole: (-hole[1], hole[0])}
    if order in keys:
        for before, hole in pairwise(holes):
            if keys[order](before) >= keys[order](hole):
                raise BrokenInvariant(f"the list of holes is out of order at frame {hole[0]:#x}")
