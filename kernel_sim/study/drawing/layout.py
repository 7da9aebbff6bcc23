"""The picture of a memory: the map as a square of cells, its addresses, a headline and a legend."""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import numpy as np

from kernel_sim.errors import BadInput
from kernel_sim.study.drawing import curve as curves
from kernel_sim.study.drawing import legend
from kernel_sim.study.drawing.cells import by_owner, count_cells, mix
from kernel_sim.study.drawing.palette import CLASS_COLOURS, FAINT_INK, OWNER_COLOURS, PAPER, RULE, Colour, blend
from kernel_sim.study.drawing.sheet import MARGIN, Box, Label, Line, Sheet
from kernel_sim.study.framemap import FrameMap
from kernel_sim.study.ownership import OwnedMap
from kernel_sim.study.runs import FREE
from kernel_sim.units import N_ORDERS

Array = np.ndarray[Any, Any]

GRID_PX = 1024
"""Every grid is so wide; the cells of a small memory are large."""

_LEGEND_PX = 330
_AXIS_PX = 64
_TICK_PX = 6
_MIN_TICK_DISTANCE_PX = 56


class Square(NamedTuple):
    """A square of side x side cells of 2^shift frames, the first `n_cells` of them in use."""

    side: int
    shift: int
    n_cells: int


