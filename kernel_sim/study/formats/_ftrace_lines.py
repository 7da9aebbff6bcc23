"""One line of a trace's text, taken apart in compiled code.

    tracefs      ``            init-1       [000] .....     3.117720: mm_page_free: page=ffffea00000af6c0 pfn=0x2bdb order=0``
    trace-cmd    ``            init-1     [000]     3.117720: mm_page_free:         page=0x2bdb pfn=0x2bdb order=0``
    perf script  ``            init     1 [000]     3.117720: kmem:mm_page_free: page=0x2bdb pfn=0x2bdb order=0``

A task may call itself anything, ``mm_page_alloc:`` and ``a: [0] b`` included, and a marker may hold a whole line of a trace.
So nothing is searched for: a line is read from its left. Tasks' names have at most 15 bytes and all three programs set them
right-aligned in 16 columns; behind them come the pid and ``[cpu]``, then the first word that ends in a colon. It is the time,
and the next one is the event; or, where no time was printed, it is the event. Only lines that were stripped of their padding
are searched for pid and ``[cpu]``.

Positions are those of `_text`; -1 says that there is no such thing.
"""

from __future__ import annotations

from typing import Any

from kernel_sim.compiled import compiled, entry
from kernel_sim.study.formats._text import (
    BLANK,
    COLON,
    NINE,
    TOO_LARGE,
    ZERO,
    Text,
    byte,
    byte_is,
    colon,
    eight_bytes,
    head,
    line_end,
    number,
    signed,
    skip_blanks,
    skip_digits,
    word,
    word_end,
    word_start,
)
from kernel_sim.units import MAX_FRAMES, MAX_ORDER

TASK_COLUMNS = 16
_SEARCHED_COLUMNS = 64
_DASH, _DOT, _SLASH, _OPEN, _CLOSE, _BRACKET, _UNBRACKET = 45, 46, 47, 40, 41, 91, 93

FINE, NO_PFN, NO_ORDER, BAD_PFN, BAD_ORDER, LARGE_PFN, LARGE_ORDER, CUT_OFF, FAILED_IN_KERNEL = range(9)
"""What came of an event's fields."""

_LOW_BITS, _TOP_BITS = eight_bytes(0x7F7F7F7F7F7F), eight_bytes(0x808080808080)
_SIX_ZEROS, _TO_TOP_ABOVE_9, _EVEN_BYTES = eight_bytes(0x303030303030), eight_bytes(0x767676767676), eight_bytes(0x00FF00FF00FF)
_TEN, _100, _10000 = eight_bytes(10), eight_bytes(100), eight_bytes(10000)
_8, _16, _32, _LOW_BYTE = eight_bytes(8), eight_bytes(16), eight_bytes(32), eight_bytes(0xFF)


@compiled
def microseconds(text: Text, at: int, end: int) -> int:
    """A time in seconds as microseconds, what is finer dropped; -1 for other clocks, which have no decimal point."""
    if end - at >= 8 and byte(text, end - 7) == _DOT:
        seconds, digits = number(text, at, end - 7), (word(text, end - 8) >> _16) ^ _SIX_ZEROS
        if seconds >= 0 and ((digits & _LOW_BITS) + _TO_TOP_ABOVE_9 | digits) & _TOP_BITS == 0:
            pairs = (digits & _EVEN_BYTES) * _TEN + ((digits >> _8) & _EVEN_BYTES)
            fraction = (pairs & _LOW_BYTE) * _10000 + ((pairs >> _16) & _LOW_BYTE) * _100 + (pairs >> _32)
            return min(seconds, TOO_LARGE >> 8) * 1000000 + signed(fraction)
    return _other_microseconds(text, at, end)


@entry
def _other_microseconds(text: Text, at: int, end: int) -> int:
    dot = skip_digits(text, at)
    if dot >= end or byte(text, dot) != _DOT:
        return -1
    value = min(number(text, at, dot), TOO_LARGE >> 8)
    for i in range(dot + 1, dot + 7):
        value *= 10
        if i < end and ZERO <= byte(text, i) <= NINE:
            value += signed(byte(text, i)) - ZERO
    return value


@compiled
def pid_and_cpu(text: Text, at: int) -> tuple[int, int, int]:
    """(pid's end, end of ``[cpu]``, cpu) if they stand behind the dash or blank at `at`; -1s otherwise.

    What comes behind ``[cpu]`` plays no part in it.
    """
    first = skip_blanks(text, at + 1)
    pid_end = skip_digits(text, first)
    if pid_end == first:
        return -1, -1, -1
    if byte_is(text, pid_end, _SLASH):                                           # perf's pid/tid
        pid_end = skip_digits(text, pid_end + 1)
    at = skip_blanks(text, pid_end)
    if byte_is(text, at, _OPEN):                                                 # tracefs' record-tgid: ( 1977), (-----)
        at += 1
        while byte_is(text, at, BLANK) or byte_is(text, at, _DASH) or skip_digits(text, at) > at:
            at += 1
        at = skip_blanks(text, at + 1) if byte_is(text, at, _CLOSE) else pid_end
    if at == pid_end or not byte_is(text, at, _BRACKET):
        return -1, -1, -1
    end = skip_digits(text, at + 1)
    if end == at + 1 or not byte_is(text, end, _UNBRACKET):
        return -1, -1, -1
    return pid_end, end + 1, number(text, at + 1, end)


