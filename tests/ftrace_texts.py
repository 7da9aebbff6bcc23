"""The text of kernels' traces: lines and whole texts in every format, and what was read of them."""

from __future__ import annotations

from kernel_sim.study.formats.ftrace import Imported, Report, read_text

ALLOC_LINE = (
    b"            init-1       [000] .....     3.119021: mm_page_alloc: "
    b"page=ffffea000014d200 pfn=0x5348 order=1 migratetype=1 gfp_flags=GFP_KERNEL\n"
)
FREE_LINE = b"            init-1       [002] .....     3.119267: mm_page_free: page=ffffea000018d300 pfn=0x634c order=0\n"
OTHER_LINE = (
    b"            init-1       [002] ...2.     3.119268: mm_page_free_batched: page=ffffea000018d300 pfn=0x634c order=0\n"
)
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


def window(text: bytes) -> bytes:
    """The line of a marker."""
    return b"            init-1       [000] .....     3.119021: tracing_mark_write: " + text + b"\n"


def read(text: bytes, **markers: str) -> Imported:
    return read_text("t.txt", text, **markers)


def events(found: Imported) -> list[tuple[int, int, int]]:
    """(kind, pfn, n_frames) of every event."""
    trace = found.trace
    return list(zip(trace.kind.tolist(), trace.pfn.tolist(), trace.n_frames.tolist(), strict=True))


def lines_counted(report: Report) -> int:
    """All that a report counts: each line once."""
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
