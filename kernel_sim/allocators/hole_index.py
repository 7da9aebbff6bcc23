"""Holes in a tree: ``search=indexed``, the same decisions as on the list in order of address, in logarithmic time.

First, next and worst fit keep holes by address, with their lengths as sizes; best fit by length and, of equals, by address, as one number.
With ``coalesce=deferred`` the holes are on a list as well, the latest in front, and the mark of that list stands at the first that was there when
holes were last coalesced: only those before it can touch others, and no others are looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kernel_sim.allocators import hole_order, hole_tree
from kernel_sim.allocators.base import EXAMINED, Place, Request
from kernel_sim.allocators.hole_order import clear, enter_front, front, move, unlink
from kernel_sim.allocators.hole_tags import FIRST, MARK, ROVER, HoleArea, check_apart, check_tags, tag
from kernel_sim.allocators.hole_tree import MISSING, change, clear_tree, first, first_from, first_key, insert, remove
from kernel_sim.allocators.tree_nodes import get, largest
from kernel_sim.compiled import Array, compiled, int64
from kernel_sim.errors import BrokenInvariant
from kernel_sim.frames import NIL

_HALF = 1 << 31


def n_words(first: int, end: int, n_runs: int) -> int:
    """Room for as many holes as there are frames; what is not used is never touched."""
    return hole_tree.n_words(end - first)


# -- by address -----------------------------------------------------------------------------------------------------------------------------

@compiled
def enter_address(area: HoleArea, hole: int, n_frames: int) -> None:
    insert(area.words.ctypes.data, len(area.words), hole, n_frames)


@compiled
def leave_address(area: HoleArea, hole: int, n_frames: int) -> None:
    remove(area.words.ctypes.data, len(area.words), hole)


@compiled
def change_address(area: HoleArea, hole: int, n_frames: int, now: int, n_now: int) -> None:
    """`carved` and `joined`."""
    change(area.words.ctypes.data, len(area.words), hole, now, n_now)


@compiled
def hole_of(area: HoleArea, examined: int, key: int) -> int:
    """The answer of the tree as a hole, and what it cost."""
    area.tally[EXAMINED] += examined
    return int64(NIL) if key == MISSING else int64(key & NIL)


@compiled
def first_hole(area: HoleArea, n_frames: int) -> int:
    """The lowest hole of at least that length, or NIL."""
    examined, key = first(area.words, n_frames)
    return hole_of(area, examined, key)


@compiled
def next_hole(area: HoleArea, n_frames: int) -> int:
    """The lowest from next fit's rover on, or the lowest of all, or NIL."""
    examined, key = first_from(area.words, int64(area.words[ROVER]), n_frames)
    hole = hole_of(area, examined, key)
    return hole if hole != NIL else first_hole(area, n_frames)


@compiled
def largest_hole(area: HoleArea, n_frames: int) -> int:
    """The lowest of the longest holes, if it has that length, or NIL."""
    return first_hole(area, max(n_frames, largest(area.words, get(area.words, hole_tree.ROOT))))


# -- by length ------------------------------------------------------------------------------------------------------------------------------

@compiled
def by_length(hole: int, n_frames: int) -> int:
    """Length and address as one number that sorts by them. It may be negative: both have 32 bits."""
    return ((n_frames - _HALF) << 32) | hole


@compiled
def enter_length(area: HoleArea, hole: int, n_frames: int) -> None:
    insert(area.words.ctypes.data, len(area.words), by_length(hole, n_frames), int64(0))


@compiled
def leave_length(area: HoleArea, hole: int, n_frames: int) -> None:
    remove(area.words.ctypes.data, len(area.words), by_length(hole, n_frames))


@compiled
def change_length(area: HoleArea, hole: int, n_frames: int, now: int, n_now: int) -> None:
    leave_length(area, hole, n_frames)
    enter_length(area, now, n_now)


@compiled
def closest_hole(area: HoleArea, n_frames: int) -> int:
    """The shortest hole of at least that length, the lowest of equals, or NIL."""
    examined, key = first_key(area.words, by_length(int64(0), n_frames))
    return hole_of(area, examined, key)


