"""The exact answer for policies whose next placement follows from the layout alone (and next fit's rover): a compiled search, breadth first.

A state is a layout. The requester's moves are every allocation it may make and every free; the policy's answer is fixed. A layout in which a
request is refused is the requester's win, and the way to it, which the search's parents tell, is as short as any. When no new layout turns up
the policy cannot be beaten in that memory.

The policies are written here a second time, on words of bits, a few instructions each; `worst_case.generic` plays the same game with the real
ones, and a sequence found here is replayed there.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from kernel_sim.compiled import Array, bind, compiled, entry, int64, trailing_zeros
from kernel_sim.study.worst_case.game import Alloc, Found, Free, Game, Operation, Progress, too_many_states
from kernel_sim.study.worst_case.layouts import (
    LAYOUT_BITS,
    ROVER_SHIFT,
    Layouts,
    add,
    fitting,
    new_layouts,
    ones,
    roomier,
    size_at,
)

NONE = -1
FOUND, SEARCHED, WINNER, WINNING_SIZE = range(4)    # what a search notes: layouts looked at, the requester's win or NONE
_STRIDE = 1 << 16           # layouts between two looks at the keyboard
_FIRST_ROOM = 1 << 16


class Placing(NamedTuple):
    """A policy as bits: where it puts a request, how many frames that takes up, and whether it remembers where the last one ended."""

    place: Callable[..., Any]       # (free frames, n_frames, rover) -> first frame, or NONE
    granted: Callable[..., Any]     # (n_frames) -> frames
    roves: bool


@compiled
def hole_starts(free: int) -> int:
    """The first frame of every hole, one bit each."""
    return free & ~(free << 1)


@compiled
def lowest(places: int) -> int:
    """The lowest of places, or NONE."""
    return int64(trailing_zeros(places)) if places != 0 else int64(NONE)


@compiled
def first_fit(free: int, n_frames: int, rover: int) -> int:
    return lowest(fitting(free, n_frames))


@compiled
def next_fit(free: int, n_frames: int, rover: int) -> int:
    holes = fitting(free, n_frames) & hole_starts(free)
    onwards = holes & ~ones(rover)
    return lowest(onwards if onwards != 0 else holes)


@compiled
def best_fit(free: int, n_frames: int, rover: int) -> int:
    """Ask for exactly n frames, then for holes of one more, and so on."""
    wanted = n_frames
    holes = fitting(free, wanted) & hole_starts(free)
    while holes != 0:
        larger = holes & fitting(free, wanted + 1)
        if larger != holes:
            return lowest(holes & ~larger)
        wanted += 1
    return int64(NONE)


@compiled
def worst_fit(free: int, n_frames: int, rover: int) -> int:
    """Ask for ever larger holes until there is none."""
    wanted = n_frames
    holes = fitting(free, wanted) & hole_starts(free)
    found = lowest(holes)
    while holes != 0:
        found = lowest(holes)
        wanted += 1
        holes &= fitting(free, wanted)
    return found


@compiled
def address_buddy(free: int, n_frames: int, rover: int) -> int:
    """The lowest free block of the smallest sufficient order: a free aligned block that is not half of a free aligned one."""
    block, blocks = int64(1), free
    while blocks != 0:
        twice = blocks & (blocks >> block) & aligned(2 * block)
        if block >= n_frames and blocks & ~(twice | twice << block) != 0:
            return lowest(blocks & ~(twice | twice << block))
        blocks = twice
        block *= 2
    return int64(NONE)


@compiled
def aligned(block: int) -> int:
    """A bit for every frame whose number a power of two divides."""
    bits, width = int64(1), block
    while width < ROVER_SHIFT:
        bits |= bits << width
        width *= 2
    return bits & LAYOUT_BITS


@compiled
def exactly(n_frames: int) -> int:
    return n_frames


@compiled
def power_of_two(n_frames: int) -> int:
    block = int64(1)
    while block < n_frames:
        block *= 2
    return block


PLACINGS = {
    "first-fit": Placing(first_fit, exactly, False), "next-fit": Placing(next_fit, exactly, True), "best-fit": Placing(best_fit, exactly, False),
    "worst-fit": Placing(worst_fit, exactly, False), "buddy:order=address": Placing(address_buddy, power_of_two, False),
}
"""The policies that have a compact form, by their full names."""

place = first_fit
granted = exactly


@compiled
def free_frames(starts: int, used: int, n_frames: int) -> int:
    """The frames that the policy has to give: all but those granted."""
    free, rest = ones(n_frames), starts & LAYOUT_BITS
    while rest != 0:
        first = int64(trailing_zeros(rest))
        free &= ~(ones(granted(size_at(starts, used, first))) << first)
        rest &= rest - 1
    return free


@compiled
def live_frames(starts: int, used: int, count_granted: bool) -> int:
    """What counts towards the requester's limit."""
    live, rest = int64(0), starts & LAYOUT_BITS
    while rest != 0:
        n_frames = size_at(starts, used, int64(trailing_zeros(rest)))
        live += granted(n_frames) if count_granted else n_frames
        rest &= rest - 1
    return live


