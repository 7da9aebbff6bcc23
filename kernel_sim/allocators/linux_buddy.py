"""Linux' buddy: free blocks by migratetype and order, and what happens when a type has run out.

Source: Linux 6.12, mm/page_alloc.c (`__rmqueue_smallest`, `__rmqueue_claim`, `try_to_claim_block`, `__rmqueue_steal`, `__free_one_page`). See
`linux`.
"""

from __future__ import annotations

from kernel_sim.allocators.base import MERGES, SPLITS, examine
from kernel_sim.allocators.linux_area import (
    BLOCK_FRAMES,
    BLOCK_ORDER,
    MOVABLE,
    N_FREE,
    TOP,
    LinuxArea,
    append,
    block_type,
    fallback_lists,
    fallbacks,
    front,
    is_free,
    list_of,
    push,
    set_block_type,
    typed_blocks,
    unlink,
)
from kernel_sim.compiled import compiled, int64, interpreted, trailing_zeros
from kernel_sim.errors import BrokenInvariant
from kernel_sim.frames import NIL, frame


@compiled
def take(area: LinuxArea, pfn: int, found: int, order: int, list_type: int, rest_type: int) -> int:
    """Take a block off its list, keep its low part and list the halves that are not needed."""
    unlink(area, list_of(list_type, found), pfn)
    area.tally[SPLITS] += found - order
    while found > order:
        found -= 1
        push(area, list_of(rest_type, found), pfn + (int64(1) << found), found + 1)
    area.words[N_FREE] -= int64(1) << order
    return int64(pfn)


@compiled
def smallest(area: LinuxArea, order: int, migratetype: int) -> int:
    """A block of the smallest order that has one, of this type, or NIL."""
    for found in range(order, TOP + 1):
        examine(area, list_of(migratetype, found))
        pfn = front(area, migratetype, found)
        if pfn != NIL:
            return take(area, pfn, found, order, migratetype, migratetype)
    return int64(NIL)


@compiled
def fallback(area: LinuxArea, order: int, migratetype: int) -> int:
    """The type to fall back to that has a block of exactly this order, or -1."""
    examine(area, fallback_lists(migratetype, order))
    first, second = fallbacks(migratetype)
    if front(area, first, order) != NIL:
        return first
    return second if front(area, second, order) != NIL else int64(-1)


@compiled
def claim(area: LinuxArea, order: int, migratetype: int) -> int:
    """A block out of another type's pageblock that becomes of this type, the largest blocks first, or NIL."""
    lowest = BLOCK_ORDER // 2 if migratetype == MOVABLE else 0
    for found in range(TOP, max(order, lowest) - 1, -1):
        other = fallback(area, found, migratetype)
        if other >= 0:
            pfn = claim_block(area, front(area, other, found), found, order, migratetype, other)
            if pfn != NIL:
                return pfn
    return int64(NIL)


@compiled
def claim_block(area: LinuxArea, pfn: int, found: int, order: int, migratetype: int, other: int) -> int:
    """Change the type of the block's pageblocks if it fills them, or if half of its pageblock is free; a block of that, or NIL."""
    if found >= BLOCK_ORDER:
        for part in range(pfn, pfn + (int64(1) << found), BLOCK_FRAMES):
            set_block_type(area, part, migratetype)
        return take(area, pfn, found, order, other, migratetype)
    begin = pfn & ~int64(BLOCK_FRAMES - 1)
    if begin < area.first or begin + BLOCK_FRAMES > area.end or 2 * free_in(area, begin) < BLOCK_FRAMES:
        return int64(NIL)
    move_block(area, begin, other, migratetype)
    return smallest(area, order, migratetype)


@compiled
def free_in(area: LinuxArea, begin: int) -> int:
    """How many frames of a pageblock are on the lists."""
    n_free, pfn = int64(0), begin
    while pfn < begin + BLOCK_FRAMES:
        size = listed_size(area, pfn)
        n_free += size
        pfn += max(size, 1)
    return n_free


@compiled
def move_block(area: LinuxArea, begin: int, before: int, after: int) -> None:
    """Change the type of a pageblock and put its free blocks at the end of the lists of that type."""
    pfn = begin
    while pfn < begin + BLOCK_FRAMES:
        size = listed_size(area, pfn)
        if size:
            order = trailing_zeros(size)
            unlink(area, list_of(before, order), pfn)
            append(area, list_of(after, order), pfn, order + 1)
        pfn += max(size, 1)
    set_block_type(area, begin, after)


@compiled
def listed_size(area: LinuxArea, pfn: int) -> int:
    """The frames of the free block that begins here, 0 for none."""
    mark = int64(frame(area.frames, pfn)["order"])
    return int64(1) << (mark - 1) if 0 < mark <= TOP + 1 else int64(0)


@compiled
def steal(area: LinuxArea, order: int, migratetype: int) -> int:
    """The smallest block of another type, or NIL; its pageblock stays what it is."""
    for found in range(order, TOP + 1):
        other = fallback(area, found, migratetype)
        if other >= 0:
            return take(area, front(area, other, found), found, order, other, other)
    return int64(NIL)


@compiled
def from_lists(area: LinuxArea, order: int, migratetype: int) -> int:
    """A block of the type; else one that is claimed; else one that is stolen; or NIL."""
    pfn = smallest(area, order, migratetype)
    if pfn == NIL:
        pfn = claim(area, order, migratetype)
    if pfn == NIL:
        pfn = steal(area, order, migratetype)
    return pfn


@compiled
def free_block(area: LinuxArea, pfn: int, order: int) -> None:
    """Merge a block with its buddy as long as that is free and whole, and list it. Merged pageblocks become of one type."""
    migratetype = block_type(area, pfn)
    area.words[N_FREE] += int64(1) << order
    area.tally[MERGES] -= order
    while order < TOP and is_free(area, pfn ^ (int64(1) << order), order):
        buddy = pfn ^ (int64(1) << order)
        unlink(area, list_of(block_type(area, buddy), order), buddy)
        if order == BLOCK_ORDER:
            set_block_type(area, buddy, migratetype)
        pfn &= ~(int64(1) << order)
        order += 1
    area.tally[MERGES] += order
    if order < TOP - 1 and is_free(area, (pfn & ~(int64(1) << order)) ^ (int64(2) << order), order + 1):
        append(area, list_of(migratetype, order), pfn, order + 1)      # its buddy, once free, would merge on
    else:
        push(area, list_of(migratetype, order), pfn, order + 1)


def check_lists(area: LinuxArea) -> None:
    """Blocks are aligned, on the list of their type, and not beside a free buddy; their frames add up."""
    free_blocks = list(typed_blocks(area))
    places = {(pfn, order) for pfn, order, _ in free_blocks}
    for pfn, order, migratetype in free_blocks:
        if pfn & ((1 << order) - 1):
            raise BrokenInvariant(f"the free block at {pfn:#x} is not aligned to its order {order}")
        if migratetype != int(interpreted(block_type)(area, pfn)):
            raise BrokenInvariant(f"the free block at {pfn:#x} is on the list of type {migratetype}, which its pageblock is not")
        if order < TOP and (pfn ^ (1 << order), order) in places:
            raise BrokenInvariant(f"two free buddies of order {order}, {pfn:#x} and {pfn ^ (1 << order):#x}, were not merged")
    if sum(1 << order for _, order in places) != int(area.words[N_FREE]):
        raise BrokenInvariant(f"the lists do not hold the {int(area.words[N_FREE])} frames that are counted")
