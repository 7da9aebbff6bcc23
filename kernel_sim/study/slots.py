"""From the events of a trace to operations on slots: what was asked for, apart from where some kernel put it.

Every allocation of the trace is a *slot*, and the frames of the trace say which slot a free is of. For an event over the frames p
to p + n, in this order:

allocation  frames of the range that are live are freed, as the kernel must have had them free (*implied* frees); then n frames
            are allocated into a new slot
free        the frames of the range are taken in ascending order and grouped into runs that belong to one slot and are contiguous
            in it, or to preexisting memory; each run is one free

*Preexisting* is what the start map says was in use before the first event. Without a start map nothing is, and frees of what the
trace never allocated are unknown; with a start map or a memory map, an event over frames that are not there is refused.

Each frame costs four bytes, once it is touched: 0 stands for a frame that no event has named yet, and the start map is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from kernel_sim.compiled import address_of, array_view, compiled, entry
from kernel_sim.errors import BadInput
from kernel_sim.frames import lazy_zeros
from kernel_sim.operations import ALLOC, FREE, FREE_PREEXISTING, IMPLIED, OPERATION
from kernel_sim.study import runs
from kernel_sim.study.trace import Trace
from kernel_sim.units import MAX_FRAMES
from kernel_sim.zones import Range, intersect

if TYPE_CHECKING:
    from kernel_sim.study.framemap import FrameMap

Array = np.ndarray[Any, Any]

COUNTS = ("allocs", "frees", "frees_partial", "frees_of_preexisting", "frees_unknown", "implied_frees")
_ALLOCS, _FREES, _PARTIAL, _OF_PREEXISTING, _UNKNOWN, _IMPLIED_FREES = range(len(COUNTS))

_ABSENT, _UNTOUCHED, _IDLE, _PREEXISTING, _FIRST_SLOT = -1, 0, 1, 2, 3
"""What a frame is: not there; still what it was at the start; free; in use since before the trace; of slot 0, and so on."""

_DONE, _NO_ROOM, _OUTSIDE = range(3)

_GROUND = np.dtype([("first", "<i8"), ("end", "<i8"), ("is", "<i8")])
_SLOT = np.dtype([("pfn", "<i8"), ("n_live", "<i8")])
_frames_at, _ground_at, _slots_at = array_view("<i4"), array_view(_GROUND), array_view(_SLOT)
_operations_at, _counts_at = array_view(OPERATION), array_view("<i8")


@dataclass(frozen=True)
class SlotPlan:
    """A trace as operations (an array of OPERATION) on `n_slots` slots, and what was met on the way.

    allocs                allocations, each into a slot of its own
    frees                 events that free, whatever became of them
    frees_partial         runs freed that were less than what still lived of their slot
    frees_of_preexisting  runs freed that were in use before the trace began
    frees_unknown         events that free and none of whose frames was live: dropped
    implied_frees         runs freed because their frames were allocated again; they are in none of the four above
    """

    operations: Array
    n_slots: int
    allocs: int
    frees: int
    frees_partial: int
    frees_of_preexisting: int
    frees_unknown: int
    implied_frees: int

    @property
    def counts(self) -> dict[str, int]:
        """The counts by name."""
        return {name: getattr(self, name) for name in COUNTS}


class _Book(NamedTuple):
    """The addresses and lengths of what the pass keeps: frames, slots, the ground they began on, operations, and counts."""

    frames: int
    n_frames: int
    slots: int
    n_slots: int
    ground: int
    n_ground: int
    operations: int
    n_operations: int
    counts: int


def operations(trace: Trace, start: FrameMap | None, ranges: Sequence[Range] | None) -> SlotPlan:
    """The trace as operations on slots. `start` says what the frames were before it, `ranges` which frames there are.

    BadInput, with the event's number, counted from 1, for an event over a frame that is in a hole or beyond the memory.
    """
    frames, slots = lazy_zeros(trace.end_pfn, "<i4"), lazy_zeros(int((trace.kind == ALLOC).sum()), _SLOT)
    ground, counts = _ground(start, ranges), np.zeros(len(COUNTS), np.int64)
    plan = np.empty(len(trace) + len(trace) // 4 + 64, OPERATION)
    event, n = 0, 0
    while True:
        book = _Book(address_of(frames), len(frames), address_of(slots), len(slots), address_of(ground), len(ground),
                     address_of(plan), len(plan), address_of(counts))
        event, n, status, pfn = _plan(book, trace.kind, trace.n_frames, trace.pfn, trace.mobility, trace.cpu, trace.owner,
                                      event, n)
        if status == _OUTSIDE:
            raise BadInput(f"event {event + 1} of the trace is over frame {pfn:#x}, which its memory does not have")
        if status == _DONE:
            return SlotPlan(plan[:n], len(slots), *counts.tolist())
        plan = np.concatenate([plan[:n], np.empty(len(plan) + int(trace.n_frames[event]) + 1, OPERATION)])


def _ground(start: FrameMap | None, ranges: Sequence[Range] | None) -> Array:
    """What frames are before the first event: ascending stretches, each _IDLE or _PREEXISTING; between them are no frames."""
    stretches = [(0, MAX_FRAMES, runs.FREE)] if start is None else start.runs().tolist()
    there = [(0, MAX_FRAMES)] if ranges is None else list(ranges)
    idle = intersect([(first, end) for first, end, kind in stretches if kind == runs.FREE], there)
    used = intersect([(first, end) for first, end, kind in stretches if kind in (runs.USED, runs.RESERVED)], there)
    return np.array(sorted([(*run, _IDLE) for run in idle] + [(*run, _PREEXISTING) for run in used]), _GROUND)


@compiled
def _at_start(book: _Book, pfn: int) -> int:
    """What a frame was before the first event."""
    ground = _ground_at(book.ground, book.n_ground)
    low, high = 0, book.n_ground
    while low < high:
        middle = (low + high) >> 1
        if ground[middle]["end"] <= pfn:
            low = middle + 1
        else:
            high = middle
    if low == book.n_ground or ground[low]["first"] > pfn:
        return _ABSENT
    return ground[low]["is"]  # type: ignore[no-any-return]


@compiled
def _now(book: _Book, pfn: int) -> int:
    """What a frame is."""
    is_: int = _frames_at(book.frames, book.n_frames)[pfn]
    return is_ if is_ != _UNTOUCHED else _at_start(book, pfn)


@compiled
def _free_run(book: _Book, first: int, end: int, is_: int, implied: bool, n: int) -> None:
    """Write the free of a run of equal frames as operation `n`, and count it."""
    counts, slots = _counts_at(book.counts, len(COUNTS)), _slots_at(book.slots, book.n_slots)
    operation = _operations_at(book.operations, book.n_operations)[n]
    operation["n_frames"] = end - first
    if is_ == _PREEXISTING:
        operation["kind"], operation["slot"], operation["offset"] = FREE_PREEXISTING, first, 0
        counts[_OF_PREEXISTING] += not implied
    else:
        slot = is_ - _FIRST_SLOT
        operation["kind"], operation["slot"], operation["offset"] = FREE, slot, first - slots[slot]["pfn"]
        counts[_PARTIAL] += not implied and end - first < slots[slot]["n_live"]
        slots[slot]["n_live"] -= end - first
    counts[_IMPLIED_FREES] += implied


@compiled
def _free_live(book: _Book, first: int, end: int, implied: bool, n: int) -> tuple[int, int]:
    """Free what is live of the frames, run by run, from operation `n` on. Returns (n, a frame that is not there or -1)."""
    frames = _frames_at(book.frames, book.n_frames)
    pfn = first
    while pfn < end:
        is_ = _now(book, pfn)
        if is_ == _ABSENT:
            return n, pfn
        run = pfn
        pfn += 1
        if is_ == _IDLE:
            continue
        while pfn < end and _now(book, pfn) == is_:
            pfn += 1
        _free_run(book, run, pfn, is_, implied, n)
        for i in range(run, pfn):
            frames[i] = _IDLE
        n += 1
    return n, -1


@compiled
def _alloc(book: _Book, first: int, end: int, n: int) -> None:
    """Write an allocation into the next slot as operation `n`."""
    frames, slots = _frames_at(book.frames, book.n_frames), _slots_at(book.slots, book.n_slots)
    counts = _counts_at(book.counts, len(COUNTS))
    slot = counts[_ALLOCS]
    slots[slot]["pfn"], slots[slot]["n_live"] = first, end - first
    for pfn in range(first, end):
        frames[pfn] = slot + _FIRST_SLOT
    operation = _operations_at(book.operations, book.n_operations)[n]
    operation["kind"], operation["slot"], operation["offset"], operation["n_frames"] = ALLOC, slot, 0, end - first
    counts[_ALLOCS] += 1


@entry
def _plan(book: _Book, kind: Array, n_frames: Array, pfn: Array, mobility: Array, cpu: Array, owner: Array, event: int,
          n: int) -> tuple[int, int, int, int]:
    """Make operations of the events from `event` on, `n` being made. Returns (event, n, status, frame) of where it stopped."""
    plan, counts = _operations_at(book.operations, book.n_operations), _counts_at(book.counts, len(COUNTS))
    while event < len(kind):
        first, end = pfn[event], pfn[event] + np.int64(n_frames[event])
        if len(plan) - n <= end - first:            # no more runs than frames, and the allocation
            return event, n, _NO_ROOM, -1
        before = n
        n, absent = _free_live(book, first, end, kind[event] == ALLOC, n)
        if absent >= 0:
            return event, n, _OUTSIDE, absent
        if kind[event] == ALLOC:
            _alloc(book, first, end, n)
            n += 1
        else:
            counts[_FREES] += 1
            counts[_UNKNOWN] += n == before
        for i in range(before, n):
            plan[i]["flags"] = IMPLIED if kind[event] == ALLOC and i < n - 1 else 0
            plan[i]["cpu"], plan[i]["owner"], plan[i]["mobility"] = cpu[event], owner[event], mobility[event]
        event += 1
    return event, n, _DONE, -1
