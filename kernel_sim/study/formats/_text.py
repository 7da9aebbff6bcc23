"""Text taken apart in compiled code, eight bytes at a time.

Positions count the text's bytes; ranges are half open. Blanks are all bytes up to 32 but the line feed. Whatever the bytes
are, nothing behind the text's end is read, and no function but `line_end` passes a line feed.

The sums in here never carry from one byte to the next: they run on seven bits of each byte, whose eighth takes the carry.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from kernel_sim.compiled import Array, array_view, compiled, entry

LINE_FEED, BLANK, ZERO, NINE, COLON, LETTER_X = 10, 32, 48, 57, 58, 120
TOO_LARGE = 1 << 48
"""Numbers stop growing here: larger than any that means something, small enough never to overflow."""


class Text(NamedTuple):
    """A text somebody else keeps in memory: the address of its first byte, and its length in bytes."""

    address: int
    n: int


_bytes_at = array_view("<u1")
_words_at = array_view("<u8")


@compiled
def byte(text: Text, at: int) -> int:
    return _bytes_at(text.address, text.n)[at]  # type: ignore[no-any-return]


@compiled
def word(text: Text, at: int) -> Any:
    """The eight bytes from `at`, of which the text must have as many."""
    return _words_at(text.address + at, (text.n - at) >> 3)[0]


@compiled
def unsigned(value: int) -> Any:
    """A number to keep with eight bytes of a text. Mixed with a signed one they would become a float in compiled code."""
    return np.uint64(value)


@compiled
def signed(value: Any) -> int:
    """Such a number, or a byte, as one to count with."""
    return np.int64(value)  # type: ignore[return-value]  # numba's int


def eight_bytes(value: int) -> Any:
    """A constant of that kind."""
    return np.uint64(value)


_LOW_BITS, _TOP_BITS = eight_bytes(0x7F7F7F7F7F7F7F7F), eight_bytes(0x8080808080808080)
_ABOVE_BLANK = eight_bytes(0x5F5F5F5F5F5F5F5F)
_LINE_FEEDS, _COLONS = eight_bytes(0x0A0A0A0A0A0A0A0A), eight_bytes(0x3A3A3A3A3A3A3A3A)
_ONE, _8, _16, _32 = eight_bytes(1), eight_bytes(8), eight_bytes(16), eight_bytes(32)
_MAX1, _MAX2, _MAX4 = eight_bytes(0xFF), eight_bytes(0xFFFF), eight_bytes(0xFFFFFFFF)


@compiled
def zero_bytes(eight: Any) -> Any:
    """The top bit of each of eight bytes that is zero."""
    return ~(((eight & _LOW_BITS) + _LOW_BITS) | eight) & _TOP_BITS


@compiled
def blank_bytes(eight: Any) -> Any:
    """The top bit of each of eight bytes that is a blank or a control character."""
    return ~(((eight & _LOW_BITS) + _ABOVE_BLANK) | eight) & _TOP_BITS


@compiled
def first_marked(marks: Any) -> int:
    """Which of eight bytes is the first with its top bit set; there must be one, and no other bits."""
    first = marks & (~marks + _ONE)
    index = 0
    if first > _MAX4:
        first >>= _32
        index += 4
    if first > _MAX2:
        first >>= _16
        index += 2
    if first > _MAX1:
        index += 1
    return index


@compiled
def line_end(text: Text, at: int) -> int:
    """The line feed at or behind `at`, or the text's end."""
    while at + 8 <= text.n:
        marks = zero_bytes(word(text, at) ^ _LINE_FEEDS)
        if marks:
            return at + first_marked(marks)
        at += 8
    while at < text.n and byte(text, at) != LINE_FEED:
        at += 1
    return at


@compiled
def word_end(text: Text, at: int) -> int:
    """The blank or line feed at or behind `at`, or the text's end."""
    while at + 8 <= text.n:
        marks = blank_bytes(word(text, at))
        if marks:
            return at + first_marked(marks)
        at += 8
    while at < text.n and byte(text, at) > BLANK:
        at += 1
    return at


@compiled
def colon(text: Text, at: int) -> int:
    """The first colon in the line at or behind `at` that ends a word; -1 if none does."""
    while at + 8 < text.n:
        eight = word(text, at)
        marks = zero_bytes(eight ^ _COLONS) | zero_bytes(eight ^ _LINE_FEEDS)
        if not marks:
            at += 8
            continue
        at += first_marked(marks)
        if byte(text, at) == LINE_FEED:
            return -1
        if at + 1 < text.n and byte(text, at + 1) <= BLANK:
            return at
        at += 1
    return _last_colon(text, at)


@entry
def _last_colon(text: Text, at: int) -> int:
    while at < text.n and byte(text, at) != LINE_FEED:
        if byte(text, at) == COLON and (at + 1 == text.n or byte(text, at + 1) <= BLANK):
            return at
        at += 1
    return -1


@entry
def _last_bytes(text: Text, at: int) -> Any:
    eight = unsigned(0)
    for i in range(text.n - 1, at - 1, -1):
        eight = (eight << _8) | unsigned(byte(text, i))
    return eight


@compiled
def head(text: Text, at: int) -> Any:
    """The eight bytes at `at`, with zeros where the text has ended."""
    return word(text, at) if at + 8 <= text.n else _last_bytes(text, at)


@compiled
def skip_blanks(text: Text, at: int) -> int:
    while at < text.n and byte(text, at) <= BLANK and byte(text, at) != LINE_FEED:
        at += 1
    return at


@compiled
def skip_digits(text: Text, at: int) -> int:
    while at < text.n and ZERO <= byte(text, at) <= NINE:
        at += 1
    return at


@compiled
def byte_is(text: Text, at: int, value: int) -> bool:
    return at < text.n and byte(text, at) == value


@compiled
def number(text: Text, at: int, end: int) -> int:
    """The number that fills the range, decimal or hexadecimal with 0x; -1 if it is none; TOO_LARGE at the most."""
    value = 0
    if end - at > 2 and byte(text, at) == ZERO and byte(text, at + 1) == LETTER_X:
        for i in range(at + 2, end):
            digit = signed(byte(text, i)) - ZERO
            if digit > 9:
                digit = (digit | 32) - 39                                        # letters of either case
                if digit < 10:
                    return -1
            if digit < 0 or digit > 15:
                return -1
            value = min(value << 4 | digit, TOO_LARGE)
        return value
    for i in range(at, end):
        digit = signed(byte(text, i)) - ZERO
        if digit < 0 or digit > 9:
            return -1
        value = min(value * 10 + digit, TOO_LARGE)
    return value if at < end else -1


@compiled
def word_start(text: Text, at: int, end: int) -> int:
    """Where the word that ends at `end` begins, not before `at`."""
    while end - 8 >= at and not blank_bytes(word(text, end - 8)):
        end -= 8
    while end > at and byte(text, end - 1) > BLANK:
        end -= 1
    return end


@compiled
def starts_with(text: Text, at: int, letters: Array) -> bool:
    if text.n - at < len(letters):
        return False
    for i in range(len(letters)):
        if byte(text, at + i) != letters[i]:
            return False
    return True


@compiled
def same(text: Text, first: int, other: int, n_bytes: int) -> bool:
    """Whether two stretches of the text, both inside it, are equal."""
    if n_bytes < 8:
        for i in range(n_bytes):
            if byte(text, first + i) != byte(text, other + i):
                return False
        return True
    for i in range(0, n_bytes - 8, 8):
        if word(text, first + i) != word(text, other + i):
            return False
    return bool(word(text, first + n_bytes - 8) == word(text, other + n_bytes - 8))
