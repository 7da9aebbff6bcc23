"""The compiled pass over a trace's text: every line once, from its left, into rows."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from kernel_sim.compiled import Array, array_view, compiled, entry
from kernel_sim.operations import ALLOC, FREE
from kernel_sim.study.formats._ftrace_lines import (
    CUT_OFF,
    FAILED_IN_KERNEL,
    FINE,
    fields,
    microseconds,
    task_and_cpu,
    time_and_event,
)
from kernel_sim.study.formats._names import Names, intern, spans_at
from kernel_sim.study.formats._text import (
    BLANK,
    COLON,
    LETTER_X,
    NINE,
    ZERO,
    Text,
    byte,
    eight_bytes,
    line_end,
    number,
    same,
    skip_blanks,
    skip_digits,
    starts_with,
    word,
)

LINES, ALLOCS, FREES, FAILED, SKIPPED, MARKERS, OUTSIDE, OTHERS, PLAIN, LOST_LINES, LOST, STAGE, LAST_OTHER = range(13)
N_COUNTS = 13
"""What is counted: lines of every kind; SKIPPED are allocations and frees outside the wanted part, OUTSIDE other events there."""

BEFORE, INSIDE, AFTER = 0, 1, 2
"""The stages of a pass: before the first marker, between the two, behind the second."""

_HASH, _BRACKET = 35, 91

ROW = np.dtype([("pfn", "<i8"), ("time_us", "<i8"), ("cpu", "<u2"), ("owner", "<u2"), ("kind", "u1"),
                ("order", "u1"), ("mobility", "u1"), ("spare", "u1")])
"""An event: 24 bytes."""

_rows_at, _numbers_at, _letters_at = array_view(ROW), array_view("<i8"), array_view("u1")


class Window(NamedTuple):
    """The part of the text that is wanted: addresses and lengths of the markers' texts, and the address of the counts.

    No `finish` is a length of 0; without a `begin`, the counts say at the start that the part is entered.
    """

    begin: int
    n_begin: int
    finish: int
    n_finish: int
    counts: int


class Line(NamedTuple):
    """What a line says before its event: where it begins, where pid and ``[cpu]`` end, the processor, and the task's number."""

    at: int
    pid_end: int
    after: int
    cpu: int
    task: int


def _letters(text: bytes) -> Array:
    return np.frombuffer(text, np.uint8)


def _number(text: bytes) -> Any:
    return eight_bytes(int.from_bytes(text, "little"))


_MM_PAGE, _GE_ALLOC, _AGE_FREE = map(_number, (b"mm_page_", b"ge_alloc", b"age_free"))
_MARK, _PRINT, _BPRINT, _BPUTS = map(_letters, (b"tracing_mark_write", b"print", b"bprint", b"bputs"))
_CPU, _PERF_LOST = _letters(b"CPU:"), _letters(b"PERF_RECORD_LOST")


@compiled
def is_name(text: Text, first: int, end: int, letters: Array) -> bool:
    return end - first == len(letters) and starts_with(text, first, letters)


@compiled
def is_marker_name(text: Text, first: int, end: int) -> bool:
    """tracing_mark_write, also with a compiler's .isra.0 behind it; print and its kin; or the bare address of the function."""
    return (starts_with(text, first, _MARK) or is_name(text, first, end, _PRINT) or is_name(text, first, end, _BPRINT)
            or is_name(text, first, end, _BPUTS)
            or (end - first > 2 and byte(text, first) == ZERO and byte(text, first + 1) == LETTER_X))


@compiled
def marker_says(text: Text, at: int, wanted: Array) -> bool:
    """Whether a marker's text is the wanted one, or ends in it behind a blank (``print: 0x1234s: START``)."""
    at = skip_blanks(text, at)
    stop = line_end(text, at)
    while stop > at and byte(text, stop - 1) <= BLANK:
        stop -= 1
    first = stop - len(wanted)
    return first >= at and starts_with(text, first, wanted) and (first == at or byte(text, first - 1) <= BLANK)


@compiled
def lost_events(text: Text, at: int) -> int:
    """How many events a line says were lost: ``CPU:0 [LOST 123 EVENTS]``, ``PERF_RECORD_LOST lost 123``; 0 for other lines.

    Such a line without a number counts as one.
    """
    stop = line_end(text, at)
    if starts_with(text, at, _CPU):
        while at < stop and byte(text, at) != _BRACKET:
            at += 1
    elif starts_with(text, at, _PERF_LOST):
        at += len(_PERF_LOST)
    else:
        return 0
    if at >= stop:
        return 0
    while at < stop and not ZERO <= byte(text, at) <= NINE:
        at += 1
    return max(number(text, at, skip_digits(text, at)), 1)


@compiled
def counts_of(window: Window) -> Array:
    return _numbers_at(window.counts, N_COUNTS)


@compiled
def pass_marker(text: Text, at: int, window: Window) -> None:
    """Count a marker, and enter or leave the part that is wanted."""
    counts = counts_of(window)
    counts[MARKERS] += 1
    if counts[STAGE] == BEFORE:
        if marker_says(text, at, _letters_at(window.begin, window.n_begin)):
            counts[STAGE] = INSIDE
    elif counts[STAGE] == INSIDE and window.n_finish > 0 and marker_says(text, at, _letters_at(window.finish, window.n_finish)):
        counts[STAGE] = AFTER


