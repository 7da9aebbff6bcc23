"""The calls in which no policy has a part: compiled once, for all machines."""

from __future__ import annotations

from typing import Any

from kernel_sim.compiled import Array, array_view, call_address, compiled, int64
from kernel_sim.events import NO_SUCH_CALL, NO_SUCH_SEGMENT, NOT_SERVED, OK
from kernel_sim.frames import words_at
from kernel_sim.ledger import ROOT_WORDS, far_share, open_state
from kernel_sim.machine import abi
from kernel_sim.machine.abi import FRAME_SHARE, MAX_PROCESSES, MEMORY_INFO, NOTE, NOTE_RUNS, SEGMENT_LOOKUP, STREAM_NEXT
from kernel_sim.machine.board import (
    B_ADDRESS,
    B_BOX,
    B_MANAGER_ROOT,
    B_N_SEGMENTS,
    B_RUNS,
    B_SEGMENTS,
    B_STATUS,
    B_STREAMS,
    BOARD_WORDS,
    WANTS_WINDOW,
)
from kernel_sim.machine.devices import stop
from kernel_sim.machine.journal import note
from kernel_sim.segment_records import is_segment, segments_at

boxes_at = array_view(abi.dtype(abi.CallBox))


@compiled
def next_window(board: Array) -> int:
    """STREAM_NEXT: the status, unless the machine, having stopped, says otherwise."""
    if board[B_STREAMS]:
        stop(board, WANTS_WINDOW)
    return NOT_SERVED


@compiled
def serve_share(root: int, box: Any) -> int:
    """FRAME_SHARE: the status."""
    n_uses = far_share(root, int64(box["pfn"]), int64(box["owner"]))
    if n_uses < 0:
        return -n_uses
    box["n_frames"] = n_uses
    return OK


@compiled
def tell_segment(board: Array, box: Any, segment: int) -> int:
    """SEGMENT_LOOKUP, and what every call for a segment answers with: OK."""
    segments = segments_at(board[B_SEGMENTS], board[B_N_SEGMENTS])
    if not is_segment(segments, segment):
        return NO_SUCH_SEGMENT
    box["segment"] = segment
    box["base"] = segments[segment]["base"]
    box["bound"] = segments[segment]["bound"]
    return OK


@compiled
def serve_info(root: int, box: Any) -> int:
    """MEMORY_INFO: all frames that are for hire, those that are free, those in use."""
    state = open_state(words_at(root, ROOT_WORDS))
    n_frames, n_free = int64(0), int64(0)
    for zone in range(len(state.zones)):
        n_frames += state.zones[zone]["n_frames"]
        n_free += state.zones[zone]["n_free"]
    box["n_frames"] = n_frames
    box["bound"] = n_free
    box["base"] = n_frames - n_free
    return OK


@compiled
def serve_note(board: Array, box: Any) -> int:
    """NOTE: what the guest says of its processes, for the journal and for the misses that each has."""
    note(board, box["segment"], box["owner"], int64(box["base"]), int64(box["bound"]))
    if box["segment"] == NOTE_RUNS and box["owner"] < MAX_PROCESSES:
        board[B_RUNS] = box["owner"]
    return OK


@compiled
def serve_common(board: Array, box: Any) -> int:
    """One of these calls: the status."""
    call = box["call"]
    if call == STREAM_NEXT:
        return next_window(board)
    if call == FRAME_SHARE:
        return serve_share(board[B_MANAGER_ROOT], box)
    if call == SEGMENT_LOOKUP:
        return tell_segment(board, box, int64(box["segment"]))
    if call == MEMORY_INFO:
        return serve_info(board[B_MANAGER_ROOT], box)
    if call == NOTE:
        return serve_note(board, box)
    return NO_SUCH_CALL


def serve_common_in(board_address: int) -> None:
    """`serve_common` for the call that stands at B_BOX; the status goes to B_STATUS."""
    board = words_at(board_address, BOARD_WORDS)
    board[B_STATUS] = serve_common(board, boxes_at(board[B_BOX], 1)[0])


@compiled
def ask(board: Array, function: int, box_address: int) -> int:
    """The status that a function of the board, such as B_COMMON_CALLS, has for the call at an address."""
    board[B_BOX] = box_address
    call_address(board[function], board[B_ADDRESS])
    return int64(board[B_STATUS])
