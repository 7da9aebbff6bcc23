"""Holes: free runs of any length, carved to serve and coalesced by address when freed. What all the fits share.

The holes of a zone are a doubly linked list in order of address. Its links run through the frame table, with *boundary tags* (Knuth,
The Art of Computer Programming, volume 1, section 2.5, algorithm C), so that a freed range finds both neighbours without a search:

    a hole's first frame    order |= FIRST, next and prev: the holes behind and before it
    its second frame        next: its length
    its last frame          order |= LAST, prev: where it begins

A hole of one frame is FIRST and LAST and needs no length. A policy is one decision: which hole, `choose`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from kernel_sim.allocators.base import MERGES, SPLITS, Policy, Request
from kernel_sim.compiled import Array, bind, compiled, int64, plain
from kernel_sim.errors import BrokenInvariant
from kernel_sim.frames import NIL, NO_FRAMES, frame, words_at

FIRST, LAST = 1, 2
HEAD, ROVER = 0, 1      # words: the lowest hole, and where next fit goes on


class HoleArea(NamedTuple):
    """One zone's holes."""

    frames: Array
    words: Array        # int64: HEAD, ROVER
    tally: Array
    first: int
    end: int


def n_words(first: int, end: int, n_runs: int) -> int:
    return 2


@compiled
def open_area(frames: Array, words: int, n_words: int, tally: Array, first: int, end: int) -> HoleArea:
    return HoleArea(frames, words_at(words, n_words), tally, first, end)


@compiled
def lowest(area: HoleArea) -> int:
    """The hole with the lowest address, or NIL."""
    return int64(area.words[HEAD])


@compiled
def behind(area: HoleArea, hole: int) -> int:
    """The next hole upwards, or NIL."""
    return int64(frame(area.frames, hole)["next"])


@compiled
def length(area: HoleArea, hole: int) -> int:
    """How many frames a hole has."""
    if frame(area.frames, hole)["order"] & LAST:
        return int64(1)
    return int64(frame(area.frames, hole + 1)["next"])


@compiled
def tag(area: HoleArea, hole: int, n_frames: int) -> None:
    """Write the boundary tags of a hole."""
    last = hole + n_frames - 1
    frame(area.frames, hole)["order"] = FIRST
    frame(area.frames, last)["order"] |= LAST
    if n_frames > 1:
        frame(area.frames, hole + 1)["next"] = n_frames
        frame(area.frames, last)["prev"] = hole


@compiled
def untag(area: HoleArea, hole: int, n_frames: int) -> None:
    frame(area.frames, hole)["order"] = 0
    frame(area.frames, hole + n_frames - 1)["order"] = 0


@compiled
def link(area: HoleArea, before: int, hole: int, after: int) -> None:
    """Put a hole into the list between two others; NIL stands for either end."""
    frame(area.frames, hole)["prev"] = before
    frame(area.frames, hole)["next"] = after
    if before == NIL:
        area.words[HEAD] = hole
    else:
        frame(area.frames, before)["next"] = hole
    if after != NIL:
        frame(area.frames, after)["prev"] = hole


@compiled
def unlink(area: HoleArea, hole: int) -> None:
    """Take a hole out of the list."""
    before, after = int64(frame(area.frames, hole)["prev"]), int64(frame(area.frames, hole)["next"])
    if before == NIL:
        area.words[HEAD] = after
    else:
        frame(area.frames, before)["next"] = after
    if after != NIL:
        frame(area.frames, after)["prev"] = before


@compiled
def carve(area: HoleArea, hole: int, n_frames: int) -> None:
    """Take frames from the low end of a hole; what is left of it keeps its place in the list."""
    had = length(area, hole)
    before, after = int64(frame(area.frames, hole)["prev"]), int64(frame(area.frames, hole)["next"])
    untag(area, hole, had)
    if had == n_frames:
        unlink(area, hole)
    else:
        area.tally[SPLITS] += 1
        link(area, before, hole + n_frames, after)
        tag(area, hole + n_frames, had - n_frames)


@compiled
def free(area: HoleArea, pfn: int, request: Request) -> None:
    """Make a freed range a hole, or part of the holes that touch it."""
    coalesce(area, pfn, pfn + request.n_frames)


