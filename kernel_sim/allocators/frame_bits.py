"""One bit a frame, set for a frame that is not free, and summaries that find the lowest word with a long enough stretch of free frames.

For each word of 64 frames there are seven summary bits, one for each order k from 0 to 6: clear when a stretch of at least 2^k free frames *starts*
at some frame of the word; it may go on into the next. That is 7/64 of a bit a frame more. The seven bits of 64 neighbouring words stand side by
side in one line of the processor's cache:

    level 0     used used used used …                          a word: 64 frames
    level 1     [order 0 | order 1 | … | order 6 | -] …         a row of 8 words: for each order one bit a word of level 0
    level 2     the same: for each order one bit a row of level 1, set when all 64 bits of the row's word are
    …           up to a level of one row

A word's summary depends on itself and on the word behind it, so a change of one word is a look at two. What lies outside the zone is never free.
All words of a zone where everything is free are zero: a terabyte that nobody touched is memory that nobody wrote.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from kernel_sim.compiled import Array, compiled, int64, trailing_zeros
from kernel_sim.errors import BrokenInvariant
from kernel_sim.frames import words_at

N_SUMMARIES = 7                 # orders 0 to 6
ROW = 8                         # words
_LEVELS = 8                     # 64^6 words cover 2^42 frames
ROVER, TOP = 0, 1               # words: where a search goes on, the uppermost level; then where each level begins, and how many it sums up
_START, _CHILDREN = 2, 2 + _LEVELS
_HEADER = 2 + 2 * _LEVELS
NONE = -1


class BitArea(NamedTuple):
    """One zone's bits. Positions count frames from the multiple of 64 at or below the zone's first frame."""

    header: Array       # int64: ROVER, TOP, where each level begins in `words`, how many words or rows each level sums up
    words: Array        # int64: all levels
    base: int           # the frame at position 0
    n_words: int        # of level 0
    tally: Array
    first: int
    end: int


def _levels(n_words: int) -> Iterator[int]:
    """How many words or rows each level from 1 on sums up. There is always room for one more, which is never free."""
    while True:
        yield n_words
        n_words = (n_words >> 6) + 1
        if n_words == 1:
            return


def n_words(first: int, end: int, n_runs: int) -> int:
    n_bit_words = (end - (first & ~63) + 63) >> 6
    return _HEADER + n_bit_words + sum(ROW * ((children >> 6) + 1) for children in _levels(n_bit_words))


@compiled
def open_area(frames: Array, words: int, n_words: int, tally: Array, first: int, end: int) -> BitArea:
    base = first & ~int64(63)
    return BitArea(words_at(words, _HEADER), words_at(words + 8 * _HEADER, n_words - _HEADER), base, (end - base + 63) >> 6, tally, first, end)


@compiled
def lay_out(area: BitArea) -> None:
    """The levels, for words that all have a free frame, and none behind them."""
    start, children, level = area.n_words, area.n_words, 1
    full = False                    # whether the last row of the level below sums up nothing that exists
    while True:
        area.header[_START + level] = start
        area.header[_CHILDREN + level] = children
        missing = int64(-1) << (children & 63)
        if full:
            missing |= int64(1) << ((children - 1) & 63)
        for order in range(N_SUMMARIES):
            area.words[start + ROW * (children >> 6) + order] = missing
        full = missing == -1
        start += ROW * ((children >> 6) + 1)
        children = (children >> 6) + 1
        if children == 1:
            break
        level += 1
    area.header[TOP] = level
    area.header[ROVER] = 0


@compiled
def shifted(word: int, by: int) -> int:
    """A word's bits moved down by 1 to 63 places; zeros follow."""
    return int64((word >> by) & ~(int64(-1) << (64 - by)))


@compiled
def bits_between(at: int, first: int, end: int) -> int:
    """The bits of word `at` that positions from first to end have, of which there is at least one."""
    low, high = max(first - 64 * at, 0), min(end - 64 * at, 64)
    return int64((int64(-1) << low) & ~((int64(-1) << (high - 1)) << 1))


@compiled
def free_in(area: BitArea, at: int) -> int:
    """The free frames of a word, as set bits; none beyond the last."""
    return int64(~area.words[at]) if at < area.n_words else int64(0)


@compiled
def set_used(area: BitArea, first: int, end: int) -> None:
    """Positions from first to end, of which there is at least one, are no longer free."""
    for at in range(first >> 6, ((end - 1) >> 6) + 1):
        area.words[at] |= bits_between(at, first, end)
    sum_up(area, first >> 6, (end - 1) >> 6)


@compiled
def set_free(area: BitArea, first: int, end: int) -> None:
    """Positions from first to end, of which there is at least one, are free again."""
    for at in range(first >> 6, ((end - 1) >> 6) + 1):
        area.words[at] &= ~bits_between(at, first, end)
    sum_up(area, first >> 6, (end - 1) >> 6)


@compiled
def sum_up(area: BitArea, first: int, last: int) -> None:
    """Bring the summaries of changed words up to date, and of the word before them if a stretch may go on from it."""
    if first > 0 and area.words[first - 1] >= 0:        # its uppermost bit, the sign, is clear
        first -= 1
    for at in range(first, last + 1):
        sum_up_word(area, at)