@compiled
def kind_of(text: Text, first: int, end: int) -> int:
    """ALLOC, FREE, or 0 for the name of another event."""
    if end - first < 12:
        return 0
    last = word(text, end - 8)
    if last == _AGE_FREE and begins_name(text, first, end - 12):
        return FREE
    return ALLOC if last == _GE_ALLOC and end - first > 12 and begins_name(text, first, end - 13) else 0


@compiled
def begins_name(text: Text, first: int, at: int) -> bool:
    """Whether ``mm_page_`` stands at `at`, where the event's own name begins: perf writes kmem:mm_page_free."""
    return bool(word(text, at) == _MM_PAGE and (at == first or byte(text, at - 1) == COLON))


@entry
def other_task(text: Text, tasks: Names, at: int) -> tuple[int, int, int, int]:
    """(pid's end, end of ``[cpu]``, cpu, the task's number) of a line that is not like the one before it."""
    pid_end, after, cpu = task_and_cpu(text, at)
    first = skip_blanks(text, at)
    return pid_end, after, min(max(cpu, 0), 65535), intern(text, tasks, first, max(pid_end, first))


@compiled
def begin_line(text: Text, tasks: Names, at: int, before: Line) -> Line:
    """Task and processor of a line. It is mostly like the line before it, and then nothing needs to be read."""
    length = before.after - before.at
    if before.after >= 0 and at + length <= text.n and same(text, at, before.at, length):
        return Line(at, at + before.pid_end - before.at, at + length, before.cpu, before.task)
    pid_end, after, cpu, task = other_task(text, tasks, at)
    return Line(at, pid_end, after, cpu, task)


@entry
def pass_other(text: Text, at: int, event: int, end: int, others: Names, window: Window) -> bool:
    """Count a line without an allocation or a free. False if it breaks off at the text's end."""
    counts = counts_of(window)
    if end < 0:
        first = skip_blanks(text, at)
        lost = lost_events(text, event if event >= 0 else first)
        counts[LOST] += lost if counts[STAGE] == INSIDE else 0
        counts[LOST_LINES if lost else PLAIN] += 1
        return lost > 0 or first >= text.n or byte(text, first) == _HASH or line_end(text, first) < text.n
    own = end
    while own > event and byte(text, own - 1) != COLON:                          # perf writes ftrace:print
        own -= 1
    if is_marker_name(text, own, end):
        pass_marker(text, end + 1, window)
    elif counts[STAGE] != INSIDE:
        counts[OUTSIDE] += 1
    else:
        counts[LAST_OTHER] = intern(text, others, event, end)
        pass_again(others, counts)
    return True


@compiled
def pass_again(others: Names, counts: Array) -> None:
    """Count another event whose name was the last one to be seen."""
    counts[OTHERS] += 1
    spans_at(others.spans, others.limit + 1)[counts[LAST_OTHER]]["met"] += 1


@compiled
def is_again(text: Text, event: int, end: int, others: Names, counts: Array) -> bool:
    """Whether a line is to be counted like the last one with another event: they come in rows."""
    last = counts[LAST_OTHER]
    if end < 0 or last < 0 or last >= others.limit or counts[STAGE] != INSIDE:
        return False
    span = spans_at(others.spans, others.limit + 1)[last]
    return span["end"] - span["first"] == end - event and same(text, event, span["first"], end - event)


@entry
def scan(text: Text, rows_at: int, n_rows: int, tasks: Names, others: Names, window: Window, last_line: int) -> tuple[int, int]:
    """Read the whole text. Returns (number of events, what went wrong or FINE); the counts' LINES is the line.

    `last_line` is the position behind the last line feed.
    """
    rows, counts, task_spans = _rows_at(rows_at, n_rows), counts_of(window), spans_at(tasks.spans, tasks.limit + 1)
    at, n, time_us = 0, 0, 0
    line = Line(0, -1, -1, 0, 0)
    while at < text.n:
        counts[LINES] += 1
        line = begin_line(text, tasks, at, line)
        time_at, time_end, event, end = -1, -1, -1, -1
        if line.after >= 0 or byte(text, at) != _HASH:
            time_at, time_end, event, end = time_and_event(text, max(line.after, at))
        kind = kind_of(text, event, end)
        if kind == 0:
            if is_again(text, event, end, others, counts):
                pass_again(others, counts)
            elif not pass_other(text, at, event, end, others, window):
                return n, CUT_OFF
            at = line_end(text, max(end, at)) + 1
            continue
        wrong, pfn, order, mobility, end = fields(text, end + 1, kind == ALLOC, at < last_line)
        if wrong != FINE and wrong != FAILED_IN_KERNEL:
            return n, wrong
        at = line_end(text, end) + 1
        if counts[STAGE] != INSIDE:
            counts[SKIPPED] += 1
        elif wrong == FAILED_IN_KERNEL:
            counts[FAILED] += 1
        else:
            time = microseconds(text, time_at, time_end) if time_end >= 0 else -1
            time_us = time if time >= 0 else time_us
            row = rows[n]
            row["kind"], row["order"], row["mobility"] = kind, order, min(mobility, 255)
            row["pfn"], row["cpu"], row["owner"], row["time_us"] = pfn, line.cpu, line.task, time_us
            counts[ALLOCS if kind == ALLOC else FREES] += 1
            task_spans[line.task]["met"] += 1
            n += 1
    return n, FINE
