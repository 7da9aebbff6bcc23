"""Buddies of other sizes than powers of two: a fixed recursive subdivision of the zone. What all such systems share.

A system is a row of sizes, ascending from 1, and a rule for splitting: a block of the *class* c (its size's place in the row) comes apart into
one of class c - 1, which lies low, and one of class ``SMALLER[c]``, which lies high. A binary buddy finds a block's buddy by an exclusive-or of
its address. Here sizes do not divide addresses, and the published systems carry what they need to know in the blocks: a left buddy count
(Hirschberg), two bits (Cranston and Thomas), a type (Shen and Peterson). Frames that were in use at the start, or parts of an allocation, are
given back too, and bear no such marks; so the marks are replaced by arithmetic, which finds what they would say:

    first of the zone                                 the zone is tiled with blocks of the top class from its first frame on;
    |-------- 8 --------|-------- 8 --------|--       each is a tree that is split by the rule, whether it was split yet or not.
    |---- 5 ----|-- 3 --|                             A block is known by where it begins and its class, for the blocks of a tree
    |-- 3 --| 2 | 2 | 1 |                             that begin at the same frame are all of different sizes;
    | 2 | 1 |1|1|1|1|                                 walking down to it passes all that it was ever split from.

Of a free range the largest blocks of the trees that lie in it become free blocks, and are merged upwards while the buddy is free and whole. The
lists are those of `free_area`, with as many of them as there are classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from kernel_sim.allocators import buddy, free_area
from kernel_sim.allocators.base import MERGES, SPLITS, Place, Policy, Request, examine
from kernel_sim.allocators.free_area import FreeArea, is_free, linked_blocks, push, remove, uncut_ranges
from kernel_sim.compiled import Array, bind, compiled, int64, trailing_zeros
from kernel_sim.errors import BrokenInvariant
from kernel_sim.frames import NIL, NO_FRAMES

SIZES: Array = np.array([1, 2], np.int64)
"""Frames of a block by class, bound anew for each system; so are the next two."""
SMALLER: Array = np.array([0, 0], np.int64)
"""The class of the smaller part, the high one, that a block of a class comes apart into. The larger is of the class below."""
TOP = 1
"""The class of the largest blocks."""


@compiled
def size_of(kind: int) -> int:
    """The frames of a block of a class."""
    return int64(SIZES[np.uint64(kind)])


@compiled
def smaller_part(kind: int) -> int:
    """The class of the high part of a block."""
    return int64(SMALLER[np.uint64(kind)])


@compiled
def class_for(n_frames: int) -> int:
    """The class of the smallest block that holds so many frames: TOP + 1 if none does."""
    kind = int64(0)
    while kind <= TOP and size_of(kind) < n_frames:
        kind += 1
    return kind


@compiled
def granted(area: Any, n_frames: int) -> int:
    """The smallest size of the row that is large enough."""
    kind = class_for(n_frames)
    return size_of(kind) if kind <= TOP else int64(0)


@compiled
def front(area: FreeArea, kind: int, top: int) -> int:
    """The block that would be taken next from a class, or NIL."""
    raise NotImplementedError


@compiled
def alloc(area: FreeArea, request: Request) -> int:
    """Take a block of the smallest sufficient class that has one, and split it down."""
    wanted = class_for(request.n_frames)
    for found in range(wanted, TOP + 1):
        examine(area, found)
        pfn = front(area, found, TOP)
        if pfn != NIL:
            remove(area, pfn, found)
            return split_down(area, pfn, found, wanted)
    return NO_FRAMES


@compiled
def split_down(area: FreeArea, pfn: int, kind: int, wanted: int) -> int:
    """Split a block until it is of the wanted class: go on with the smaller part where it will do, and list the other."""
    kind = int64(kind)
    while kind > wanted:
        area.tally[SPLITS] += 1
        high, smaller = pfn + size_of(kind - 1), smaller_part(kind)
        if smaller >= wanted:
            push(area, pfn, kind - 1)
            pfn, kind = high, smaller
        else:
            push(area, high, smaller)
            kind -= 1
    return int64(pfn)


@compiled
def free(area: FreeArea, pfn: int, request: Request) -> None:
    """Cut the range into the largest blocks of the trees, lowest first, and free each."""
    first, end = pfn, pfn + request.n_frames
    while pfn < end:
        _, kind, path, highs = largest_block(area, pfn, first, end)
        free_block(area, pfn, kind, path, highs)
        pfn += size_of(kind)


@compiled
def largest_block(area: FreeArea, pfn: int, first: int, end: int) -> tuple[int, int, int, int]:
    """The largest block that a frame lies in and that lies in a range: where it begins, its class, and the way down to it.

    The way is two sets of bits by class. No class is passed twice, for each step leads to a smaller one. `path` has the classes of the blocks that
    were passed; `highs` the classes of those, this one included, that are the high part of the one above.
    """
    start, kind = pfn - (pfn - area.first) % size_of(TOP), int64(TOP)
    path, highs = int64(0), int64(0)
    while start < first or start + size_of(kind) > end:
        path |= int64(1) << kind
        middle = start + size_of(kind - 1)
        if pfn < middle:
            kind -= 1
        else:
            start, kind = middle, smaller_part(kind)
            highs |= int64(1) << kind
    return start, kind, path, highs


@compiled
def free_block(area: FreeArea, pfn: int, kind: int, path: int, highs: int) -> None:
    """Merge the block with its buddy as long as that is free and whole, then list it."""
    while kind < TOP:
        whole = kind + 1 + trailing_zeros(path >> (kind + 1))       # the class of the block that the two were split from
        if (highs >> kind) & 1:
            partner, partner_kind = pfn - size_of(whole - 1), whole - 1
        else:
            partner, partner_kind = pfn + size_of(kind), smaller_part(whole)
        if partner >= area.end or not is_free(area, partner, partner_kind):
            break
        remove(area, partner, partner_kind)
        area.tally[MERGES] += 1
        pfn, kind = min(pfn, partner), whole
    push(area, pfn, kind)


@compiled
def inner_range(area: FreeArea, first: int, end: int) -> tuple[int, int]:
    """The part of a run that is made of blocks of the top class."""
    size = size_of(TOP)
    return first + (area.first - first) % size, end - (end - area.first) % size


@compiled
def list_downwards(area: FreeArea, first: int, end: int) -> None:
    """List the largest blocks of a range, the highest first."""
    while end > first:
        pfn, kind, _, _ = largest_block(area, end - 1, first, end)
        push(area, pfn, kind)
        end = pfn


def buddy_of(sizes: Sequence[int], smaller: Sequence[int], offset: int, kind: int) -> tuple[int, int] | None:
    """The buddy of a block of a tree, as (offset in the tile, class); None for the whole tile. BrokenInvariant for a block of no tree."""
    start, at, partner = 0, len(sizes) - 1, None
    while (start, at) != (offset, kind):
        if at == 0:
            raise BrokenInvariant(f"no block of {sizes[kind]} frames begins {offset} frames into a tile of {sizes[-1]}")
        middle = start + sizes[at - 1]
        if offset < middle:
            partner, at = (middle, smaller[at]), at - 1
        else:
            partner, start, at = (start, at - 1), middle, smaller[at]
    return partner


def subdivided(name: str, sizes: Sequence[int], smaller: Sequence[int]) -> Policy:
    """The policy of a row of sizes and the classes of its smaller parts."""
    top = len(sizes) - 1
    constants = {"SIZES": np.array(sizes, np.int64), "SMALLER": np.array(smaller, np.int64), "TOP": top, "N_ORDERS": len(sizes)}

    def made(function: Callable[..., Any], **names: Any) -> Any:
        return compiled(bind(function, name, **constants, **names))

    own = {"size_of": made(size_of), "smaller_part": made(smaller_part)}
    own |= {"class_for": made(class_for, **own), "largest_block": made(largest_block, **own), "cut_next": made(free_area.cut_next, **own)}
    own |= {"split_down": made(split_down, **own), "free_block": made(free_block, **own), "front": made(free_area.front, **own),
            "clear": made(free_area.clear), "inner_range": made(inner_range, **own), "list_downwards": made(list_downwards, **own)}

    def blocks(area: Any) -> Iterator[tuple[int, int]]:
        yield from ((pfn, sizes[kind]) for pfn, kind in linked_blocks(area, top))
        yield from ((first, end - first) for first, end in uncut_ranges(area))

    def place(area: Any, kind: int) -> Place:
        return Place(f"size {sizes[kind]}", tuple(block for block in whole_blocks(area) if block[1] == sizes[kind]))

    def whole_blocks(area: Any) -> Iterator[tuple[int, int]]:
        for first, n_frames in blocks(area):
            yield from ((pfn, min(n_frames, sizes[top])) for pfn in range(first, first + n_frames, sizes[top]))

    return Policy(name, open_area=made(free_area.open_area), setup=made(buddy.setup, **own), alloc=made(alloc, **own), free=made(free, **own),
                  granted=made(granted, **own), n_words=bind(free_area.n_words, name, **constants), blocks=blocks,
                  check=lambda area: check(area, sizes, smaller), search_order=lambda area, request: [place(area, kind) for kind in range(top + 1)],
                  place=place)


def check(area: Any, sizes: Sequence[int], smaller: Sequence[int]) -> None:
    """Every free block is one of the trees, and no two free buddies stand side by side."""
    top = len(sizes) - 1
    free_blocks = set(linked_blocks(area, top))
    for pfn, kind in sorted(free_blocks):
        tile = pfn - (pfn - area.first) % sizes[top]
        partner = buddy_of(sizes, smaller, int(pfn - tile), kind)
        if partner and (tile + partner[0], partner[1]) in free_blocks:
            raise BrokenInvariant(f"two free buddies, {pfn:#x} and {tile + partner[0]:#x}, were not merged")
    for first, end in uncut_ranges(area):
        if (first - area.first) % sizes[top] or (end - area.first) % sizes[top]:
            raise BrokenInvariant(f"the uncut range {first:#x} to {end:#x} is not one of blocks of {sizes[top]} frames")
