"""A drawing before it is a PNG or an SVG: a grid of coloured cells, boxes, lines and words on paper. Lengths are in pixels.

`layout` makes one, `png` and `svg` each put it down; so both show the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from kernel_sim.study.drawing.palette import INK, Colour

Array = np.ndarray[Any, Any]

MARGIN = 32


class Box(NamedTuple):
    """A filled rectangle; (x, y) is its upper left corner."""

    x: int
    y: int
    width: int
    height: int
    fill: Colour


class Line(NamedTuple):
    """A line through points, (x, y) each."""

    points: tuple[tuple[int, int], ...]
    colour: Colour
    width: int = 1


class Label(NamedTuple):
    """Words on a baseline at `y`; `anchor` says which end of them stands at `x`: ``start``, ``middle`` or ``end``."""

    x: int
    y: int
    text: str
    size: int = 15
    anchor: str = "start"
    colour: Colour = INK


@dataclass
class Sheet:
    """The drawing. ``grid`` is uint8 of shape (rows, columns, 3), its cells `cell_px` wide, its upper left corner at (x, y)."""

    grid: Array
    cell_px: int
    x: int
    y: int
    width: int = 0
    height: int = 0
    boxes: list[Box] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    labels: list[Label] = field(default_factory=list)

    @property
    def right(self) -> int:
        """Where the grid ends at the right."""
        return self.x + int(self.grid.shape[1]) * self.cell_px

    @property
    def bottom(self) -> int:
        """Where the grid ends below."""
        return self.y + int(self.grid.shape[0]) * self.cell_px
