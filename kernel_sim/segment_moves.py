"""Segments that grow, shrink and move: the part of the segment table that copies memory. Compiled, made anew for every policy.

Two ways to other frames. Where the policy can give up certain frames (`Policy.take`), a segment grows over the free frames behind it and slides
down over those below it; the overlapping copy is a memmove. Otherwise it asks the policy for a new run, as anybody does, copies, and frees the old
one; while segments are moved together the new run is kept only when it is lower. Either way the event ring sees allocations and frees, and nothing
else moves: page tables and other allocations stay where they are.

Source: moving segments together is as old as base and bound (P. J. Denning, "Virtual memory", ACM Computing Surveys 2(3), 1970, calls it
compaction; D. E. Knuth, The Art of Computer Programming, volume 1, section 2.5, storage compaction).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

from kernel_sim import events
from kernel_sim.allocators.base import Policy, Request
from kernel_sim.compiled import Array, bind, compiled, int64, interpreted, move_memory, outlined
from kernel_sim.events import BAD_COUNT, NO_SUCH_SEGMENT, OK, OUT_OF_FRAMES
from kernel_sim.frames import NO_FRAMES, TAIL, frame, words_at
from kernel_sim.ledger import (
    CLOCK,
    N_FAILED,
    REQUESTED,
    ROOT_WORDS,
    State,
    area_of,
    bind_policy,
    open_state,
    policy_alloc,
    policy_granted,
    record,
    settle,
    steps,
)
from kernel_sim.segment_records import (
    are_free,
    end_of_padding,
    frames_for,
    heads_at,
    is_intact,
    is_segment,
    look_below,
    segments_at,
    sort_by_base,
    why_not,
    zone_of,
)
from kernel_sim.units import FRAME_BYTES

MOST_PASSES = 64
"""Of one compaction. Each but the last moves a segment to lower frames, and there are so many, so it ends by itself; mostly after two or three."""


# -- what the policy and the ledger bring ----------------------------------------------------------------------------------------------------

@compiled
def policy_take(area: Any, pfn: int, n_frames: int) -> bool:
    raise NotImplementedError


def far_alloc(root: int, n_frames: int, owner: int, cpu: int, mobility: int) -> int:
    raise NotImplementedError


def far_free(root: int, pfn: int, n_frames: int) -> int:
    raise NotImplementedError


# -- allocating in a zone, and at a place ----------------------------------------------------------------------------------------------------

@compiled
def enter_books(state: State, zone: int, request: Request, pfn: int, granted: int, steps_before: int) -> int:
    """Book and record what the policy has given up: its pfn, or -BROKEN when it was not the policy's to give."""
    state.counters[CLOCK] += 1
    status = settle(state, zone, request, pfn, granted)
    if status != OK:
        state.counters[N_FAILED] += 1
        record(state, events.ALLOC, status, request, int64(NO_FRAMES), int64(0), steps_before)
        return int64(-status)
    record(state, events.ALLOC, status, request, pfn, granted, steps_before)
    return int64(pfn)


@outlined
def far_alloc_in(root: int, zone: int, n_frames: int, owner: int) -> int:
    """Allocate in one zone, whatever the others have: the pfn, or minus a status. That the policy had none is no event: nobody has asked."""
    state = open_state(words_at(root, ROOT_WORDS))
    steps_before, request = steps(state.counters), Request(n_frames, owner, int64(0), int64(0))
    area = area_of(state, zone)
    granted = policy_granted(area, n_frames)
    pfn = policy_alloc(area, request) if granted > 0 else int64(NO_FRAMES)
    return enter_books(state, zone, request, pfn, granted, steps_before) if pfn != NO_FRAMES else int64(-OUT_OF_FRAMES)


@outlined
def far_alloc_at(root: int, zone: int, pfn: int, n_frames: int, owner: int) -> int:
    """Allocate certain frames of a zone, which are free: the pfn, or minus a status.

    What the policy has in several holes that touch it gives up piece by piece. If it stops half-way what it gave is freed again.
    """
    state = open_state(words_at(root, ROOT_WORDS))
    steps_before, area = steps(state.counters), area_of(state, zone)
    taken, piece = int64(0), int64(n_frames)
    while taken < n_frames:
        if policy_take(area, pfn + taken, piece):
            taken += piece
        elif piece > 1:
            piece = int64(1)
        else:
            break
    if taken == 0:
        return int64(-OUT_OF_FRAMES)
    made = enter_books(state, zone, Request(taken, owner, int64(0), int64(0)), pfn, taken, steps_before)
    if made >= 0 and taken < n_frames:
        far_free(root, pfn, int64(0))
        return int64(-OUT_OF_FRAMES)
    return made