@entry
def task_and_cpu(text: Text, at: int) -> tuple[int, int, int]:
    """(pid's end, end of ``[cpu]``, cpu) of the line that begins at `at`; -1s if it has none."""
    stop = line_end(text, at)
    aligned = at + TASK_COLUMNS
    if aligned < stop and (byte(text, aligned) == _DASH or byte(text, aligned) == BLANK):
        pid_end, end, cpu = pid_and_cpu(text, aligned)
        if end >= 0:
            return pid_end, end, cpu
    for column in range(skip_blanks(text, at) + 1, min(stop, at + _SEARCHED_COLUMNS)):
        if byte(text, column) == _DASH or byte(text, column) == BLANK:
            pid_end, end, cpu = pid_and_cpu(text, column)
            if end >= 0:
                return pid_end, end, cpu
    return -1, -1, -1


@entry
def time_and_event(text: Text, at: int) -> tuple[int, int, int, int]:
    """(time's beginning, its end, event's beginning, its end), ends before the colons, of what stands in the line from `at`.

    No event's end if no colon ends it: then only the time, if any, was read.
    """
    time_end = colon(text, at)
    if time_end < 0:
        return -1, -1, -1, -1
    time = word_start(text, at, time_end)
    if time < time_end and not ZERO <= byte(text, time) <= NINE:                          # no time was printed
        return -1, -1, time, time_end
    first = skip_blanks(text, time_end + 1)
    end = word_end(text, first)
    if ZERO <= head(text, first) & _LOW_BYTE <= NINE and skip_digits(text, first) == end:     # perf's sample period
        first = skip_blanks(text, end)
        end = word_end(text, first)
    if end == first or byte(text, end - 1) != COLON:
        return time, time_end, first, -1
    return time, time_end, first, end - 1


def _head(start: bytes) -> tuple[Any, Any]:
    """A word's first bytes as a number, and the mask that takes as many from eight bytes of a text."""
    return eight_bytes(int.from_bytes(start, "little")), eight_bytes((1 << 8 * len(start)) - 1)


_PAGE, _PAGE_MASK = _head(b"page=")
_PFN, _PFN_MASK = _head(b"pfn=")
_ORDER, _ORDER_MASK = _head(b"order=")
_MOBILITY, _ALL = _head(b"migratet")
_FLAGS, _ = _head(b"gfp_flag")
_NULL, _NULL_MASK = _head(b"(null)")
_NIL, _NIL_MASK = _head(b"(nil)")
_X_NIL, _X_NIL_MASK = _head(b"0x(nil)")


@compiled
def is_null(text: Text, at: int, end: int) -> bool:
    """Whether a pointer was printed as nothing: (null), (nil), 0x0, 0000000000000000."""
    eight = head(text, at)
    named = eight & _NULL_MASK == _NULL or eight & _NIL_MASK == _NIL or eight & _X_NIL_MASK == _X_NIL
    return named or number(text, at, end) == 0


@entry
def fields(text: Text, at: int, is_alloc: bool, finished: bool) -> tuple[int, int, int, int, int]:
    """(outcome, pfn, order, mobility, end) of the fields behind ``mm_page_alloc:`` or ``mm_page_free:``.

    `finished` is false for a text's last line without a line feed, which may have been cut anywhere.
    """
    page = skip_blanks(text, at)
    if head(text, page) & _PAGE_MASK == _PAGE:
        page = skip_blanks(text, page + 5)                                       # old kernels pad: page=          (null)
        at = word_end(text, page)
    page_end = at
    pfn, pfn_end = field(text, at, _PFN, _PFN_MASK, 4)
    order, order_end = field(text, pfn_end, _ORDER, _ORDER_MASK, 6)
    mobility, end = field(text, order_end, _MOBILITY, _ALL, 12) if is_alloc else (0, order_end)
    if not finished and (order < 0 or (is_alloc and not has_flags(text, order_end))):
        return CUT_OFF, pfn, order, mobility, end
    if pfn == 0 and is_null(text, page, page_end):
        return FAILED_IN_KERNEL, pfn, order, mobility, end
    return outcome(pfn, order), pfn, order, max(mobility, 0), end


@compiled
def field(text: Text, at: int, name: Any, mask: Any, n_letters: int) -> tuple[int, int]:
    """(number, end) of the next word that begins with a name, -2 if none does."""
    at = skip_blanks(text, at)
    while head(text, at) & mask != name:
        end = word_end(text, at)
        if end == at:
            return -2, at
        at = skip_blanks(text, end)
    end = word_end(text, at)
    return number(text, at + n_letters, end), end


@entry
def has_flags(text: Text, at: int) -> bool:
    """Whether ``gfp_flags=`` and something behind it comes."""
    at = skip_blanks(text, at)
    end = word_end(text, at)
    while head(text, at) != _FLAGS or end - at <= 10:
        if end == at:
            return False
        at = skip_blanks(text, end)
        end = word_end(text, at)
    return True


@compiled
def outcome(pfn: int, order: int) -> int:
    if pfn < 0:
        return NO_PFN if pfn == -2 else BAD_PFN
    if order < 0:
        return NO_ORDER if order == -2 else BAD_ORDER
    if order > MAX_ORDER:
        return LARGE_ORDER
    return FINE if pfn + (1 << order) <= MAX_FRAMES else LARGE_PFN
