"""The text of kernels' traces: every format, names that look like something else, and what is counted but is no event of ours."""

from __future__ import annotations

import pytest
from ftrace_texts import ALLOC_LINE, FORMATS, FREE_LINE, NAMES, events, read

from kernel_sim.operations import ALLOC, FREE


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


def test_an_event_without_a_name_is_no_line_without_an_event() -> None:
    report = read(FREE_LINE + b"            init-1       [002] .....     3.119267: :\n" + b"\n" * 3).report
    assert (report.other_events, report.plain) == ({"": 1}, 3)


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


def test_lost_events() -> None:
    text = (
        b"# entries-in-buffer/entries-written: 25/1025   #P:1\n"
        + FREE_LINE
        + b"CPU:0 [LOST 123 EVENTS]\nCPU:2 [7 EVENTS DROPPED]\n"
        b"CPU:1 [EVENTS DROPPED]\n            init     1 [000]     3.2: PERF_RECORD_LOST lost 1000\n" + FREE_LINE
    )
    report = read(text).report
    assert (report.lost, report.lost_lines, report.overwritten, report.frees) == (123 + 7 + 1 + 1000, 4, 1000, 2)


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
