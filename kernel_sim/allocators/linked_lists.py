"""Doubly linked lists that run through the records of frames, with a head and a tail.

An item is a frame that stands for a block or a hole. The list number `at` has its first item in `heads[at]` and its last in `tails[at]`; NIL stands
for none there, and for none before or behind an item.
"""

from __future__ import annotations

from kernel_sim.compiled import Array, compiled, int64
from kernel_sim.frames import NIL, frame


@compiled
def link_between(frames: Array, heads: Array, tails: Array, at: int, before: int, item: int, behind: int) -> None:
    """Put an item between two that stand side by side; NIL stands for either end of the list."""
    frame(frames, item)["prev"] = before
    frame(frames, item)["next"] = behind
    if before == NIL:
        heads[at] = item
    else:
        frame(frames, before)["next"] = item
    if behind == NIL:
        tails[at] = item
    else:
        frame(frames, behind)["prev"] = item


@compiled
def link_first(frames: Array, heads: Array, tails: Array, at: int, item: int) -> None:
    """Put an item before all others."""
    link_between(frames, heads, tails, at, int64(NIL), item, int64(heads[at]))


@compiled
def link_last(frames: Array, heads: Array, tails: Array, at: int, item: int) -> None:
    """Put an item behind all others."""
    link_between(frames, heads, tails, at, int64(tails[at]), item, int64(NIL))


@compiled
def unlink_item(frames: Array, heads: Array, tails: Array, at: int, item: int) -> None:
    """Take an item out, wherever it stands."""
    before, behind = int64(frame(frames, item)["prev"]), int64(frame(frames, item)["next"])
    if before == NIL:
        heads[at] = behind
    else:
        frame(frames, before)["next"] = behind
    if behind == NIL:
        tails[at] = before
    else:
        frame(frames, behind)["prev"] = before
