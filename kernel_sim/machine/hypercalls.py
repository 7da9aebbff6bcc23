"""The doorbell: what the guest asks of the host. Compiled, and called by the engine with no interpreter in between.

The guest writes a call and its arguments into the call box and executes `out`. Nothing in the box is trusted: numbers are checked here or by the
manager before anything is indexed with them. `serve` is made anew for every policy, around its bookkeeping.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from kernel_sim.allocators.base import Policy
from kernel_sim.compiled import Array, Callback, array_view, bind, call_address, callback, compiled, int64, interpreted, outlined
from kernel_sim.events import BAD_COUNT, BROKEN, NO_SUCH_CALL, NO_SUCH_SEGMENT, NOT_SERVED, OK
from kernel_sim.frames import NO_FRAMES, words_at
from kernel_sim.ledger import ROOT_WORDS, far_share, open_state
from kernel_sim.machine import abi
from kernel_sim.machine.abi import (
    BATCH_CALL,
    BATCH_CALLS,
    CONSOLE_PORT,
    DOORBELL_PORT,
    EXIT_PORT,
    FRAME_ALLOC,
    FRAME_FREE,
    FRAME_SHARE,
    MAX_PROCESSES,
    MEMORY_INFO,
    NOTE,
    NOTE_RUNS,
    SEGMENT_ALLOC,
    SEGMENT_COMPACT,
    SEGMENT_FREE,
    SEGMENT_GROW,
    SEGMENT_LOOKUP,
    SEGMENT_SHARE,
    STREAM_NEXT,
    TIMER_PORT,
    TRAP_PORT,
)
from kernel_sim.machine.board import (
    B_ADDRESS,
    B_BATCH,
    B_BOX,
    B_CALL_BOX,
    B_CALLS,
    B_FINISH_TRAP,
    B_JOURNAL_RECORDS,
    B_MANAGER_ROOT,
    B_MOVED,
    B_MOVES,
    B_N_SEGMENTS,
    B_PLACED,
    B_PLACEMENTS,
    B_PLACEMENTS_DUE,
    B_RAM,
    B_RUNS,
    B_SEGMENTS,
    B_STATUS,
    B_STREAMS,
    BOARD_WORDS,
    BROKE,
    MOVED,
    WANTS_WINDOW,
)
from kernel_sim.machine.devices import exit_machine, may_use_ports, put_on_console, set_timer, stop
from kernel_sim.machine.journal import COMPACTED, note, note_frames
from kernel_sim.manager import FrameManager
from kernel_sim.segment_records import heads_at, is_segment, segments_at
from kernel_sim.segments import bind_segments

boxes_at = array_view(abi.dtype(abi.CallBox))

HOOK_TYPES = ("void", "int64", "uint32", "int32", "uint32", "int64")
"""Of `on_out`, for `callback`."""
MOVES_TYPES = ("void", "int64")
BOX_BYTES = abi.CallBox.sizeof()

_MOST = 1 << 62     # frames: more than there are, and no sum with a frame's number is too large
_doorbells: dict[Policy, Callback] = {}


def alloc_at(root: int, n_frames: int, owner: int, cpu: int, mobility: int) -> int:
    raise NotImplementedError


def free_at(root: int, pfn: int, n_frames: int, owner: int) -> int:
    raise NotImplementedError


def segment_alloc(root: int, segments: Array, bound: int, owner: int) -> int:
    raise NotImplementedError


def segment_free(root: int, segments: Array, segment: int) -> int:
    raise NotImplementedError


def segment_share(root: int, segments: Array, segment: int, owner: int) -> int:
    raise NotImplementedError


def segment_grow(root: int, address: int, n_segments: int, memory: int, segment: int, bound: int) -> int:
    raise NotImplementedError


def segment_compact(root: int, address: int, n_segments: int, memory: int) -> int:
    raise NotImplementedError


@compiled
def note_placement(board: Array, pfn: int) -> None:
    """Keep where a streamed allocation was placed: what a replay reports is what was done, and not what the guest says of it."""
    placed, due = board[B_PLACED], board[B_PLACEMENTS_DUE]
    if placed < due:
        words_at(board[B_PLACEMENTS], due)[placed] = max(pfn, NO_FRAMES)
    board[B_PLACED] = placed + 1


@compiled
def serve_frames(board: Array, box: Any) -> int:
    """FRAME_ALLOC and FRAME_FREE: the status. A free by owner 0 is by nobody in particular."""
    root, n_frames, owner = board[B_MANAGER_ROOT], min(int64(box["n_frames"]), _MOST), int64(box["owner"])
    if box["call"] == FRAME_ALLOC:
        pfn = alloc_at(root, n_frames, owner, int64(box["cpu"]), int64(box["mobility"]))
        note_placement(board, pfn)
        box["pfn"] = pfn
        return OK if pfn >= 0 else -pfn
    if n_frames < 0:
        return BAD_COUNT
    return free_at(root, int64(box["pfn"]), n_frames, owner)


@compiled
def serve_share(root: int, box: Any) -> int:
    """FRAME_SHARE: the status."""
    n_uses = far_share(root, int64(box["pfn"]), int64(box["owner"]))
    if n_uses < 0:
        return -n_uses
    box["n_frames"] = n_uses
    return OK


def far_serve_frames(board: Array, box: Any) -> int:
    raise NotImplementedError


@compiled
def serve_segments(board: Array, box: Any) -> int:
    """SEGMENT_ALLOC, SEGMENT_FREE and SEGMENT_LOOKUP: the status."""
    segments = segments_at(board[B_SEGMENTS], board[B_N_SEGMENTS])
    segment = int64(box["segment"])
    if box["call"] == SEGMENT_FREE:
        return segment_free(board[B_MANAGER_ROOT], segments, segment)
    if box["call"] == SEGMENT_ALLOC:
        segment = segment_alloc(board[B_MANAGER_ROOT], segments, int64(box["bound"]), int64(box["owner"]))
        if segment < 0:
            return -segment
    elif not is_segment(segments, segment):
        return NO_SUCH_SEGMENT
    box["segment"] = segment
    box["base"] = segments[segment]["base"]
    box["bound"] = segments[segment]["bound"]
    return OK


@compiled
def note_moved(board: Array, n_frames: int) -> None:
    """Memory has moved: the engine stops, for the machine to have it forget the code that it has translated."""
    if n_frames > 0:
        board[B_MOVED] = 1
        stop(board, MOVED)


@compiled
def serve_moves(board: Array, box: Any) -> int:
    """SEGMENT_GROW, SEGMENT_SHARE and SEGMENT_COMPACT: the status."""
    address, n_segments, segment = board[B_SEGMENTS], board[B_N_SEGMENTS], int64(box["segment"])
    if box["call"] == SEGMENT_COMPACT:
        status = segment_compact(board[B_MANAGER_ROOT], address, n_segments, board[B_RAM])
        box["segment"] = heads_at(address, 1)[0]["moved_now"]
        box["n_frames"] = heads_at(address, 1)[0]["copied_now"]
        note_moved(board, heads_at(address, 1)[0]["copied_now"])
        note(board, COMPACTED, 0, int64(box["segment"]), int64(box["n_frames"]))
        return status
    segments = segments_at(address, n_segments)
    if box["call"] == SEGMENT_SHARE:
        answer = segment_share(board[B_MANAGER_ROOT], segments, segment, int64(box["owner"]))
    else:
        answer = segment_grow(board[B_MANAGER_ROOT], address, n_segments, board[B_RAM], segment, int64(box["bound"]))
        note_moved(board, answer)
    if answer < 0:
        return -answer
    box["n_frames"] = answer
    box["base"] = segments[segment]["base"]
    box["bound"] = segments[segment]["bound"]
    return OK


def serve_moves_in(board_address: int) -> None:
    """`serve_moves` for the call that stands at B_BOX; the status goes to B_STATUS. Moving segments is much to compile, and few guests do it: this
    is a function of its own, made when the first guest asks (`moves_when_asked`)."""
    board = words_at(board_address, BOARD_WORDS)
    board[B_STATUS] = serve_moves(board, boxes_at(board[B_BOX], 1)[0])


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
def serve_one(board: Array, box: Any, box_address: int) -> int:
    """One call that may also stand in a batch: the status."""
    call = box["call"]
    if call == FRAME_ALLOC or call == FRAME_FREE:
        return far_serve_frames(board, box)
    if call == FRAME_SHARE:
        return serve_share(board[B_MANAGER_ROOT], box)
    if call == SEGMENT_ALLOC or call == SEGMENT_FREE or call == SEGMENT_LOOKUP:
        return serve_segments(board, box)
    if call == SEGMENT_GROW or call == SEGMENT_SHARE or call == SEGMENT_COMPACT:
        board[B_BOX] = box_address
        call_address(board[B_MOVES], board[B_ADDRESS])
        return int64(board[B_STATUS])
    if call == MEMORY_INFO:
        return serve_info(board[B_MANAGER_ROOT], box)
    if call == NOTE:
        note(board, box["segment"], box["owner"], int64(box["base"]), int64(box["bound"]))
        if box["segment"] == NOTE_RUNS and box["owner"] < MAX_PROCESSES:
            board[B_RUNS] = box["owner"]
        return OK
    return NO_SUCH_CALL


@outlined
def serve_others(board_address: int) -> int:
    """Every call but the two that must be fast; a batch is a list of calls, each with a status of its own."""
    board = words_at(board_address, BOARD_WORDS)
    box = boxes_at(board[B_CALL_BOX], 1)[0]
    if box["call"] == STREAM_NEXT:
        if board[B_STREAMS]:
            stop(board, WANTS_WINDOW)
        return int64(NOT_SERVED)  # unless the machine, having stopped, says otherwise
    is_batch = box["call"] == BATCH_CALL
    if is_batch and not 0 < box["n_frames"] <= BATCH_CALLS:
        return int64(BAD_COUNT)
    address = board[B_BATCH] if is_batch else board[B_CALL_BOX]
    boxes = boxes_at(address, BATCH_CALLS if is_batch else 1)
    status = int64(OK)
    for i in range(int64(box["n_frames"]) if is_batch else 1):
        status = int64(serve_one(board, boxes[i], address + i * BOX_BYTES))
        boxes[i]["status"] = status
        if status == BROKEN:
            break
    return int64(OK) if is_batch and status != BROKEN else status


@compiled
def serve(board: Array, board_address: int) -> None:
    """The doorbell has rung."""
    board[B_CALLS] += 1
    box = boxes_at(board[B_CALL_BOX], 1)[0]
    if box["call"] == FRAME_ALLOC or box["call"] == FRAME_FREE:
        status = serve_frames(board, box)
    else:
        status = serve_others(board_address)
    if status == BROKEN:
        stop(board, BROKE)
    if board[B_JOURNAL_RECORDS] != 0:
        note_frames(board_address)
    box["status"] = status


def on_out(engine: int, port: int, size: int, value: int, board_address: int) -> None:
    """The engine's hook on every `out`."""
    board = words_at(board_address, BOARD_WORDS)
    if not may_use_ports(board):
        return
    if port == DOORBELL_PORT:
        serve(board, board_address)
    elif port == CONSOLE_PORT:
        put_on_console(board, value)
    elif port == EXIT_PORT:
        exit_machine(board, value)
    elif port == TRAP_PORT:
        call_address(board[B_FINISH_TRAP], board_address)     # compiled once, and not again with every policy
    elif port == TIMER_PORT:
        set_timer(board, value)