@compiled
def sum_up_word(area: BitArea, at: int) -> None:
    """The seven summary bits of a word. Where there is no stretch of an order and was none, there is and was none of the larger ones."""
    row, bit = area.header[_START + 1] + ROW * (at >> 6), int64(1) << (at & 63)
    here, there = free_in(area, at), free_in(area, at + 1)
    for order in range(N_SUMMARIES):
        if order:
            here, there = starts_of_twice(here, there, int64(1) << (order - 1))
        before = area.words[row + order]
        if here == 0:
            if before & bit:
                return
            area.words[row + order] = before | bit
            if before | bit == -1:
                note_full(area, at >> 6, order)
        elif before & bit:
            area.words[row + order] = before & ~bit
            if before == -1:
                forget_full(area, at >> 6, order)


@compiled
def starts_of_twice(here: int, there: int, length: int) -> tuple[int, int]:
    """From where stretches of `length` start, at most 32, in a word and in the next: where those of twice the length start.

    Of the next word only the starts that need no third one are right, and they are all that is asked for.
    """
    return here & (shifted(here, length) | there << (64 - length)), there & shifted(there, length)


@compiled
def note_full(area: BitArea, at: int, order: int) -> None:
    """All 64 bits of a row's word are set: so is one bit on the level above, and so on while that fills a word."""
    level = 2
    while level <= area.header[TOP]:
        word = area.header[_START + level] + ROW * (at >> 6) + order
        area.words[word] |= int64(1) << (at & 63)
        if area.words[word] != -1:
            return
        at >>= 6
        level += 1


@compiled
def forget_full(area: BitArea, at: int, order: int) -> None:
    """Not all of them are any more."""
    level = 2
    while level <= area.header[TOP]:
        word = area.header[_START + level] + ROW * (at >> 6) + order
        before = area.words[word]
        area.words[word] = before & ~(int64(1) << (at & 63))
        if before != -1:
            return
        at >>= 6
        level += 1


@compiled
def next_word(area: BitArea, at: int, order: int) -> int:
    """The lowest word, from `at` on, where a stretch of 2^order free frames starts; NONE. Up the levels until something is left, then down."""
    level, top = 1, area.header[TOP]
    while True:
        left = ~area.words[area.header[_START + level] + ROW * (at >> 6) + order] & (int64(-1) << (at & 63))
        if left:
            break
        if level == top:
            return NONE
        at = (at >> 6) + 1
        level += 1
    at = (at & ~int64(63)) + trailing_zeros(left)
    while level > 1:
        level -= 1
        at = (at << 6) + trailing_zeros(~area.words[area.header[_START + level] + ROW * at + order])
    return int64(at)


def used_words(area: Any) -> Array:
    """Level 0, as unsigned numbers."""
    return np.asarray(area.words[:area.n_words]).view(np.uint64)


def free_runs(area: Any) -> Iterator[tuple[int, int]]:
    """Runs of free frames as (pfn, n_frames), ascending; words that are free as a whole are taken together, so that a terabyte is one run."""
    words = used_words(area)
    mixed = np.flatnonzero(words)
    gaps = np.diff(np.concatenate([[-1], mixed, [len(words)]])) - 1
    for before, gap in zip([*mixed.tolist(), len(words)], gaps.tolist(), strict=True):
        if gap:
            yield int(area.base) + 64 * (before - gap), 64 * gap
        if before < len(words):
            used = np.unpackbits(words[before:before + 1].view(np.uint8), bitorder="little")
            edges = np.flatnonzero(np.diff(used, prepend=1, append=1)).tolist()
            yield from ((int(area.base) + 64 * before + first, end - first) for first, end in zip(edges[::2], edges[1::2], strict=True))


def check(area: Any) -> None:
    """Every summary says what is below it, computed anew from the bits."""
    used = used_words(area)
    there = np.append(used[1:], ~np.uint64(0))
    at = np.flatnonzero(used | there)               # elsewhere everything is free, and all summaries are zero
    here, there = ~used[at], ~there[at]
    for order in range(N_SUMMARIES):
        full = at[here == 0]
        children = int(area.n_words)
        for level in range(1, int(area.header[TOP]) + 1):
            n_rows = (children >> 6) + 1
            start = int(area.header[_START + level])
            bits = np.ascontiguousarray(area.words[start + order:start + ROW * n_rows:ROW])
            expected = np.zeros(64 * n_rows, np.uint8)
            expected[full] = 1
            expected[children:] = 1
            packed = np.packbits(expected, bitorder="little").view(np.int64)
            if int(area.header[_CHILDREN + level]) != children or not np.array_equal(bits, packed):
                raise BrokenInvariant(f"the summary of order {order} is wrong on level {level}")
            full, children = np.flatnonzero(packed == -1), n_rows
        if order < N_SUMMARIES - 1:
            length = np.uint64(1 << order)
            here, there = here & ((here >> length) | (there << (np.uint64(64) - length))), there & (there >> length)
