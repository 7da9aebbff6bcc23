"""What a trace asks of a manager, once it is read: allocate n frames into a slot; free n frames at an offset of a slot.

A trace speaks of the frames that some other kernel chose. Operations speak of *slots*, one for each allocation in order, so that
every policy may put each slot where it likes. `kernel_sim.study.slots` makes operations of a trace; `perform` carries them out
here, and the guest program ``replay`` carries out the same ones in the machine.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from kernel_sim import events
from kernel_sim.allocators.base import Policy, Request
from kernel_sim.compiled import Array, bind, compiled, entry, int64, interpreted, prefetch
from kernel_sim.errors import BadInput
from kernel_sim.frames import FRAME
from kernel_sim.ledger import State, bind_policy, open_state
from kernel_sim.manager import FrameManager

ALLOC, FREE, FREE_PREEXISTING = 1, 2, 3
IMPLIED = 1
"""Flag: not a free of the trace's own, but one that must have happened, for its frames are allocated again."""

OPERATION = np.dtype([
    ("kind", "<u1"),        # ALLOC, FREE or FREE_PREEXISTING
    ("flags", "<u1"),       # IMPLIED
    ("cpu", "<u2"),         # the processor that asks
    ("owner", "<u2"),       # who asks
    ("mobility", "<u2"),    # the kernel's migratetype
    ("n_frames", "<u4"),    # how many frames
    ("offset", "<u4"),      # FREE: of the first frame within its slot
    ("slot", "<i8"),        # ALLOC, FREE: the slot, counted from 0 in order of allocation. FREE_PREEXISTING: the pfn
])
"""24 bytes an operation."""

_AHEAD = 16                  # operations
_STRIDE = 1 << 16            # operations between two looks at the keyboard
_STRIDE_IN_INTERPRETER = 1 << 8
_FRAME_RECORD_BYTES = FRAME.itemsize
_PLACEMENT_BYTES = 8


@dataclass(frozen=True)
class Performed:
    """What became of operations. `placements` holds the pfn of every allocation in order, -1 for one that was not served (int64)."""

    placements: Array
    n_performed: int        # operations carried out: all of them, unless interrupted
    served: int
    failed: int
    frees_of_failed: int    # frees, but for the implied ones, of slots that were never served; they were dropped

    @property
    def placements_sha256(self) -> str:
        """SHA-256 over the placements, each as a little-endian signed 64-bit integer: two runs that agree placed everything alike."""
        return hashlib.sha256(self.placements.astype("<i8").tobytes()).hexdigest()


def perform(manager: FrameManager, operations: Array, n_slots: int | None = None, progress: Callable[[int], None] | None = None,
            every: int = 0) -> Performed:
    """Carry operations (an array of OPERATION) out on a manager; `progress` is told how many are done, now and then, and after every `every` of them.

    `n_slots` is given for operations that are known to be right, those of a `SlotPlan`; without it they are checked first. An interrupt (Ctrl-C) ends
    the work early, and `n_performed` says where. BadInput for operations that make no sense; BadFree or BrokenInvariant when the manager refuses a
    free that is right.
    """
    placements = np.full(check_operations(operations) if n_slots is None else n_slots, -1, np.int64)
    counts = np.zeros(3, np.int64)
    loop = _loop_for(manager.policy)
    stride = _STRIDE_IN_INTERPRETER if manager.policy.in_interpreter else _STRIDE
    done = 0
    try:
        while done < len(operations):
            n_next = min(stride, every - done % every) if every else stride
            n_done, status = loop(manager.root, operations[done:done + n_next], placements, counts)
            done += int(n_done)
            if status != events.OK:
                raise manager.error_for(int(status), int(operations[done]["n_frames"]))
            if progress:
                progress(done)
    except KeyboardInterrupt:
        pass
    served, failed, frees_of_failed = counts.tolist()
    return Performed(placements[:served + failed], done, served, failed, frees_of_failed)


@lru_cache(maxsize=32)
def _loop_for(policy: Policy) -> Callable[..., Any]:
    """`_perform`, made for a policy."""
    make, bound = interpreted if policy.in_interpreter else entry, bind_policy(policy)
    return make(bind(_perform, policy.name, bound_alloc=bound.alloc, bound_free=bound.free_by_anybody))