def never_at(root: int, zone: int, pfn: int, n_frames: int, owner: int) -> int:
    """`far_alloc_at` for a policy that cannot give up certain frames."""
    return int64(-OUT_OF_FRAMES)


# -- growing and shrinking -------------------------------------------------------------------------------------------------------------------

@compiled
def lengthen(root: int, state: State, first: int, n_frames: int, n_wanted: int) -> int:
    """Make an allocation longer where it is: over its own padding, then over free frames behind. OK, or why not; nothing is changed then."""
    frames, zone = state.table.frames, zone_of(state.zones, first)
    end, padded = first + n_wanted, end_of_padding(state.table, first + n_frames)
    if end > padded:
        if end > state.zones[zone]["end"] or not are_free(state.table, padded, end):
            return int64(OUT_OF_FRAMES)
        taken = far_alloc_at(root, zone, padded, end - padded, int64(frame(frames, first)["owner"]))
        if taken < 0:
            return int64(-taken)
        frame(frames, padded)["state"] = TAIL
    for pfn in range(first + n_frames, min(padded, end)):
        frame(frames, pfn)["state"] = TAIL
    state.counters[REQUESTED] += min(padded, end) - (first + n_frames)
    return int64(OK)


@compiled
def settle_at(state: State, segments: Array, segment: int, pfn: int, source: int, n_frames: int, memory: int) -> None:
    """A segment stands at other frames now: copy what it holds, and know them by their event."""
    if memory != 0:
        move_memory(memory + pfn * FRAME_BYTES, memory + source * FRAME_BYTES, n_frames * FRAME_BYTES)
    segments[segment]["base"] = pfn * FRAME_BYTES
    segments[segment]["event"] = frame(state.table.frames, pfn)["event"]


@outlined
def segment_grow(root: int, address: int, n_segments: int, memory: int, segment: int, bound: int) -> int:
    """Give a segment another bound: how many frames were copied for it, or minus a status; nothing is changed then.

    `memory` is where the frames' bytes are, 0 when there are none.
    """
    segments, state = segments_at(address, n_segments), open_state(words_at(root, ROOT_WORDS))
    if bound < 1:
        return int64(-BAD_COUNT)
    if not is_segment(segments, segment):
        return int64(-NO_SUCH_SEGMENT)
    if not is_intact(state.table, segments[segment]):
        return int64(-why_not(state.table, segments[segment]))
    first, n_before, n_after = segments[segment]["base"] // FRAME_BYTES, frames_for(segments[segment]["bound"]), frames_for(bound)
    copied, status = int64(0), int64(OK)
    if n_after < n_before:
        status = far_free(root, first + n_after, n_before - n_after)
    elif n_after > n_before:
        status = lengthen(root, state, first, n_before, n_after)
    if status == OUT_OF_FRAMES:
        new = far_alloc(root, n_after, int64(frame(state.table.frames, first)["owner"]), int64(0), int64(0))
        if new < 0:
            return int64(new)
        settle_at(state, segments, segment, new, first, n_before, memory)
        copied, status = n_before, far_free(root, first, int64(0))
    if status == OK:
        segments[segment]["bound"] = bound
        heads_at(address, 1)[0]["copied_growing"] += copied
    return copied if status == OK else int64(-status)


# -- moving together -------------------------------------------------------------------------------------------------------------------------

@compiled
def slide(root: int, state: State, segments: Array, segment: int, zone: int, hole: int, memory: int) -> int:
    """Move a segment to the beginning of the hole right below it: OK, or why not.

    With a hole shorter than the segment that is growing at the front and giving back the tail.
    """
    frames, first = state.table.frames, segments[segment]["base"] // FRAME_BYTES
    n_frames = frames_for(segments[segment]["bound"])
    n_taken = min(first - hole, n_frames)
    taken = far_alloc_at(root, zone, hole, n_taken, int64(frame(frames, first)["owner"]))
    if taken < 0:
        return int64(-taken)
    settle_at(state, segments, segment, hole, first, n_frames, memory)
    if n_taken == n_frames:
        return int64(far_free(root, first, int64(0)))
    frame(frames, first)["state"] = TAIL
    return int64(far_free(root, hole + n_frames, n_taken))


