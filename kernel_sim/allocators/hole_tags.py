"""Holes and their boundary tags: where a hole begins and ends, written into the frame table.

Source: Knuth, The Art of Computer Programming, volume 1, section 2.5, algorithm C. With tags a freed range finds both neighbours without a search.

    a hole's first frame    order |= FIRST, next and prev: links, for `hole_order`
    its second frame        next: its length
    its last frame          order |= LAST, prev: where it begins

A hole of one frame is FIRST and LAST and needs no length.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from kernel_sim.allocators.base import Place
from kernel_sim.compiled import Array, compiled, int64, plain
from kernel_sim.errors import BrokenInvariant
from kernel_sim.frames import NIL, frame, words_at

FIRST, LAST = 1, 2
HEAD, TAIL, ROVER, MARK = range(4)
"""Words: the first hole of the list and the last; where next fit goes on, as an address; a hole whose place in the list matters (`hole_order`)."""
N_WORDS = 4


class HoleArea(NamedTuple):
    """One zone's holes."""

    frames: Array
    words: Array        # int64: HEAD, TAIL, ROVER, MARK; then an index's own
    tails: Array        # int64: the same from TAIL on, for `linked_lists`
    tally: Array
    first: int
    end: int


@compiled
def open_area(frames: Array, words: int, n_words: int, tally: Array, first: int, end: int) -> HoleArea:
    return HoleArea(frames, words_at(words, n_words), words_at(words + 8 * TAIL, n_words - TAIL), tally, first, end)


@compiled
def length(area: Any, hole: int) -> int:
    """How many frames a hole has."""
    if frame(area.frames, hole)["order"] & LAST:
        return int64(1)
    return int64(frame(area.frames, hole + 1)["next"])


@compiled
def tag(area: Any, hole: int, n_frames: int) -> None:
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
def hole_before(area: HoleArea, pfn: int) -> int:
    """The hole that ends where pfn begins, or NIL."""
    if pfn == area.first or frame(area.frames, pfn - 1)["order"] & LAST == 0:
        return int64(NIL)
    return pfn - 1 if frame(area.frames, pfn - 1)["order"] & FIRST else int64(frame(area.frames, pfn - 1)["prev"])


@compiled
def hole_at(area: HoleArea, pfn: int) -> int:
    """The hole that begins at pfn, or NIL."""
    return pfn if pfn < area.end and frame(area.frames, pfn)["order"] & FIRST != 0 else int64(NIL)


def check_tags(area: Any, hole: int) -> int:
    """The length of a hole. BrokenInvariant when its boundary tags do not fit."""
    n_frames = int(plain(length)(area, hole))
    last = area.frames[hole + n_frames - 1]
    if not last["order"] & LAST or (n_frames > 1 and int(last["prev"]) != hole):
        raise BrokenInvariant(f"the boundary tags of the hole at {hole:#x} do not fit its {n_frames} frames")
    return n_frames


def alone(area: Any, hole: int) -> Place:
    """A hole as a place to look at."""
    return Place("", ((hole, int(plain(length)(area, hole))),))


def check_apart(holes: Iterable[tuple[int, int]]) -> None:
    """No two holes touch."""
    end = -1
    for hole, n_frames in sorted(holes):
        if hole == end:
            raise BrokenInvariant(f"two holes touch at frame {hole:#x}; they should be one")
        end = hole + n_frames