@compiled
def note(layouts: Layouts, parents: Array, parent: int, starts: int, used: int) -> None:
    """Keep a layout that is new, and where it came from."""
    if add(layouts, starts, used):
        parents[layouts.n[0] - 1] = parent


def _search(starts: Array, used: Array, table: Array, count: Array, parents: Array, noted: Array, sizes: Array, n_frames: int, live: int,
            count_granted: bool, roves: bool, stride: int) -> None:
    """Look at so many layouts more, as long as there is room for all that can come of one."""
    layouts = Layouts(starts, used, table, count)
    n_moves = len(sizes) + n_frames
    while stride > 0 and noted[SEARCHED] < count[0] and count[0] + n_moves <= len(starts):
        stride -= 1
        parent = noted[SEARCHED]
        noted[SEARCHED] += 1
        here, asked = starts[parent], used[parent]
        free, rover = free_frames(here, asked, n_frames), here >> ROVER_SHIFT
        room = live - live_frames(here, asked, count_granted)
        for i in range(len(sizes)):
            size = sizes[i]
            if (granted(size) if count_granted else size) > room:
                continue
            first = place(free, size, rover)
            if first == NONE:
                noted[WINNER], noted[WINNING_SIZE] = parent, size
                return
            begun = here | int64(1) << first
            if roves:
                begun = begun & LAYOUT_BITS | (first + size) << ROVER_SHIFT
            note(layouts, parents, parent, begun, asked | ones(size) << first)
        rest = here & LAYOUT_BITS
        while rest != 0:
            first = int64(trailing_zeros(rest))
            note(layouts, parents, parent, here & ~(int64(1) << first), asked & ~(ones(size_at(here, asked, first)) << first))
            rest &= rest - 1


@cache
def _search_for(policy: str) -> Callable[..., None]:
    """The search, made for one policy."""
    placing = PLACINGS[policy]
    sizes = {"granted": placing.granted}
    steps = {step.__name__: compiled(bind(step, policy, **sizes)) for step in (free_frames, live_frames)}
    return entry(bind(_search, policy, place=placing.place, **sizes, **steps))


def search(policy: str, n_frames: int, game: Game, max_states: int, progress: Progress | None = None) -> Found:
    """Whether the requester wins in a memory of so many frames (at most LARGEST_MEMORY). Unsettled beyond `max_states`."""
    step, roves = _search_for(policy), PLACINGS[policy].roves
    layouts, parents = new_layouts(_FIRST_ROOM), np.full(_FIRST_ROOM, NONE, np.int32)
    sizes, noted = np.array(game.sizes, np.int64), np.array([0, 0, NONE, NONE], np.int64)
    while noted[SEARCHED] < layouts.n[0] and noted[WINNER] == NONE:
        if int(layouts.n[0]) + len(sizes) + n_frames > len(parents):
            if layouts.n[0] > max_states:
                raise too_many_states(max_states, n_frames)
            layouts, parents = roomier(layouts), np.concatenate([parents, np.full(len(parents), NONE, np.int32)])
        step(*layouts, parents, noted, sizes, n_frames, game.live, game.count_granted, roves, _STRIDE)
        if progress:
            progress(n_frames, int(layouts.n[0]))
    n_states = int(layouts.n[0])
    if n_states > max_states:
        raise too_many_states(max_states, n_frames)
    if noted[WINNER] == NONE:
        return Found(None, n_states)
    return Found([*_way_to(layouts, parents, int(noted[WINNER])), Alloc(int(noted[WINNING_SIZE]))], n_states)


def _way_to(layouts: Layouts, parents: Array, number: int) -> list[Operation]:
    """The operations that lead from the empty memory to a layout."""
    way = [number]
    while way[-1] != 0:
        way.append(int(parents[way[-1]]))
    way.reverse()
    masks = [(int(layouts.starts[at]) & LAYOUT_BITS, int(layouts.used[at])) for at in way]
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
