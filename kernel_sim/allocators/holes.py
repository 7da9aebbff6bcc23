"""Carving and coalescing: what all the fits share, whatever finds their holes.

How holes are found is somebody else's: a list (`hole_order`), a tree (`hole_index`) or both. They are told of every change by one of four
verbs, before the tags (`hole_tags`) are rewritten:

    enter(hole, n)              a new hole of n frames
    leave(hole, n)              it is gone
    carved(hole, n, rest, m)    a part was given out; the rest is m frames at `rest`
    joined(hole, n, all, m)     it became part of a hole of m frames at `all`; the others that did have left

A policy is one decision: which hole, `choose`.
"""

from __future__ import annotations

from kernel_sim.allocators.base import MERGES, SPLITS, Request
from kernel_sim.allocators.hole_tags import HoleArea, hole_at, hole_before, length, tag, untag
from kernel_sim.compiled import compiled, int64
from kernel_sim.frames import NIL, NO_FRAMES

# -- what the policy brings: bound by `fits` -----------------------------------------------------------------------------------------------

@compiled
def enter(area: HoleArea, hole: int, n_frames: int) -> None:
    raise NotImplementedError


@compiled
def leave(area: HoleArea, hole: int, n_frames: int) -> None:
    raise NotImplementedError


@compiled
def carved(area: HoleArea, hole: int, n_frames: int, rest: int, n_left: int) -> None:
    raise NotImplementedError


@compiled
def joined(area: HoleArea, hole: int, n_frames: int, whole: int, n_whole: int) -> None:
    raise NotImplementedError


@compiled
def choose(area: HoleArea, n_frames: int) -> int:
    """The policy: a hole of at least so many frames, or NIL."""
    raise NotImplementedError


@compiled
def note(area: HoleArea, hole: int, end: int) -> None:
    """Remember, for next fit, which hole is carved and where the allocation ends."""
    raise NotImplementedError


@compiled
def split_off(area: HoleArea, hole: int, n_frames: int, n_wanted: int) -> tuple[int, int]:
    """Which frames of a hole are taken, and where the rest begins."""
    raise NotImplementedError


@compiled
def front(area: HoleArea) -> int:
    raise NotImplementedError


@compiled
def behind(area: HoleArea, hole: int) -> int:
    raise NotImplementedError


@compiled
def settled(area: HoleArea) -> int:
    """Where in the list coalescing may stop: no two holes from there on touch."""
    raise NotImplementedError


@compiled
def settle(area: HoleArea) -> None:
    """No two holes touch now."""
    raise NotImplementedError


# -- carving --------------------------------------------------------------------------------------------------------------------------------

@compiled
def low_end(area: HoleArea, hole: int, n_frames: int, n_wanted: int) -> tuple[int, int]:
    """`split_off` for carve=low."""
    return hole, hole + n_wanted


@compiled
def high_end(area: HoleArea, hole: int, n_frames: int, n_wanted: int) -> tuple[int, int]:
    """`split_off` for carve=high."""
    return hole + n_frames - n_wanted, hole


@compiled
def carve(area: HoleArea, hole: int, n_wanted: int) -> int:
    """Take frames from one end of a hole. Returns the first of them."""
    n_frames = length(area, hole)
    pfn, rest = split_off(area, hole, n_frames, n_wanted)
    note(area, hole, pfn + n_wanted)
    give(area, hole, n_frames, rest, n_frames - n_wanted)
    return pfn


@compiled
def give(area: HoleArea, hole: int, n_frames: int, rest: int, n_left: int) -> None:
    """Of a hole only the rest is left, if anything is."""
    if n_left == 0:
        leave(area, hole, n_frames)
    else:
        area.tally[SPLITS] += 1
        carved(area, hole, n_frames, rest, n_left)
    untag(area, hole, n_frames)
    if n_left > 0:
        tag(area, rest, n_left)


