"""Segments: contiguous runs of frames with an id, a base and a bound, placed by the manager's policy.

A segment is base and bound: an address inside it is an offset from the base, and legal while it is less than the bound. Unlike pages, which go
anywhere, a segment must lie in one piece, so the holes between segments are at once visible as external fragmentation.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from kernel_sim import events
from kernel_sim.compiled import Array, address_of, array_view, bind, compiled, entry, int64, interpreted
from kernel_sim.errors import NoSuchSegment, NotAllocated
from kernel_sim.events import NO_SUCH_SEGMENT, NOT_ALLOCATED, OK, OUT_OF_FRAMES
from kernel_sim.frames import FREE, frame, lazy_zeros, words_at
from kernel_sim.ledger import ROOT_WORDS, open_state
from kernel_sim.manager import FrameManager
from kernel_sim.units import FRAME_BYTES

SEGMENT = np.dtype([("base", "<i8"), ("bound", "<i8"), ("live", "<i4"), ("event", "<u4"), ("next", "<i8")])
"""Bytes; ``event`` is the allocation of its frames, by which it knows them again; ``next`` chains the ids that are free, as id + 1
(0 ends the chain)."""

MAX_SEGMENTS = 1 << 16


@dataclass(frozen=True)
class Segment:
    """A live segment: `base` is its first physical byte, `bound` its size in bytes; offsets below `bound` are legal."""

    id: int
    base: int
    bound: int

    @property
    def n_frames(self) -> int:
        return -(-self.bound // FRAME_BYTES)


segments_at = array_view(SEGMENT)


def far_alloc(root: int, n_frames: int, owner: int, cpu: int, mobility: int) -> int:
    raise NotImplementedError


def far_free(root: int, pfn: int, n_frames: int) -> int:
    raise NotImplementedError


@compiled
def segment_alloc(root: int, segments: Array, bound: int, owner: int) -> int:
    """The id of a new segment of `bound` bytes, or minus a status. Entry 0 is no segment: it heads the chain of free ids."""
    if bound < 1:
        return int64(-events.BAD_COUNT)
    free_id = segments[0]["next"]
    if free_id == 0:
        free_id = segments[0]["live"] + 1       # never used before
        if free_id >= len(segments):
            return int64(-OUT_OF_FRAMES)
    pfn = far_alloc(root, (bound - 1) // FRAME_BYTES + 1, owner, int64(0), int64(0))
    if pfn < 0:
        return pfn
    if segments[0]["next"] == 0:
        segments[0]["live"] = free_id
    segments[0]["next"] = segments[free_id]["next"]
    segments[free_id]["base"] = pfn * FRAME_BYTES
    segments[free_id]["bound"] = bound
    segments[free_id]["live"] = 1
    segments[free_id]["event"] = frame(open_state(words_at(root, ROOT_WORDS)).table.frames, pfn)["event"]
    return int64(free_id)


@compiled
def is_segment(segments: Array, segment: int) -> bool:
    """Whether an id names a live segment."""
    return bool(0 < segment < len(segments) and segments[segment]["live"] == 1)


@compiled
def segment_free(root: int, segments: Array, segment: int) -> int:
    """OK, or why not."""
    if not is_segment(segments, segment):
        return int64(NO_SUCH_SEGMENT)
    pfn = segments[segment]["base"] // FRAME_BYTES
    record = frame(open_state(words_at(root, ROOT_WORDS)).table.frames, pfn)
    if record["state"] != FREE and record["event"] != segments[segment]["event"]:
        return int64(NOT_ALLOCATED)     # freed behind its back, and somebody else's by now
    status = far_free(root, pfn, int64(0))
    if status == OK:
        segments[segment]["live"] = 0
        segments[segment]["next"] = segments[0]["next"]
        segments[0]["next"] = segment
    return int64(status)


class SegmentTable:
    """Segments of a manager's frames, by id. At most MAX_SEGMENTS - 1 are live at once; the ids of freed ones are used again, the latest first."""

    def __init__(self, manager: FrameManager) -> None:
        self.manager = manager
        self.records = lazy_zeros(MAX_SEGMENTS, SEGMENT)

    def alloc(self, size_bytes: int, owner: int = 0) -> Segment:
        """A new segment of that many bytes, in whole frames. OutOfFrames when the policy has no such run; ValueError below 1 byte."""
        if size_bytes < 1:
            raise ValueError(f"a segment has at least one byte, not {size_bytes}")
        made = int(self._entries[0](address_of(self.manager.root), self.records, min(size_bytes, 1 << 62), owner & 0xFFFF))
        if made < 0:
            raise self.manager.error_for(-made, -(-size_bytes // FRAME_BYTES))
        return self.lookup(made)

    def lookup(self, segment: int) -> Segment:
        """Base and bound of a segment. NoSuchSegment for any other id."""
        if not 0 < segment < MAX_SEGMENTS or self.records[segment]["live"] != 1:
            raise NoSuchSegment(f"NoSuchSegment: {segment} names no live segment")
        record = self.records[segment]
        return Segment(segment, int(record["base"]), int(record["bound"]))

    def free(self, segment: int) -> None:
        """Give a segment's frames back. NoSuchSegment for an id that names none; BadFree when its frames were freed behind its back."""
        pfn = self.lookup(segment).base // FRAME_BYTES
        status = int(self._entries[1](address_of(self.manager.root), self.records, segment))
        if status == NOT_ALLOCATED:
            raise NotAllocated(f"NotAllocated: segment {segment} lost its frames at {pfn:#x}; they are somebody else's now", pfn=pfn)
        if status != OK:
            raise self.manager.error_for(status, None, pfn)

    @property
    def address(self) -> int:
        """Where the records are, for compiled code."""
        return address_of(self.records)

    @cached_property
    def _entries(self) -> tuple[Any, Any]:
        alloc, free = bind_segments(self.manager)
        name = self.manager.policy.name
        make = interpreted if self.manager.policy.in_interpreter else entry
        return make(bind(_alloc, name, segment_alloc=alloc)), make(bind(_free, name, segment_free=free))


def bind_segments(manager: FrameManager) -> tuple[Any, Any]:
    """`segment_alloc` and `segment_free` for a manager's policy."""
    make = interpreted if manager.policy.in_interpreter else compiled
    name, far = manager.policy.name, {"far_alloc": manager.bound.far_alloc, "far_free": manager.bound.far_free}
    return make(bind(segment_alloc, name, **far)), make(bind(segment_free, name, **far))


def _alloc(root: int, segments: Array, bound: int, owner: int) -> int:
    return segment_alloc(root, segments, bound, owner)


def _free(root: int, segments: Array, segment: int) -> int:
    return segment_free(root, segments, segment)
