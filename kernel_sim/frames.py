"""The frame table: who owns each frame. One record of 16 bytes a frame, like the kernel's ``struct page``.

The table is the second witness. A policy decides which frames to hand out, from its own lists; the table says whether they were free. The
two share a record, and nothing in it: ``state``, ``owner`` and ``event`` are written here and only here, ``next``, ``prev`` and ``order``
belong to the policy.

An allocation is a HEAD, then its TAILs, then, when the policy granted more than was asked for, PADs:

    state   . . H T T P . R R _ _        . FREE   H HEAD   T TAIL   P PAD   R RESERVED   _ HOLE

Its length is not written anywhere: it ends where the tails end. That is why part of an allocation can be given back, as real kernels do
when they split a block: free the middle of H T T T T and two allocations are left, H T and, promoted by `vacate`, H.

An allocation with more than one user is written with other letters, a SHARED_HEAD and its SHARED_TAILs: a free, which looks at the state anyway,
sees by it that it must ask further (`kernel_sim.users`), and for all others nothing is to be asked. How many users there are besides the
first stands in a second column of the table, at the head.

A record of zeros is a frame that is free and always was. Memory that nobody touched costs nothing on the host.
"""

from __future__ import annotations

import mmap
import sys
from typing import Any, NamedTuple

import numpy as np

from kernel_sim.compiled import Array, array_view, compiled, entry
from kernel_sim.events import DOUBLE_FREE, INTERIOR_FREE, NOT_ALLOCATED, OK, OUT_OF_RANGE, SHARED
from kernel_sim.events import RESERVED as STATUS_RESERVED

FRAME = np.dtype([
    ("next", "<u4"),        # the policy's
    ("prev", "<u4"),        # the policy's
    ("event", "<u4"),       # the event that put the frame into this state, 0 for none
    ("owner", "<u2"),       # who has the frame, or had it last
    ("state", "<u1"),
    ("order", "<u1"),       # the policy's
])

FREE, HEAD, TAIL, PAD, RESERVED, HOLE, SHARED_HEAD, SHARED_TAIL = range(8)
STATE_NAMES = ("free", "allocated", "inside an allocation", "padding of an allocation", "reserved", "a hole",
               "allocated and shared", "inside a shared allocation")

CHUNK_SHIFT = 10
"""Frames are noted as touched in chunks of 2^10, so that an untouched terabyte need not be looked at again."""

_SMALL_BYTES = 32 << 20     # the table of a machine of 8 GiB

NIL = 0xFFFF_FFFF
"""No frame, in the 32 bits of a link."""
NO_FRAMES = -1
"""No frame, as a policy's answer."""


class Table(NamedTuple):
    """The records, a byte for each chunk of them that has ever been claimed, and for each frame how many users its allocation has
    besides the first, if it begins there."""

    frames: Array
    touched: Array
    references: Array


frames_at = array_view(FRAME)
bytes_at = array_view(np.uint8)
shorts_at = array_view(np.uint16)
words_at = array_view(np.int64)
half_words_at = array_view(np.uint32)


@compiled
def frame(frames: Array, pfn: int) -> Any:
    """The record of a frame. The index is unsigned: compiled code then need not ask whether it counts from the end."""
    return frames[np.uint64(pfn)]


@compiled
def claim(table: Table, pfn: int, n_frames: int, granted: int, owner: int, event: int) -> int:
    """Make `granted` free frames one allocation of `n_frames`. Returns a frame that was not free, and changes nothing then; or NO_FRAMES."""
    taken = pfn
    while taken < pfn + granted:
        if frame(table.frames, taken)["state"] != FREE:
            return taken
        taken += 1
    enter(table, pfn, HEAD, owner, event)
    for tail in range(pfn + 1, pfn + granted):
        enter(table, tail, TAIL if tail < pfn + n_frames else PAD, owner, event)
    touch(table, pfn, granted)
    return NO_FRAMES


@compiled
def enter(table: Table, pfn: int, state: int, owner: int, event: int) -> None:
    """Write one frame's record."""
    record = frame(table.frames, pfn)
    record["state"] = state
    record["owner"] = owner
    record["event"] = event


@compiled
def touch(table: Table, pfn: int, n_frames: int) -> None:
    """Note that these frames are no longer as they were in the beginning."""
    first, last = pfn >> CHUNK_SHIFT, (pfn + n_frames - 1) >> CHUNK_SHIFT
    table.touched[np.uint64(first)] = 1
    for chunk in range(first + 1, last + 1):    # rarely any; a loop from `first` on would become a call of memset for one byte
        table.touched[chunk] = 1


@compiled
def refusal(table: Table, pfn: int) -> int:
    """Why no free can begin at a frame: a status, or OK for the first or an inner frame of an allocation that is not shared."""
    if pfn < 0 or pfn >= len(table.frames):
        return OUT_OF_RANGE
    state = frame(table.frames, pfn)["state"]
    if state in (HEAD, TAIL):
        return OK
    if state == FREE:
        return DOUBLE_FREE if frame(table.frames, pfn)["event"] else NOT_ALLOCATED
    if state == PAD:
        return INTERIOR_FREE
    if state >= SHARED_HEAD:
        return SHARED
    return STATUS_RESERVED if state == RESERVED else OUT_OF_RANGE