def check_operations(operations: Array) -> int:
    """The number of slots. BadInput unless slots are counted from 0 in order of allocation and every free is of frames of a slot."""
    if operations.dtype != OPERATION:
        raise BadInput("operations: an array of OPERATION is wanted")
    n_slots, wrong = _check(operations, np.zeros(len(operations), np.uint32))
    if wrong >= 0:
        raise BadInput(f"operation {wrong}: slots are counted from 0 in order of allocation, and a free is of frames of its slot")
    return int(n_slots)


@entry
def _check(operations: Any, sizes: Array) -> tuple[int, int]:
    """The number of slots, and the first operation that makes no sense, or -1. `sizes` has room for every slot's."""
    n_slots = 0
    for i in range(len(operations)):
        kind, n_frames, slot = operations[i]["kind"], operations[i]["n_frames"], operations[i]["slot"]
        if n_frames == 0 or slot < 0:
            return n_slots, i
        if kind == ALLOC and slot == n_slots:
            sizes[n_slots] = n_frames
            n_slots += 1
        elif kind == FREE and slot < n_slots and int64(operations[i]["offset"]) + n_frames <= sizes[slot]:
            continue
        elif kind != FREE_PREEXISTING:
            return n_slots, i
    return n_slots, -1


def tally(operations: Array, placements: Array) -> Performed:
    """What became of the operations that were carried out, from where their slots were placed."""
    n_slots, frees_of_failed = _tally(operations, placements)
    served = int((placements[:n_slots] >= 0).sum())
    return Performed(placements[:n_slots], len(operations), served, int(n_slots) - served, int(frees_of_failed))


@entry
def _tally(operations: Any, placements: Array) -> tuple[int, int]:
    """Slots, and frees of those that were never served."""
    n_slots, frees_of_failed = 0, 0
    for i in range(len(operations)):
        if operations[i]["kind"] == ALLOC:
            n_slots += 1
        elif operations[i]["kind"] == FREE and operations[i]["flags"] & IMPLIED == 0 and placements[operations[i]["slot"]] < 0:
            frees_of_failed += 1
    return n_slots, frees_of_failed


def bound_alloc(state: State, request: Request) -> int:
    raise NotImplementedError


def bound_free(state: State, pfn: int, request: Request) -> int:
    raise NotImplementedError


@compiled
def look_ahead(state: State, operations: Any, i: int, placements: Array) -> None:
    """Ask for what a free will soon read, its slot's placement and then its frame's record: frees come in no order that a cache could foresee."""
    soon, sooner = i + 2 * _AHEAD, i + _AHEAD
    if soon < len(operations) and operations[soon]["kind"] == FREE:
        prefetch(placements.ctypes.data + operations[soon]["slot"] * _PLACEMENT_BYTES)
    if sooner < len(operations) and operations[sooner]["kind"] == FREE:
        pfn = max(placements[np.uint64(operations[sooner]["slot"])], 0)
        prefetch(state.table.frames.ctypes.data + pfn * _FRAME_RECORD_BYTES)


def _perform(root: Array, operations: Any, placements: Array, counts: Array) -> tuple[int, int]:
    """How many were carried out, and OK or what stopped it. `counts` are served, failed, frees of failed."""
    state = open_state(root)
    for i in range(len(operations)):
        operation = operations[i]
        look_ahead(state, operations, i, placements)
        request = Request(int64(operation["n_frames"]), int64(operation["owner"]), int64(operation["cpu"]),
                          int64(operation["mobility"]))
        slot = np.uint64(operation["slot"])
        if operation["kind"] == ALLOC:
            pfn = bound_alloc(state, request)
            if pfn == -events.BROKEN:
                return i, events.BROKEN
            placements[slot] = max(pfn, -1)
            counts[0 if pfn >= 0 else 1] += 1
            continue
        pfn = operation["slot"]
        if operation["kind"] == FREE:
            if placements[slot] < 0:
                counts[2] += operation["flags"] & IMPLIED == 0
                continue
            pfn = placements[slot] + operation["offset"]
        status = bound_free(state, pfn, request)
        if status != events.OK:
            return i, status
    return len(operations), events.OK
