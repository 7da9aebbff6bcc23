"""The text of kernels' traces: recorded ones, every format and trap, refusals, and any bytes at all."""

from __future__ import annotations

import gzip
import lzma
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kernel_sim.errors import BadInput
from kernel_sim.operations import ALLOC, FREE
from kernel_sim.study.formats.ftrace import Imported, Report, read_ftrace, read_text
from kernel_sim.study.trace import Trace
from kernel_sim.units import MAX_FRAMES

RECORDINGS = Path(__file__).parent / "data" / "kernel"

# From the recordings' README: allocations and frees by order, and frees of frames that the trace did not have allocated.
RECORDED = {
    "tiny_96M_k612": ({0: 1181, 1: 47}, {0: 1751, 1: 38}, 724),
    "frag_128M_k612": ({0: 7415, 1: 119, 2: 146}, {0: 6203, 1: 116}, 724),
    "huge_256M_k612": ({0: 2072, 1: 53, 9: 18}, {0: 2641, 1: 44, 9: 15}, 852),
    "mixed_256M_k612": ({0: 39066, 1: 294, 2: 99}, {0: 32724, 1: 195}, 903),
}

ALLOC_LINE = (
    b"            init-1       [000] .....     3.119021: mm_page_alloc: "
    b"page=ffffea000014d200 pfn=0x5348 order=1 migratetype=1 gfp_flags=GFP_KERNEL\n"
)
FREE_LINE = b"            init-1       [002] .....     3.119267: mm_page_free: page=ffffea000018d300 pfn=0x634c order=0\n"
OTHER_LINE = (
    b"            init-1       [002] ...2.     3.119268: mm_page_free_batched: page=ffffea000018d300 pfn=0x634c order=0\n"
)


def recording(name: str) -> Path:
    return next((RECORDINGS / name).glob("trace.txt.*"))


def events(found: Imported) -> list[tuple[int, int, int]]:
    """(kind, pfn, n_frames) of every event."""
    trace = found.trace
    return list(zip(trace.kind.tolist(), trace.pfn.tolist(), trace.n_frames.tolist(), strict=True))


def read(text: bytes, **markers: str) -> Imported:
    return read_text("t.txt", text, **markers)


def by_order(trace: Trace, kind: int) -> dict[int, int]:
    frames, counts = np.unique(trace.n_frames[trace.kind == kind], return_counts=True)
    return {int(n).bit_length() - 1: int(count) for n, count in zip(frames, counts, strict=True)}


@pytest.mark.parametrize("name", RECORDED)
def test_recorded_counts(name: str) -> None:
    """A whole recording has the allocations and frees that its README lists."""
    found = read_ftrace(recording(name))
    allocs, frees, never_allocated = RECORDED[name]
    assert (by_order(found.trace, ALLOC), by_order(found.trace, FREE)) == (allocs, frees)
    assert (found.report.allocs, found.report.frees) == (sum(allocs.values()), sum(frees.values()))
    assert (found.report.failed_in_kernel, found.report.lost, found.report.overwritten, found.report.markers) == (0, 0, 0, 6)
    live: set[int] = set()
    unknown = 0
    for kind, pfn, n_frames in events(found):
        if kind == ALLOC:
            live.update(range(pfn, pfn + n_frames))
        else:
            unknown += pfn not in live
            live.difference_update(range(pfn, pfn + n_frames))
    assert unknown == never_allocated


