"""The text of a kernel's trace: what tracefs' ``trace`` file, ``trace-cmd report`` and ``perf script`` print of the kmem events.

Only ``mm_page_alloc`` and ``mm_page_free`` hand frames out and take them back. ``mm_page_free_batched``,
``mm_page_pcpu_drain``, ``mm_page_alloc_zone_locked``, ``mm_page_alloc_extfrag`` and others speak of the same frames again, on
their way between the free lists and the processors' own lists; they are counted and left out. ``pfn`` is hexadecimal with 0x
on kernels from 5.17 or so and decimal before; ``page`` is a pointer, a hash of one or nothing, and is only looked at where
the kernel says that it had no frame to give: ``page=(null) pfn=0``.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kernel_sim.compiled import Array, address_of
from kernel_sim.errors import BadInput
from kernel_sim.study.formats import _ftrace_lines as lines
from kernel_sim.study.formats import _ftrace_scan as scanner
from kernel_sim.study.formats._names import NamesMemory
from kernel_sim.study.formats._text import Text
from kernel_sim.study.packed import opened
from kernel_sim.study.trace import Trace
from kernel_sim.units import MAX_FRAMES, MAX_ORDER

MAX_TASKS = 65535
"""A task's number has 16 bits; the last number stands for all tasks that came too late."""

MAX_EVENT_NAMES = 1000
OTHERS = "(others)"
_NAMED = 8
_SHORTEST_EVENT = len("mm_page_free: pfn=0 order=0\n")

_WRITTEN = re.compile(rb"# entries-in-buffer/entries-written: (\d+)/(\d+)")
_CUT = re.compile(rb"mm_page_\w+:(?!.*order=\d).*\Z", re.DOTALL)
"""Another event on a last line without a line feed, that broke off before it came to the point."""

_PID = re.compile(rb"[-\s]\s*([\d/]+)$")
_WRONG = {
    lines.NO_PFN: "an event without pfn=",
    lines.NO_ORDER: "an event without order=",
    lines.BAD_PFN: "pfn= is not a number",
    lines.BAD_ORDER: "order= is not a number",
    lines.LARGE_PFN: f"the event's frames go beyond frame {MAX_FRAMES:#x}",
    lines.LARGE_ORDER: f"an order above {MAX_ORDER}, which no kernel has",
    lines.CUT_OFF: "cut off in the middle of an event",
}
_BINARY = {b"\x17\x08\x44tracing": "a trace-cmd file: import what `trace-cmd report` prints of it",
           b"PERFILE2": "a perf file: import what `perf script` prints of it",
           b"KSTRACE\0": "it is an imported trace already",
           b"KS": "one of this program's files, but not a trace",
           b"\x28\xb5\x2f\xfd": "compressed with zstd: unpack it first",
           b"BZh": "compressed with bzip2: unpack it first"}


@dataclass(frozen=True)
class Report:
    """What an import found and dropped; every line of the text is in exactly one of the first eight counts.

    allocs, frees       events in the trace
    failed_in_kernel    allocations that the kernel itself could not serve
    other_events        other events by name, the most frequent first
    markers             lines written to trace_marker, or by trace_printk
    outside             events before the first wanted marker and behind the last
    plain               comments, call chains, empty lines
    lost_lines          lines that say that events were lost
    """

    lines: int
    allocs: int
    frees: int
    failed_in_kernel: int
    other_events: dict[str, int]
    markers: int
    outside: int
    plain: int
    lost_lines: int
    lost: int           # events lost on the way, as far as the text says how many
    overwritten: int    # events that were older than the text's first, and are not in it
    tasks: int          # who allocated and freed
    seconds: float      # from the first event to the last

    def as_json(self) -> dict[str, Any]:
        """The counts by name."""
        return asdict(self)


@dataclass(frozen=True)
class Imported:
    """A trace read from a text, and what was found there."""

    trace: Trace
    report: Report


def read_ftrace(path: str | Path, from_marker: str | None = None, to_marker: str | None = None) -> Imported:
    """Read a text, plain or compressed with gzip or xz; see `read_text`."""
    with opened(path) as stream:
        data = stream.read()
    return read_text(path, data, from_marker, to_marker)


def read_text(path: str | Path, data: bytes, from_marker: str | None = None, to_marker: str | None = None) -> Imported:
    """The trace in a text's bytes, or in the part of it between two markers: behind the first line written to trace_marker whose
    text is, or ends in, `from_marker`, and before the next such line of `to_marker`.

    BadInput, naming `path` and mostly a line, for a text without allocations and frees, a marker that is not there, an event that
    makes no sense, and a text that was cut off.
    """
    if not data:
        raise BadInput(f"{path}: there is nothing in it")
    found = _Scan(data, _wanted(path, from_marker), _wanted(path, to_marker))
    if found.wrong != lines.FINE and (found.wrong != lines.CUT_OFF or found.n_seen):
        raise BadInput(f"{path}:{found.count(scanner.LINES)}: {_WRONG[found.wrong]}")
    found.check(path, from_marker, to_marker)
    return Imported(found.trace(Path(path).name.split(".")[0]), found.report())


