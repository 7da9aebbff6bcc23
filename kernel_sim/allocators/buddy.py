"""Binary buddy: aligned blocks of 2^k frames, split in halves to serve and merged with their buddies when freed.

Source: K. C. Knowlton, "A fast storage allocator", CACM 8(10), 1965; D. E. Knuth, The Art of Computer Programming, volume 1, section 2.5;
Linux, mm/page_alloc.c.

Idea: a block of order k is 2^k frames and begins at a multiple of 2^k, so its buddy, the block it was once split from, is one exclusive-or
away. A request is rounded up to a power of two and served from the smallest order that has a block; the halves that are not needed go to the
lists of their orders. A freed block is merged with its buddy as long as that is free, too.

Invariant: two buddies are never both free, unless they are of the top order (10).

Cost: at most one split or merge for each order, so constant; the rounding wastes up to half of a block (internal fragmentation).

Parameters: ``order=lifo`` takes the block of an order that was freed last, as Linux does; ``order=address`` takes the lowest.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kernel_sim.allocators import address_area, free_area
from kernel_sim.allocators.base import EXAMINED, MERGES, SPLITS, Policy, Request
from kernel_sim.allocators.free_area import add_uncut, clear, front, is_free, push, remove
from kernel_sim.compiled import Array, bind, bit_length, compiled, int64, trailing_zeros
from kernel_sim.errors import BrokenInvariant
from kernel_sim.frames import NIL, NO_FRAMES
from kernel_sim.units import MAX_ORDER

PARAMETERS = {"order": ("lifo", "address")}
TOP = MAX_ORDER


@compiled
def alloc(area: Any, request: Request) -> int:
    """Take a block of the smallest order that has one; split it down, keeping the low half."""
    order = order_of(request.n_frames)
    for found in range(order, TOP + 1):
        pfn = front(area, found, TOP)
        if pfn == NIL:
            continue
        remove(area, pfn, found)
        area.tally[EXAMINED] += found - order + 1
        area.tally[SPLITS] += found - order
        while found > order:
            found -= 1
            push(area, pfn + (int64(1) << found), found)
        return pfn
    area.tally[EXAMINED] += TOP + 1 - order
    return NO_FRAMES


@compiled
def free(area: Any, pfn: int, request: Request) -> None:
    """Cut the range into aligned blocks, lowest first, and free each."""
    end = pfn + request.n_frames
    while pfn < end:
        order = largest_block(pfn, end)
        free_block(area, pfn, order)
        pfn += int64(1) << order


@compiled
def free_block(area: Any, pfn: int, order: int) -> None:
    """Merge the block with its buddy as long as that is free and whole, then list it."""
    area.tally[MERGES] -= order
    while order < TOP:
        buddy = pfn ^ (int64(1) << order)
        if buddy < area.first or buddy + (int64(1) << order) > area.end or not is_free(area, buddy, order):
            break
        remove(area, buddy, order)
        pfn &= ~(int64(1) << order)
        order += 1
    area.tally[MERGES] += order     # one for each order that it rose by
    push(area, pfn, order)


@compiled
def order_of(n_frames: int) -> int:
    """The smallest order of a block that holds so many frames. It may be more than TOP."""
    return bit_length(n_frames - 1)


@compiled
def largest_block(pfn: int, end: int) -> int:
    """The order of the largest aligned block that begins at pfn and does not reach beyond the end."""
    return int64(min(TOP, trailing_zeros(pfn), bit_length(end - pfn) - 1))


@compiled
def granted(area: Any, n_frames: int) -> int:
    """A power of two, up to the top order."""
    order = order_of(n_frames)
    return int64(1) << order if order <= TOP else int64(0)


@compiled
def setup(area: Any, firsts: Array, ends: Array) -> None:
    """Cut the free runs into the largest aligned blocks and list them from the highest down, so that the lowest is taken first."""
    clear(area)
    for i in range(len(firsts)):
        low, high = inner_range(firsts[i], ends[i])
        if low < high:
            add_uncut(area, low, high)
    for i in range(len(firsts) - 1, -1, -1):
        low, high = inner_range(firsts[i], ends[i])
        if low < high:
            list_downwards(area, high, ends[i])
            list_downwards(area, firsts[i], low)
        else:
            list_downwards(area, firsts[i], ends[i])


@compiled
def inner_range(first: int, end: int) -> tuple[int, int]:
    """The part of a run that is made of blocks of the top order."""
    size = int64(1) << TOP
    return (first + size - 1) & ~(size - 1), end & ~(size - 1)


@compiled
def list_downwards(area: Any, first: int, end: int) -> None:
    """List the largest aligned blocks of a range, the highest first."""
    while end > first:
        order = min(TOP, trailing_zeros(end), bit_length(end - first) - 1)
        end -= int64(1) << order
        push(area, end, order)


def build(name: str, order: str = "lifo") -> Policy:
    lists: Any = {"lifo": free_area, "address": address_area}[order]
    own = {step: getattr(lists, step) for step in ("front", "is_free", "push", "remove", "clear", "add_uncut")}
    merge = compiled(bind(free_block, name, **own))
    downwards = compiled(bind(list_downwards, name, **own))

    def blocks(area: Any) -> Iterator[tuple[int, int]]:
        return ((pfn, 1 << k) for pfn, k in lists.blocks_by_order(area, TOP))

    def check(area: Any) -> None:
        free_blocks = set(lists.blocks_by_order(area, TOP))
        for pfn, k in free_blocks:
            if pfn & ((1 << k) - 1):
                raise BrokenInvariant(f"the free block at {pfn:#x} is not aligned to its order {k}")
            if k < TOP and (pfn ^ (1 << k), k) in free_blocks:
                raise BrokenInvariant(f"two free buddies of order {k}, {pfn:#x} and {pfn ^ (1 << k):#x}, were not merged")

    return Policy(name, open_area=lists.open_area, setup=compiled(bind(setup, name, **own, list_downwards=downwards)),
                  alloc=compiled(bind(alloc, name, **own)), free=compiled(bind(free, name, free_block=merge)),
                  granted=granted, n_words=lists.n_words, blocks=blocks, check=check)
