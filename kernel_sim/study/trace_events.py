"""A run of processes as a timeline that Perfetto and Chrome's tracing page open: JSON of the Trace Event Format.

Source: "Trace Event Format" (Google, 2016, kept at perfetto.dev). Time in the machine is guest work: one block of code is one microsecond in the
file, and ``otherData`` says so. Every process is a track of its own, with slices for its turns, instants for its faults and system calls, and a
counter of its frames; track 0 is the machine, with slices for the kernel, instants for traps, and the frames in use.

    {"name": "runs", "ph": "B", "ts": 120, "pid": 3, "tid": 1}      a turn of process 3 begins at block 120, and ends with an "E"
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from kernel_sim.study import sealed

Array = np.ndarray[Any, Any]
Event = dict[str, Any]

STARTED, ENDED, RUNS, CALL, FAULT, TAKEN, GIVEN_BACK, TRAPPED, COMPACTED = (
    "started", "ended", "runs", "call", "fault", "taken", "given back", "trapped", "compacted")
MACHINE = 0
_THREAD = 1


class Words(NamedTuple):
    """What a journal's numbers mean: each kind of record by its number, and calls, faults, ends of processes and traps by theirs."""

    kinds: Mapping[int, str]
    calls: Sequence[str]
    faults: Sequence[str]
    ends: Sequence[str]
    traps: Mapping[int, str]


def write_timeline(path: str | Path, journal: Array, words: Words, names: Mapping[int, str], n_frames: int, end: int, n_dropped: int = 0) -> None:
    """Write the timeline of a run of `end` blocks, whole or not at all.

    `journal` has the fields time (blocks, ascending), kind, pid, a and b; `names` those of the processes; `n_frames` is how many frames were free
    before the first was taken; `n_dropped` how many records the journal had no room for.
    """
    sealed.write_whole(path, to_json(trace_events(journal, words, names, n_frames, end), n_dropped).encode())


def to_json(events: Sequence[Event], n_dropped: int = 0) -> str:
    """The file's text, an event a line."""
    other: Event = {"time": "guest work: one block of guest code is shown as 1 us", "records dropped": n_dropped}
    lines = ",\n".join(json.dumps(event, separators=(",", ":")) for event in events)
    return f'{{"displayTimeUnit":"ns","otherData":{json.dumps(other)},"traceEvents":[\n{lines}\n]}}\n'


def trace_events(journal: Array, words: Words, names: Mapping[int, str], n_frames: int, end: int) -> list[Event]:
    """The events in order of time, those that name the tracks first."""
    writer = _Writer(words, names, n_frames)
    for time, kind, pid, a, b in zip(*(journal[name].tolist() for name in ("time", "kind", "pid", "a", "b")), strict=True):
        writer.take(words.kinds.get(kind, f"record {kind}"), time, pid, a, b)
    writer.finish(max(end, int(journal["time"][-1]) if len(journal) else 0))
    pids = sorted({event["pid"] for event in writer.events} | {MACHINE})
    return [*_track_names(pids, names), *writer.events]


def _track_names(pids: Sequence[int], names: Mapping[int, str]) -> Iterator[Event]:
    for pid in pids:
        name = "machine" if pid == MACHINE else names.get(pid, "process")
        yield {"name": "process_name", "ph": "M", "pid": pid, "tid": _THREAD, "args": {"name": name}}
        yield {"name": "process_sort_index", "ph": "M", "pid": pid, "tid": _THREAD, "args": {"sort_index": pid}}
        yield {"name": "thread_name", "ph": "M", "pid": pid, "tid": _THREAD, "args": {"name": "kernel" if pid == MACHINE else f"pid {pid}"}}


@dataclass
class _Writer:
    """Turns records into events, one after the other; knows who runs, and who has how many frames."""

    words: Words
    names: Mapping[int, str]
    n_free: int
    events: list[Event] = field(default_factory=list)
    running: int | None = None
    frames: dict[int, int] = field(default_factory=dict)
    takers: dict[int, int] = field(default_factory=dict)
    changed: set[int] = field(default_factory=set)      # counters to be written when time goes on
    now: int = 0

    def take(self, kind: str, time: int, pid: int, a: int, b: int) -> None:
        """One record of the journal."""
        if time > self.now:
            self.count()
            self.now = time
        if kind == RUNS:
            self.switch(pid)
        elif kind in (TAKEN, GIVEN_BACK):
            self.move(pid if kind == TAKEN else None, range(a, a + b))
        elif kind == TRAPPED:
            self.instant(MACHINE, self.words.traps.get(a, f"vector {a}"), {"vector": a, "with": _hex(b)})
        elif kind == COMPACTED:
            self.instant(MACHINE, "compaction", {"segments": a, "frames": b})
        else:
            self.instant(pid, *self.told(kind, a, b))

    def told(self, kind: str, a: int, b: int) -> tuple[str, Event]:
        """What a process did, in words, and the details."""
        if kind == CALL:
            return self.name_of(self.words.calls, a), {"answer": b}
        if kind == FAULT:
            return f"{self.name_of(self.words.faults, b)} fault", {"address": _hex(a)}
        if kind == ENDED:
            return self.name_of(self.words.ends, b), {"status": a}
        return ("started", {"parent": a}) if kind == STARTED else (kind, {"a": a, "b": b})

    def add(self, pid: int, phase: str, name: str, **more: Any) -> None:
        self.events.append({"name": name, "ph": phase, "ts": self.now, "pid": pid, "tid": _THREAD, **more})

    def instant(self, pid: int, name: str, args: Event) -> None:
        self.add(pid, "i", name, s="t", args=args)

    def switch(self, pid: int) -> None:
        """Somebody else's turn; the machine's is the kernel's, with nobody to run."""
        if pid != self.running:
            if self.running is not None:
                self.add(self.running, "E", self.turn_of(self.running))
            self.add(pid, "B", self.turn_of(pid))
            self.running = pid

    def turn_of(self, pid: int) -> str:
        return "idle" if pid == MACHINE else "runs"

    def move(self, taker: int | None, pfns: range) -> None:
        """Frames are taken, or given back by whoever was their last user: they count for who took them until then."""
        for pfn in pfns:
            if taker is not None:
                self.takers[pfn] = taker
            owner = self.takers[pfn] if taker is not None else self.takers.pop(pfn, MACHINE)
            self.frames[owner] = self.frames.get(owner, 0) + (1 if taker is not None else -1)
            self.changed.add(owner)
        self.n_free += -len(pfns) if taker is not None else len(pfns)

    def count(self) -> None:
        """Write the counters that have changed: once for each moment."""
        if self.changed:
            self.add(MACHINE, "C", "memory", args={"free frames": self.n_free})
        for pid in sorted(self.changed):
            self.add(pid, "C", "frames", args={"frames": self.frames[pid]})
        self.changed.clear()

    def finish(self, end: int) -> None:
        self.count()
        self.now = end
        if self.running is not None:
            self.add(self.running, "E", self.turn_of(self.running))
            self.running = None

    def name_of(self, names: Sequence[str], number: int) -> str:
        return names[number] if 0 <= number < len(names) else str(number)


def _hex(number: int) -> str:
    return hex(number & (1 << 64) - 1)
