"""The exact answer for policies whose next placement follows from the layout and a word that they remember: a compiled search, breadth first.

A state is a layout, with that word. The requester's moves are every allocation it may make and every free; the policy's answer is fixed. A layout
in which a request is refused is the requester's win, and the way to it, which the search's parents tell, is as short as any. When no new layout
turns up the policy cannot be beaten in that memory.

The policies are those of `worst_case.placings`, on words of bits.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np

from kernel_sim.compiled import Array, bind, compiled, entry, int64, trailing_zeros
from kernel_sim.study.worst_case.game import Alloc, Found, Free, Game, Operation, Progress, too_many_states
from kernel_sim.study.worst_case.layouts import Layouts, add, new_layouts, ones, roomier, size_at
from kernel_sim.study.worst_case.placings import NONE, PLACINGS, SCRATCH_WORDS

SEARCHED, WINNER, WINNING_SIZE = range(3)       # what a search notes: layouts looked at, the requester's win or NONE
_STRIDE = 1 << 16           # layouts between two looks at the keyboard
_FIRST_ROOM = 1 << 16


def place(free: int, n_frames: int, memory: int, scratch: Array) -> int:
    raise NotImplementedError


def placed(free: int, n_frames: int, first: int, memory: int, scratch: Array) -> int:
    raise NotImplementedError


def released(free: int, granted: int, first: int, memory: int, scratch: Array) -> int:
    raise NotImplementedError


def granted(n_frames: int) -> int:
    raise NotImplementedError


@compiled
def free_frames(starts: int, used: int, n_frames: int) -> int:
    """The frames that the policy has to give: all but those granted."""
    free, rest = ones(n_frames), starts
    while rest != 0:
        first = int64(trailing_zeros(rest))
        free &= ~(ones(granted(size_at(starts, used, first))) << first)
        rest &= rest - 1
    return free


@compiled
def live_frames(starts: int, used: int, count_granted: bool) -> int:
    """What counts towards the requester's limit."""
    live, rest = int64(0), starts
    while rest != 0:
        n_frames = size_at(starts, used, int64(trailing_zeros(rest)))
        live += granted(n_frames) if count_granted else n_frames
        rest &= rest - 1
    return live


@compiled
def note(layouts: Layouts, parents: Array, parent: int, starts: int, used: int, memory: int) -> None:
    """Keep a layout that is new, and where it came from."""
    if add(layouts, starts, used, memory):
        parents[layouts.n[0] - 1] = parent


def _search(starts: Array, used: Array, memory: Array, table: Array, n: Array, parents: Array, noted: Array, scratch: Array, sizes: Array,
            n_frames: int, live: int, count_granted: bool, stride: int) -> None:
    """Look at so many layouts more, as long as there is room for all that can come of one."""
    layouts = Layouts(starts, used, memory, table, n)
    n_moves = len(sizes) + n_frames
    while stride > 0 and noted[SEARCHED] < n[0] and n[0] + n_moves <= len(starts):
        stride -= 1
        parent = noted[SEARCHED]
        noted[SEARCHED] += 1
        here, asked, kept = starts[parent], used[parent], memory[parent]
        free = free_frames(here, asked, n_frames)
        room = live - live_frames(here, asked, count_granted)
        for i in range(len(sizes)):
            size = sizes[i]
            if (granted(size) if count_granted else size) > room:
                continue
            first = place(free, size, kept, scratch)
            if first == NONE:
                noted[WINNER], noted[WINNING_SIZE] = parent, size
                return
            note(layouts, parents, parent, here | int64(1) << first, asked | ones(size) << first, placed(free, size, first, kept, scratch))
        rest = here
        while rest != 0:
            first = int64(trailing_zeros(rest))
            size = size_at(here, asked, first)
            left = released(free, granted(size), first, kept, scratch)
            note(layouts, parents, parent, here & ~(int64(1) << first), asked & ~(ones(size) << first), left)
            rest &= rest - 1


@cache
def _search_for(policy: str) -> Callable[..., None]:
    """The search, made for one policy."""
    placing = PLACINGS[policy]
    own: dict[str, Any] = {name: getattr(placing, name) for name in ("place", "placed", "released", "granted")}
    steps = {step.__name__: compiled(bind(step, policy, granted=placing.granted)) for step in (free_frames, live_frames)}
    return entry(bind(_search, policy, **own, **steps))


def search(policy: str, n_frames: int, game: Game, max_states: int, progress: Progress | None = None) -> Found:
    """Whether the requester wins in a memory of so many frames (at most the placing's largest). Unsettled beyond `max_states`."""
    step, sizes = _search_for(policy), np.array(game.sizes, np.int64)
    layouts, parents = new_layouts(_FIRST_ROOM), np.full(_FIRST_ROOM, NONE, np.int32)
    noted, scratch = np.array([0, NONE, NONE], np.int64), np.zeros(SCRATCH_WORDS, np.int64)
    while noted[SEARCHED] < layouts.n[0]:
        if layouts.n[0] + len(sizes) + n_frames > len(parents):
            layouts, parents = roomier(layouts), np.concatenate([parents, np.full(len(parents), NONE, np.int32)])
        step(*layouts, parents, noted, scratch, sizes, n_frames, game.live, game.count_granted, _STRIDE)
        if noted[WINNER] != NONE:
            return Found([*_way_to(layouts, parents, int(noted[WINNER])), Alloc(int(noted[WINNING_SIZE]))], int(layouts.n[0]))
        if layouts.n[0] > max_states:
            raise too_many_states(max_states, n_frames)
        if progress:
            progress(n_frames, int(layouts.n[0]))
    return Found(None, int(layouts.n[0]))


def _way_to(layouts: Layouts, parents: Array, number: int) -> list[Operation]:
    """The operations that lead from the empty memory to a layout."""
    way = [number]
    while way[-1] != 0:
        way.append(int(parents[way[-1]]))
    way.reverse()
    masks = [(int(layouts.starts[at]), int(layouts.used[at])) for at in way]
    operations: list[Operation] = []
    slot_at: dict[int, int] = {}
    n_slots = 0
    for (starts, used), (next_starts, next_used) in pairwise(masks):
        first = (starts ^ next_starts).bit_length() - 1
        if next_starts > starts:
            operations.append(Alloc((next_used ^ used).bit_count()))
            slot_at[first] = n_slots
            n_slots += 1
        else:
            operations.append(Free(slot_at[first]))
    return operations