@pytest.mark.parametrize("name", RECORDED)
def test_recorded_columns(name: str) -> None:
    """Every column is what a regular expression over the text finds, one that knows this one format and nothing else."""
    path = recording(name)
    data = (gzip if path.suffix == ".gz" else lzma).open(path).read()
    pattern = re.compile(
        r"^ *(\S.*?-\d+) +\[(\d+)\] \S+ +(\d+)\.(\d{6}): mm_page_(alloc|free): "
        r"page=\S+ pfn=0x([0-9a-f]+) order=(\d+)(?: migratetype=(\d+))?",
        re.MULTILINE,
    )
    rows = [match.groups() for match in pattern.finditer(data.decode())]
    times = [int(row[2] + row[3]) for row in rows]
    trace = read_ftrace(path).trace
    assert [trace.owners[i] for i in trace.owner] == [row[0] for row in rows]
    assert trace.cpu.tolist() == [int(row[1]) for row in rows]
    assert trace.time_us.tolist() == [time - times[0] for time in times]
    assert trace.kind.tolist() == [ALLOC if row[4] == "alloc" else FREE for row in rows]
    assert trace.pfn.tolist() == [int(row[5], 16) for row in rows]
    assert trace.n_frames.tolist() == [1 << int(row[6]) for row in rows]
    assert trace.mobility.tolist() == [int(row[7] or 0) for row in rows]
    assert len(set(trace.owners)) == len(trace.owners) == len({row[0] for row in rows})


def test_every_line_is_counted_once() -> None:
    for markers in ({}, {"from_marker": "SNAP_B_start", "to_marker": "SNAP_A_end"}):
        report = read_ftrace(recording("huge_256M_k612"), **markers).report
        assert report.lines == 7827
        assert report.lines == lines_counted(report)


def lines_counted(report: Report) -> int:
    return (
        report.allocs
        + report.frees
        + report.failed_in_kernel
        + sum(report.other_events.values())
        + report.markers
        + report.outside
        + report.plain
        + report.lost_lines
    )


def test_an_event_without_a_name_is_no_line_without_an_event() -> None:
    report = read(FREE_LINE + b"            init-1       [002] .....     3.119267: :\n" + b"\n" * 3).report
    assert (report.other_events, report.plain) == ({"": 1}, 3)


FORMATS = {
    "tracefs": ALLOC_LINE + FREE_LINE,
    "tracefs, old flags, decimal": b"""\
# tracer: nop
            init-1     [000] ....     3.119021: mm_page_alloc: page=ffffea00 pfn=21320 order=1 migratetype=1 gfp_flags=0xcc0
            init-1     [002] d.h1     3.119267: mm_page_free: page=ffffea000018d300 pfn=25420 order=0
""",
    "tracefs with process ids": b"""\
            init-1       (      1) [000] .....     3.119021: mm_page_alloc: page=(ptrval) pfn=21320 order=1 migratetype=1 gfp_flags=0xcc0
            init-1       (-------) [002] .....     3.119267: mm_page_free: page=(____ptrval____) pfn=0x634c order=0
""",
    "trace-cmd": b"""\
version = 7
CPU 1 is empty
cpus=3
            init-1     [000]     3.119021: mm_page_alloc:        page=0x5348 pfn=0x5348 order=1 migratetype=1 gfp_flags=0
            init-1     [002]     3.119267: mm_page_free:         page=0x634c pfn=0x634c order=0
""",
    "trace-cmd, nanoseconds": b"""\
            init-1     [000] ..... 3.119021002: mm_page_alloc: page=0x5348 pfn=0x5348 order=1 migratetype=1 gfp_flags=0
            init-1     [002] ..... 3.119267999: mm_page_free: page=0x634c pfn=0x634c order=0
""",
    "trace-cmd, format unknown to it": b"""\
            init-1     [000]     3.119021: mm_page_alloc: [FAILED TO PARSE] pfn=0x5348 order=1 gfp_flags=3264 migratetype=1
            init-1     [002]     3.119267: mm_page_free: [FAILED TO PARSE] pfn=0x634c order=0
""",
    "perf": b"""\
            init     1 [000]     3.119021: kmem:mm_page_alloc: page=0xffffea00 pfn=21320 order=1 migratetype=1 gfp_flags=0
            init     1 [002]     3.119267: kmem:mm_page_free: page=0xffffea000018d300 pfn=0x634c order=0
""",
    "perf with call chains": b"""\
init     1 [000]     3.119021: kmem:mm_page_alloc: page=0xffffea00 pfn=21320 order=1 migratetype=1 gfp_flags=0xcc0
\tffffffff8128a3c1 __alloc_pages+0x1f1 ([kernel.kallsyms])
\t    7f1d2f3a1c4b std::vector<int>::push_back (/usr/lib/libmm_page_free: x.so)

init     1 [002]     3.119267: kmem:mm_page_free: page=0xffffea000018d300 pfn=25420 order=0
\tffffffff8128a3c1 free_unref_page+0x1f1 ([kernel.kallsyms])

""",
    "perf with periods": b"""\
            init     1 [000]     3.119021:          1 kmem:mm_page_alloc: page=0x5348 pfn=0x5348 order=1 migratetype=1 gfp_flags=0
            init     1 [002]     3.119267:          1 kmem:mm_page_free: page=0x634c pfn=0x634c order=0
""",
    "stripped of its blanks, by hand": b"""\
init-1 [000] ..... 3.119021: mm_page_alloc: page=ffffea00 pfn=21320 order=1 migratetype=1 gfp_flags=0
init-1 [002] ..... 3.119267: mm_page_free: page=ffffea00 pfn=0x634c order=0
""",
    "with carriage returns": (ALLOC_LINE + FREE_LINE).replace(b"\n", b"\r\n"),
    "without the last line feed": (ALLOC_LINE + FREE_LINE).rstrip(b"\n"),
}


