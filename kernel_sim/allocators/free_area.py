"""Free blocks by order: Linux' ``free_area``, doubly linked lists that run through the records of the blocks' first frames.

Each order has a list, last in, first out. A frame's ``order`` is k + 1 when a free block of order k begins there, else 0, so whether a buddy
is free is one look at one record.

At the start nearly all memory is blocks of the top order. They stay *uncut*, as a few ascending ranges that the top list falls back to when
it is empty, and are linked only when they are wanted: a terabyte of free memory is one range, not 262,144 list nodes. The decisions are the
same as if all had been pushed from the highest address down.

Other buddy systems use the same lists with sizes of their own: `size_of`, and as many lists as they have sizes in the place of `N_ORDERS`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from kernel_sim.allocators.base import Place
from kernel_sim.compiled import Array, compiled, int64
from kernel_sim.errors import BrokenInvariant
from kernel_sim.frames import NIL, frame, words_at
from kernel_sim.units import N_ORDERS


class FreeArea(NamedTuple):
    """One zone's free blocks."""

    frames: Array
    head: Array         # int64 by order: the block that is first in its list, or NIL
    deferred: Array     # int64: whether buddies may stand unmerged, for one that merges late
    uncut: Array        # int64: [next range, number of ranges, first, end, first, end, …] of blocks of the top order
    tally: Array
    first: int
    end: int


def n_words(first: int, end: int, n_runs: int) -> int:
    return N_ORDERS + 3 + 2 * n_runs


@compiled
def open_area(frames: Array, words: int, n_words: int, tally: Array, first: int, end: int) -> FreeArea:
    behind_heads = words + 8 * N_ORDERS
    return FreeArea(frames, words_at(words, N_ORDERS), words_at(behind_heads, 1), words_at(behind_heads + 8, n_words - N_ORDERS - 1),
                    tally, first, end)


@compiled
def clear(area: FreeArea) -> None:
    """No free blocks at all."""
    for order in range(N_ORDERS):
        area.head[order] = NIL
    area.deferred[0] = 0
    area.uncut[0] = 0
    area.uncut[1] = 0


@compiled
def add_uncut(area: FreeArea, first: int, end: int) -> None:
    """Blocks of the top order, from first to end. Ranges are added in ascending order, before anything is taken."""
    area.uncut[2 + 2 * area.uncut[1]] = first
    area.uncut[3 + 2 * area.uncut[1]] = end
    area.uncut[1] += 1


@compiled
def push(area: FreeArea, pfn: int, order: int) -> None:
    """Put a block at the front of its list."""
    behind = area.head[order]
    frame(area.frames, pfn)["order"] = order + 1
    frame(area.frames, pfn)["next"] = behind
    frame(area.frames, pfn)["prev"] = NIL
    if behind != NIL:
        frame(area.frames, behind)["prev"] = pfn
    area.head[order] = pfn


@compiled
def remove(area: FreeArea, pfn: int, order: int) -> None:
    """Take a block out of its list, wherever it stands in it."""
    behind, before = int64(frame(area.frames, pfn)["next"]), int64(frame(area.frames, pfn)["prev"])
    frame(area.frames, pfn)["order"] = 0
    if behind != NIL:
        frame(area.frames, behind)["prev"] = before
    if before != NIL:
        frame(area.frames, before)["next"] = behind
    else:
        area.head[order] = behind


@compiled
def is_free(area: FreeArea, pfn: int, order: int) -> bool:
    """Whether a free block of exactly that order begins there."""
    return bool(frame(area.frames, pfn)["order"] == order + 1)


@compiled
def behind(area: FreeArea, pfn: int, order: int) -> int:
    """The block that follows one in its list, or NIL."""
    return int64(frame(area.frames, pfn)["next"])


@compiled
def size_of(order: int) -> int:
    """The frames of a block."""
    return int64(1) << order


@compiled
def cut_next(area: Any, order: int) -> int:
    """Take the lowest block, of the top order, out of the ranges that are uncut. There must be one."""
    at = 2 + 2 * area.uncut[0]
    pfn = area.uncut[at]
    area.uncut[at] += size_of(order)
    if area.uncut[at] == area.uncut[at + 1]:
        area.uncut[0] += 1
    return int64(pfn)


@compiled
def front(area: FreeArea, order: int, top: int) -> int:
    """The block that would be taken next from an order, or NIL. The lowest uncut block is linked when its turn comes."""
    if area.head[order] == NIL and order == top and area.uncut[0] < area.uncut[1]:
        push(area, cut_next(area, order), order)
    return int64(area.head[order])


def linked_blocks(area: Any, top: int) -> Iterator[tuple[int, int]]:
    """Every free block that is linked, as (pfn, order), in list order. BrokenInvariant where the links are not those of a list."""
    for order in range(top + 1):
        before, pfn, n_seen = NIL, int(area.head[order]), 0
        while pfn != NIL:
            record = area.frames[pfn]
            if int(record["prev"]) != before or int(record["order"]) != order + 1 or n_seen > area.end - area.first:
                raise BrokenInvariant(f"the free list of order {order} is torn at frame {pfn:#x}")
            yield pfn, order
            before, pfn, n_seen = pfn, int(record["next"]), n_seen + 1


def uncut_ranges(area: FreeArea) -> Iterator[tuple[int, int]]:
    """The ranges, (first, end), of those that are uncut."""
    for at in range(int(area.uncut[0]), int(area.uncut[1])):
        yield int(area.uncut[2 + 2 * at]), int(area.uncut[3 + 2 * at])


def places_by_order(blocks: Iterable[tuple[int, int]], top: int) -> list[Place]:
    """The lists of a buddy, from order 0 upwards, each with the blocks (pfn, n_frames) of its order as they stand in it, uncut ones cut."""
    of_order: dict[int, list[tuple[int, int]]] = {order: [] for order in range(top + 1)}
    for pfn, n_frames in blocks:
        order = min(n_frames.bit_length() - 1, top)
        of_order[order] += ((first, 1 << order) for first in range(pfn, pfn + n_frames, 1 << order))
    return [Place(f"order {order}", tuple(of_order[order])) for order in range(top + 1)]
