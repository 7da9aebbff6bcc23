"""Free memory as blocks: cutting runs into aligned blocks, and what their sizes say about fragmentation.

A *block* of order k is 2^k frames that begin at a multiple of 2^k. Any run of frames is cut into the largest such blocks in just
one way: from its first frame upwards the blocks grow as the alignment allows, until the rest is too short, and shrink again. That
is how a buddy allocator holds a free run, so the count of blocks by order is the kernel's ``/proc/buddyinfo``.

The two indices are those of Linux' mm/vmstat.c, in thousandths and in its integer arithmetic (Mel Gorman and Andy Whitcroft, "The
what, the why and the where to of anti-fragmentation", Ottawa Linux Symposium 2006):

*unusable free space index*: the share of the free memory that cannot serve a request of that order. 0: all of it can; 1000: none.
*external fragmentation index*: why such a request fails. Towards 0: for lack of memory; towards 1000: because what is free lies
scattered. It means something only for a request that fails, and is -1000 for one that would not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from kernel_sim.compiled import compiled, entry, plain
from kernel_sim.units import MAX_ORDER, N_ORDERS

Array = np.ndarray[Any, Any]


@compiled
def stretch(first: int, end: int) -> tuple[int, int]:
    """The blocks that come next when first to end is cut: their order, and where they stop. One block, or all of MAX_ORDER."""
    order = 0
    while first + (2 << order) <= end and not first >> order & 1 and order < MAX_ORDER:
        order += 1
    if order == MAX_ORDER:
        return order, first + (end - first >> MAX_ORDER << MAX_ORDER)
    return order, first + (1 << order)


@compiled
def add_blocks(counts: Array, first: int, end: int) -> None:
    """Cut first to end into the largest aligned blocks and add their number, by order, to `counts`."""
    while first < end:
        order, stop = stretch(first, end)
        counts[order] += stop - first >> order
        first = stop


def cut_aligned(first: int, end: int) -> Iterator[tuple[int, int]]:
    """The largest aligned blocks of first to end as (pfn, order), lowest first."""
    while first < end:
        order, stop = plain(stretch)(first, end)
        for pfn in range(first, stop, 1 << order):
            yield pfn, order
        first = stop


@entry
def count_blocks(runs: Array) -> Array:
    """Blocks by order (int64, N_ORDERS of them) of runs, an int64 array of rows (first, end)."""
    counts = np.zeros(N_ORDERS, np.int64)
    for i in range(len(runs)):
        add_blocks(counts, runs[i, 0], runs[i, 1])
    return counts


def free_frames(counts: Sequence[int]) -> int:
    """Frames in blocks counted by order."""
    return sum(int(n_blocks) << order for order, n_blocks in enumerate(counts))


def suitable_frames(counts: Sequence[int], order: int) -> int:
    """Frames in blocks of at least that order: those that can serve such a request."""
    return sum(int(n_blocks) << at for at, n_blocks in enumerate(counts) if at >= order)


def unusable_index(counts: Sequence[int], order: int) -> int:
    """Thousandths of the free memory that cannot serve a request of `order`; 1000 when nothing is free.

    (free - suitable) * 1000 / free, as mm/vmstat.c has it.
    """
    n_free = free_frames(counts)
    if n_free == 0:
        return 1000
    return (n_free - suitable_frames(counts, order)) * 1000 // n_free


def extfrag_index(counts: Sequence[int], order: int) -> int:
    """Why a request of `order` fails, in thousandths: towards 0 for lack of memory, towards 1000 for fragmentation.

    -1000 when it would not fail, 0 when there is no free block at all, else 1000 - (1000 + free * 1000 / 2^order) / blocks, as
    mm/vmstat.c has it: below 0 when there are only a few blocks, each a little too small. Both quotients are of numbers that are
    not negative, so that Python's division, which rounds down, and C's, which rounds towards zero, agree.
    """
    n_blocks = sum(int(n) for n in counts)
    if n_blocks == 0:
        return 0
    if suitable_frames(counts, order):
        return -1000
    return 1000 - (1000 + (free_frames(counts) * 1000 >> order)) // n_blocks
