"""Import a kernel's trace: make a trace file of the text that tracefs, trace-cmd report or perf script printed.

Record the events kmem:mm_page_alloc and kmem:mm_page_free of all processors. FILE may be compressed with gzip or xz, and is the
standard input if it is -. With --memory-map and --start-map a replay knows the machine that the trace is of.
"""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kernel_sim.study.formats.ftrace import Imported, Report
    from kernel_sim.study.slots import SlotPlan
    from kernel_sim.study.trace import Trace

_SHOWN = 4


def configure(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("file", metavar="FILE", help="the text of a trace, or - for the standard input")
    parser.add_argument("-o", "--output", metavar="OUT", required=True, help="the trace file to write (.kstrace)")
    parser.add_argument("--from-marker", metavar="TEXT", help="begin behind the line that was written to trace_marker")
    parser.add_argument("--to-marker", metavar="TEXT", help="end before the next such line")
    parser.add_argument("--memory-map", metavar="MAP", help="the machine's memory: /proc/iomem or the e820 lines of a kernel log")
    parser.add_argument("--start-map", metavar="MAP", help="what its frames were at the beginning: /proc/kpageflags, say")
    parser.add_argument("--json", action="store_true", help="report in JSON")


def run(args: argparse.Namespace) -> int:
    """Read, check, write, report. Exit status 0."""
    imported = _read(args.file, args.from_marker, args.to_marker)
    trace = _with_maps(imported.trace, args.memory_map, args.start_map)
    plan = _plan(args.file, trace)
    trace.save(args.output)
    if args.json:
        print(json.dumps(as_json(args.file, imported.report, plan), indent=2))
    else:
        print("\n".join(as_text(args.file, imported.report, plan)))
    return 0


def _read(file: str, from_marker: str | None, to_marker: str | None) -> Imported:
    from kernel_sim.study.formats import ftrace
    from kernel_sim.study.packed import opened

    if file != "-":
        return ftrace.read_ftrace(file, from_marker, to_marker)
    with opened("/dev/stdin") as stream:
        return ftrace.read_text("standard input", stream.read(), from_marker, to_marker)


def _with_maps(trace: Trace, memory_map: str | None, start_map: str | None) -> Trace:
    from dataclasses import replace

    from kernel_sim.study import framemap
    from kernel_sim.zones import read_memory_map

    return replace(trace, memory_map=tuple(read_memory_map(memory_map)) if memory_map else None,
                   start=framemap.load(start_map) if start_map else None)


def _plan(file: str, trace: Trace) -> SlotPlan:
    """The trace's operations: they show whether it fits the maps that it is given."""
    from kernel_sim.errors import BadInput
    from kernel_sim.study.slots import operations

    try:
        return operations(trace, trace.start, trace.memory_map)
    except BadInput as error:
        raise BadInput(f"{file}: {error}") from None


def as_json(file: str, report: Report, plan: SlotPlan) -> dict[str, Any]:
    """All counts: what the import found, and what the operations made of it are."""
    return {"file": file, **report.as_json(), "operations": {"n_slots": plan.n_slots, **plan.counts}}


def as_text(file: str, report: Report, plan: SlotPlan) -> list[str]:
    """The report's lines; what there is none of is left out."""
    again = f"{plan.implied_frees:,} of them of frames still in use" if plan.implied_frees else ""
    unknown = f"{plan.frees_unknown:,} of them of frames not in use" if plan.frees_unknown else ""
    name = "standard input" if file == "-" else file
    said = [f"{name}: {report.lines:,} lines, {report.seconds:.3f} s, {report.tasks:,} tasks", "kept",
            _line(report.allocs, "allocations", again), _line(report.frees, "frees", unknown)]
    names = [f"{name} {n:,}" for name, n in report.other_events.items()]
    dropped = ((report.failed_in_kernel, "allocations that the kernel could not serve", ""),
               (sum(report.other_events.values()), "other events", ", ".join(names[:_SHOWN] + ["…"] * (len(names) > _SHOWN))),
               (report.outside, "events outside the markers", ""), (report.markers, "markers", ""),
               (report.plain + report.lost_lines, "lines without an event", ""))
    said += ["left out", *(_line(*row) for row in dropped if row[0])]
    missing = ((report.lost, "events lost while recording: frames may seem in use that are not", ""),
               (report.overwritten, "older events overwritten before they were read", ""))
    if report.lost or report.overwritten:
        said += ["missing", *(_line(*row) for row in missing if row[0])]
    return said


def _line(n: int, what: str, more: str) -> str:
    return f"  {n:>12,}  {what}{': ' if more else ''}{more}"