@compiled
def alloc(area: HoleArea, request: Request) -> int:
    """Choose a hole and carve the request from it."""
    hole = choose(area, request.n_frames)
    if hole == NIL:
        return NO_FRAMES
    return carve(area, hole, request.n_frames)


@compiled
def take(area: HoleArea, pfn: int, n_frames: int) -> bool:
    """Give up just these frames, the first or the last of a hole, and say whether they were."""
    hole = hole_at(area, pfn)
    if hole == NIL:
        hole = hole_before(area, pfn + n_frames)
    if hole == NIL or pfn < hole or pfn + n_frames > hole + length(area, hole):
        return False
    n_before = length(area, hole)
    give(area, hole, n_before, hole + n_frames if pfn == hole else hole, n_before - n_frames)
    return True


@compiled
def granted(area: HoleArea, n_frames: int) -> int:
    """Exactly what was asked for."""
    return n_frames if n_frames <= area.end - area.first else int64(0)


# -- coalescing -----------------------------------------------------------------------------------------------------------------------------

@compiled
def free_uncoalesced(area: HoleArea, pfn: int, request: Request) -> None:
    """coalesce=never, and =deferred until later: a freed range is a hole of its own, whatever it touches."""
    enter(area, pfn, request.n_frames)
    tag(area, pfn, request.n_frames)


@compiled
def free(area: HoleArea, pfn: int, request: Request) -> None:
    """coalesce=immediate: make a freed range a hole, together with the holes that touch it."""
    left, right = hole_before(area, pfn), hole_at(area, pfn + request.n_frames)
    n_left = length(area, left) if left != NIL else int64(0)
    n_right = length(area, right) if right != NIL else int64(0)
    whole, n_whole = pfn - n_left, n_left + request.n_frames + n_right
    area.tally[MERGES] += int64(left != NIL) + int64(right != NIL)
    if left != NIL:
        if right != NIL:
            leave(area, right, n_right)
        joined(area, left, n_left, left, n_whole)
        untag(area, left, n_left)
    elif right != NIL:
        joined(area, right, n_right, pfn, n_whole)
    else:
        enter(area, pfn, n_whole)
    if right != NIL:
        untag(area, right, n_right)
    tag(area, whole, n_whole)


@compiled
def coalesce_all(area: HoleArea) -> bool:
    """coalesce=deferred: join all holes that touch, in the order in which the first of each run stands in the list. Whether there were any."""
    merges_before = area.tally[MERGES]
    hole = front(area)
    while hole != settled(area):
        n_frames = length(area, hole)
        whole, end = absorb_touching(area, hole, n_frames)
        after = behind(area, hole)
        if end - whole > n_frames:
            joined(area, hole, n_frames, whole, end - whole)
            untag(area, hole, n_frames)
            tag(area, whole, end - whole)
        hole = after
    settle(area)
    return bool(area.tally[MERGES] > merges_before)


@compiled
def choose_or_coalesce(area: HoleArea, n_frames: int) -> int:
    """The decision for coalesce=deferred: when there is no such hole, coalesce them all and choose again."""
    hole = choose(area, n_frames)
    if hole == NIL and coalesce_all(area):
        hole = choose(area, n_frames)
    return hole


@compiled
def absorb_touching(area: HoleArea, hole: int, n_frames: int) -> tuple[int, int]:
    """Let all holes leave that touch a hole, or touch one that does. Returns the frames of them all, (first, end)."""
    first, end = hole, hole + n_frames
    member = hole_before(area, first)
    while member != NIL:
        absorb(area, member)
        first = member
        member = hole_before(area, first)
    member = hole_at(area, end)
    while member != NIL:
        end += absorb(area, member)
        member = hole_at(area, end)
    return first, end


@compiled
def absorb(area: HoleArea, member: int) -> int:
    """A hole becomes part of another; the length that it had."""
    area.tally[MERGES] += 1
    n_frames = length(area, member)
    leave(area, member, n_frames)
    untag(area, member, n_frames)
    return n_frames
