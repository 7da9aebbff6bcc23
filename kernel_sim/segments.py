"""Segments: contiguous runs of frames with an id, a base and a bound, placed by the manager's policy.

A segment is base and bound: an address inside it is an offset from the base, and legal while it is less than the bound. Unlike pages, which go
anywhere, a segment must lie in one piece, so the holes between segments are at once visible as external fragmentation.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from kernel_sim import events
from kernel_sim.allocators.base import Policy, Request
from kernel_sim.compiled import Array, address_of, bind, compiled, entry, int64, interpreted
from kernel_sim.errors import NoSuchSegment, NotAllocated
from kernel_sim.events import NO_SUCH_SEGMENT, NOT_ALLOCATED, OK, OUT_OF_FRAMES
from kernel_sim.frames import FREE, frame, lazy_zeros, words_at
from kernel_sim.ledger import CLOCK, N_SHARES, ROOT_WORDS, bind_policy, open_state, record, steps
from kernel_sim.manager import FrameManager
from kernel_sim.segment_moves import bind_moves, segment_compact, segment_grow
from kernel_sim.segment_records import HEAD_RECORD, SEGMENT, frames_for, heads_at, is_segment
from kernel_sim.units import FRAME_BYTES

MAX_SEGMENTS = 1 << 16
_MOST_BYTES = 1 << 62


@dataclass(frozen=True)
class Segment:
    """A live segment: `base` is its first physical byte, `bound` its size in bytes; offsets below `bound` are legal."""

    id: int
    base: int
    bound: int

    @property
    def n_frames(self) -> int:
        return -(-self.bound // FRAME_BYTES)


@dataclass(frozen=True)
class Compaction:
    """What moving segments together took: how many segments stand lower than before, and how many frames were copied for it."""

    n_moved: int
    frames_copied: int


def far_alloc(root: int, n_frames: int, owner: int, cpu: int, mobility: int) -> int:
    raise NotImplementedError


def far_free(root: int, pfn: int, n_frames: int) -> int:
    raise NotImplementedError


@compiled
def segment_alloc(root: int, segments: Array, bound: int, owner: int) -> int:
    """The id of a new segment of `bound` bytes, or minus a status."""
    if bound < 1:
        return int64(-events.BAD_COUNT)
    heads = heads_at(int64(segments.ctypes.data), 1)
    segment = heads[0]["free_id"]
    if segment == 0:
        segment = heads[0]["n_ids"] + 1         # never used before
        if segment >= len(segments):
            return int64(-OUT_OF_FRAMES)
    pfn = far_alloc(root, frames_for(bound), owner, int64(0), int64(0))
    if pfn < 0:
        return pfn
    if heads[0]["free_id"] == 0:
        heads[0]["n_ids"] = segment
    heads[0]["free_id"] = segments[segment]["next"]
    segments[segment]["base"] = pfn * FRAME_BYTES
    segments[segment]["bound"] = bound
    segments[segment]["users"] = 1
    segments[segment]["event"] = frame(open_state(words_at(root, ROOT_WORDS)).table.frames, pfn)["event"]
    return int64(segment)


@compiled
def note_users(root: int, kind: int, owner: int, segment: Any, n_users: int) -> None:
    """Record that a segment has other users than before, which moves no frames."""
    state = open_state(words_at(root, ROOT_WORDS))
    state.counters[CLOCK] += 1
    state.counters[N_SHARES] += int64(kind == events.SHARE)
    request = Request(n_users, owner, int64(0), int64(0))
    record(state, kind, OK, request, segment["base"] // FRAME_BYTES, int64(0), steps(state.counters))


@compiled
def segment_share(root: int, segments: Array, segment: int, owner: int) -> int:
    """One user more, `owner`: how many there are now, or minus a status. They are counted; who they are the event tells, and nothing else."""
    if not is_segment(segments, segment):
        return int64(-NO_SUCH_SEGMENT)
    segments[segment]["users"] += 1
    note_users(root, int64(events.SHARE), owner, segments[segment], int64(segments[segment]["users"]))
    return int64(segments[segment]["users"])


@compiled
def segment_free(root: int, segments: Array, segment: int) -> int:
    """One user less; the last one's frees the frames. OK, or why not."""
    if not is_segment(segments, segment):
        return int64(NO_SUCH_SEGMENT)
    if segments[segment]["users"] > 1:
        segments[segment]["users"] -= 1
        note_users(root, int64(events.FREE), int64(0), segments[segment], int64(0))
        return int64(OK)
    pfn = segments[segment]["base"] // FRAME_BYTES
    first = frame(open_state(words_at(root, ROOT_WORDS)).table.frames, pfn)
    if first["state"] != FREE and first["event"] != segments[segment]["event"]:
        return int64(NOT_ALLOCATED)     # freed behind its back, and somebody else's by now
    status = far_free(root, pfn, int64(0))
    if status == OK:
        heads = heads_at(int64(segments.ctypes.data), 1)
        segments[segment]["users"] = 0
        segments[segment]["next"] = heads[0]["free_id"]
        heads[0]["free_id"] = segment
    return int64(status)


