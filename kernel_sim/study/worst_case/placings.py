"""Policies as a few instructions on words of bits: where a request goes, given the free frames and what the policy remembers.

They are written here a second time, for searches that ask them millions of times a second; `worst_case.boards` plays the same games with the real
ones, and the tests hold the two against each other, and both against brute force.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from kernel_sim.compiled import Array, compiled, int64, trailing_zeros
from kernel_sim.study.worst_case.layouts import LARGEST_MEMORY, fitting, ones

NONE = -1
"""No place."""


class Placing(NamedTuple):
    """A policy as bits. `memory` is a word that it keeps, 0 at first; `scratch` an array of SCRATCH_WORDS to work in."""

    place: Callable[..., Any]       # (free, n_frames, memory, scratch) -> first frame, or NONE
    placed: Callable[..., Any]      # (free before, n_frames, first, memory, scratch) -> memory after an allocation
    released: Callable[..., Any]    # (free before, granted, first, memory, scratch) -> memory after a free
    granted: Callable[..., Any]     # (n_frames) -> frames that such a request takes up
    largest: int = LARGEST_MEMORY   # frames of memory for which this form is good


@compiled
def hole_starts(free: int) -> int:
    """The first frame of every hole, one bit each."""
    return free & ~(free << 1)


@compiled
def lowest(places: int) -> int:
    """The lowest of places, or NONE."""
    return int64(trailing_zeros(places)) if places != 0 else int64(NONE)


@compiled
def first_fit(free: int, n_frames: int, memory: int, scratch: Array) -> int:
    return lowest(fitting(free, n_frames))


@compiled
def next_fit(free: int, n_frames: int, memory: int, scratch: Array) -> int:
    """The memory is the rover."""
    holes = fitting(free, n_frames) & hole_starts(free)
    onwards = holes & ~ones(memory)
    return lowest(onwards if onwards != 0 else holes)


@compiled
def best_fit(free: int, n_frames: int, memory: int, scratch: Array) -> int:
    """Ask for exactly n frames, then for holes of one more, and so on."""
    wanted = n_frames
    holes = fitting(free, wanted) & hole_starts(free)
    while holes != 0:
        larger = holes & fitting(free, wanted + 1)
        if larger != holes:
            return lowest(holes & ~larger)
        wanted += 1
    return int64(NONE)


@compiled
def worst_fit(free: int, n_frames: int, memory: int, scratch: Array) -> int:
    """Ask for ever larger holes until there is none."""
    wanted = n_frames
    holes = fitting(free, wanted) & hole_starts(free)
    found = lowest(holes)
    while holes != 0:
        found = lowest(holes)
        wanted += 1
        holes &= fitting(free, wanted)
    return found


@compiled
def address_buddy(free: int, n_frames: int, memory: int, scratch: Array) -> int:
    """The lowest free block of the smallest sufficient order."""
    order = int64(0)
    while free >> order != 0:
        if int64(1) << order >= n_frames and blocks(free, order) != 0:
            return lowest(blocks(free, order))
        order += 1
    return int64(NONE)


@compiled
def blocks(free: int, order: int) -> int:
    """The free blocks of an order, a bit each: free aligned ones that are not half of a free aligned one."""
    runs = fitting(free, int64(1) << order)
    twice = runs & (runs >> (int64(1) << order)) & aligned(order + 1)
    return runs & aligned(order) & ~(twice | twice << (int64(1) << order))


@compiled
def aligned(order: int) -> int:
    """A bit for every frame whose number 2^order divides."""
    bits, width = int64(1), int64(1) << order
    while width < LARGEST_MEMORY:
        bits |= bits << width
        width *= 2
    return bits & ones(LARGEST_MEMORY)


@compiled
def forgets(free: int, n_frames: int, first: int, memory: int, scratch: Array) -> int:
    """Nothing to remember."""
    return int64(0)


@compiled
def keeps(free: int, granted: int, first: int, memory: int, scratch: Array) -> int:
    """A free changes nothing of what is remembered."""
    return memory


@compiled
def roves(free: int, n_frames: int, first: int, memory: int, scratch: Array) -> int:
    """The rover stands where the last allocation ended."""
    return first + n_frames


@compiled
def exactly(n_frames: int) -> int:
    return n_frames


@compiled
def power_of_two(n_frames: int) -> int:
    block = int64(1)
    while block < n_frames:
        block *= 2
    return block


# -- a buddy's lists, last in, first out ---------------------------------------------------------------------------------------------------
#
# Which blocks are free follows from the layout; their order in the lists does not. It is remembered as a number: each list as a permutation of
# its blocks in ascending order (Lehmer's code), one list after the other, in mixed radix. 40 frames have less than 2^63 such orders.

LARGEST_LISTED = 40
N_LISTS, LIST_ROOM = 6, 32
SCRATCH_WORDS = N_LISTS * (LIST_ROOM + 1)
"""For each order a list, the first to be taken first, and its length before it."""


@compiled
def unpack(free: int, memory: int, scratch: Array) -> None:
    """The lists, out of the free frames and the number."""
    for order in range(N_LISTS):
        rest = blocks(free, order)
        n = count_bits(rest)
        scratch[order * (LIST_ROOM + 1)] = n
        for i in range(n):
            nth = memory % (n - i)
            memory //= n - i
            bit = rest
            for _ in range(nth):
                bit &= bit - 1
            bit &= -bit
            rest ^= bit
            scratch[order * (LIST_ROOM + 1) + 1 + i] = int64(trailing_zeros(bit))


@compiled
def pack(scratch: Array) -> int:
    """The number, out of the lists: from the last digit to the first."""
    memory = int64(0)
    for back in range(N_LISTS):
        at = (N_LISTS - 1 - back) * (LIST_ROOM + 1)
        n, behind = scratch[at], int64(0)
        for i in range(n, 0, -1):
            bit = int64(1) << scratch[at + i]
            memory = memory * (n - i + 1) + count_bits(behind & (bit - 1))
            behind |= bit
    return memory


@compiled
def count_bits(bits: int) -> int:
    n = int64(0)
    while bits != 0:
        n += 1
        bits &= bits - 1
    return n


@compiled
def push(scratch: Array, order: int, block: int) -> None:
    """Put a block at the front of its list."""
    at = order * (LIST_ROOM + 1)
    scratch[at] += 1
    for i in range(scratch[at], 1, -1):
        scratch[at + i] = scratch[at + i - 1]
    scratch[at + 1] = block


@compiled
def remove(scratch: Array, order: int, block: int) -> bool:
    """Take a block out of its list. False when it is not there."""
    at, found = order * (LIST_ROOM + 1), False
    for i in range(1, scratch[at] + 1):
        if found:
            scratch[at + i - 1] = scratch[at + i]
        found = found or scratch[at + i] == block
    scratch[at] -= found
    return found


@compiled
def order_of(n_frames: int) -> int:
    order = int64(0)
    while int64(1) << order < n_frames:
        order += 1
    return order


@compiled
def buddy(free: int, n_frames: int, memory: int, scratch: Array) -> int:
    """The first of the list of the smallest sufficient order."""
    unpack(free, memory, scratch)
    for order in range(order_of(n_frames), N_LISTS):
        if scratch[order * (LIST_ROOM + 1)] != 0:
            return int64(scratch[order * (LIST_ROOM + 1) + 1])
    return int64(NONE)


@compiled
def buddy_placed(free: int, n_frames: int, first: int, memory: int, scratch: Array) -> int:
    """Split what was taken, and push the upper halves. The lists are unpacked: `buddy` has just looked at them."""
    wanted, found = order_of(n_frames), int64(0)
    while not remove(scratch, found, first):
        found += 1
    while found > wanted:
        found -= 1
        push(scratch, found, first + (int64(1) << found))
    return pack(scratch)


@compiled
def buddy_released(free: int, granted: int, first: int, memory: int, scratch: Array) -> int:
    """Merge the block with its buddy as long as that is free, and push what comes of it."""
    unpack(free, memory, scratch)
    order = order_of(granted)
    while order < N_LISTS and remove(scratch, order, first ^ (int64(1) << order)):
        first &= ~(int64(1) << order)
        order += 1
    push(scratch, order, first)
    return pack(scratch)


PLACINGS = {
    "first-fit": Placing(first_fit, forgets, forgets, exactly),
    "next-fit": Placing(next_fit, roves, keeps, exactly),
    "best-fit": Placing(best_fit, forgets, forgets, exactly),
    "worst-fit": Placing(worst_fit, forgets, forgets, exactly),
    "buddy:order=address": Placing(address_buddy, forgets, forgets, power_of_two),
    "buddy": Placing(buddy, buddy_placed, buddy_released, power_of_two, LARGEST_LISTED),
}
"""The policies that have a compact form, by their full names."""
