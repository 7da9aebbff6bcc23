"""What the policy `llfree` keeps of a zone, in words of its own: bit fields, a counter for each, a counter for each tree. Nothing in the frame table.

    a bit field   512 bits, one cache line, for 2 MiB of frames: a bit is set for a frame in use
    a child       16 bits: how many of its frames are in use; HUGE and all 512 when they were given out as one, and its bit field is empty
    a tree        16 bits for a number of children: how many of its frames are in use; RESERVED, and all, when a processor has it for itself

LLFree counts what is free; here it is what is in use, so that zeros are free memory that costs nothing on the host. All is counted from
a *base*, the zone's first frame rounded down to 4 MiB; what lies in the first and the last tree and not in the zone is in use for ever.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from kernel_sim.allocators.base import SPLITS, Place, examine
from kernel_sim.compiled import Array, array_view, compiled, int64, plain, trailing_zeros
from kernel_sim.errors import BrokenInvariant
from kernel_sim.frames import NO_FRAMES, words_at

HUGE_ORDER = 9
CHILD_FRAMES = 1 << HUGE_ORDER
ROWS = CHILD_FRAMES // 64
ROW_ORDER = 6
HUGE = RESERVED = 1 << 15

TREE, LOCAL, START, LAST, ROW = range(5)    # words of a processor: its tree + 1, what is free of that, where it was served last; frees in a row
CPU_WORDS = 5

TREE_CHILDREN = 32
"""How many children a tree has; `bind` gives it its value, and N_CPUS."""
N_CPUS = 1

_ALIGNED = (-1, 0x5555555555555555, 0x1111111111111111, 0x0101010101010101, 0x0001000100010001, 0x0000000100000001)
"""By order, the bits at which an aligned block of a word may begin."""

IN_TREE, IN_CHILD, IN_FIELD = 0, 3, 4
"""Where it is looked. IN_TREE + k for each of what is asked of a tree, one after the other; IN_FIELD + k for 2^k words at once."""
_ASKED_OF_A_TREE = ("if partly filled", "if all free", "as it is")

half_words_at = array_view(np.uint16)


class LLFreeArea(NamedTuple):
    """One zone."""

    frames: Array
    cpus: Array         # int64: CPU_WORDS for each processor
    trees: Array        # uint16
    children: Array     # uint16
    fields: Array       # int64: ROWS for each child
    tally: Array
    first: int
    end: int
    base: int           # where the first child begins


@compiled
def look_at(kind: int, at: int) -> int:
    """What `examine` calls a place: the tree, the child, or the word of a bit field of that number."""
    return int64(at << 3 | kind)


@compiled
def base_of(first: int) -> int:
    return int64(first & ~int64(2 * CHILD_FRAMES - 1))


@compiled
def n_children_of(first: int, end: int) -> int:
    return int64(((end + CHILD_FRAMES - 1) >> HUGE_ORDER) - (base_of(first) >> HUGE_ORDER))


@compiled
def open_area(frames: Array, words: int, n_words: int, tally: Array, first: int, end: int) -> LLFreeArea:
    n_children = n_children_of(first, end)
    n_trees = (n_children + TREE_CHILDREN - 1) // TREE_CHILDREN
    trees = words + 8 * N_CPUS * CPU_WORDS
    children = trees + 8 * ((n_trees + 3) // 4)
    fields = children + 8 * ((n_children + 3) // 4)
    return LLFreeArea(frames, words_at(words, N_CPUS * CPU_WORDS), half_words_at(trees, n_trees), half_words_at(children, n_children),
                      words_at(fields, ROWS * n_children), tally, first, end, base_of(first))


# -- bit fields and children --------------------------------------------------------------------------------------------------------------


@compiled
def fill(area: LLFreeArea, child: int, low: int, high: int, in_use: bool) -> None:
    """Set or clear the bits low to high of a child."""
    for row in range(low >> ROW_ORDER, (high + 63) >> ROW_ORDER):
        mask = int64(-1) << max(low - 64 * row, 0)
        if high < 64 * row + 64:
            mask &= ~(int64(-1) << (high - 64 * row))
        if in_use:
            area.fields[child * ROWS + row] |= mask
        else:
            area.fields[child * ROWS + row] &= ~mask


@compiled
def free_bits(word: int, order: int) -> int:
    """The bits of a word at which an aligned block of an order up to 5 begins whose frames are all free."""
    free = ~word
    for k in range(order):
        free &= free >> (int64(1) << k)     # what the sign drags in stands at bits where no aligned block begins
    return int64(free & _ALIGNED[order])


@compiled
def find_in_field(area: LLFreeArea, child: int, order: int, row: int) -> int:
    """Where a free aligned block of an order below 9 begins in a child, from this row on and round; NO_FRAMES if nowhere."""
    group = int64(1) << max(order - ROW_ORDER, 0)
    for i in range(0, ROWS, group):
        at = ((row & ~(group - 1)) + i) % ROWS
        examine(area, look_at(IN_FIELD + max(order - ROW_ORDER, 0), child * ROWS + at))
        if order < ROW_ORDER:
            bits = free_bits(area.fields[child * ROWS + at], order)
            if bits != 0:
                return int64(64 * at + trailing_zeros(bits))
        else:
            taken = int64(0)
            for k in range(group):
                taken |= area.fields[child * ROWS + at + k]
            if taken == 0:
                return int64(64 * at)
    return int64(NO_FRAMES)


@compiled
def take_in_tree(area: LLFreeArea, tree: int, order: int, start: int) -> int:
    """Take a block of a tree, looking from the frame `start` on and round (both counted from the base); NO_FRAMES if it has none."""
    first_child = tree * TREE_CHILDREN
    n_children = min(int64(TREE_CHILDREN), len(area.children) - first_child)
    begin = (start >> HUGE_ORDER) - first_child
    row = (start >> ROW_ORDER) & (ROWS - 1)
    if begin < 0 or begin >= n_children:
        begin, row = int64(0), int64(0)
    for i in range(n_children):
        child = first_child + (begin + i) % n_children
        examine(area, look_at(IN_CHILD, child))
        found = take_huge(area, child, order) if order >= HUGE_ORDER else take_small(area, child, order, row if i == 0 else int64(0))
        if found != NO_FRAMES:
            return found
    return int64(NO_FRAMES)


@compiled
def take_small(area: LLFreeArea, child: int, order: int, row: int) -> int:
    """Take a block of a child, if there is one."""
    size = int64(1) << order
    in_use = int64(area.children[child])
    if (in_use & ~HUGE) + size > CHILD_FRAMES:
        return int64(NO_FRAMES)
    at = find_in_field(area, child, order, row)
    if at == NO_FRAMES:
        return at
    fill(area, child, at, at + size, True)
    area.children[child] = in_use + size
    return int64(child * CHILD_FRAMES + at)


@compiled
def take_huge(area: LLFreeArea, child: int, order: int) -> int:
    """Take a whole child, or two of them side by side, if they are free: their bit fields are not looked at."""
    n = int64(1) << (order - HUGE_ORDER)
    if child & (n - 1) != 0 or child + n > len(area.children):
        return int64(NO_FRAMES)
    for part in range(child, child + n):
        if area.children[part] != 0:
            return int64(NO_FRAMES)
    for part in range(child, child + n):
        area.children[part] = HUGE | CHILD_FRAMES
    return int64(child * CHILD_FRAMES)


@compiled
def put_in_child(area: LLFreeArea, child: int, low: int, high: int) -> None:
    """Free the frames low to high of a child. One that was given out whole is broken up for less."""
    whole = high - low == CHILD_FRAMES
    in_use = int64(area.children[child])
    if in_use & HUGE != 0 and not whole:
        fill(area, child, int64(0), int64(CHILD_FRAMES), True)
        area.tally[SPLITS] += 1
    if in_use & HUGE == 0 or not whole:
        fill(area, child, low, high, False)
    area.children[child] = (in_use & ~HUGE) - (high - low)


@compiled
def set_aside(area: LLFreeArea, first: int, end: int) -> None:
    """Mark frames as in use, counted from the base, before anything is given out."""
    while first < end:
        child = first >> HUGE_ORDER
        stop = min(end, (child + 1) << HUGE_ORDER)
        low, high = first & (CHILD_FRAMES - 1), stop - (child << HUGE_ORDER)
        if high - low == CHILD_FRAMES:
            area.children[child] = HUGE | CHILD_FRAMES
        else:
            fill(area, child, low, high, True)
            area.children[child] += high - low
        area.trees[child // TREE_CHILDREN] += stop - first
        first = stop


# -- looking, in the interpreter ----------------------------------------------------------------------------------------------------------


def free_huge_frames(area: LLFreeArea) -> int:
    """How many children are free as a whole."""
    return int((area.children == 0).sum())


def free_ranges(area: LLFreeArea) -> Iterator[tuple[int, int]]:
    """What is free, as (pfn, n_frames): whole children in runs, and runs within the others."""
    yield from ((area.base + CHILD_FRAMES * first, CHILD_FRAMES * n) for first, n in _runs(area.children == 0))
    in_use = area.children & np.uint16(HUGE - 1)
    for child in np.flatnonzero((in_use > 0) & (in_use < CHILD_FRAMES)).tolist():
        yield from ((area.base + CHILD_FRAMES * child + low, n) for low, n in _runs(bits_of(area, child) == 0))


def bits_of(area: LLFreeArea, child: int) -> Array:
    """A child's bits, as 512 bytes."""
    return np.unpackbits(area.fields[child * ROWS:(child + 1) * ROWS].astype("<i8").view(np.uint8), bitorder="little")


