"""A run of processes as a timeline that Perfetto opens: JSON of the Trace Event Format.

Source: "Trace Event Format" (Google, 2016, kept at perfetto.dev). Time in the machine is guest work, and viewers know nothing but seconds. So one
block of guest code is one nanosecond here: what stands behind the decimal point of a viewer's seconds is the number of blocks. The format's own
unit is the microsecond; a `ts` of 8.675 is block 8675. The machine's first row says so, too.

The machine is process 0. It has rows for the clock, the processor (whose turn it is), the kernel (every trap), the memory (every allocation and
free, with its owner) and compactions, and counters of the frames. Every process has a row of its own: a slice for each turn, in it slices for its
faults, from the trap to the moment when the kernel has dealt with it, and instants for its system calls. It has a counter of the frames it owns,
and an arrow comes to its first turn from the moment in which it was forked.

    {"name":"runs","cat":"turn","ph":"B","ts":0.12,"pid":3,"tid":3}      a turn of process 3 begins at block 120, and ends with an "E"
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from kernel_sim.study import sealed
from kernel_sim.study.trace_memory import TraceMemory

Array = np.ndarray[Any, Any]
Event = dict[str, Any]

STARTED, ENDED, RUNS, CALL, FAULT, TAKEN, GIVEN_BACK, TRAPPED, COMPACTED = (
    "started", "ended", "runs", "call", "fault", "taken", "given back", "trapped", "compacted")
FIELDS = ("time", "kind", "pid", "a", "b", "code", "rip")
MACHINE = 0
PAGE_FAULT = 14
BLOCKS_A_MICROSECOND = 1000
_USER_RING = 3
_LEAST_ADDRESS = 1 << 32        # an answer from here on is an address
_ADVICE = 'click on a time, choose "Time format", "Raw": times and durations are shown in blocks'


class Track(NamedTuple):
    """A row of the timeline."""

    pid: int
    tid: int


CLOCK, PROCESSOR, KERNEL, MEMORY, COMPACTION = (Track(MACHINE, tid) for tid in range(1, 6))
_ROWS = {CLOCK: "clock", PROCESSOR: "processor", KERNEL: "kernel", MEMORY: "memory", COMPACTION: "compaction"}


def track_of(pid: int) -> Track:
    """A process's own row; what nobody in particular did is on the kernel's."""
    return KERNEL if pid == MACHINE else Track(pid, pid)


class Words(NamedTuple):
    """What a journal's numbers mean: kinds of records, calls, faults, ends of processes and traps, by their numbers; and the vector of the timer."""

    kinds: Mapping[int, str]
    calls: Sequence[str]
    faults: Sequence[str]
    ends: Sequence[str]
    traps: Mapping[int, str]
    timer: int


class Course(NamedTuple):
    """What the journal does not say of a run: frames free and used at the start, the last block, how it ended, records there was no room for."""

    n_free: int
    n_used: int
    end: int
    ended: str
    n_dropped: int = 0


def write_timeline(path: str | Path, journal: Array, words: Words, names: Mapping[int, str], course: Course) -> None:
    """Write the timeline of a run, whole or not at all.

    `journal` has the fields time (blocks, ascending), kind, pid, a, b, and of traps code and rip; `names` are those of the processes.
    """
    sealed.write_whole(path, to_json(trace_events(journal, words, names, course), course).encode())


def to_json(events: Iterable[Event], course: Course) -> str:
    """The file's text, an event a line."""
    other: Event = {"time": "guest work: one block of guest code is shown as 1 ns", "blocks": course.end, "ended": course.ended,
                    "records dropped": course.n_dropped}
    lines = ",\n".join(json.dumps(event, separators=(",", ":")) for event in events)
    return f'{{"displayTimeUnit":"ns","otherData":{json.dumps(other)},"traceEvents":[\n{lines}\n]}}\n'


def trace_events(journal: Array, words: Words, names: Mapping[int, str], course: Course) -> Iterator[Event]:
    """The events, those that name the rows first; on every row, slices, instants and arrows stand in order of time."""
    def of(*wanted: str) -> Array:
        return np.isin(journal["kind"], [number for number, kind in words.kinds.items() if kind in wanted])

    yield from _row_names(sorted({MACHINE, *journal["pid"][~of(TRAPPED)].tolist()}), names)
    writer = _Writer(words, names, TraceMemory(course.n_free, course.n_used), set(journal["pid"][of(RUNS)].tolist()))
    writer.count(MACHINE)
    for time, kind, pid, a, b, code, rip in zip(*(journal[name].tolist() for name in FIELDS), strict=True):
        writer.go_on(time)
        writer.take(words.kinds.get(kind, f"record {kind}"), pid, a, b, code, rip)
        yield from writer.told()
    writer.finish(course)
    yield from writer.told()


