"""What the sanitizer does after each ring of the doorbell: it reads the events that the manager has recorded since, whatever the call was.

A frame that was freed is filled with a pattern, if there was ever anything in it, is no page table any more, and leaves the engine's buffer. The
stack of each allocation and of each free is kept. A free that was refused is a finding.
"""

from __future__ import annotations

from typing import Any

from kernel_sim import events
from kernel_sim.compiled import Array, array_view, call_address_3, compiled, int64
from kernel_sim.events import OK, RING_EVENTS
from kernel_sim.frames import FREE, bytes_at, frame, half_words_at, words_at
from kernel_sim.ledger import CLOCK, ROOT_WORDS, State, open_state
from kernel_sim.machine import abi
from kernel_sim.machine.abi import DOORBELL_PORT, NOTE, NOTE_ENDED, NOTE_RUNS, NOTE_STARTED, SEGMENT_COMPACT, SEGMENT_GROW
from kernel_sim.machine.board import B_CALL_BOX, B_MANAGER_ROOT, B_RAM, B_WATCH, BOARD_WORDS, FINDING
from kernel_sim.machine.cpu import CR3
from kernel_sim.machine.devices import has_ended, stop
from kernel_sim.machine.notebook import (
    BAD_FREE,
    N_ANSWER,
    N_ENDED,
    N_FRAME,
    N_KIND,
    N_MINCORE,
    N_OTHER,
    N_OWNER,
    N_RUNNING,
    N_SEEN,
    N_STACK,
    N_STACK_OF_ALLOC,
    N_STACK_OF_FREE,
    N_TABLES,
    N_WRITTEN,
    NOTEBOOK_WORDS,
)
from kernel_sim.machine.registers import register
from kernel_sim.machine.shadow_tlb import flush_engine
from kernel_sim.machine.stacks import keep_stack
from kernel_sim.machine.translation import ADDRESS
from kernel_sim.units import FRAME_BYTES

PATTERN = 0xDD
"""What freed frames are filled with."""
MOST_UNASKED = 64
"""Frames. Of what is freed in larger pieces, frames that nobody ever touched stay zero: memory would be taken from the host only to be filled."""
ASKED_AT_ONCE = 512
"""Frames. How many the host is asked about at a time (`mincore`); its answer is a byte each."""

_PATTERN_WORD = int.from_bytes(bytes([PATTERN] * 8), "little", signed=True)
_BITMAP_WORDS = FRAME_BYTES // 64      # a bit a byte

boxes_at = array_view(abi.dtype(abi.CallBox))


@compiled
def taken(board: Array, notes: Array, state: State, event: Any, stack: int) -> None:
    """Frames were allocated. Those of a segment that moves hold what it held before."""
    n_frames = len(state.table.frames)
    stacks, tables = half_words_at(notes[N_STACK_OF_ALLOC], n_frames), bytes_at(notes[N_TABLES], n_frames)
    call = boxes_at(board[B_CALL_BOX], 1)[0]["call"]
    bits = int64(-1 if call == SEGMENT_GROW or call == SEGMENT_COMPACT else 0)
    for pfn in range(int64(event["pfn"]), int64(event["pfn"]) + int64(event["granted"])):
        stacks[pfn] = stack
        if tables[pfn]:
            tables[pfn] = 0
        if notes[N_WRITTEN]:
            written = words_at(notes[N_WRITTEN] + pfn * (8 * _BITMAP_WORDS), _BITMAP_WORDS)
            for i in range(_BITMAP_WORDS):
                written[i] = bits