def _wanted(path: str | Path, marker: str | None) -> bytes | None:
    if marker is None:
        return None
    if not marker.strip():
        raise BadInput(f"{path}: a marker's text cannot be empty")
    return marker.strip().encode()


class _Scan:
    """One compiled pass over a text, and what it left behind."""

    def __init__(self, data: bytes, begin: bytes | None, finish: bytes | None) -> None:
        self.data, self.tasks, self.others = data, NamesMemory(MAX_TASKS), NamesMemory(MAX_EVENT_NAMES)
        self.counts = np.zeros(scanner.N_COUNTS, np.int64)
        self.counts[scanner.STAGE] = scanner.INSIDE if begin is None else scanner.BEFORE
        self.counts[scanner.LAST_OTHER] = -1
        rows = np.empty(len(data) // _SHORTEST_EVENT + 1, scanner.ROW)       # as many as can be; most are never touched
        text, wanted = np.frombuffer(data, np.uint8), [np.frombuffer(marker or b"", np.uint8) for marker in (begin, finish)]
        window = scanner.Window(address_of(wanted[0]), len(wanted[0]), address_of(wanted[1]), len(wanted[1]),
                                address_of(self.counts))
        n, self.wrong = scanner.scan(Text(address_of(text), len(text)), address_of(rows), len(rows), self.tasks.names,
                                     self.others.names, window, data.rfind(b"\n") + 1)
        self.rows = rows[:n]
        if self.wrong == lines.FINE and _CUT.search(data, data.rfind(b"\n") + 1):
            self.wrong = lines.CUT_OFF

    def count(self, what: int) -> int:
        return int(self.counts[what])

    @property
    def n_seen(self) -> int:
        """Allocations and frees in the whole text."""
        return sum(self.count(what) for what in (scanner.ALLOCS, scanner.FREES, scanner.FAILED, scanner.SKIPPED))

    def check(self, path: str | Path, from_marker: str | None, to_marker: str | None) -> None:
        """BadInput if there is nothing to be had."""
        if not self.n_seen:
            raise BadInput(f"{path}: {self._without_events()}")
        stage = self.count(scanner.STAGE)
        if stage == scanner.BEFORE:
            raise BadInput(f"{path}: no marker {from_marker!r}")
        if to_marker is not None and stage != scanner.AFTER:
            raise BadInput(f"{path}: no marker {to_marker!r}" + (f" behind {from_marker!r}" if from_marker else ""))
        if not len(self.rows):
            raise BadInput(f"{path}: no allocations and frees" + (" between the markers" if from_marker or to_marker else ""))

    def _without_events(self) -> str:
        for start, what in _BINARY.items():
            if self.data.startswith(start):
                return f"not a trace's text: {what}"
        if b"\0" in self.data:
            return "not a trace's text: it is binary"
        names = list(self._other_events())
        more = " and others" if len(names) > _NAMED else ""
        found = f"; found {', '.join(names[:_NAMED])}{more}" if names else ": not a trace's text"
        return f"no mm_page_alloc or mm_page_free among {self.count(scanner.LINES):,} lines{found}"

    def _other_events(self) -> dict[str, int]:
        """Other events by name, the most frequent first."""
        names = [name.decode(errors="backslashreplace") for name in self.others.texts(self.data)] + [OTHERS]
        met = {name: int(n) for name, n in zip(names, self.others.spans["met"], strict=False) if n}
        return dict(sorted(met.items(), key=lambda item: (-item[1], item[0])))

    def trace(self, name: str) -> Trace:
        rows, used = self.rows, self._tasks_with_events()
        renumbered = np.zeros(MAX_TASKS + 1, np.uint16)
        renumbered[used] = np.arange(len(used))
        owners = [_task(text) for text in self.tasks.texts(self.data)] + [OTHERS]
        return Trace(kind=rows["kind"], n_frames=np.left_shift(np.uint32(1), rows["order"], dtype=np.uint32), pfn=rows["pfn"],
                     mobility=rows["mobility"], cpu=rows["cpu"], owner=renumbered[rows["owner"]],
                     time_us=rows["time_us"] - rows["time_us"][0], owners=tuple(owners[i] for i in used), name=name)

    def _tasks_with_events(self) -> Array:
        return np.flatnonzero(self.tasks.spans["met"])

    def report(self) -> Report:
        count, times = self.count, self.rows["time_us"]
        written = _WRITTEN.search(self.data, 0, 4096)
        return Report(lines=count(scanner.LINES), allocs=count(scanner.ALLOCS), frees=count(scanner.FREES),
                      failed_in_kernel=count(scanner.FAILED), other_events=self._other_events(), markers=count(scanner.MARKERS),
                      outside=count(scanner.OUTSIDE) + count(scanner.SKIPPED), plain=count(scanner.PLAIN),
                      lost_lines=count(scanner.LOST_LINES), lost=count(scanner.LOST),
                      overwritten=max(int(written[2]) - int(written[1]), 0) if written else 0,
                      tasks=len(self._tasks_with_events()), seconds=int(times[-1] - times[0]) / 1e6)


def _task(text: bytes) -> str:
    """A task as tracefs names it: perf's ``init     1`` is ``init-1``."""
    return _PID.sub(rb"-\1", text).decode(errors="backslashreplace")
