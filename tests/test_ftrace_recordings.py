"""Recorded traces: what their README counts, and every column."""

from __future__ import annotations

import gzip
import lzma
import re
from pathlib import Path

import numpy as np
import pytest
from ftrace_texts import events, lines_counted

from kernel_sim.operations import ALLOC, FREE
from kernel_sim.study.formats.ftrace import read_ftrace
from kernel_sim.study.trace import Trace

RECORDINGS = Path(__file__).parent / "data" / "kernel"
# From the recordings' README: allocations and frees by order, and frees of frames that the trace did not have allocated.
RECORDED = {
    "tiny_96M_k612": ({0: 1181, 1: 47}, {0: 1751, 1: 38}, 724),
    "frag_128M_k612": ({0: 7415, 1: 119, 2: 146}, {0: 6203, 1: 116}, 724),
    "huge_256M_k612": ({0: 2072, 1: 53, 9: 18}, {0: 2641, 1: 44, 9: 15}, 852),
    "mixed_256M_k612": ({0: 39066, 1: 294, 2: 99}, {0: 32724, 1: 195}, 903),
}


def recording(name: str) -> Path:
    return next((RECORDINGS / name).glob("trace.txt.*"))


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