@compiled
def fill(board: Array, state: State, pfn: int) -> None:
    """Fill a frame with the pattern, if it is still free after the whole call; but not the root: a guest that frees its own shall live to be told."""
    if frame(state.table.frames, pfn)["state"] == FREE and (register(board, CR3) & ADDRESS) // FRAME_BYTES != pfn:
        words = words_at(board[B_RAM] + pfn * FRAME_BYTES, FRAME_BYTES // 8)
        for i in range(len(words)):
            words[i] = _PATTERN_WORD


@compiled
def fill_touched(board: Array, notes: Array, state: State, first: int, count: int) -> None:
    """Fill those of `count` frames, up to ASKED_AT_ONCE, for which the host has memory already."""
    answer = bytes_at(notes[N_ANSWER], ASKED_AT_ONCE)
    status = call_address_3(notes[N_MINCORE], board[B_RAM] + first * FRAME_BYTES, int64(count * FRAME_BYTES), notes[N_ANSWER])
    if status & 0xFFFF_FFFF:        # a host whose pages are larger
        return
    for i in range(count):
        if answer[i] & 1:
            fill(board, state, first + i)


@compiled
def given_back(board: Array, notes: Array, state: State, event: Any, stack: int) -> None:
    """Frames were freed."""
    n_frames = len(state.table.frames)
    stacks, tables = half_words_at(notes[N_STACK_OF_FREE], n_frames), bytes_at(notes[N_TABLES], n_frames)
    first, granted = int64(event["pfn"]), int64(event["granted"])
    for pfn in range(first, first + granted):
        stacks[pfn] = stack
        if tables[pfn]:
            tables[pfn] = 0
    if granted <= MOST_UNASKED:
        for pfn in range(first, first + granted):
            fill(board, state, pfn)
    else:
        for part in range(first, first + granted, ASKED_AT_ONCE):
            fill_touched(board, notes, state, part, min(ASKED_AT_ONCE, first + granted - part))


@compiled
def read_event(board: Array, notes: Array, state: State, event: Any, stack: int) -> bool:
    """Look at one event. Whether the engine's buffer is to be emptied."""
    if event["kind"] == events.ALLOC and event["status"] == OK:
        taken(board, notes, state, event, stack)
        return False
    if event["kind"] == events.FREE and event["status"] == OK:
        given_back(board, notes, state, event, stack)
        return bool(event["granted"] > 0)
    if event["kind"] == events.FREE and not has_ended(board):
        notes[N_KIND] = BAD_FREE
        notes[N_FRAME] = event["pfn"]
        notes[N_OTHER] = event["status"]
        notes[N_OWNER] = event["owner"]
        notes[N_STACK] = stack
        stop(board, FINDING)
    return bool(event["kind"] == events.SHARE)


@compiled
def read_note(board: Array, notes: Array) -> bool:
    """What the guest says of its processes: whose turn it is, and who has ended. Whether the engine's buffer is to be emptied."""
    box = boxes_at(board[B_CALL_BOX], 1)[0]
    if box["call"] != NOTE:
        return False
    if box["segment"] == NOTE_ENDED or box["segment"] == NOTE_STARTED:
        bytes_at(notes[N_ENDED], 1 << 16)[int64(box["owner"])] = 1 if box["segment"] == NOTE_ENDED else 0
    if box["segment"] != NOTE_RUNS:
        return False
    notes[N_RUNNING] = box["owner"]
    return True


def after_out(engine: int, port: int, size: int, value: int, board_address: int) -> None:
    """The engine's second hook on every `out`: the doorbell has been served."""
    if port == DOORBELL_PORT:
        board = words_at(board_address, BOARD_WORDS)
        notes = words_at(board[B_WATCH], NOTEBOOK_WORDS)
        state = open_state(words_at(board[B_MANAGER_ROOT], ROOT_WORDS))
        is_to_flush = read_note(board, notes)
        latest = state.counters[CLOCK]
        first = max(notes[N_SEEN], latest - RING_EVENTS) + 1
        notes[N_SEEN] = latest
        stack = keep_stack(board, notes) if first <= latest else int64(0)
        for number in range(first, latest + 1):
            if read_event(board, notes, state, state.ring[number & (RING_EVENTS - 1)], stack):
                is_to_flush = True
        if is_to_flush:
            flush_engine(board, notes)
