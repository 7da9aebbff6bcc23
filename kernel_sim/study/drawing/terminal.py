"""The frame map as text: one character a cell, a power-of-two number of frames each.

The characters alone tell the states; colour only adds to them, so a pipe, a file and a NO_COLOR terminal lose only the tones.

    a 9 … 0     free: the order, in hexadecimal, of the blocks that most of its free frames lie in
    █           used
    ░ ▒ ▓       some free, some not: less than a third, less than two thirds, more is taken
    R           reserved
    blank       a hole

When owners are told apart, a letter stands in the place of █: the owner of most of the cell's used frames.

Frames that do not exist count for nothing in a cell that has others. Rows of nothing but holes are drawn as one line.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from itertools import repeat
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from kernel_sim.compiled import entry
from kernel_sim.study.drawing import legend
from kernel_sim.study.drawing.cells import count_cells
from kernel_sim.study.drawing.palette import CLASS_COLOURS, OWNER_COLOURS, contrast, hex_of
from kernel_sim.study.framemap import FrameMap
from kernel_sim.study.ownership import OwnedMap
from kernel_sim.study.runs import FREE, HOLE, RESERVED, USED, end_of
from kernel_sim.units import FRAME_BYTES, N_ORDERS

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

Array = np.ndarray[Any, Any]

MIN_WIDTH, MAX_WIDTH = 60, 100
MAX_LINES = 24
_WIDE_COLUMNS, _NARROW_COLUMNS, _WIDE_FROM = 64, 32, 80
_ORDER_DIGITS = "0123456789a"
OWNER_LETTERS = "ABCDEFGHIJKLMNOPQ"
"""For owners that are told apart; R is for what is reserved."""


class Glyphs(NamedTuple):
    """The characters of the states; ``partly`` by the share that is taken."""

    used: str
    partly: str
    reserved: str
    hole: str


BLOCKS = Glyphs("█", "░▒▓", "R", " ")
ASCII = Glyphs("#", ".:+", "R", " ")
"""For terminals that know no more."""


class View(NamedTuple):
    """Cells of 2^shift frames, `columns` a row; ``rows`` are the numbers of the rows that show more than holes, ascending."""

    shift: int
    columns: int
    rows: list[int]

    @property
    def row_frames(self) -> int:
        return self.columns << self.shift


def render_terminal(framemap: FrameMap, width: int = 80, colour: bool = False, owned: OwnedMap | None = None) -> str:
    """The map as text of at most `width` characters a line, with ANSI colours when `colour` is true."""
    from rich.console import Console

    text = io.StringIO()
    print_map(framemap, Console(file=text, width=width, force_terminal=colour, no_color=not colour, legacy_windows=False,
                                color_system="truecolor" if colour else None, _environ={}), owned)
    return text.getvalue()


def print_map(framemap: FrameMap, console: Console, owned: OwnedMap | None = None) -> None:
    """Draw the map on a rich Console, as wide as the console is but within MIN_WIDTH and MAX_WIDTH. `owned`, of which `framemap` is the map, tells
    the owners of used frames apart."""
    width = min(max(console.width, MIN_WIDTH), MAX_WIDTH)
    glyphs = ASCII if console.options.ascii_only else BLOCKS
    view = choose_view(framemap, _WIDE_COLUMNS if width >= _WIDE_FROM else _NARROW_COLUMNS)
    for line in (*_head(framemap, view), *_body(framemap, view, glyphs, owned), *_foot(framemap, glyphs, owned)):
        console.print(line, width=width, highlight=False, crop=False)


def choose_view(framemap: FrameMap, columns: int) -> View:
    """The finest scale at which the map, its big holes folded, takes at most MAX_LINES lines."""
    rows = np.empty(MAX_LINES, np.int64)
    column_shift = columns.bit_length() - 1
    for shift in range(64):
        n_rows = _occupied_rows(framemap.first_pfn, framemap.kind, framemap.n_frames, shift + column_shift, rows)
        view = View(shift, columns, rows[:max(n_rows, 0)].tolist())
        if n_rows >= 0 and sum(1 for _ in _lines(framemap, view)) <= MAX_LINES:
            return view
    raise AssertionError("the whole memory fits one row")


def _lines(framemap: FrameMap, view: View) -> Iterator[tuple[int, int, bool]]:
    """The lines to draw, as (first row, end row, whether it is drawn); rows that are not are folded into one line."""
    n_rows = -(-framemap.n_frames // view.row_frames)
    before = 0
    for row in (*view.rows, n_rows):
        if before < row:
            yield before, row, False
        if row < n_rows:
            yield row, row + 1, True
        before = row + 1


@entry
def _occupied_rows(first_pfn: Array, kind: Array, n_frames: int, row_shift: int, rows: Array) -> int:
    """Write the numbers of the rows, of 2^row_shift frames, that show more than holes; return how many, or -1 for too many."""
    n_rows, last = 0, -1
    for i in range(len(first_pfn)):
        if kind[i] == HOLE:
            continue
        end = end_of(first_pfn, i, len(first_pfn) - 1, n_frames)
        for row in range(max(first_pfn[i] >> row_shift, last + 1), (end - 1 >> row_shift) + 1):
            if n_rows == len(rows):
                return -1
            rows[n_rows], last = row, row
            n_rows += 1
    return n_rows


def _head(framemap: FrameMap, view: View) -> list[Text]:
    from rich.text import Text

    return [Text(legend.headline(framemap), style="bold"),
            Text(f"{legend.scale(view.shift, 'cell')}, one row = {legend.size_of(view.row_frames)}"), Text()]


def _body(framemap: FrameMap, view: View, glyphs: Glyphs, owned: OwnedMap | None) -> list[Text]:
    """The rows, each with the address it begins at."""
    from rich.text import Text

    unit, unit_bytes = _unit(view.row_frames * FRAME_BYTES)
    label_width = len(f"{framemap.n_frames * FRAME_BYTES // unit_bytes} {unit}")
    body = []
    for first, end, drawn in _lines(framemap, view):
        start, stop = first * view.row_frames, min(end * view.row_frames, framemap.n_frames)
        if drawn:
            line = Text(f"{start * FRAME_BYTES // unit_bytes} {unit}".rjust(label_width) + " ", no_wrap=True)
            owners = owned.count_cells(view.shift, start, stop) if owned else repeat(())
            for cell, of_owners in zip(count_cells(framemap, view.shift, start, stop), owners, strict=False):
                line.append(*_cell(cell, of_owners, glyphs))
        else:
            line = Text(" " * label_width + f" ... hole of {legend.size_of(stop - start)} ...", style="dim")
        line.rstrip()
        body.append(line)
    return body


def _unit(size_bytes: int) -> tuple[str, int]:
    """The largest unit in which the size, a power of two, is a whole number."""
    return next((unit, 1 << shift) for unit, shift in (("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)) if size_bytes >> shift)


def _cell(cell: Array, owners: Sequence[int] | Array, glyphs: Glyphs) -> tuple[str, str]:
    """A cell's character and style."""
    n_free, n_taken = int(cell[FREE:].sum()), int(cell[RESERVED] + cell[USED])
    if not n_free + n_taken:
        return glyphs.hole, ""
    taken = USED if cell[USED] >= cell[RESERVED] else RESERVED
    order = int(cell[FREE:].argmax())
    if not n_taken:
        return _ORDER_DIGITS[order], _on(FREE + order)
    owner = int(np.argmax(owners)) if taken == USED and np.any(owners) else None
    if not n_free and owner is not None:
        return OWNER_LETTERS[owner], _on_owner(owner)
    if not n_free:
        return (glyphs.used, _in(taken)) if taken == USED else (glyphs.reserved, _on(taken))
    ink = _in(taken) if owner is None else hex_of(OWNER_COLOURS[owner])
    return glyphs.partly[3 * n_taken // (n_taken + n_free)], f"{ink} on {hex_of(CLASS_COLOURS[FREE + order])}"


def _in(which: int) -> str:
    return hex_of(CLASS_COLOURS[which])


def _on(which: int) -> str:
    return f"{hex_of(contrast(CLASS_COLOURS[which]))} on {hex_of(CLASS_COLOURS[which])}"


def _on_owner(owner: int) -> str:
    return f"{hex_of(contrast(OWNER_COLOURS[owner]))} on {hex_of(OWNER_COLOURS[owner])}"


def _owners(owned: OwnedMap | None) -> list[Text]:
    """Whose the used frames are: letter, name, frames, size."""
    from rich.text import Text

    if owned is None:
        return []
    lines = [Text(), Text(f" used, by owner, at block {owned.time:,}:", style="dim")]
    for place, owner in enumerate(owned.shown):
        columns = f" {owner.name[:20]:20} {owner.n_frames:>8} {legend.size_of(owner.n_frames):>10}"
        lines.append(Text.assemble(" ", (OWNER_LETTERS[place], _on_owner(place)), columns))
    return lines


def _foot(framemap: FrameMap, glyphs: Glyphs, owned: OwnedMap | None) -> list[Text]:
    """The legend: what the characters mean, and how much there is of each."""
    from rich.text import Text

    signs = {USED: (glyphs.used, _in(USED)), RESERVED: (glyphs.reserved, _on(RESERVED)),
             FREE: (_ORDER_DIGITS[-1], _on(FREE + N_ORDERS - 1)), HOLE: (glyphs.hole, "")}
    foot = [Text(), Text(f"   {'':8} {'frames':>12} {'size':>10}    share of what exists", style="dim")]
    for amount in legend.amounts(framemap):
        columns = f" {amount.name:8} {amount.frames:>12} {amount.size:>10} {amount.share:>8}"
        foot.append(Text.assemble(" ", signs[amount.kind], columns.rstrip()))
    foot += _owners(owned)
    mixed = f"{_in(USED)} on {hex_of(CLASS_COLOURS[FREE + 3])}"
    tones = [(digit, _on(FREE + order)) for order, digit in enumerate(_ORDER_DIGITS)]
    smallest, largest = legend.size_of(1), legend.size_of(1 << N_ORDERS - 1)
    return [
        *foot,
        Text.assemble(" ", (glyphs.partly, mixed), " partly free: under 1/3 taken, under 2/3, more"),
        Text.assemble(" ", *tones, f" free, in blocks of {smallest} (order 0) to {largest} (a: order 10)"),
        Text(),
        *(Text(f" zone {name:8} {where}, {free} free") for name, where, free in legend.zones(framemap)),
        Text(f" longest free run: {legend.longest(framemap)}"),
    ]
