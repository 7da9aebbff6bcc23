"""A memory as two words of bits, and a set of such: what the exact searches look through, millions at a time.

A *layout* says where the live allocations are:

    frames     0 1 2 3 4 5 6 7
    state      H T T . H H T .
    starts     1 . . . 1 1 . .        bit p: an allocation begins at frame p
    used       1 1 1 . 1 1 1 .        bit p: frame p was asked for

A third word is what a policy remembers besides: next fit's rover, a buddy's lists. A set keeps the layouts in the order in which they were found;
its table holds their numbers, hashed, with linear probing.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from kernel_sim.compiled import Array, compiled, entry, int64, trailing_zeros

LARGEST_MEMORY = 57
"""Frames: a word is never negative, and a run of bits may be shifted out of the memory by a few."""

EMPTY = -1
ABSENT = -1


class Layouts(NamedTuple):
    """A set of layouts; `n[0]` is how many."""

    starts: Array       # int64
    used: Array         # int64
    memory: Array       # int64: what the policy remembers
    table: Array        # int32: numbers of layouts, or EMPTY; a power of two, at least twice as many as there is room for
    n: Array            # int64: [how many]


def new_layouts(room: int) -> Layouts:
    """A set with room for so many that holds one, the empty memory, as number 0."""
    return _filled(np.zeros(room, np.int64), np.zeros(room, np.int64), np.zeros(room, np.int64), 1)


def roomier(layouts: Layouts) -> Layouts:
    """The same layouts under the same numbers, with twice the room."""
    more = np.zeros(len(layouts.starts), np.int64)
    starts, used, memory = (np.concatenate([words, more]) for words in (layouts.starts, layouts.used, layouts.memory))
    return _filled(starts, used, memory, int(layouts.n[0]))


def _filled(starts: Array, used: Array, memory: Array, n: int) -> Layouts:
    """A set of the first n of these layouts."""
    table = np.full(1 << (2 * len(starts) - 1).bit_length(), EMPTY, np.int32)
    layouts = Layouts(starts, used, memory, table, np.array([n], np.int64))
    _enter_all(*layouts)
    return layouts


@compiled
def hashed(starts: int, used: int, memory: int) -> int:
    """A number below 2^62 that looks random. Every product stays below 2^62, compiled or not."""
    low, high = (starts & 0x7FFF_FFFF) * int64(0x4F1B_BCDD), (starts >> 31) * int64(0x3243_F6A9)
    mixed = low ^ high ^ (used & 0x7FFF_FFFF) * int64(0x6A09_E667) ^ (used >> 31) * int64(0x5BE0_CD19)
    mixed ^= (memory & 0x7FFF_FFFF) * int64(0x510E_527F) ^ (memory >> 31) * int64(0x1F83_D9AB)
    return mixed ^ (mixed >> 29) ^ (mixed >> 17)


@compiled
def slot_of(layouts: Layouts, starts: int, used: int, memory: int) -> int:
    """Where a layout's number stands in the table, or, EMPTY still, would stand."""
    last = len(layouts.table) - 1
    at = hashed(starts, used, memory) & last
    number = int64(layouts.table[at])
    while number != EMPTY and not (layouts.starts[number] == starts and layouts.used[number] == used and layouts.memory[number] == memory):
        at = (at + 1) & last
        number = int64(layouts.table[at])
    return at


@compiled
def find(layouts: Layouts, starts: int, used: int, memory: int) -> int:
    """A layout's number, or ABSENT."""
    number = int64(layouts.table[slot_of(layouts, starts, used, memory)])
    return number if number != EMPTY else int64(ABSENT)


@compiled
def add(layouts: Layouts, starts: int, used: int, memory: int) -> bool:
    """Add a layout, under the next number. False when it is there already."""
    at = slot_of(layouts, starts, used, memory)
    if layouts.table[at] != EMPTY:
        return False
    number = layouts.n[0]
    layouts.starts[number] = starts
    layouts.used[number] = used
    layouts.memory[number] = memory
    layouts.table[at] = number
    layouts.n[0] = number + 1
    return True


@entry
def _enter_all(starts: Array, used: Array, memory: Array, table: Array, n: Array) -> None:
    """Fill the table anew."""
    last = len(table) - 1
    for number in range(n[0]):
        at = hashed(starts[number], used[number], memory[number]) & last
        while table[at] != EMPTY:
            at = (at + 1) & last
        table[at] = number


@compiled
def size_at(starts: int, used: int, first: int) -> int:
    """How many frames were asked for in the allocation that begins at a frame: its own bit, then used ones where none begins."""
    own = (used & ~starts) >> (first + 1)
    return 1 + int64(trailing_zeros(~own))


@compiled
def ones(n: int) -> int:
    """So many bits."""
    return (int64(1) << n) - 1


@compiled
def fitting(free: int, n_frames: int) -> int:
    """Every place where a run of so many free frames begins, one bit each."""
    places, have = free, int64(1)
    while have < n_frames:
        step = min(have, n_frames - have)
        places &= places >> step
        have += step
    return places