class SegmentTable:
    """Segments of a manager's frames, by id. At most MAX_SEGMENTS - 1 are live at once; the ids of freed ones are used again, the latest first.

    `memory` are the frames' bytes (uint8), from frame 0 on; without them there is nothing to copy when a segment moves.
    """

    def __init__(self, manager: FrameManager, memory: Array | None = None) -> None:
        self.manager = manager
        self.memory = memory
        self.records = lazy_zeros(MAX_SEGMENTS, SEGMENT)
        self._head = self.records[:1].view(HEAD_RECORD)[0]

    def alloc(self, size_bytes: int, owner: int = 0) -> Segment:
        """A new segment of that many bytes, in whole frames. OutOfFrames when the policy has no such run; ValueError below 1 byte."""
        if size_bytes < 1:
            raise ValueError(f"a segment has at least one byte, not {size_bytes}")
        made = int(self._entries.alloc(address_of(self.manager.root), self.records, min(size_bytes, _MOST_BYTES), owner & 0xFFFF))
        if made < 0:
            raise self.manager.error_for(-made, -(-size_bytes // FRAME_BYTES))
        return self.lookup(made)

    def lookup(self, segment: int) -> Segment:
        """Base and bound of a segment. NoSuchSegment for any other id."""
        if not 0 < segment < MAX_SEGMENTS or not self.records[segment]["users"]:
            raise NoSuchSegment(f"NoSuchSegment: {segment} names no live segment")
        record = self.records[segment]
        return Segment(segment, int(record["base"]), int(record["bound"]))

    def users(self, segment: int) -> int:
        """How many have a segment. NoSuchSegment for an id that names none."""
        self.lookup(segment)
        return int(self.records[segment]["users"])

    def share(self, segment: int, owner: int = 0) -> int:
        """Another user of a segment: how many there are now. Each gives it back with `free`. NoSuchSegment for an id that names none.

        The frames stay with the owner that they were allocated for; `owner` is who the SHARE in the event ring speaks of.
        """
        self.lookup(segment)
        return int(self._entries.share(address_of(self.manager.root), self.records, segment, owner & 0xFFFF))

    def grow(self, segment: int, size_bytes: int) -> Segment:
        """Give a segment another size: where it is, when the frames behind it are free and the policy can give up just those, else at a new place,
        to which what it holds is copied. A smaller size gives the tail back.

        OutOfFrames, NoSuchSegment, or BadFree when its frames were freed or shared behind its back; nothing is changed then. ValueError below 1
        byte.
        """
        if size_bytes < 1:
            raise ValueError(f"a segment has at least one byte, not {size_bytes}")
        pfn = self.lookup(segment).base // FRAME_BYTES
        copied = int(self._entries.grow(address_of(self.manager.root), self.address, self._memory_address, segment, min(size_bytes, _MOST_BYTES)))
        if copied < 0:
            raise self._error_for(-copied, segment, pfn, -(-size_bytes // FRAME_BYTES))
        return self.lookup(segment)

    def free(self, segment: int) -> None:
        """Give a segment up; the last user's gives its frames back. NoSuchSegment for an id that names none; BadFree when its frames were freed
        behind its back."""
        pfn = self.lookup(segment).base // FRAME_BYTES
        status = int(self._entries.free(address_of(self.manager.root), self.records, segment))
        if status != OK:
            raise self._error_for(status, segment, pfn, None)

    def compact(self) -> Compaction:
        """Move the segments of each zone together, towards its lowest frames, so that the holes between them become one.

        A policy that can give up certain frames (`Policy.take`) lets them slide over the holes; under any other a segment moves when the policy's own
        choice for a new run is lower. All else stays where it is.
        """
        status = int(self._entries.compact(address_of(self.manager.root), self.address, self._memory_address))
        if status != OK:
            raise self.manager.error_for(status, None)
        return Compaction(int(self._head["moved_now"]), int(self._head["copied_now"]))

    @property
    def frames_copied(self) -> int:
        """How many frames were copied so far, for growing and for moving segments together."""
        return self.frames_copied_growing + self.frames_copied_compacting

    @property
    def frames_copied_growing(self) -> int:
        return int(self._head["copied_growing"])

    @property
    def frames_copied_compacting(self) -> int:
        return int(self._head["copied_compacting"])

    @property
    def address(self) -> int:
        """Where the records are, for compiled code."""
        return address_of(self.records)

    @property
    def _memory_address(self) -> int:
        return 0 if self.memory is None else address_of(self.memory)

    @property
    def _entries(self) -> Entries:
        return _entries(self.manager.policy)

    def _error_for(self, status: int, segment: int, pfn: int, n_frames: int | None) -> Exception:
        if status == NOT_ALLOCATED:
            return NotAllocated(f"NotAllocated: segment {segment} lost its frames at {pfn:#x}; they are somebody else's now", pfn=pfn)
        return self.manager.error_for(status, n_frames, pfn)


class Bound(NamedTuple):
    """The steps of a segment table, made for one policy."""

    alloc: Any
    share: Any
    free: Any
    grow: Any
    compact: Any


def bind_segments(policy: Policy) -> Bound:
    """The steps above, and those of `segment_moves`, for a policy."""
    make, bound = interpreted if policy.in_interpreter else compiled, bind_policy(policy)
    far = {"far_alloc": bound.far_alloc, "far_free": bound.far_free}
    alloc, free = (make(bind(step, policy.name, **far)) for step in (segment_alloc, segment_free))
    return Bound(alloc, make(bind(segment_share, policy.name)), free, *bind_moves(policy))


Entries = Bound


@lru_cache(maxsize=32)
def _entries(policy: Policy) -> Entries:
    """The doors from the interpreter: one for each step, compiled when it is first used."""
    make, steps = interpreted if policy.in_interpreter else entry, bind_segments(policy)._asdict()
    inner = {f"segment_{name}": step for name, step in steps.items()}
    return Entries(*(make(bind(door, policy.name, **inner)) for door in (_alloc, _share, _free, _grow, _compact)))


def _alloc(root: int, segments: Array, bound: int, owner: int) -> int:
    return segment_alloc(root, segments, bound, owner)


def _share(root: int, segments: Array, segment: int, owner: int) -> int:
    return segment_share(root, segments, segment, owner)


def _free(root: int, segments: Array, segment: int) -> int:
    return segment_free(root, segments, segment)


def _grow(root: int, address: int, memory: int, segment: int, bound: int) -> int:
    return segment_grow(root, address, int64(MAX_SEGMENTS), memory, segment, bound)


def _compact(root: int, address: int, memory: int) -> int:
    return segment_compact(root, address, int64(MAX_SEGMENTS), memory)
