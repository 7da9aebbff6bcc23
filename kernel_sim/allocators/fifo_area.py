"""Free blocks by order, first in, first out: the lists of `free_area` with a tail each, so that a block may join them at the back.

What is uncut was free before all else: the lowest of it is taken before any block of the top order that was freed. The decisions are the same
as if all had been pushed from the lowest address up. The interface is that of `free_area`, and only the choice differs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from kernel_sim.allocators import free_area
from kernel_sim.allocators.free_area import add_uncut, behind, cut_next, is_free, uncut_ranges
from kernel_sim.allocators.linked_lists import link_first, link_last, unlink_item
from kernel_sim.compiled import Array, compiled, int64
from kernel_sim.errors import BrokenInvariant
from kernel_sim.frames import NIL, frame, words_at
from kernel_sim.units import N_ORDERS

__all__ = ["add_uncut", "behind", "is_free", "uncut_ranges"]


class FifoArea(NamedTuple):
    """One zone's free blocks."""

    frames: Array
    head: Array         # int64 by order: the block that is first in its list, or NIL
    tail: Array         # int64 by order: the last one, or NIL
    deferred: Array     # int64: whether buddies may stand unmerged, for one that merges late
    uncut: Array        # int64: as in `free_area`
    tally: Array
    first: int
    end: int


def n_words(first: int, end: int, n_runs: int) -> int:
    return N_ORDERS + free_area.n_words(first, end, n_runs)


@compiled
def open_area(frames: Array, words: int, n_words: int, tally: Array, first: int, end: int) -> FifoArea:
    behind_tails = words + 16 * N_ORDERS
    return FifoArea(frames, words_at(words, N_ORDERS), words_at(words + 8 * N_ORDERS, N_ORDERS), words_at(behind_tails, 1),
                    words_at(behind_tails + 8, n_words - 2 * N_ORDERS - 1), tally, first, end)


@compiled
def clear(area: FifoArea) -> None:
    """No free blocks at all."""
    for order in range(N_ORDERS):
        area.head[order] = NIL
        area.tail[order] = NIL
    area.deferred[0] = 0
    area.uncut[0] = 0
    area.uncut[1] = 0


@compiled
def push(area: FifoArea, pfn: int, order: int) -> None:
    """Put a block at the back of its list."""
    frame(area.frames, pfn)["order"] = order + 1
    link_last(area.frames, area.head, area.tail, order, pfn)


@compiled
def push_front(area: FifoArea, pfn: int, order: int) -> None:
    """Put a block at the front of its list: one that was free before all others."""
    frame(area.frames, pfn)["order"] = order + 1
    link_first(area.frames, area.head, area.tail, order, pfn)


@compiled
def remove(area: FifoArea, pfn: int, order: int) -> None:
    """Take a block out of its list, wherever it stands in it."""
    frame(area.frames, pfn)["order"] = 0
    unlink_item(area.frames, area.head, area.tail, order, pfn)


@compiled
def front(area: FifoArea, order: int, top: int) -> int:
    """The block that would be taken next from an order, or NIL. It is taken at once, or an uncut one would pass it."""
    if order == top and area.uncut[0] < area.uncut[1]:
        push_front(area, cut_next(area, order), order)
    return int64(area.head[order])


def linked_blocks(area: FifoArea, top: int) -> Iterator[tuple[int, int]]:
    """Every linked block as (pfn, order), in list order. BrokenInvariant where the links are not those of a list, or the tail is not its last."""
    lasts = [NIL] * N_ORDERS
    for pfn, order in free_area.linked_blocks(area, top):
        lasts[order] = pfn
        yield pfn, order
    for order in range(top + 1):
        if int(area.tail[order]) != lasts[order]:
            what = "is empty, and has a tail" if lasts[order] == NIL else f"ends at frame {lasts[order]:#x}, not at its tail"
            raise BrokenInvariant(f"the free list of order {order} {what}")