def bind_hook(manager: FrameManager) -> Callable[..., Any]:
    """`on_out` for a manager: to be made a callback, compiled or, for a policy in plain Python, in the interpreter."""
    name, bound = manager.policy.name, manager.bound
    make, make_far = (interpreted, interpreted) if manager.policy.in_interpreter else (compiled, outlined)
    segment = bind_segments(manager.policy)
    frames = make(bind(serve_frames, name, alloc_at=bound.alloc_at, free_at=bound.free_at))
    far = make(bind(serve_frames, name, alloc_at=bound.far_alloc, free_at=bound.far_free_by))   # in a batch the bookkeeping is not inlined again
    segments = make(bind(serve_segments, name, segment_alloc=segment.alloc, segment_free=segment.free))
    one = make(bind(serve_one, name, far_serve_frames=far, serve_segments=segments))
    served = make(bind(serve, name, serve_frames=frames, serve_others=make_far(bind(serve_others, name, serve_one=one))))
    hook = bind(on_out, name, serve=served)
    return interpreted(hook) if manager.policy.in_interpreter else hook


def compiled_doorbell(manager: FrameManager) -> Callback:
    """The compiled hook for a manager's policy. One for all machines of a policy: to load machine code again takes time, and is never undone."""
    if manager.policy not in _doorbells:
        _doorbells[manager.policy] = callback(bind_hook(manager), *HOOK_TYPES)
    return _doorbells[manager.policy]


