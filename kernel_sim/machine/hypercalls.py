"""The doorbell: what the guest asks of the host. Compiled, and called by the engine with no interpreter in between.

The guest writes a call and its arguments into the call box and executes `out`. Nothing in the box is trusted: numbers are checked here or by the
manager before anything is indexed with them. `serve` is made anew for every policy, around its bookkeeping.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kernel_sim.allocators.base import Policy
from kernel_sim.compiled import Array, Callback, bind, call_address, callback, compiled, int64, interpreted
from kernel_sim.events import BAD_COUNT, BROKEN, NO_SUCH_CALL, NOT_SERVED, OK
from kernel_sim.frames import NO_FRAMES, words_at
from kernel_sim.machine import abi
from kernel_sim.machine.abi import (
    BATCH_CALL,
    BATCH_CALLS,
    CONSOLE_PORT,
    DOORBELL_PORT,
    EXIT_PORT,
    FRAME_ALLOC,
    FRAME_FREE,
    SEGMENT_ALLOC,
    SEGMENT_COMPACT,
    SEGMENT_FREE,
    SEGMENT_GROW,
    SEGMENT_SHARE,
    STREAM_NEXT,
    TIMER_PORT,
    TRAP_PORT,
)
from kernel_sim.machine.board import (
    B_BATCH,
    B_BOX,
    B_CALL_BOX,
    B_CALLS,
    B_COMMON_CALLS,
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
    B_RARE_CALLS,
    B_SEGMENTS,
    B_STATUS,
    BOARD_WORDS,
    BROKE,
    MOVED,
)
from kernel_sim.machine.common_calls import ask, boxes_at, tell_segment
from kernel_sim.machine.devices import exit_machine, may_use_ports, put_on_console, set_timer, stop
from kernel_sim.machine.journal import COMPACTED, note, note_frames
from kernel_sim.manager import FrameManager
from kernel_sim.segment_records import heads_at, segments_at
from kernel_sim.segments import bind_segments

HOOK_TYPES = ("void", "int64", "uint32", "int32", "uint32", "int64")
"""Of `on_out`, for `callback`."""
CALL_TYPES = ("void", "int64")
"""Of the functions that serve a call at B_BOX."""
BOX_BYTES = abi.CallBox.sizeof()

_MOST = 1 << 62     # frames: more than there are, and no sum with a frame's number is too large


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


def far_serve_frames(board: Array, box: Any) -> int:
    raise NotImplementedError


@compiled
def serve_segments(board: Array, box: Any) -> int:
    """SEGMENT_ALLOC and SEGMENT_FREE: the status."""
    segments = segments_at(board[B_SEGMENTS], board[B_N_SEGMENTS])
    if box["call"] == SEGMENT_FREE:
        return segment_free(board[B_MANAGER_ROOT], segments, int64(box["segment"]))
    segment = segment_alloc(board[B_MANAGER_ROOT], segments, int64(box["bound"]), int64(box["owner"]))
    return tell_segment(board, box, segment) if segment >= 0 else -segment


@compiled
def moves_segments(call: int) -> bool:
    """Whether it is a call for `serve_moves`."""
    return call == SEGMENT_GROW or call == SEGMENT_SHARE or call == SEGMENT_COMPACT


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
    return tell_segment(board, box, segment)


def serve_moves_in(board_address: int) -> None:
    """`serve_moves` for the call that stands at B_BOX; the status goes to B_STATUS. Again a function of its own."""
    board = words_at(board_address, BOARD_WORDS)
    board[B_STATUS] = serve_moves(board, boxes_at(board[B_BOX], 1)[0])


@compiled
def serve_one(board: Array, box: Any, box_address: int) -> int:
    """One call that may also stand in a batch: the status."""
    call = box["call"]
    if call == FRAME_ALLOC or call == FRAME_FREE:
        return far_serve_frames(board, box)
    if call == SEGMENT_ALLOC or call == SEGMENT_FREE:
        return serve_segments(board, box)
    if moves_segments(call):
        return ask(board, B_MOVES, box_address)
    return NO_SUCH_CALL if call == STREAM_NEXT else ask(board, B_COMMON_CALLS, box_address)


def serve_rare_in(board_address: int) -> None:
    """BATCH_CALL, a list of calls, each with a status of its own, and the calls for segments; the status goes to B_STATUS. They are much to compile,
    and few guests ask for them: this is a function of its own, made when the first guest does (`when_asked`)."""
    board = words_at(board_address, BOARD_WORDS)
    box = boxes_at(board[B_CALL_BOX], 1)[0]
    is_batch = box["call"] == BATCH_CALL
    if is_batch and not 0 < box["n_frames"] <= BATCH_CALLS:
        board[B_STATUS] = BAD_COUNT
        return
    address = board[B_BATCH] if is_batch else board[B_CALL_BOX]
    boxes = boxes_at(address, BATCH_CALLS if is_batch else 1)
    status = int64(OK)
    for i in range(int64(box["n_frames"]) if is_batch else 1):
        status = int64(serve_one(board, boxes[i], address + i * BOX_BYTES))
        boxes[i]["status"] = status
        if status == BROKEN:
            break
    board[B_STATUS] = OK if is_batch and status != BROKEN else status


@compiled
def serve(board: Array, board_address: int) -> None:
    """The doorbell has rung."""
    board[B_CALLS] += 1
    box = boxes_at(board[B_CALL_BOX], 1)[0]
    call = box["call"]
    if call == FRAME_ALLOC or call == FRAME_FREE:
        status = serve_frames(board, box)
    elif call == BATCH_CALL or call == SEGMENT_ALLOC or call == SEGMENT_FREE or moves_segments(call):
        status = ask(board, B_RARE_CALLS, board[B_CALL_BOX])
    else:
        status = ask(board, B_COMMON_CALLS, board[B_CALL_BOX])
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
    name, bound, make = manager.policy.name, manager.bound, _maker(manager.policy)
    frames = make(bind(serve_frames, name, alloc_at=bound.alloc_at, free_at=bound.free_at))
    hook = bind(on_out, name, serve=make(bind(serve, name, serve_frames=frames)))
    return interpreted(hook) if manager.policy.in_interpreter else hook


def bind_rare(manager: FrameManager) -> Callable[..., Any]:
    """`serve_rare_in`, likewise. The bookkeeping of frames is not inlined: a batch and a segment share it."""
    name, bound, make = manager.policy.name, manager.bound, _maker(manager.policy)
    segment = bind_segments(manager.policy)
    frames = make(bind(serve_frames, name, alloc_at=bound.far_alloc, free_at=bound.far_free_by))
    segments = make(bind(serve_segments, name, segment_alloc=segment.alloc, segment_free=segment.free))
    hook = bind(serve_rare_in, name, serve_one=make(bind(serve_one, name, far_serve_frames=frames, serve_segments=segments)))
    return interpreted(hook) if manager.policy.in_interpreter else hook


def bind_moves(manager: FrameManager) -> Callable[..., Any]:
    """`serve_moves_in`, likewise."""
    name, segment, make = manager.policy.name, bind_segments(manager.policy), _maker(manager.policy)
    moves = make(bind(serve_moves, name, segment_share=segment.share, segment_grow=segment.grow, segment_compact=segment.compact))
    hook = bind(serve_moves_in, name, serve_moves=moves)
    return interpreted(hook) if manager.policy.in_interpreter else hook


def _maker(policy: Policy) -> Callable[..., Any]:
    return interpreted if policy.in_interpreter else compiled


_made: dict[tuple[Policy, Callable[..., Any]], Callback] = {}


def compiled_for(manager: FrameManager, bound_by: Callable[[FrameManager], Callable[..., Any]], *types: str) -> Callback:
    """What `bind_hook` and the like bind, compiled. One for all machines of a policy: to load machine code again takes time, and is never undone."""
    key = manager.policy, bound_by
    if key not in _made:
        _made[key] = callback(bound_by(manager), *types)
    return _made[key]


def compiled_doorbell(manager: FrameManager) -> Callback:
    """The compiled hook for a manager's policy."""
    return compiled_for(manager, bind_hook, *HOOK_TYPES)


def when_asked(manager: FrameManager, bound_by: Callable[[FrameManager], Callable[..., Any]], board: Array, word: int,
               guarded: Callable[[Callable[[], object]], None]) -> Callback:
    """What a word of the board is to point at when a machine starts: it has the function compiled, puts it in its own place, and calls it.
    `guarded` keeps what is raised."""
    def serve_now(board_address: int) -> None:
        if manager.policy.in_interpreter:
            bound_by(manager)(board_address)
        else:
            board[word] = compiled_for(manager, bound_by, *CALL_TYPES).address
            interpreted(call_address)(int(board[word]), board_address)

    def first(board_address: int) -> None:
        board[B_STATUS] = NOT_SERVED
        guarded(lambda: serve_now(board_address))
    return callback(first, *CALL_TYPES, jit=False)