def _row_names(pids: Sequence[int], names: Mapping[int, str]) -> Iterator[Event]:
    """Perfetto puts the number behind the name: "malloc 1" has the row "pid 1"."""
    for pid in pids:
        rows = _ROWS if pid == MACHINE else {track_of(pid): "pid"}
        yield _named("process", min(rows), {"name": "machine" if pid == MACHINE else names.get(pid, "owner")})
        yield {**_named("process", min(rows), {"sort_index": pid}), "name": "process_sort_index"}
        for row, name in rows.items():
            yield _named("thread", row, {"name": name})
            yield {**_named("thread", row, {"sort_index": row.tid}), "name": "thread_sort_index"}


def _named(what: str, row: Track, args: Event) -> Event:
    return {"name": f"{what}_name", "ph": "M", "pid": row.pid, "tid": row.tid, "args": args}


class _Trap(NamedTuple):
    """The processor's last trap out of a process that the kernel has not dealt with yet, and the frames taken since."""

    time: int
    args: Event
    pfns: list[str]


@dataclass
class _Writer:
    """Turns records into events, one after the other; knows who runs, and who has how many frames."""

    words: Words
    names: Mapping[int, str]
    memory: TraceMemory
    will_run: set[int]          # who has a turn, now or later; arrows to others would end nowhere
    events: list[Event] = field(default_factory=list)
    running: int | None = None
    trap: _Trap | None = None
    forked: set[int] = field(default_factory=set)       # arrows that have begun
    now: int = 0

    # -- records ------------------------------------------------------------------------------------------------------------------------------

    def take(self, kind: str, pid: int, a: int, b: int, code: int, rip: int) -> None:
        """One record of the journal."""
        if kind == RUNS:
            self.switch(pid)
        elif kind in (TAKEN, GIVEN_BACK):
            self.memory.move(kind == TAKEN, pid, self.who(pid), a, b)
            if self.trap and kind == TAKEN:
                self.trap.pfns.append(_hex(a))
        elif kind == TRAPPED:
            self.trapped(pid, a, b, code, rip)
        elif kind == COMPACTED:
            self.memory.compaction = {"segments moved": a, "frames copied": b}
        elif kind == FAULT:
            self.fault(pid, f"{_name_of(self.words.faults, b)} fault", {"address": _hex(a)})
        elif kind == STARTED:
            self.start(pid, a)
        elif kind == ENDED:
            self.end(pid, _name_of(self.words.ends, b), a)
        elif kind == CALL:
            self.instant(track_of(pid), "call", _name_of(self.words.calls, a), {"answer": _hex(b) if b >= _LEAST_ADDRESS else b})
        else:
            self.instant(track_of(pid), "other", kind, {"a": a, "b": b})

    def switch(self, pid: int) -> None:
        """Somebody else's turn; the machine's is the kernel's, with nobody to run."""
        self.trap = None
        if pid == self.running:
            return
        self.close_turn()
        self.running = pid
        self.add("B", PROCESSOR, "turn", self.who(pid) if pid != MACHINE else "idle")
        if pid != MACHINE:
            self.add("B", track_of(pid), "turn", "runs")
        if pid in self.forked:
            self.add("f", track_of(pid), "fork", "fork", id=pid, bp="e")
            self.forked.discard(pid)

    def close_turn(self) -> None:
        if self.running:
            self.add("E", track_of(self.running), "turn", "runs")
        if self.running is not None:
            self.add("E", PROCESSOR, "turn", self.who(self.running) if self.running != MACHINE else "idle")
        self.running = None

    def trapped(self, ring: int, vector: int, address: int, code: int, rip: int) -> None:
        """A trap, on the kernel's row. What it comes to, for the process that runs, the kernel says next, or not at all."""
        name = self.words.traps.get(vector, f"vector {vector}")
        args: Event = {"vector": vector, "ring": ring, "rip": _hex(rip)}
        if code >= 0:
            args["error code"] = _hex(code)
        if vector == PAGE_FAULT:
            args |= {"access": access_of(code), "address": _hex(address)}
        self.instant(KERNEL, "trap", name, args)
        is_fault = ring == _USER_RING and self.running and vector != self.words.timer
        self.trap = _Trap(self.now, {"trap": name, **args}, []) if is_fault else None

    def fault(self, pid: int, name: str, args: Event) -> None:
        """A fault the kernel has dealt with: since the trap, or, when it touched a process's memory itself, at once."""
        if self.trap and pid == self.running:
            taken: Event = {"taken": self.trap.pfns} if self.trap.pfns else {}
            self.add("B", track_of(pid), "fault", name, self.trap.time, args=self.trap.args | args | taken)
            self.add("E", track_of(pid), "fault", name)
            self.trap = None
        else:
            self.instant(track_of(pid), "fault", name, args)

    def start(self, pid: int, parent: int) -> None:
        self.instant(track_of(pid), "life", "started", {"parent": self.who(parent)})
        if parent and parent == self.running and pid in self.will_run:
            self.instant(track_of(parent), "fork", "forks", {"child": self.who(pid)})      # Perfetto binds the arrow to what came last
            self.add("s", track_of(parent), "fork", "fork", id=pid)
            self.forked.add(pid)

    def end(self, pid: int, why: str, status: int) -> None:
        """A process's end, which may be how the kernel dealt with its last fault."""
        if self.trap and pid == self.running:
            self.fault(pid, f"{self.trap.args['trap']}: {why}", {})
        self.instant(track_of(pid), "life", why, {"status": status})

    # -- events -------------------------------------------------------------------------------------------------------------------------------

    def told(self) -> list[Event]:
        """The events since the last time: a long run's are not all held at once."""
        events, self.events = self.events, []
        return events

    def add(self, phase: str, track: Track, category: str, name: str, time: int | None = None, **more: Any) -> None:
        ts = (self.now if time is None else time) / BLOCKS_A_MICROSECOND
        self.events.append({"name": name, "cat": category, "ph": phase, "ts": ts, "pid": track.pid, "tid": track.tid, **more})

    def instant(self, track: Track, category: str, name: str, args: Event) -> None:
        self.add("i", track, category, name, s="t", args=args)

    def go_on(self, time: int) -> None:
        """Time goes on, perhaps: what happened to the memory is written, once for each moment."""
        if time > self.now:
            for name, args in self.memory.told():
                self.instant(COMPACTION if self.memory.compaction else MEMORY, "memory", name, args)
            for pid in sorted(self.memory.changed | {MACHINE}) if self.memory.changed else ():
                self.count(pid)
            self.memory.next_moment()
            self.now = time

    def count(self, pid: int) -> None:
        """Perfetto puts name and argument together: "frames free"."""
        if pid == MACHINE:
            self.add("C", MEMORY, "memory", "frames", args={"free": self.memory.n_free, "used": self.memory.n_used})
        else:
            self.add("C", track_of(pid), "memory", "frames", args={"owned": self.memory.owned[pid]})

    def finish(self, course: Course) -> None:
        """What is open ends with the run; the clock's row tells of the whole."""
        last, end = self.now, max(course.end, self.now)
        self.go_on(end + 1)
        self.now = end
        self.close_turn()
        self.clock("time is guest work: 1 ns is 1 block of guest code", 0, {"blocks": end, "ended": course.ended, "in Perfetto": _ADVICE})
        if course.n_dropped:
            self.clock("not recorded: the journal was full", last, {"records dropped": course.n_dropped})
        self.instant(CLOCK, "run", course.ended, {})

    def clock(self, name: str, since: int, args: Event) -> None:
        self.add("X", CLOCK, "run", name, since, dur=(self.now - since) / BLOCKS_A_MICROSECOND, args=args)

    def who(self, pid: int) -> str:
        """A process as the rows are headed."""
        return self.names.get(pid, "kernel") if pid == MACHINE else f"{self.names.get(pid, 'owner')} {pid}"


def access_of(code: int) -> str:
    """A page fault's error code in words (Intel SDM, volume 3, section 4.7: bits P, W/R, RSVD, I/D)."""
    what = "fetch" if code & 16 else "write" if code & 2 else "read"
    return f"{what}, {'reserved bit' if code & 8 else 'protection' if code & 1 else 'not present'}"


def _name_of(names: Sequence[str], number: int) -> str:
    return names[number] if 0 <= number < len(names) else str(number)


def _hex(number: int) -> str:
    return hex(number & (1 << 64) - 1)