def bind_moves(policy: Policy) -> Callable[..., Any]:
    """`serve_moves_in` for a policy, likewise."""
    make, segment = interpreted if policy.in_interpreter else compiled, bind_segments(policy)
    moves = make(bind(serve_moves, policy.name, segment_share=segment.share, segment_grow=segment.grow, segment_compact=segment.compact))
    hook = bind(serve_moves_in, policy.name, serve_moves=moves)
    return interpreted(hook) if policy.in_interpreter else hook


@cache
def compiled_moves(policy: Policy) -> Callback:
    """The compiled function for a policy; one for all machines."""
    return callback(bind_moves(policy), *MOVES_TYPES)


def moves_when_asked(policy: Policy, board: Array, guarded: Callable[[Callable[[], object]], None]) -> Callback:
    """What B_MOVES is to point at when a machine starts: it has the function compiled, puts it in its own place, and calls it. `guarded` keeps what
    is raised."""
    def serve_now(board_address: int) -> None:
        if policy.in_interpreter:
            bind_moves(policy)(board_address)
        else:
            board[B_MOVES] = compiled_moves(policy).address
            interpreted(call_address)(int(board[B_MOVES]), board_address)

    def first(board_address: int) -> None:
        board[B_STATUS] = NOT_SERVED
        guarded(lambda: serve_now(board_address))
    return callback(first, *MOVES_TYPES, jit=False)