# -- in the tree and on the list, for coalesce=deferred ---------------------------------------------------------------------------------------

@compiled
def tree_enter(area: HoleArea, hole: int, n_frames: int) -> None:
    raise NotImplementedError


@compiled
def tree_leave(area: HoleArea, hole: int, n_frames: int) -> None:
    raise NotImplementedError


@compiled
def tree_change(area: HoleArea, hole: int, n_frames: int, now: int, n_now: int) -> None:
    raise NotImplementedError


@compiled
def enter_both(area: HoleArea, hole: int, n_frames: int) -> None:
    tree_enter(area, hole, n_frames)
    enter_front(area, hole, n_frames)


@compiled
def leave_both(area: HoleArea, hole: int, n_frames: int) -> None:
    tree_leave(area, hole, n_frames)
    unlink(area, hole, n_frames)


@compiled
def change_both(area: HoleArea, hole: int, n_frames: int, now: int, n_now: int) -> None:
    tree_change(area, hole, n_frames, now, n_now)
    move(area, hole, n_frames, now, n_now)


@compiled
def settled(area: HoleArea) -> int:
    """The first hole that was there when holes were last coalesced, or NIL."""
    return int64(area.words[MARK])


@compiled
def settle(area: HoleArea) -> None:
    area.words[MARK] = front(area)


# -- the whole -------------------------------------------------------------------------------------------------------------------------------

@compiled
def enter(area: HoleArea, hole: int, n_frames: int) -> None:
    raise NotImplementedError


@compiled
def setup(area: HoleArea, firsts: Array, ends: Array) -> None:
    """One hole for each free run; no two of them touch."""
    clear(area)
    clear_tree(area.words)
    for i in range(len(firsts)):
        enter(area, firsts[i], ends[i] - firsts[i])
        tag(area, firsts[i], ends[i] - firsts[i])
    settle(area)


def indexed(area: Any) -> Iterator[tuple[int, int]]:
    """Every hole of the tree as (pfn, n_frames). BrokenInvariant where the tree, a key or a tag does not fit."""
    for key, size in hole_tree.entries(area.words):
        hole, n_frames = hole_in(key, size)
        if not area.first <= hole < area.end or not area.frames[hole]["order"] & FIRST or check_tags(area, hole) != n_frames:
            raise BrokenInvariant(f"the tree has a hole of {n_frames} frames at {hole:#x}, and the boundary tags another or none")
        yield hole, n_frames


def hole_in(key: int, size: int) -> tuple[int, int]:
    """The hole of an entry of the tree, as (pfn, n_frames). By length, the size is in the key."""
    return key & NIL, size or (key >> 32) + _HALF


def leaves(area: Any, request: Request) -> list[Place]:
    """The nodes that have the holes, in the order of the tree."""
    n_levels = int(area.words[hole_tree.LEVELS])
    return [node_place(way, found) for way, _, found in hole_tree.nodes(area.words) if len(way) == n_levels]


def node_at(area: Any, node: int) -> Place:
    """A node as a place to look at, with all holes below it."""
    return next(node_place(way, found) for way, number, found in hole_tree.nodes(area.words) if number == node)


def node_place(way: tuple[int, ...], found: list[tuple[int, int]]) -> Place:
    """Nodes are called by the way to them: ``node 2.1`` is the first below the second below the root."""
    return Place("node " + ".".join(str(slot + 1) for slot in way) if way else "root", tuple(hole_in(*entry) for entry in found))


def check_settled(area: Any) -> None:
    """The list has the holes of the tree, and those from the mark on do not touch each other."""
    on_list, in_tree = list(hole_order.listed(area)), sorted(indexed(area))
    if sorted(on_list) != in_tree:
        raise BrokenInvariant(f"the tree has {len(in_tree)} holes, and the list {len(on_list)} or others")
    mark = int(area.words[MARK])
    places = [hole for hole, _ in on_list]
    check_apart(on_list[places.index(mark):] if mark != NIL else [])
