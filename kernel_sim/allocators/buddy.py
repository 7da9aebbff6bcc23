"""Binary buddy: aligned blocks of 2^k frames, split in halves to serve and merged with their buddies when freed.

Source: K. C. Knowlton, "A fast storage allocator", CACM 8(10), 1965; D. E. Knuth, The Art of Computer Programming, volume 1, section 2.5;
Linux, mm/page_alloc.c.

Idea: a block of order k is 2^k frames and begins at a multiple of 2^k, so its buddy, the block it was once split from, is one exclusive-or
away. A request is rounded up to a power of two and served from the smallest order that has a block; the halves that are not needed go to the
lists of their orders. A freed block is merged with its buddy as long as that is free, too.

Invariant: two buddies are never both free, unless they are of the top order; with ``merge=lazy``, unless one was freed since all were merged.

Cost: at most one split or merge for each order, so constant; the rounding wastes up to half of a block (internal fragmentation). With
``merge=lazy`` a free merges nothing, and a request that finds no block may have to look at every free block first.

Use: as the default for frames: kernels need aligned powers of two, and merging costs nothing to find. Look elsewhere when sizes are far from powers
of two.

Parameters: ``order=lifo`` takes the block of an order that was freed last, as Linux does; ``order=fifo`` the one that was freed (or split off)
first, from a list that is joined at its back; ``order=address`` the lowest. ``max_order=N`` makes 2^N frames the largest block: more is never
given at once. ``merge=lazy`` delays merging: freed blocks stay as they are, ready for the next request of their size, and when a request
would fail all free buddies are merged, from single frames up, before it is tried once more (the recombination-delaying buddy system: A. Kaufman,
"Tailored-list and recombination-delaying buddy systems", ACM TOPLAS 6(1), 1984). Here the delay ends with the first request that needs it.
The lazy buddies of Barkley and Lee (SOSP 1989) bound it by the number of blocks in use of each size; a number that frees of parts of an
allocation, and of what was in use before, leave without a meaning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

from kernel_sim.allocators import address_area, fifo_area, free_area
from kernel_sim.allocators.base import MERGES, SPLITS, Place, Policy, Request, Whole, examine
from kernel_sim.allocators.free_area import add_uncut, behind, clear, front, is_free, places_by_order, push, remove
from kernel_sim.compiled import Array, bind, bit_length, compiled, int64, trailing_zeros
from kernel_sim.errors import BrokenInvariant
from kernel_sim.frames import NIL, NO_FRAMES
from kernel_sim.units import MAX_ORDER

PARAMETERS = {"order": ("lifo", "fifo", "address"), "max_order": Whole(MAX_ORDER, 0, MAX_ORDER), "merge": ("immediate", "lazy")}
TOP = MAX_ORDER
LISTS: dict[str, Any] = {"lifo": free_area, "fifo": fifo_area, "address": address_area}


@compiled
def alloc(area: Any, request: Request) -> int:
    """Take a block of the smallest order that has one; split it down, keeping the low half."""
    order = order_of(request.n_frames)
    for found in range(order, TOP + 1):
        pfn = front(area, found, TOP)
        if pfn == NIL:
            continue
        examine(area, order, found - order + 1)
        remove(area, pfn, found)
        area.tally[SPLITS] += found - order
        while found > order:
            found -= 1
            push(area, pfn + (int64(1) << found), found)
        return pfn
    examine(area, order, TOP + 1 - order)
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
        if not can_merge(area, buddy, order):
            break
        remove(area, buddy, order)
        pfn &= ~(int64(1) << order)
        order += 1
    area.tally[MERGES] += order     # one for each order that it rose by
    push(area, pfn, order)


@compiled
def can_merge(area: Any, buddy: int, order: int) -> bool:
    """Whether a buddy lies within the zone, and is free and whole."""
    return bool(buddy >= area.first and buddy + (int64(1) << order) <= area.end and is_free(area, buddy, order))


@compiled
def free_unmerged(area: Any, pfn: int, order: int) -> None:
    """Instead of `free_block`: list the block as it is."""
    push(area, pfn, order)
    area.deferred[0] = 1


@compiled
def alloc_or_merge(area: Any, request: Request) -> int:
    """Instead of `alloc`, where nothing is merged when it is freed: merge, and try again, before giving up."""
    pfn = alloc(area, request)
    if pfn == NO_FRAMES and area.deferred[0]:
        merge_all(area)
        pfn = alloc(area, request)
    return pfn


@compiled
def merge_all(area: Any) -> None:
    """Merge every pair of free buddies, from single frames up; each order in the order of its list."""
    for order in range(TOP):
        pfn = front(area, order, TOP)
        while pfn != NIL:
            examine(area, ~pfn)
            buddy, after = pfn ^ (int64(1) << order), behind(area, pfn, order)
            if can_merge(area, buddy, order):
                if after == buddy:
                    after = behind(area, buddy, order)
                remove(area, pfn, order)
                remove(area, buddy, order)
                push(area, min(pfn, buddy), order + 1)
                area.tally[MERGES] += 1
            pfn = after
    area.deferred[0] = 0


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
        low, high = inner_range(area, firsts[i], ends[i])
        if low < high:
            add_uncut(area, low, high)
    for i in range(len(firsts) - 1, -1, -1):
        low, high = inner_range(area, firsts[i], ends[i])
        if low < high:
            list_downwards(area, high, ends[i])
            list_downwards(area, firsts[i], low)
        else:
            list_downwards(area, firsts[i], ends[i])


@compiled
def inner_range(area: Any, first: int, end: int) -> tuple[int, int]:
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


def build(name: str, order: str = "lifo", max_order: str = str(MAX_ORDER), merge: str = "immediate") -> Policy:
    lists, top = LISTS[order], int(max_order)

    def made(function: Callable[..., Any], **names: Any) -> Any:
        return compiled(bind(function, name, TOP=top, **names))

    own = {step: getattr(lists, step) for step in ("behind", "front", "is_free", "push", "remove", "clear")}
    own |= {step: made(function, **own) for step, function in (("can_merge", can_merge), ("largest_block", largest_block),
                                                               ("inner_range", inner_range), ("add_uncut", lists.add_uncut))}
    downwards = made(list_downwards, **{**own, "push": getattr(lists, "push_front", lists.push)})
    take, give_back = made(alloc, **own), made(free_block, **own)
    if merge == "lazy":
        take, give_back = made(alloc_or_merge, alloc=take, merge_all=made(merge_all, **own)), made(free_unmerged, **own)
    return Policy(name, open_area=lists.open_area, setup=made(setup, **own, list_downwards=downwards), alloc=take,
                  free=made(free, **own, free_block=give_back), granted=made(granted), n_words=lists.n_words,
                  blocks=lambda area: blocks(lists, area, top), check=lambda area: check(lists, area, top, merge == "lazy"), aligned=True,
                  search_order=lambda area, request: places_by_order(blocks(lists, area, top), top),
                  place=lambda area, number: place_of(blocks(lists, area, top), top, number))


def blocks(lists: Any, area: Any, top: int) -> Iterator[tuple[int, int]]:
    """What is free, as (pfn, n_frames), in the order of the lists: block by block, and what is uncut as it stands."""
    linked = ((pfn, 1 << order) for pfn, order in lists.linked_blocks(area, top))
    uncut = ((first, end - first) for first, end in lists.uncut_ranges(area))
    return chain(uncut, linked) if lists is fifo_area else chain(linked, uncut)


def place_of(free_blocks: Iterator[tuple[int, int]], top: int, number: int) -> Place:
    """What `examine` calls by a number: the list of an order, or, at ~pfn, a block."""
    if number >= 0:
        return places_by_order(free_blocks, top)[number]
    return Place("", tuple(block for block in free_blocks if block[0] == ~number))


def check(lists: Any, area: Any, top: int, lazy: bool) -> None:
    """Blocks are aligned, and no two free buddies stand side by side, unless they wait to be merged."""
    free_blocks = set(lists.linked_blocks(area, top))
    for pfn, order in free_blocks:
        if pfn & ((1 << order) - 1):
            raise BrokenInvariant(f"the free block at {pfn:#x} is not aligned to its order {order}")
        if order < top and (pfn ^ (1 << order), order) in free_blocks and not (lazy and area.deferred[0]):
            raise BrokenInvariant(f"two free buddies of order {order}, {pfn:#x} and {pfn ^ (1 << order):#x}, were not merged")
    for first, end in lists.uncut_ranges(area):
        if (first | end) & ((1 << top) - 1):
            raise BrokenInvariant(f"the uncut range {first:#x} to {end:#x} is not one of blocks of order {top}")