@pytest.mark.parametrize("name", FORMATS)
def test_formats(name: str) -> None:
    """Every format says the same: 2 frames allocated by init on processor 0, and one freed 246 µs later on processor 2."""
    found = read(FORMATS[name])
    trace = found.trace
    assert events(found) == [(ALLOC, 0x5348, 2), (FREE, 0x634C, 1)]
    assert (trace.mobility.tolist(), trace.cpu.tolist(), trace.time_us.tolist()) == ([1, 0], [0, 2], [0, 246])
    assert [trace.owners[i] for i in trace.owner] == ["init-1", "init-1"]


@pytest.mark.parametrize(
    "line, times",
    [
        (b"          <idle>-0         0dNh2.  123us+: mm_page_free: page=00000000 pfn=0x7 order=0\n", [0, 0]),
        (b"            init-1       [000] .....  12345678: mm_page_free: page=00000000 pfn=0x7 order=0\n", [0, 0]),
        (b"mm_page_free: page=00000000 pfn=0x7 order=0\n", [0, 0]),
        (b"init 1 kmem:mm_page_free: page=00000000 pfn=0x7 order=0\n", [0, 0]),
        (b"            init-1       [000] .....     3.5: mm_page_free: page=00000000 pfn=0x7 order=0\n", [0, 0]),
    ],
)
def test_lines_that_say_less(line: bytes, times: list[int]) -> None:
    """Latency format, clocks that count no seconds, no header at all: frames are read, times are not made up."""
    found = read(line * 2)
    assert events(found) == [(FREE, 7, 1)] * 2
    assert found.trace.time_us.tolist() == times


NAMES = [
    b"Web Content",
    b"CPU 0/KVM",
    b"a: [0] b",
    b"mm_page_alloc: ",
    b"mm_page_free:",
    b"kworker/u8:3-ev",
    b"-1 [000] 1.0:",
    b"x-1 [0] y",
    b"page=7 pfn=0x9",
    b"\xff\xfe\x80",
    b"<...>",
    b"1.0: print: x",
    b"[000]",
    b"a-b-c",
    b": : : :",
    b"  two  blanks  ",
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "line",
    [
        b"%16s-12      [003] .....     3.119267: mm_page_free: page=ffff pfn=0x634c order=0\n",
        b"%16s    12 [003]     3.119267: kmem:mm_page_free: page=ffff pfn=0x634c order=0\n",
    ],
)
def test_names_of_tasks(name: bytes, line: bytes) -> None:
    """A task may call itself anything that fits into 15 bytes."""
    found = read(line % name)
    assert events(found) == [(FREE, 0x634C, 1)]
    assert found.trace.cpu.tolist() == [3]
    whole = name.strip() if b"kmem" in line else name.lstrip()  # perf's blanks may be anybody's
    assert found.trace.owners == (whole.decode(errors="backslashreplace") + "-12",)


