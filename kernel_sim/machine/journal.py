"""The journal: what happened when, in guest work; for the timeline. Written by compiled hooks, a record of 40 bytes each."""

from __future__ import annotations

import numpy as np

from kernel_sim import events
from kernel_sim.compiled import Array, array_view, compiled, int64, outlined
from kernel_sim.frames import frame, words_at
from kernel_sim.ledger import CLOCK, ROOT_WORDS, open_state
from kernel_sim.machine.board import (
    B_BLOCKS,
    B_JOURNAL,
    B_JOURNAL_RECORDS,
    B_JOURNAL_USED,
    B_JOURNALLED,
    B_MANAGER_ROOT,
    B_TRAP_CODE,
    B_TRAP_RIP,
    BOARD_WORDS,
)

RECORD = np.dtype([
    ("time", "<i8"),        # blocks of guest code
    ("kind", "<u2"),        # one of the guest's NOTE_..., or one of those below
    ("pid", "<u2"),
    ("code", "<i4"),        # of a trap: its error code, or below 0
    ("a", "<i8"), ("b", "<i8"),
    ("rip", "<i8"),         # of a trap: the instruction
])
FRAMES_TAKEN, FRAMES_GIVEN_BACK, TRAPPED, COMPACTED = 101, 102, 103, 104
"""a: the pfn, b: how many frames (granted); of a trap, pid: the ring it came from, a: its vector, b: of a page fault, its address;
of a compaction, a: how many segments were moved, b: how many frames were copied."""

MAX_RECORDS = 1 << 22
"""Later ones are counted and dropped."""

records_at = array_view(RECORD)


@compiled
def note(board: Array, kind: int, pid: int, a: int, b: int) -> None:
    """Write down what happens now. Without a journal there is no room in it."""
    used = board[B_JOURNAL_USED]
    if used < board[B_JOURNAL_RECORDS]:
        record = records_at(board[B_JOURNAL], board[B_JOURNAL_RECORDS])[used]
        record["time"] = board[B_BLOCKS]
        record["kind"] = kind
        record["pid"] = pid
        record["a"] = a
        record["b"] = b
        if kind == TRAPPED:
            record["code"] = board[B_TRAP_CODE]
            record["rip"] = board[B_TRAP_RIP]
    board[B_JOURNAL_USED] = used + 1


@outlined
def note_frames(board_address: int) -> None:
    """Write down which frames were taken and given back since the last time, by the manager's events.

    Who frees need not say for whom: a frame given back is its last owner's, who of several in one compaction may be the next one already.
    """
    board = words_at(board_address, BOARD_WORDS)
    state = open_state(words_at(board[B_MANAGER_ROOT], ROOT_WORDS))
    clock = state.counters[CLOCK]
    for number in range(max(board[B_JOURNALLED], clock - events.RING_EVENTS) + 1, clock + 1):
        event = state.ring[number & (events.RING_EVENTS - 1)]
        if event["status"] == events.OK and event["granted"] > 0:
            taken = event["kind"] == events.ALLOC
            owner = event["owner"] if taken else frame(state.table.frames, event["pfn"])["owner"]
            note(board, FRAMES_TAKEN if taken else FRAMES_GIVEN_BACK, owner, int64(event["pfn"]), int64(event["granted"]))
    board[B_JOURNALLED] = clock
