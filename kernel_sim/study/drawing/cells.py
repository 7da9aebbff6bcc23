"""A memory as cells: a power-of-two number of frames each, and how many of them are of each *class*.

The classes are hole, reserved and used, and then free by the order of the block that a frame lies in: 0 to 10. Every picture is
made of these counts, so every picture tells the same truth about a cell whose frames differ.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from kernel_sim.compiled import compiled, entry
from kernel_sim.fragmentation import stretch
from kernel_sim.study.framemap import FrameMap
from kernel_sim.study.runs import FREE, USED, end_of, inside
from kernel_sim.units import MAX_ORDER, N_ORDERS

Array = np.ndarray[Any, Any]

N_CLASSES = FREE + N_ORDERS
"""HOLE, RESERVED and USED are their own classes; FREE + order are the free ones."""


def count_cells(framemap: FrameMap, shift: int, first: int, end: int) -> Array:
    """Frames by class, in cells of 2^shift frames from frame `first`, a cell's first, to `end`: uint32 (cells, N_CLASSES).

    No block reaches over a multiple of its largest size: counted from one such frame to another, every block is whole.
    """
    low = first >> MAX_ORDER << MAX_ORDER
    high = min(-(-end >> MAX_ORDER) << MAX_ORDER, framemap.n_frames)
    cells = np.zeros((-(-(high - low) >> shift), N_CLASSES), np.uint32)
    for first_pfn, end_pfn in framemap.windows():
        if first_pfn < high and low < end_pfn:
            _fill_cells(framemap.first_pfn, framemap.kind, max(first_pfn, low), min(end_pfn, high), shift, low >> shift, cells)
    return cells[first - low >> shift:-(-(end - low) >> shift)]


@entry
def _fill_cells(first_pfn: Array, kind: Array, low: int, high: int, shift: int, base: int, cells: Array) -> None:
    """Add the frames of a window, over whose edges no free block reaches, to the cells; the first cell's number is `base`.

    The runs of noise are nearly all short: within one cell and of one class. They are told by arithmetic and not by `and` and
    `or`, whose branches the processor would mispredict; that halves the time.
    """
    begin, last = inside(first_pfn, low, high)
    end = low
    cell, cell_end = (low >> shift) - base, (low >> shift) + 1 << shift
    for i in range(begin, last + 1):
        first, end = end, end_of(first_pfn, i, last, high)
        which = kind[i]
        of_one_class = (which != FREE) | (end - first == 1)  # a lone free frame is a block of order 0
        if of_one_class & (end <= cell_end):
            cells[cell, which] += end - first
            continue
        _add_run(cells, base, shift, which, first, end)
        cell, cell_end = (end >> shift) - base, (end >> shift) + 1 << shift


@compiled
def _add_run(cells: Array, base: int, shift: int, which: int, first: int, end: int) -> None:
    """Add a run, a free one block by block."""
    while first < end:
        order, stop = stretch(first, end) if which == FREE else (0, end)
        _add(cells, base, shift, which + order, first, stop)
        first = stop


@compiled
def _add(cells: Array, base: int, shift: int, which: int, first: int, end: int) -> None:
    """Add the frames from first to end, all of one class, to the cells they lie in."""
    while first < end:
        cell = first >> shift
        stop = min(end, cell + 1 << shift)
        cells[cell - base, which] += stop - first
        first = stop


def by_owner(cells: Array, owners: Array) -> Array:
    """The cells with their used frames told apart: N_CLASSES columns, then one for each owner. A used frame of nobody stays a used one."""
    told = np.concatenate([cells, owners.astype(np.uint32)], axis=1)
    told[:, USED] -= owners.sum(axis=1, dtype=np.uint32)
    return told


@entry
def mix(cells: Array, colours: Array) -> Array:
    """The colour of each cell, uint8 (cells, 3): the mean of its frames' colours. `cells` counts them by class, `colours` is int64 (classes, 3)."""
    mixed = np.empty((len(cells), 3), np.uint8)
    for i in range(len(cells)):
        red, green, blue, n_frames = 0, 0, 0, 0
        for which in range(cells.shape[1]):
            n_frames += cells[i, which]
            red += cells[i, which] * colours[which, 0]
            green += cells[i, which] * colours[which, 1]
            blue += cells[i, which] * colours[which, 2]
        half = n_frames >> 1
        mixed[i, 0], mixed[i, 1], mixed[i, 2] = (red + half) // n_frames, (green + half) // n_frames, (blue + half) // n_frames
    return mixed
