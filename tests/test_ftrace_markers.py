"""Markers in a trace's text: what they may hold, and how they cut the trace."""

from __future__ import annotations

import re

import pytest
from ftrace_texts import ALLOC_LINE, FREE_LINE, OTHER_LINE, events, read, window

from kernel_sim.errors import BadInput
from kernel_sim.operations import ALLOC


@pytest.mark.parametrize(
    "marker",
    [
        b"tracing_mark_write: ",
        b"tracing_mark_write.isra.0: ",
        b"print: tracing_mark_write: ",
        b"print: 0xffff8s: ",
        b"ftrace:print: 0xffffffff8118: ",
        b"bprint: main: ",
        b"0xffffffff8118: ",
    ],
)
def test_markers_may_hold_anything(marker: bytes) -> None:
    """A marker with a whole event in its text is a marker."""
    line = b"            init-1       [000] .....     3.119100: " + marker + FREE_LINE
    found = read(ALLOC_LINE + line)
    assert (len(found.trace), found.report.markers) == (1, 1)


def test_markers_cut_the_trace() -> None:
    text = (
        FREE_LINE
        + window(b"phase START")
        + ALLOC_LINE
        + OTHER_LINE
        + window(b"START")
        + ALLOC_LINE
        + window(b"END")
        + FREE_LINE * 2
        + window(b"END")
    )
    assert len(read(text).trace) == 5
    found = read(text, from_marker="START", to_marker="END")
    assert events(found) == [(ALLOC, 0x5348, 2)] * 2
    assert (found.report.outside, found.report.markers, found.report.other_events) == (3, 4, {"mm_page_free_batched": 1})
    assert len(read(text, from_marker=" END ").trace) == 2
    assert len(read(text, to_marker="START").trace) == 1
    assert len(read(text, from_marker="phase START", to_marker="START").trace) == 1


def test_markers_as_other_programs_print_them() -> None:
    for form in (
        b"            init-1     [000]     3.1: print:                tracing_mark_write: GO\n",
        b"            init     1 [000]     3.1: ftrace:print: 0xffffffff81180a05s: GO\n",
        b"            init-1       [000] .....     3.1: tracing_mark_write: GO \r\n",
    ):
        assert len(read(FREE_LINE + form + ALLOC_LINE, from_marker="GO").trace) == 1


@pytest.mark.parametrize(
    "markers, what",
    [
        ({"from_marker": "NONE"}, "t.txt: no marker 'NONE'"),
        ({"from_marker": "O"}, "t.txt: no marker 'O'"),
        ({"to_marker": "NONE"}, "t.txt: no marker 'NONE'"),
        ({"from_marker": "GO", "to_marker": "GO"}, "t.txt: no marker 'GO' behind 'GO'"),
        ({"from_marker": "GO", "to_marker": "NONE"}, "t.txt: no marker 'NONE' behind 'GO'"),
        ({"from_marker": " "}, "t.txt: a marker's text cannot be empty"),
    ],
)
def test_markers_that_are_not_there(markers: dict[str, str], what: str) -> None:
    with pytest.raises(BadInput, match=re.escape(what)):
        read(FREE_LINE + window(b"GO") + FREE_LINE, **markers)


def test_nothing_between_the_markers() -> None:
    with pytest.raises(BadInput, match="t.txt: no allocations and frees between the markers"):
        read(FREE_LINE + window(b"A") + window(b"B"), from_marker="A", to_marker="B")