def fit(n_frames: int, max_side: int) -> Square:
    """The square with the finest cells that shows so many frames with at most `max_side` cells a side."""
    shift = max(0, ((n_frames - 1) // (max_side * max_side)).bit_length())
    n_cells = -(-n_frames >> shift)
    side = 1
    while side * side < n_cells:
        side *= 2
    return Square(side, shift, n_cells)


def lay_out(framemap: FrameMap, curve: str = "hilbert", max_side: int = GRID_PX, owned: OwnedMap | None = None) -> Sheet:
    """The drawing of a map, its cells in the order of `curve`, at most `max_side` a side. BadInput for an unknown curve.

    `owned`, of which `framemap` is the map, colours used frames by their owner.
    """
    if curve not in curves.CURVES:
        raise BadInput(f"no such curve: {curve!r} (there are {', '.join(curves.CURVES)})")
    square = fit(framemap.n_frames, max_side)
    cells = count_cells(framemap, square.shift, 0, framemap.n_frames)
    told = by_owner(cells, owned.count_cells(square.shift, 0, framemap.n_frames)) if owned else cells
    grid = _grid(mix(told, np.array(CLASS_COLOURS + OWNER_COLOURS, np.int64)), curves.order_of(curve, square.side))
    left = MARGIN + (_AXIS_PX if curve == "row" else 0)
    sheet = Sheet(grid, GRID_PX // square.side, left, 112)
    sheet.labels.append(Label(left, 58, legend.headline(framemap), 26))
    _frame(sheet)
    (_quarters if curve == "hilbert" else _address_axis)(sheet, square, framemap.n_frames)
    bottom = _Legend(sheet).write(framemap, square, curve, cells.sum(axis=0, dtype=np.int64), owned)
    sheet.width = sheet.right + MARGIN + _LEGEND_PX + MARGIN
    sheet.height = max(sheet.bottom + MARGIN + 20, bottom + MARGIN)
    return sheet


def _grid(colours: Array, order: Array) -> Array:
    """The cells' colours in their places; places beyond the memory are paper, and rows of nothing else are cut off."""
    paper = np.full((order.size - len(colours), 3), PAPER, np.uint8)
    in_use = int(np.flatnonzero(order.min(axis=1) < len(colours))[-1]) + 1
    placed: Array = np.concatenate([colours, paper])[order[:in_use]]
    return placed


def _frame(sheet: Sheet) -> None:
    x, y, right, bottom = sheet.x - 1, sheet.y - 1, sheet.right, sheet.bottom
    sheet.lines.append(Line(((x, y), (right, y), (right, bottom), (x, bottom), (x, y)), RULE))


def _quarters(sheet: Sheet, square: Square, n_frames: int) -> None:
    """Above and below the Hilbert curve's four quarters, the addresses they hold."""
    middle, half = (sheet.x + sheet.right) // 2, (sheet.right - sheet.x) // 4
    quarter = max(square.side * square.side << square.shift >> 2, 1)
    above, below = sheet.y - 12, sheet.bottom + 24
    places = ((middle - half, above), (middle + half, above), (middle + half, below), (middle - half, below))
    for number, (x, y) in enumerate(places if square.side > 1 else [(middle, above)]):
        first, end = number * quarter, min((number + 1) * quarter, n_frames)
        if first < end:
            text = f"{legend.size_of(first)} to {legend.size_of(end)}"
            sheet.labels.append(Label(x, y, text, anchor="middle", colour=FAINT_INK))
    if square.side > 1:
        sheet.lines.append(Line(((middle, sheet.y - 1 - _TICK_PX), (middle, sheet.y - 1)), FAINT_INK))
    if n_frames > 2 * quarter:
        sheet.lines.append(Line(((middle, sheet.bottom), (middle, sheet.bottom + _TICK_PX)), FAINT_INK))


def _address_axis(sheet: Sheet, square: Square, n_frames: int) -> None:
    """Left of the rows, round addresses."""
    row_frames = square.side << square.shift
    step = row_frames
    while step // row_frames * sheet.cell_px < _MIN_TICK_DISTANCE_PX:
        step *= 2
    for first in range(0, n_frames, step):
        y = sheet.y + first // row_frames * sheet.cell_px
        sheet.lines.append(Line(((sheet.x - 1 - _TICK_PX, y), (sheet.x - 1, y)), FAINT_INK))
        sheet.labels.append(Label(sheet.x - 12, y + 5, legend.size_of(first), anchor="end", colour=FAINT_INK))


class _Legend:
    """The column right of the grid, written from the top down."""

    def __init__(self, sheet: Sheet) -> None:
        self.sheet = sheet
        self.left = sheet.right + MARGIN
        self.right = self.left + _LEGEND_PX
        self.y = sheet.y + 4

    def write(self, framemap: FrameMap, square: Square, curve: str, by_class: Array, owned: OwnedMap | None) -> int:
        """Write everything; return where it ends."""
        self.states(framemap)
        if owned:
            self.owners(owned)
        self.orders(by_class)
        self.zones(framemap)
        self.heading("Longest free run")
        self.row(legend.longest(framemap))
        self.heading("Scale")
        self.row(legend.scale(square.shift, "cell"))
        if curve == "hilbert":
            self.row("along Hilbert's curve, from here:")
            self.inset()
        else:
            self.row(f"one row = {legend.size_of(square.side << square.shift)}, left to right")
        return self.y

    def heading(self, text: str) -> None:
        self.y += 30 if self.y > self.sheet.y + 4 else 12
        self.sheet.labels.append(Label(self.left, self.y, text, 17))
        self.y += 8
        self.sheet.lines.append(Line(((self.left, self.y), (self.right, self.y)), RULE))
        self.y += 4

    def row(self, text: str, *columns: str) -> None:
        """A line of text, the columns right-aligned."""
        self.y += 20
        self.sheet.labels.append(Label(self.left, self.y, text))
        for column, x in zip(columns, (self.right - 72, self.right), strict=False):
            self.sheet.labels.append(Label(x, self.y, column, anchor="end"))

    def swatch(self, colour: Colour, text: str, *columns: str) -> None:
        """A row with a colour in front."""
        self.row("", *columns)
        self.sheet.boxes.append(Box(self.left, self.y - 13, 22, 16, colour))
        self.sheet.labels.append(Label(self.left + 32, self.y, text))

    def states(self, framemap: FrameMap) -> None:
        self.heading("Frames")
        deepest = FREE + N_ORDERS - 1
        for amount in legend.amounts(framemap):
            self.swatch(CLASS_COLOURS[deepest if amount.kind == FREE else amount.kind], amount.name, amount.size, amount.share)

    def owners(self, owned: OwnedMap) -> None:
        """Whose the used frames are."""
        self.heading(f"Used, by owner, at block {owned.time:,}")
        for owner, colour in zip(owned.shown, OWNER_COLOURS, strict=False):
            self.swatch(colour, owner.name)
            self.sheet.labels.append(Label(self.right, self.y, legend.size_of(owner.n_frames), anchor="end"))

    def orders(self, by_class: Array) -> None:
        """How much of the free memory lies in blocks of each order, as numbers and as bars."""
        self.heading("Free, by order of the block")
        free = by_class[FREE:].tolist()
        for order, n_frames in enumerate(free):
            self.swatch(CLASS_COLOURS[FREE + order], f"{order}: {legend.size_of(1 << order)}")
            bar = round(110 * n_frames / max(*free, 1))
            if bar:
                self.sheet.boxes.append(Box(self.left + 120, self.y - 11, bar, 12, CLASS_COLOURS[FREE + order]))
            self.sheet.labels.append(Label(self.right, self.y, legend.size_of(n_frames), anchor="end"))

    def zones(self, framemap: FrameMap) -> None:
        self.heading("Zones, and what is free in them")
        for name, where, free in legend.zones(framemap):
            self.row(name)
            self.sheet.labels.append(Label(self.left + 72, self.y, where, colour=FAINT_INK))
            self.sheet.labels.append(Label(self.right, self.y, free, anchor="end"))

    def inset(self, side: int = 8, px: int = 14) -> None:
        """The curve itself, small, pale where it begins and deep where it ends."""
        top = self.y + 24
        points = [(self.left + 8 + x * px, top + y * px) for x, y in curves.path(side)]
        pale, deep = CLASS_COLOURS[FREE + 2], CLASS_COLOURS[-1]
        for i, stroke in enumerate(itertools.pairwise(points)):
            self.sheet.lines.append(Line(stroke, blend(pale, deep, i / len(points)), 3))
        self.y = top + side * px
