"""Texts that are no trace's, or not a whole one: each is refused with one line that says where and why."""

from __future__ import annotations

import gzip
import lzma
from pathlib import Path

import pytest
from ftrace_texts import ALLOC_LINE, FREE_LINE, OTHER_LINE, events, read

from kernel_sim.errors import BadInput
from kernel_sim.operations import FREE
from kernel_sim.study.formats.ftrace import read_ftrace
from kernel_sim.units import MAX_FRAMES

REFUSED: list[tuple[bytes, str]] = [
    (b"", "t.txt: there is nothing in it"),
    (b"hello\nworld", "t.txt: no mm_page_alloc or mm_page_free among 2 lines: not a trace's text"),
    (
        b"            init-1       [000] .....     3.1: sched_switch: prev=a\n" * 1204,
        "t.txt: no mm_page_alloc or mm_page_free among 1,204 lines; found sched_switch",
    ),
    (OTHER_LINE, "t.txt: no mm_page_alloc or mm_page_free among 1 lines; found mm_page_free_batched"),
    (b"\x7fELF\0\1\2\n\0", "t.txt: not a trace's text: it is binary"),
    (b"PERFILE2\1\0\0", "t.txt: not a trace's text: a perf file: import what `perf script` prints of it"),
    (b"\x17\x08\x44tracing6\0", "t.txt: not a trace's text: a trace-cmd file: import what `trace-cmd report` prints of it"),
    (FREE_LINE + FREE_LINE.replace(b"order=0", b"order=11"), "t.txt:2: an order above 10, which no kernel has"),
    (FREE_LINE + FREE_LINE.replace(b"order=0", b"order=-1"), "t.txt:2: order= is not a number"),
    (FREE_LINE.replace(b"order=0", b"order="), "t.txt:1: order= is not a number"),
    (FREE_LINE.replace(b" order=0", b""), "t.txt:1: an event without order="),
    (FREE_LINE.replace(b"pfn=0x634c ", b""), "t.txt:1: an event without pfn="),
    (FREE_LINE.replace(b"0x634c", b"634c"), "t.txt:1: pfn= is not a number"),
    (FREE_LINE.replace(b"0x634c", b"0x63 4c"), ""),
    (FREE_LINE.replace(b"0x634c", b"0x"), "t.txt:1: pfn= is not a number"),
    (FREE_LINE.replace(b"0x634c", b"0x100000000"), f"t.txt:1: the event's frames go beyond frame {MAX_FRAMES:#x}"),
    (
        FREE_LINE.replace(b"0x634c", b"0xffffffffffffffffffffffffff"),
        f"t.txt:1: the event's frames go beyond frame {MAX_FRAMES:#x}",
    ),
    (ALLOC_LINE.replace(b"0x5348", b"0xffffffff"), f"t.txt:1: the event's frames go beyond frame {MAX_FRAMES:#x}"),
    (b"# tracer: nop\n" + ALLOC_LINE.split(b" order")[0] + b"\n" + FREE_LINE, "t.txt:2: an event without order="),
]


@pytest.mark.parametrize("text, what", REFUSED)
def test_refused(text: bytes, what: str) -> None:
    if not what:
        assert len(read(text).trace) == 1
        return
    with pytest.raises(BadInput) as refused:
        read(text)
    assert str(refused.value) == what


def test_the_highest_frame() -> None:
    assert events(read(FREE_LINE.replace(b"0x634c", b"%d" % (MAX_FRAMES - 1)))) == [(FREE, MAX_FRAMES - 1, 1)]
    with pytest.raises(BadInput):
        read(FREE_LINE.replace(b"0x634c", b"%d" % MAX_FRAMES))


@pytest.mark.parametrize("line", [ALLOC_LINE, FREE_LINE, OTHER_LINE])
def test_cut_anywhere_in_the_last_line(line: bytes) -> None:
    """A text that breaks off before the last event has come to its point is refused, wherever that is."""
    last = {ALLOC_LINE: b"gfp_flags=G", FREE_LINE: b"order=0", OTHER_LINE: b"order=0"}[line]
    for n in range(16, line.index(last) + len(last)):
        with pytest.raises(BadInput, match="t.txt:3: cut off in the middle of an event"):
            read(ALLOC_LINE + FREE_LINE + line[:n])
    assert read(ALLOC_LINE + FREE_LINE + line[:-1]).report.lines == 3


def test_cut_off_compressed_files(tmp_path: Path) -> None:
    whole = ALLOC_LINE + FREE_LINE * 1000
    for suffix, pack in ((".gz", gzip.compress), (".xz", lzma.compress)):
        path = tmp_path / f"name-that-says-nothing{suffix}.txt"
        path.write_bytes(pack(whole))
        assert len(read_ftrace(path).trace) == 1001
        path.write_bytes(pack(whole)[:-20])
        with pytest.raises(BadInput, match="name-that-says-nothing"):
            read_ftrace(path)
    with pytest.raises(BadInput, match="No such file"):
        read_ftrace(tmp_path / "none")