@compiled
def coalesce(area: HoleArea, pfn: int, end: int) -> None:
    """Make a range a hole, together with the holes that touch it."""
    joins_left = pfn > area.first and frame(area.frames, pfn - 1)["order"] & LAST != 0
    joins_right = end < area.end and frame(area.frames, end)["order"] & FIRST != 0
    hole = pfn
    if joins_left:
        hole = pfn - 1 if frame(area.frames, pfn - 1)["order"] & FIRST else int64(frame(area.frames, pfn - 1)["prev"])
        area.tally[MERGES] += 1
        untag(area, hole, pfn - hole)
    if joins_right:
        n_right = length(area, end)
        area.tally[MERGES] += 1
        before, after = int64(frame(area.frames, end)["prev"]), int64(frame(area.frames, end)["next"])
        untag(area, end, n_right)
        if joins_left:
            unlink(area, end)
        else:
            link(area, before, hole, after)
        end += n_right
    if not joins_left and not joins_right:
        insert(area, hole)
    tag(area, hole, end - hole)


@compiled
def insert(area: HoleArea, hole: int) -> None:
    """Find a new hole's place in order of address, from the low end."""
    before, after = int64(NIL), lowest(area)
    while after != NIL and after < hole:
        before, after = after, behind(area, after)
    link(area, before, hole, after)


@compiled
def choose(area: HoleArea, n_frames: int) -> int:
    """The policy: a hole of at least so many frames, or NIL."""
    raise NotImplementedError


@compiled
def alloc(area: HoleArea, request: Request) -> int:
    """Choose a hole and carve the request from its low end."""
    hole = choose(area, request.n_frames)
    if hole == NIL:
        return NO_FRAMES
    carve(area, hole, request.n_frames)
    area.words[ROVER] = hole + request.n_frames
    return hole


@compiled
def take(area: HoleArea, pfn: int, n_frames: int) -> bool:
    """Give up just these frames, the first or the last of a hole, and say whether they were; what is left of it keeps its place in the list."""
    end = pfn + n_frames
    hole = int64(pfn)
    if frame(area.frames, pfn)["order"] & FIRST == 0:
        if frame(area.frames, end - 1)["order"] & LAST == 0 or frame(area.frames, end - 1)["order"] & FIRST:
            return False
        hole = int64(frame(area.frames, end - 1)["prev"])
    n_left = length(area, hole) - n_frames
    if pfn < hole or n_left < 0:
        return False
    if hole == pfn:
        carve(area, hole, n_frames)
    else:
        area.tally[SPLITS] += 1
        untag(area, hole, n_left + n_frames)
        tag(area, hole, n_left)
    return True


@compiled
def granted(area: HoleArea, n_frames: int) -> int:
    """Exactly what was asked for."""
    return n_frames if n_frames <= area.end - area.first else int64(0)


@compiled
def setup(area: HoleArea, firsts: Array, ends: Array) -> None:
    """One hole for each free run."""
    area.words[HEAD] = NIL
    area.words[ROVER] = area.first
    before = int64(NIL)
    for i in range(len(firsts)):
        link(area, before, firsts[i], int64(NIL))
        tag(area, firsts[i], ends[i] - firsts[i])
        before = firsts[i]


def holes(area: Any) -> Iterator[tuple[int, int]]:
    """Every hole as (pfn, n_frames), ascending. BrokenInvariant where links or tags do not fit."""
    before, hole = NIL, int(plain(lowest)(area))
    while hole != NIL:
        record = area.frames[hole]
        if int(record["prev"]) != before or not record["order"] & FIRST or (before != NIL and hole <= before):
            raise BrokenInvariant(f"the list of holes is torn at frame {hole:#x}")
        n_frames = int(plain(length)(area, hole))
        last = area.frames[hole + n_frames - 1]
        if not last["order"] & LAST or (n_frames > 1 and int(last["prev"]) != hole):
            raise BrokenInvariant(f"the boundary tags of the hole at {hole:#x} do not fit its {n_frames} frames")
        yield hole, n_frames
        before, hole = hole, int(record["next"])


def check(area: Any) -> None:
    """No two holes touch."""
    end = -1
    for hole, n_frames in holes(area):
        if hole == end:
            raise BrokenInvariant(f"two holes touch at frame {hole:#x}; they should be one")
        end = hole + n_frames


def fit(name: str, choose: Callable[..., Any]) -> Policy:
    """The policy that is made of one decision."""
    return Policy(name, open_area=open_area, setup=setup, alloc=compiled(bind(alloc, name, choose=choose)), free=free,
                  granted=granted, n_words=n_words, blocks=holes, check=check, take=take)