@pytest.mark.parametrize(
    "name",
    [
        b"mm_page_free_batched",
        b"mm_page_free_direct",
        b"mm_page_pcpu_drain",
        b"mm_page_alloc_zone_locked",
        b"mm_page_alloc_extfrag",
        b"xmm_page_free",
        b"mm_page_fre",
        b"my_mm_page_alloc",
        b"mm_page_allocs",
    ],
)
def test_other_events_are_not_taken_for_it(name: bytes) -> None:
    line = FREE_LINE.replace(b"mm_page_free", name)
    found = read(ALLOC_LINE + line * 3 + FREE_LINE)
    assert len(found.trace) == 2
    assert found.report.other_events == {name.decode(): 3}


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


@pytest.mark.parametrize(
    "page, failed",
    [
        (b"page=(null) pfn=0", True),
        (b"page=          (null) pfn=0", True),
        (b"page=0000000000000000 pfn=0x0", True),
        (b"page=(nil) pfn=0x0", True),
        (b"page=0x(nil) pfn=0x0", True),
        (b"page=0 pfn=0", True),
        (b"page=(null) pfn=7", False),
        (b"page=ffffea0000000000 pfn=0", False),
        (b"page=(____ptrval____) pfn=0x0", False),
        (b"pfn=0", False),
    ],
)
def test_allocations_that_failed_in_the_kernel(page: bytes, failed: bool) -> None:
    line = ALLOC_LINE.replace(b"page=ffffea000014d200 pfn=0x5348", page)
    found = read(FREE_LINE + line)
    assert (found.report.failed_in_kernel, found.report.allocs) == ((1, 0) if failed else (0, 1))
    assert len(found.trace) == (1 if failed else 2)


def window(text: bytes) -> bytes:
    return b"            init-1       [000] .....     3.119021: tracing_mark_write: " + text + b"\n"


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


def test_lost_events() -> None:
    text = (
        b"# entries-in-buffer/entries-written: 25/1025   #P:1\n"
        + FREE_LINE
        + b"CPU:0 [LOST 123 EVENTS]\nCPU:2 [7 EVENTS DROPPED]\n"
        b"CPU:1 [EVENTS DROPPED]\n            init     1 [000]     3.2: PERF_RECORD_LOST lost 1000\n" + FREE_LINE
    )
    report = read(text).report
    assert (report.lost, report.lost_lines, report.overwritten, report.frees) == (123 + 7 + 1 + 1000, 4, 1000, 2)


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


def test_more_tasks_than_numbers() -> None:
    """The 65,536th task and all later ones share a name."""
    lines = b"".join(b"%16s-%-7d [000] .....     3.1: mm_page_free: page=0 pfn=0x7 order=0\n" % (b"t", i) for i in range(65540))
    trace = read(lines).trace
    assert (len(trace.owners), trace.owners[0], trace.owners[65534], trace.owners[65535]) == (65536, "t-0", "t-65534", "(others)")
    assert trace.owner.tolist()[65530:] == [65530, 65531, 65532, 65533, 65534, 65535, 65535, 65535, 65535, 65535]


def test_many_event_names() -> None:
    lines = b"".join(b"            init-1       [000] .....     3.1: event_%d: x\n" % i for i in range(1010))
    report = read(FREE_LINE + lines).report
    assert (len(report.other_events), report.other_events["(others)"]) == (1001, 10)


# An independent reading of the same rules, with regular expressions, for texts nobody would write.