@compiled
def jump(root: int, state: State, segments: Array, segment: int, zone: int, memory: int) -> int:
    """Move a segment to where the policy puts so many frames, if that is lower: OK, or why not."""
    first, n_frames = segments[segment]["base"] // FRAME_BYTES, frames_for(segments[segment]["bound"])
    pfn = far_alloc_in(root, zone, n_frames, int64(frame(state.table.frames, first)["owner"]))
    if pfn < 0:
        return int64(-pfn)
    lower, given_back = pfn < first, pfn
    if lower:
        settle_at(state, segments, segment, pfn, first, n_frames, memory)
        given_back = first
    status = int64(far_free(root, given_back, int64(0)))
    return status if lower or status != OK else int64(OUT_OF_FRAMES)


@compiled
def move_down(root: int, state: State, segments: Array, segment: int, zone: int, hole: int, longest: int, memory: int) -> int:
    """Move a segment to lower frames of its zone. `hole` is where the free run right below it begins, `longest` how long another below is."""
    first, n_frames = segments[segment]["base"] // FRAME_BYTES, frames_for(segments[segment]["bound"])
    status = int64(OUT_OF_FRAMES)
    if hole < first:
        status = slide(root, state, segments, segment, zone, hole, memory)
    if status == OUT_OF_FRAMES and max(longest, first - hole) >= n_frames:
        status = jump(root, state, segments, segment, zone, memory)
    return status


@compiled
def move_all_down(root: int, state: State, address: int, n_segments: int, n: int, memory: int) -> int:
    """One pass over the `n` ranked segments, lowest first: OK, or what stopped it."""
    segments, heads = segments_at(address, n_segments), heads_at(address, 1)
    zone, seen, longest = int64(-1), int64(0), int64(0)
    for i in range(n):
        segment = int64(segments[1 + i]["rank"])
        first, n_frames = segments[segment]["base"] // FRAME_BYTES, frames_for(segments[segment]["bound"])
        here = zone_of(state.zones, first)
        if here != zone:
            zone, seen, longest = here, int64(state.zones[here]["first"]), int64(0)
        hole, other = look_below(state.table, seen, first)
        longest = max(longest, other)
        status = move_down(root, state, segments, segment, zone, hole, longest, memory)
        if status == OK:
            heads[0]["copied_now"] += n_frames
        elif status != OUT_OF_FRAMES:
            return int64(status)
        seen = max(hole, segments[segment]["base"] // FRAME_BYTES + n_frames)
    return int64(OK)


@outlined
def segment_compact(root: int, address: int, n_segments: int, memory: int) -> int:
    """Move the segments together, lowest first, until none moves any more: OK, or what stopped it. The head record says how much was done."""
    segments, heads, state = segments_at(address, n_segments), heads_at(address, 1), open_state(words_at(root, ROOT_WORDS))
    heads[0]["copied_now"] = 0
    for segment in range(1, heads[0]["n_ids"] + 1):
        segments[segment]["start"] = segments[segment]["base"]
    status = int64(OK)
    for _ in range(MOST_PASSES):
        copied_before = heads[0]["copied_now"]
        n = sort_by_base(state.table, segments, heads[0]["n_ids"])
        status = move_all_down(root, state, address, n_segments, n, memory)
        if status != OK or heads[0]["copied_now"] == copied_before:
            break
    n_moved = int64(0)
    for segment in range(1, heads[0]["n_ids"] + 1):
        n_moved += int64(segments[segment]["users"] > 0 and segments[segment]["start"] != segments[segment]["base"])
    heads[0]["moved_now"] = n_moved
    heads[0]["copied_compacting"] += heads[0]["copied_now"]
    return int64(status)


class Moves(NamedTuple):
    """`segment_grow` and `segment_compact`, made for one policy."""

    grow: Any
    compact: Any


@lru_cache(maxsize=32)
def bind_moves(policy: Policy) -> Moves:
    """The functions above, for a policy: compiled, or in the interpreter."""
    make, make_far = (interpreted, interpreted) if policy.in_interpreter else (compiled, outlined)
    name, bound = policy.name, bind_policy(policy)
    own = {"far_alloc": bound.far_alloc, "far_free": bound.far_free, "area_of": make(bind(area_of, name, policy_open=policy.open_area))}
    own["far_alloc_in"] = make_far(bind(far_alloc_in, name, **own, policy_granted=policy.granted, policy_alloc=policy.alloc))
    own["far_alloc_at"] = make_far(bind(never_at, name) if policy.take is None else bind(far_alloc_at, name, **own, policy_take=policy.take))
    for step in (lengthen, slide, jump):
        own[step.__name__] = make(bind(step, name, **own))
    own["move_down"] = make(bind(move_down, name, **own))
    own["move_all_down"] = make(bind(move_all_down, name, **own))
    return Moves(make_far(bind(segment_grow, name, **own)), make_far(bind(segment_compact, name, **own)))