@compiled
def end_of_free(table: Table, pfn: int, n_frames: int) -> tuple[int, int]:
    """Where a free of `n_frames` at `pfn` ends, 0 for all that follows of the allocation: (end, OK), or (offending frame, status)."""
    frames = table.frames
    status = refusal(table, pfn)
    if status != OK:
        return pfn, status
    if n_frames == 0 and frame(frames, pfn)["state"] == TAIL:
        return pfn, INTERIOR_FREE
    end = pfn + 1
    while end < len(frames) and end != pfn + n_frames and frame(frames, end)["state"] == TAIL:
        end += 1
    if n_frames != 0 and end != pfn + n_frames:
        return end, NOT_ALLOCATED
    return end, OK


@compiled
def vacate(table: Table, pfn: int, end: int, event: int) -> int:
    """Free the frames to `end`, and the padding if the allocation ends there; what follows becomes an allocation of its own. Returns the end."""
    frames = table.frames
    while end < len(frames) and frame(frames, end)["state"] == PAD:
        end += 1
    for freed in range(pfn, end):
        frame(frames, freed)["state"] = FREE
        frame(frames, freed)["event"] = event
    if end < len(frames) and frame(frames, end)["state"] == TAIL:
        frame(frames, end)["state"] = HEAD
    return end


def mark(table: Table, first: int, end: int, state: int) -> None:
    """Set frames aside before the machine starts: RESERVED, HOLE, or (with HEAD) one allocation that was there before."""
    part = table.frames[first:end]
    part["state"] = TAIL if state == HEAD else state
    if state == HEAD:
        part[0]["state"] = HEAD
    table.touched[first >> CHUNK_SHIFT:((end - 1) >> CHUNK_SHIFT) + 1] = 1


def lazy_zeros(n: int, dtype: Any) -> Array:
    """An array of zeros that takes host memory only where it is written: an anonymous mapping, without reserve where there is such a thing."""
    dtype = np.dtype(dtype)
    return np.frombuffer(lazy_memory(max(n, 1) * dtype.itemsize), dtype, n)


def lazy_memory(size_bytes: int) -> mmap.mmap:
    """Host memory of zeros, taken page by page as it is written."""
    if not hasattr(mmap, "MAP_ANONYMOUS"):
        return mmap.mmap(-1, size_bytes)
    no_reserve = getattr(mmap, "MAP_NORESERVE", 0x4000 if sys.platform == "linux" else 0)   # older Pythons do not name it
    memory = mmap.mmap(-1, size_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | no_reserve)
    advice = "MADV_HUGEPAGE" if size_bytes <= _SMALL_BYTES else "MADV_NOHUGEPAGE"   # few misses of the host's TLB, or few pages taken
    if hasattr(mmap, advice):
        memory.madvise(getattr(mmap, advice))
    return memory


def count_frames(table: Table, state: int) -> int:
    """How many frames are in a state, which is not FREE. The work is that of the chunks that were ever touched."""
    return sum(int(np.count_nonzero(table.frames[first:end]["state"] == state)) for first, end in touched_runs(table))


def touched_runs(table: Table) -> list[tuple[int, int]]:
    """The chunks that were ever touched, as maximal (first, end) runs of frames; the last may reach beyond the table."""
    edges = np.flatnonzero(np.diff(table.touched, prepend=0, append=0)) << CHUNK_SHIFT
    return [(first, end) for first, end in edges.reshape(-1, 2).tolist()]


RUN_HOLE, RUN_RESERVED, RUN_USED, RUN_FREE = 0, 1, 2, 3
_RUN_OF_STATE = np.array([RUN_FREE, RUN_USED, RUN_USED, RUN_USED, RUN_RESERVED, RUN_HOLE, RUN_USED, RUN_USED], np.uint8)


def state_runs(table: Table) -> tuple[Array, Array]:
    """The table as runs: where each begins (int64), and RUN_FREE, RUN_USED, RUN_RESERVED or RUN_HOLE (uint8).

    The work is that of the chunks that were ever touched; the others are free.
    """
    none = np.zeros(0, np.int64)
    n_runs = _scan(table.frames, table.touched, _RUN_OF_STATE, none, _RUN_OF_STATE)
    firsts, kinds = np.zeros(n_runs, np.int64), np.zeros(n_runs, np.uint8)
    _scan(table.frames, table.touched, _RUN_OF_STATE, firsts, kinds)
    return firsts, kinds


@entry
def _scan(frames: Array, touched: Array, run_of_state: Array, firsts: Array, kinds: Array) -> int:
    """Count the runs, and write as many as there is room for."""
    n_runs, current = 0, 255
    for chunk in range(len(touched)):
        first = chunk << CHUNK_SHIFT
        end = min(first + (1 << CHUNK_SHIFT), len(frames))
        for pfn in range(first, end if touched[chunk] else min(first + 1, end)):
            kind = run_of_state[frames[pfn]["state"]] if touched[chunk] else RUN_FREE
            if kind != current:
                if n_runs < len(firsts):
                    firsts[n_runs] = pfn
                    kinds[n_runs] = kind
                n_runs += 1
                current = kind
    return n_runs