def place(area: LLFreeArea, number: int, n_children: int) -> Place:
    """What `examine` calls by a number, with what is free there, where a tree has so many children."""
    kind, at = number & 7, number >> 3
    if kind < IN_CHILD:
        n_frames = n_children * CHILD_FRAMES
        return Place(f"tree {at} {_ASKED_OF_A_TREE[kind - IN_TREE]}", _free_between(area, at * n_frames, (at + 1) * n_frames))
    if kind == IN_CHILD:
        return Place(f"child {at}", _free_between(area, at * CHILD_FRAMES, (at + 1) * CHILD_FRAMES))
    first, end = 64 * at, 64 * (at + (1 << (kind - IN_FIELD)))
    return Place(f"frames {max(area.base + first, area.first)}-{min(area.base + end, area.end) - 1}", _free_between(area, first, end))


def children_from(area: LLFreeArea, cpu: int, n_children: int) -> list[Place]:
    """The children as places: those of the processor's tree from where it was served last and round, then those of the other trees."""
    own = int(area.cpus[CPU_WORDS * cpu + TREE]) - 1
    start = int(area.cpus[CPU_WORDS * cpu + START]) >> HUGE_ORDER
    order = sorted(range(len(area.children)), key=lambda child: (child // n_children != own, child // n_children == own and child < start, child))
    return [place(area, int(plain(look_at)(IN_CHILD, child)), n_children) for child in order]


def _free_between(area: LLFreeArea, first: int, end: int) -> tuple[tuple[int, int], ...]:
    """What is free of some frames, counted from the base, as (pfn, n_frames)."""
    first, end = area.base + first, area.base + end
    cut = ((max(pfn, first), min(pfn + n_frames, end)) for pfn, n_frames in free_ranges(area))
    return tuple((low, high - low) for low, high in sorted(cut) if low < high)


def _runs(flags: Array) -> Iterator[tuple[int, int]]:
    """The runs of a flag, as (first, length)."""
    edges = np.flatnonzero(np.diff(flags, prepend=False, append=False)).tolist()
    return ((first, end - first) for first, end in zip(edges[::2], edges[1::2], strict=True))


def check_children(area: LLFreeArea) -> None:
    """Each counter says how many bits are set; a child given out whole has none."""
    for child in np.flatnonzero(area.children).tolist():
        in_use, n_bits = int(area.children[child]), int(bits_of(area, child).sum())
        if in_use != n_bits and (in_use != HUGE | CHILD_FRAMES or n_bits):
            raise BrokenInvariant(f"the child at {area.base + CHILD_FRAMES * child:#x} counts {in_use:#x}, and {n_bits} bits are set")
