"""Who owns which frame at a moment of a run: a frame map, and the owner of every frame that was given out until then.

At the end of a run everything has been given back, and its map is empty. What was taken and given back, in order, tells every moment before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from kernel_sim.study.framemap import FREE, USED, FrameMap

Array = np.ndarray[Any, Any]

NOBODY = -1
MOST_SHOWN = 12
"""Owners that a picture tells apart: those with the most frames. The others are one."""


class Moves(NamedTuple):
    """What was taken and given back, in order: arrays of one length. `n_frames` is positive for frames taken, negative for frames given back."""

    time: Array
    pfn: Array
    n_frames: Array
    owner: Array

    def before(self, time: int) -> int:
        """How many moves were made until a time, that time included."""
        return int(np.searchsorted(self.time, time, side="right"))

    def until_most(self) -> int:
        """How many moves lead to the first moment with the most frames in use; 0 when nothing was ever taken."""
        return int(np.argmax(np.cumsum(self.n_frames))) + 1 if (self.n_frames > 0).any() else 0


class Shown(NamedTuple):
    """An owner in a picture, by its name, and how many frames it has. ``owners`` is more than one for the last of many."""

    name: str
    owners: tuple[int, ...]
    n_frames: int


@dataclass(frozen=True, eq=False)
class OwnedMap:
    """`framemap`, and in `owner` (int32) who has the frames from `first_pfn` on; NOBODY for the others. `time` is the moment, in blocks."""

    framemap: FrameMap
    first_pfn: int
    owner: Array
    names: Mapping[int, str]
    time: int

    @cached_property
    def shown(self) -> tuple[Shown, ...]:
        """The owners that a picture tells apart, by number; the smaller ones of many together at the end."""
        owners, counts = np.unique(self.owner[self.owner != NOBODY], return_counts=True)
        most = sorted(zip(owners.tolist(), counts.tolist(), strict=True), key=lambda pair: (-pair[1], pair[0]))
        few = most if len(most) <= MOST_SHOWN else most[:MOST_SHOWN - 1]
        listed = [Shown(self.name_of(owner), (owner,), n) for owner, n in sorted(few)]
        if rest := most[len(few):]:
            listed.append(Shown(f"{len(rest)} others", tuple(sorted(owner for owner, _ in rest)), sum(n for _, n in rest)))
        return tuple(listed)

    def name_of(self, owner: int) -> str:
        """``3 malloc``."""
        return f"{owner} {self.names[owner]}" if owner in self.names else str(owner)

    def count_cells(self, shift: int, first: int, end: int) -> Array:
        """Frames by owner, in cells of 2^shift frames from frame `first`, a cell's first, to `end`: int64 (cells, len(shown))."""
        n_cells = -(-(end - first) >> shift)
        low, high = max(first, self.first_pfn), min(end, self.first_pfn + len(self.owner))
        if low >= high or not self.shown:
            return np.zeros((n_cells, len(self.shown)), np.int64)
        place = self._places[self.owner[low - self.first_pfn:high - self.first_pfn]]
        cell = (np.arange(low, high) - first) >> shift
        taken = place >= 0
        counted: Array = np.bincount(cell[taken] * len(self.shown) + place[taken], minlength=n_cells * len(self.shown))
        return counted.reshape(n_cells, len(self.shown))

    @cached_property
    def _places(self) -> Array:
        """From an owner to its place in `shown`; the last entry, which NOBODY finds, is -1."""
        places = np.full(max((owner for one in self.shown for owner in one.owners), default=0) + 2, -1, np.int64)
        for place, one in enumerate(self.shown):
            places[list(one.owners)] = place
        return places


def owned_map(start: FrameMap, moves: Moves, n_moves: int, names: Mapping[int, str], time: int | None = None) -> OwnedMap:
    """The memory after the first `n_moves` moves, at a `time` (that of the last of them, if it is None); `start` is how it was before them all."""
    time = time if time is not None else int(moves.time[n_moves - 1]) if n_moves else 0
    pfn, n_frames, owner = moves.pfn[:n_moves], moves.n_frames[:n_moves], moves.owner[:n_moves]
    if not n_moves:
        return OwnedMap(start, 0, np.zeros(0, np.int32), names, time)
    first, end = int(pfn.min()), int((pfn + np.abs(n_frames)).max())
    owners, touched = np.full(end - first, NOBODY, np.int32), np.zeros(end - first, bool)
    for at, n, who in zip((pfn - first).tolist(), n_frames.tolist(), owner.tolist(), strict=True):
        owners[at:at + abs(n)] = who if n > 0 else NOBODY
        touched[at:at + abs(n)] = True
    return OwnedMap(_overlaid(start, first, owners, touched), first, owners, names, time)


def _overlaid(start: FrameMap, first: int, owners: Array, touched: Array) -> FrameMap:
    """The map with the touched frames used where they have an owner, and free where not."""
    end, runs = first + len(owners), start.runs()
    inside = runs[(runs[:, 0] < end) & (runs[:, 1] > first)]
    codes = np.repeat(inside[:, 2], np.minimum(inside[:, 1], end) - np.maximum(inside[:, 0], first))
    codes[touched] = np.where(owners[touched] != NOBODY, USED, FREE)
    edges = np.flatnonzero(np.append(True, codes[1:] != codes[:-1]))
    middle = np.column_stack([first + edges, first + np.append(edges[1:], len(codes)), codes[edges]])
    below, above = runs[runs[:, 0] < first], runs[runs[:, 1] > end]
    below[:, 1] = np.minimum(below[:, 1], first)
    above[:, 0] = np.maximum(above[:, 0], end)
    return FrameMap.from_runs(start.n_frames, np.concatenate([below, middle, above]), start.zones)
