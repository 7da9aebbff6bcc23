"""The compiled passes over a frame map's runs.

Runs are two arrays, each run's first frame and its kind; a run ends where the next begins. A *window* is a range of frames, low
to high; runs that reach over its edges are clipped to it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from kernel_sim.compiled import compiled, entry
from kernel_sim.errors import BadInput
from kernel_sim.fragmentation import add_blocks
from kernel_sim.units import N_ORDERS

Array = np.ndarray[Any, Any]

HOLE, RESERVED, USED, FREE = 0, 1, 2, 3
N_KINDS = 4
MAX_MAP_FRAMES = 1 << 32
"""16 TiB: one frame more than a frame table holds, so that a map may show a memory of a round size."""


class RunBuilder:
    """The runs of frames that come piece by piece. `n_expected` frames are expected; more are no mistake, only slower.

    Noise has nearly as many runs as frames, and memory touched for the first time is what costs most then. So a first frame is
    kept in 32 bits, and the room for runs is only set aside: what is not written to is never touched.
    """

    def __init__(self, n_expected: int = 0) -> None:
        self.n_frames = 0
        self._n_runs = 0
        self._first_pfn: Array = np.empty(n_expected, np.uint32)
        self._kind: Array = np.empty(n_expected, np.uint8)

    @property
    def first_pfn(self) -> Array:
        """Every run's first frame, uint32."""
        return self._first_pfn[:self._n_runs]

    @property
    def kind(self) -> Array:
        """What every run's frames are, uint8."""
        return self._kind[:self._n_runs]

    def add(self, codes: Array) -> None:
        """Add the frames that come next: a uint8 array, not empty, of what each of them is. BadInput for what is no kind."""
        n_runs, highest = _count_runs(codes)
        if highest >= N_KINDS:
            raise BadInput(f"a frame's kind is 0 to {N_KINDS - 1}, not {highest}")
        joins = self._n_runs > 0 and self._kind[self._n_runs - 1] == codes[0]
        at = self._n_runs - int(joins)
        self._make_room(at + n_runs)
        first = self._first_pfn[at] if joins else self.n_frames
        _fill_runs(codes, self.n_frames, self._first_pfn[at:at + n_runs], self._kind[at:at + n_runs])
        self._first_pfn[at] = first
        self._n_runs = at + n_runs
        self.n_frames += len(codes)

    def _make_room(self, n_runs: int) -> None:
        if n_runs > len(self._kind):
            for name in ("_first_pfn", "_kind"):
                old = getattr(self, name)
                roomy = np.empty(2 * n_runs, old.dtype)
                roomy[:self._n_runs] = old[:self._n_runs]
                setattr(self, name, roomy)


@entry
def _count_runs(codes: Array) -> tuple[int, int]:
    """How many runs the frames make, and the highest of their codes."""
    n_runs, highest = 1, codes[0]
    for i in range(1, len(codes)):
        n_runs += codes[i] != codes[i - 1]
        highest = max(highest, codes[i])
    return n_runs, highest


@entry
def _fill_runs(codes: Array, base: int, first_pfn: Array, kind: Array) -> None:
    """Write every run's first frame and kind, as many as `_count_runs` counted; the first code is frame `base`.

    From the last frame down every frame is written and the lowest of a run stays: no branch, which noise would mispredict.
    """
    run = len(first_pfn) - 1
    for i in range(len(codes) - 1, 0, -1):
        first_pfn[run], kind[run] = base + i, codes[i]
        run -= codes[i] != codes[i - 1]
    first_pfn[0], kind[0] = base, codes[0]


@compiled
def inside(first_pfn: Array, low: int, high: int) -> tuple[int, int]:
    """The first and the last run that a window has frames of."""
    begin, behind = np.searchsorted(first_pfn, low, side="right"), np.searchsorted(first_pfn, high, side="left")
    return begin - 1, behind - 1  # type: ignore[return-value]  # numpy's integers


@compiled
def end_of(first_pfn: Array, i: int, last: int, high: int) -> int:
    """Where run `i` ends in a window, whose last run is `last`."""
    return np.int64(first_pfn[i + 1]) if i < last else high  # type: ignore[return-value]  # numpy's integers


@entry
def shows(first_pfn: Array, kind: Array, low: int, high: int, lowest: int) -> bool:
    """Whether a window has any frame whose kind is `lowest` or above."""
    begin, last = inside(first_pfn, low, high)
    for i in range(begin, last + 1):
        if kind[i] >= lowest:
            return True
    return False


@entry
def survey(first_pfn: Array, kind: Array, low: int, high: int, counts: Array) -> tuple[int, int, int]:
    """Add a window's frames of each kind to `counts` (int64). Return how many free runs it has and the longest, (first, end).

    Of equals the lowest is the longest; without any it is (0, 0).
    """
    n_runs, longest_first, longest_end = 0, 0, 0
    begin, last = inside(first_pfn, low, high)
    end = low
    for i in range(begin, last + 1):
        first, end = end, end_of(first_pfn, i, last, high)
        counts[kind[i]] += end - first
        free = kind[i] == FREE
        n_runs += free
        if (end - first) * free > longest_end - longest_first:  # a product, for noise would mispredict `free and`
            longest_first, longest_end = first, end
    return n_runs, longest_first, longest_end


@entry
def fill_free(first_pfn: Array, kind: Array, low: int, high: int, runs: Array) -> None:
    """Write the free runs of a window, as many as `survey` counted, as rows (first, end)."""
    at = 0
    begin, last = inside(first_pfn, low, high)
    end = low
    for i in range(begin, last + 1):
        first, end = end, end_of(first_pfn, i, last, high)
        if kind[i] == FREE:
            runs[at, 0], runs[at, 1] = first, end
            at += 1


@entry
def count_free_blocks(first_pfn: Array, kind: Array, low: int, high: int) -> Array:
    """The free blocks of a window by order, int64: its free runs cut into the largest aligned blocks."""
    counts = np.zeros(N_ORDERS, np.int64)
    begin, last = inside(first_pfn, low, high)
    end = low
    for i in range(begin, last + 1):
        first, end = end, end_of(first_pfn, i, last, high)
        if kind[i] == FREE:
            add_blocks(counts, first, end)
    return counts