BLANKS = rb"[\x00-\x09\x0b-\x20]"
HEADER = re.compile(
    rb"[- ]" + BLANKS + rb"*\d+(?:/\d*)?(?:" + BLANKS + rb"*\([ \d-]*\)" + BLANKS + rb"*|" + BLANKS + rb"+)\[(\d+)\]"
)
WORD = re.compile(BLANKS + rb"*([^\x00-\x20]*)")
NUMBER = re.compile(rb"0x[0-9a-fA-F]+|\d+")
MARKERS = re.compile(rb"tracing_mark_write.*|print|bprint|bputs|0x.+", re.DOTALL)


def header(line: bytes) -> tuple[int, int]:
    """(position behind ``[cpu]``, cpu) of a line; (-1, 0) without."""
    first = len(line) - len(line.lstrip(bytes(range(33))))
    for column in [16, *range(first + 1, 64)]:
        if (found := HEADER.match(line, column)) and (column != 16 or line[16:17] in (b"-", b" ")):
            return found.end(), min(int(found[1]), 65535)
    return -1, 0


def event_of(line: bytes) -> tuple[bytes, bytes]:
    """(event's name, what follows it)."""
    after, _ = header(line)
    if after < 0 and line[:1] == b"#":
        return b"", b""
    rest = line[max(after, 0) :]
    if not (end := re.search(rb":(?=[\x00-\x20]|\Z)", rest)):
        return b"", b""
    word = re.split(BLANKS, rest[: end.start()])[-1]
    if word and not word[:1].isdigit():
        return word, rest[end.end() :]
    rest = rest[end.end() :]
    found = WORD.match(rest)
    if found and found[1] and not found[1].strip(b"0123456789"):
        rest = rest[found.end() :]
        found = WORD.match(rest)
    if not found or not found[1].endswith(b":"):
        return b"", b""
    return found[1][:-1], rest[found.end() :]


def field(words: list[bytes], name: bytes) -> tuple[int | None, list[bytes]]:
    """The number in the first word that begins with `name` (-1: none, None: no such word), and the words behind it."""
    for i, text in enumerate(words):
        if text.startswith(name):
            value = text[len(name) :] if name != b"migratet" else text[len(b"migratetype=") :]
            return (int(value, 16 if value[:2] == b"0x" else 10) if NUMBER.fullmatch(value) else -1), words[i + 1 :]
    return None, []


def model(data: bytes) -> list[tuple[int, int, int, int, int]] | int:
    """(kind, pfn, n_frames, mobility, cpu) of every event; or the line that is wrong."""
    found = []
    lines = data.split(b"\n")
    for number, line in enumerate(lines, 1):
        name, rest = event_of(line)
        own = name.rsplit(b":", 1)[-1]
        if own not in (b"mm_page_alloc", b"mm_page_free"):
            continue
        words = [word for word in re.split(BLANKS, rest) if word]
        page = b""
        if words and words[0].startswith(b"page="):
            if words[0] == b"page=":
                words.pop(0)
                page = words[0] if words else b""
            else:
                page = words[0][5:]
            words = words[1:]
        pfn, words = field(words, b"pfn=")
        order, words = field(words, b"order=")
        mobility, _ = field(words, b"migratet") if own == b"mm_page_alloc" else (0, words)
        if pfn is None or order is None or pfn < 0 or order < 0:
            return number
        null = page.startswith((b"(null)", b"(nil)", b"0x(nil)")) or (
            NUMBER.fullmatch(page) and int(page, 16 if b"x" in page else 10) == 0
        )
        if pfn == 0 and null:
            continue
        if order > 10 or pfn + (1 << order) > MAX_FRAMES:
            return number
        found.append(
            (ALLOC if own == b"mm_page_alloc" else FREE, pfn, 1 << order, min(max(mobility or 0, 0), 255), header(line)[1])
        )
    return found


