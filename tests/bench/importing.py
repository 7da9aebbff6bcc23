"""How fast a trace's text is imported: lines a second, against a regular expression over the same text.

Both have the text in memory; the expression finds event, pfn, order and migratetype and makes nothing of them, the import makes a whole trace.
"""

from __future__ import annotations

import re

from kernel_sim.bench.doorbell import best_of, seconds

from kernel_sim.operations import ALLOC
from kernel_sim.study.formats.ftrace import read_text
from kernel_sim.study.trace import Trace

PATTERN = re.compile(r"(mm_page_alloc|mm_page_free): page=\S+ pfn=(\S+) order=(\d+)(?: migratetype=(\d+))?")


def tracefs_text(n_lines: int) -> str:
    """So many lines as tracefs writes them, of the bundled trace, over and over."""
    trace = Trace.load("mixed")
    lines = []
    for i in range(min(n_lines, len(trace))):
        what = f"pfn=0x{trace.pfn[i]:x} order={int(trace.n_frames[i]).bit_length() - 1}"
        stamp = f"{trace.owners[trace.owner[i]]:>20} [000] ..... {3 + trace.time_us[i] / 1e6:12.6f}:"
        if trace.kind[i] == ALLOC:
            lines.append(f"{stamp} mm_page_alloc: page=(____ptrval____) {what} migratetype={trace.mobility[i]} "
                         "gfp_flags=GFP_HIGHUSER_MOVABLE|__GFP_COMP\n")
        else:
            lines.append(f"{stamp} mm_page_free: page=(____ptrval____) {what}\n")
    whole, rest = divmod(n_lines, len(lines))
    return "".join(lines) * whole + "".join(lines[:rest])


def by_regex(text: str) -> int:
    """Events found by the expression."""
    n = 0
    for match in PATTERN.finditer(text):
        match.groups()
        n += 1
    return n


def import_over_regex(n_lines: int = 300_000, rounds: int = 9) -> float:
    """Lines a second of the import, over those of the expression."""
    text = tracefs_text(n_lines)
    data = text.encode()
    if len(read_text("text", data).trace) != by_regex(text):      # the first turn also waits for the compiler
        raise AssertionError("the two do not find the same events")
    regex, ours = best_of(rounds, lambda: seconds(lambda: by_regex(text)), lambda: seconds(lambda: read_text("text", data)))
    return regex / ours
