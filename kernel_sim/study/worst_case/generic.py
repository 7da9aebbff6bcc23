"""The exact answer for any policy: a search, breadth first, over saved states of a board.

Two states that are equal so far behave alike ever after, so one of them is enough. The way to the requester's first win is as short as any.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from kernel_sim.study.worst_case.boards import Board
from kernel_sim.study.worst_case.game import Alloc, Found, Free, Game, Operation, Progress, too_many_states

_STRIDE = 1 << 10       # states between two reports of progress


class State(NamedTuple):
    """A state that was reached: what is needed to go on from there, and the way to it."""

    saved: Any
    slots: tuple[int, ...]      # where every slot was put, freed ones included
    way: tuple[Any, ...]        # (the way before, the operation), or nothing


def search(board: Board, n_frames: int, game: Game, max_states: int, progress: Progress | None = None) -> Found:
    """Whether the requester wins on an empty board of so many frames. Unsettled beyond `max_states`."""
    key, saved = board.save()
    seen, level = {key}, [State(saved, (), ())]
    while level:
        following: list[State] = []
        for state in level:
            for operation in moves(board, state, game):
                slots = make(board, state, operation)
                if slots is None:
                    return Found(unwound((state.way, operation)), len(seen))
                key, saved = board.save()
                if key in seen:
                    continue
                seen.add(key)
                following.append(State(saved, slots, (state.way, operation)))
                if len(seen) > max_states:
                    raise too_many_states(max_states, n_frames)
                if progress and len(seen) % _STRIDE == 0:
                    progress(n_frames, len(seen))
        level = following
    return Found(None, len(seen))


def moves(board: Board, state: State, game: Game) -> list[Operation]:
    """What the requester may do in a state."""
    board.load(state.saved)
    live = board.live()
    room = game.live - sum(given if game.count_granted else asked for asked, given in live.values())
    allocs = [Alloc(size) for size in game.sizes if (board.granted(size) if game.count_granted else size) <= room]
    slot_at = {pfn: slot for slot, pfn in enumerate(state.slots)}      # a later slot at the same frame is the one that lives
    return [*allocs, *(Free(slot_at[pfn]) for pfn in live)]


def make(board: Board, state: State, operation: Operation) -> tuple[int, ...] | None:
    """Carry a move out: the slots then, or None when it is refused."""
    board.load(state.saved)
    if isinstance(operation, Free):
        board.free(state.slots[operation.slot])
        return state.slots
    pfn = board.alloc(operation.n_frames)
    return None if pfn is None else (*state.slots, pfn)


def unwound(way: tuple[Any, ...]) -> list[Operation]:
    """The operations of a way, the first first."""
    operations: list[Operation] = []
    while way:
        way, operation = way
        operations.append(operation)
    return operations[::-1]