def outcome(data: bytes) -> list[Any] | int | str:
    try:
        found = read(data)
    except BadInput as error:
        line = re.match(r"t.txt:(\d+):", str(error))
        return int(line[1]) if line else []
    trace = found.trace
    assert lines_counted(found.report) == found.report.lines == data.count(b"\n") + (data[-1:] != b"\n")
    return list(
        zip(
            trace.kind.tolist(),
            trace.pfn.tolist(),
            trace.n_frames.tolist(),
            trace.mobility.tolist(),
            trace.cpu.tolist(),
            strict=True,
        )
    )


PIECES = [
    b" ",
    b"  ",
    b"\t",
    b"\r",
    b"\0",
    b":",
    b": ",
    b"-",
    b"[",
    b"]",
    b"[0]",
    b"[000] ",
    b"-1 ",
    b"3.119021: ",
    b"1: ",
    b"(",
    b")",
    b"#",
    b"/",
    b"0x",
    b"page=",
    b"pfn=",
    b"order=",
    b"migratetype=",
    b"gfp_flags=",
    b"mm_page_alloc: ",
    b"mm_page_free: ",
    b"kmem:",
    b"print: ",
    b"\n",
    b"\xff",
    b"0",
    b"9",
    b"f",
    b"CPU:0 [LOST 1 EVENTS]",
    ALLOC_LINE,
    FREE_LINE,
    OTHER_LINE,
    *NAMES,
    *FORMATS.values(),
]


@st.composite
def texts(draw: st.DrawFn) -> bytes:
    """Lines of traces with pieces put in, taken out and swapped."""
    text = bytearray(b"".join(draw(st.lists(st.sampled_from(PIECES), min_size=1, max_size=8))))
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, len(text)))
        text[at : at + draw(st.integers(0, 12))] = draw(st.one_of(st.sampled_from(PIECES[:34]), st.binary(max_size=3)))
    return bytes(text)


@settings(max_examples=10 * settings.default.max_examples)
@given(texts())
@example(b"            a: b-1       [000] .....     3.1: mm_page_free: page= pfn=0x7 order=0\n")
def test_any_text_is_read_as_the_model_reads_it(text: bytes) -> None:
    """With a finished last line: how a text breaks off is another test's."""
    assert outcome(text + b"\n") == model(text + b"\n")


@given(st.one_of(st.binary(max_size=200), texts()))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    outcome(data)


CHECKED = """
import random
from kernel_sim.errors import BadInput
from kernel_sim.study.formats.ftrace import read_text
lines = %r
draw = random.Random(612)
for n in range(%d):
    text = bytearray(b"".join(draw.sample(lines, 2)))
    for _ in range(draw.randrange(4)):
        at = draw.randrange(len(text))
        text[at:at + draw.randrange(9)] = bytes(draw.choice(b" :-[]0x=\\n\\t#(9f\\xff") for _ in range(draw.randrange(4)))
    text = bytes(text[:draw.randrange(len(text) + 1)])
    try:
        print(n, read_text("t", text).trace.pfn.tolist())
    except BadInput as error:
        print(n, error)
"""


@pytest.mark.parametrize("setting, n", [("NUMBA_BOUNDSCHECK", 2000), ("NUMBA_DISABLE_JIT", 60)])
def test_with_every_index_checked(setting: str, n: int) -> None:
    """Broken texts never lead outside their bytes, and are read alike by all ways of running the code."""
    program = CHECKED % ([ALLOC_LINE, FREE_LINE, OTHER_LINE, b"CPU:0 [LOST 7 EVENTS]\n", window(b"GO"), *FORMATS.values()], n)
    plain = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")}
    said = [
        subprocess.run([sys.executable, "-W", "error", "-c", program], env=env, capture_output=True, text=True, check=True).stdout
        for env in (plain, {**plain, setting: "1"})
    ]
    assert said[0] == said[1]
    assert said[0].count("\n") == n
