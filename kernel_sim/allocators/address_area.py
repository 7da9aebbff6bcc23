"""Free blocks by order, the lowest address first: a bit for each possible block, and summaries to find the lowest set one.

For each order there is a bitmap, one bit a block. Above it stands a summary with one bit for each 32-bit word that is not zero, above that
another, up to a single word: the lowest free block is found by walking down, one word a level (logarithmic, with base 32). The
interface is that of `free_area`, and only the choice differs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from kernel_sim.compiled import Array, compiled, int64, trailing_zeros
from kernel_sim.errors import BrokenInvariant
from kernel_sim.frames import NIL, half_words_at, words_at
from kernel_sim.units import MAX_ORDER, N_ORDERS

TOP = MAX_ORDER
_LEVELS = 8     # 32^7 bits cover 2^35 frames; the eighth entry says how many levels an order has


class AddressArea(NamedTuple):
    """One zone's free blocks."""

    frames: Array
    bits: Array         # uint32: the bitmaps of every order and level
    start: Array        # int64 by order and level: where a bitmap begins in `bits`; the last of each order: its levels
    deferred: Array     # int64: whether buddies may stand unmerged, for one that merges late
    tally: Array
    first: int
    end: int


def _sizes(first: int, end: int) -> Iterator[tuple[int, int, int]]:
    """(order, level, uint32 words) of every bitmap of a zone."""
    for order in range(N_ORDERS):
        n_bits, level = ((end - 1) >> order) - (first >> order) + 1, 0
        while True:
            n_bits = (n_bits + 31) // 32
            yield order, level, n_bits
            level += 1
            if n_bits == 1:
                break


def n_words(first: int, end: int, n_runs: int) -> int:
    return N_ORDERS * _LEVELS + 1 + (sum(size for _, _, size in _sizes(first, end)) + 1) // 2


@compiled
def open_area(frames: Array, words: int, n_words: int, tally: Array, first: int, end: int) -> AddressArea:
    n_start = N_ORDERS * _LEVELS
    bits = half_words_at(words + 8 * (n_start + 1), 2 * (n_words - n_start - 1))
    return AddressArea(frames, bits, words_at(words, n_start), words_at(words + 8 * n_start, 1), tally, first, end)


@compiled
def clear(area: AddressArea) -> None:
    """Lay the bitmaps out, all zeros."""
    area.deferred[0] = 0
    at = 0
    for order in range(N_ORDERS):
        n_bits, level = ((area.end - 1) >> order) - (area.first >> order) + 1, 0
        while level == 0 or n_bits > 1:
            n_bits = (n_bits + 31) // 32
            area.start[order * _LEVELS + level] = at
            at += n_bits
            level += 1
        area.start[order * _LEVELS + _LEVELS - 1] = level


@compiled
def push(area: AddressArea, pfn: int, order: int) -> None:
    """Note a block as free: its bit, and those above it up to the first that is set already."""
    at = (pfn >> order) - (area.first >> order)
    for level in range(area.start[order * _LEVELS + _LEVELS - 1]):
        word = area.start[order * _LEVELS + level] + (at >> 5)
        before = int64(area.bits[word])
        area.bits[word] = before | (int64(1) << (at & 31))
        if before:
            return
        at >>= 5


@compiled
def remove(area: AddressArea, pfn: int, order: int) -> None:
    """Note a block as taken: its bit, and those above it while their words have become zero."""
    at = (pfn >> order) - (area.first >> order)
    for level in range(area.start[order * _LEVELS + _LEVELS - 1]):
        word = area.start[order * _LEVELS + level] + (at >> 5)
        after = int64(area.bits[word]) & ~(int64(1) << (at & 31))
        area.bits[word] = after
        if after:
            return
        at >>= 5


@compiled
def is_free(area: AddressArea, pfn: int, order: int) -> bool:
    """Whether a free block of exactly that order begins there."""
    at = (pfn >> order) - (area.first >> order)
    return bool((int64(area.bits[area.start[order * _LEVELS] + (at >> 5)]) >> (at & 31)) & 1)


@compiled
def front(area: AddressArea, order: int, top: int) -> int:
    """The lowest free block of an order, or NIL."""
    level = area.start[order * _LEVELS + _LEVELS - 1]
    at = int64(0)
    while level > 0:
        level -= 1
        word = int64(area.bits[area.start[order * _LEVELS + level] + at])
        if word == 0:
            return NIL
        at = (at << 5) + trailing_zeros(word)
    return int64((at + (area.first >> order)) << order)


@compiled
def behind(area: AddressArea, pfn: int, order: int) -> int:
    """The next free block of an order above one, or NIL: up as far as a word has a bit beyond, and down again."""
    levels = area.start[order * _LEVELS + _LEVELS - 1]
    at, level = (pfn >> order) - (area.first >> order) + 1, int64(0)
    while level < levels:
        start = area.start[order * _LEVELS + level]
        n_in_level = area.start[order * _LEVELS + level + 1] - start if level < levels - 1 else int64(1)
        if at >> 5 >= n_in_level:
            return NIL
        rest = int64(area.bits[start + (at >> 5)]) >> (at & 31)
        if rest:
            at += trailing_zeros(rest)
            while level > 0:
                level -= 1
                at = (at << 5) + trailing_zeros(int64(area.bits[area.start[order * _LEVELS + level] + at]))
            return int64((at + (area.first >> order)) << order)
        at = (at >> 5) + 1
        level += 1
    return NIL


@compiled
def add_uncut(area: AddressArea, first: int, end: int) -> None:
    """Blocks of the top order, from first to end: their bits, and those above them, a word at a time."""
    low, high = (first >> TOP) - (area.first >> TOP), ((end - 1) >> TOP) - (area.first >> TOP)
    for level in range(area.start[TOP * _LEVELS + _LEVELS - 1]):
        for word in range(low >> 5, (high >> 5) + 1):
            bits = int64(0xFFFF_FFFF)
            if word == low >> 5:
                bits &= int64(0xFFFF_FFFF) << (low & 31)
            if word == high >> 5:
                bits &= int64(0xFFFF_FFFF) >> (31 - (high & 31))
            at = area.start[TOP * _LEVELS + level] + word
            area.bits[at] = int64(area.bits[at]) | bits
        low, high = low >> 5, high >> 5


def linked_blocks(area: AddressArea, top: int) -> Iterator[tuple[int, int]]:
    """Every free block as (pfn, order), ascending. BrokenInvariant where a summary does not sum up what is below it."""
    for order in range(top + 1):
        starts = area.start[order * _LEVELS:(order + 1) * _LEVELS]
        below: Array | None = None
        for level in range(int(starts[-1])):
            n_bits = ((area.end - 1) >> order) - (area.first >> order) + 1
            for _ in range(level + 1):
                n_bits = (n_bits + 31) // 32
            words = area.bits[int(starts[level]):int(starts[level]) + n_bits]
            set_bits = np.flatnonzero(np.unpackbits(words.view(np.uint8), bitorder="little"))
            if below is not None and not np.array_equal(set_bits, np.flatnonzero(below)):
                raise BrokenInvariant(f"the bitmaps of order {order} disagree between levels {level - 1} and {level}")
            if level == 0:
                for at in set_bits:
                    yield (int(at) + (area.first >> order)) << order, order
            below = words


def uncut_ranges(area: AddressArea) -> Iterator[tuple[int, int]]:
    """None: here every block has its bit."""
    return iter(())
