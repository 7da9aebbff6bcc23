"""A sheet as an SVG: text as text, and a rectangle for every stretch of equal cells in a row."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

import numpy as np

from kernel_sim.study.drawing.palette import PAPER, Colour, hex_of
from kernel_sim.study.drawing.sheet import Sheet

MAX_SIDE = 256
"""Cells a side, so that no memory, whatever its size and state, makes more than 65536 rectangles."""


def to_svg(sheet: Sheet) -> str:
    """The picture as text."""
    size = f'width="{sheet.width}" height="{sheet.height}" viewBox="0 0 {sheet.width} {sheet.height}"'
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="Helvetica, Arial, sans-serif">',
             _rect(0, 0, sheet.width, sheet.height, PAPER),
             '<g shape-rendering="crispEdges">', *_cells(sheet), "</g>"]
    parts += (_rect(*box) for box in sheet.boxes)
    for line in sheet.lines:
        points = " ".join(f"{x},{y}" for x, y in line.points)
        parts.append(f'<polyline points="{points}" fill="none" stroke="{hex_of(line.colour)}" stroke-width="{line.width}"/>')
    for label in sheet.labels:
        place = f'x="{label.x}" y="{label.y}" font-size="{label.size}" text-anchor="{label.anchor}" fill="{hex_of(label.colour)}"'
        parts.append(f"<text {place}>{escape(label.text)}</text>")
    return "\n".join([*parts, "</svg>\n"])


def _cells(sheet: Sheet) -> Iterator[str]:
    """The grid, row by row."""
    px, columns = sheet.cell_px, sheet.grid.shape[1]
    for number, row in enumerate(sheet.grid):
        begins = np.flatnonzero(np.append(True, (row[1:] != row[:-1]).any(axis=1))).tolist()
        for first, end in zip(begins, [*begins[1:], columns], strict=True):
            red, green, blue = row[first].tolist()
            yield _rect(sheet.x + first * px, sheet.y + number * px, (end - first) * px, px, (red, green, blue))


def _rect(x: int, y: int, width: int, height: int, fill: Colour) -> str:
    return f'<rect x="{x}" y="{y}" width="{width}" height="{height}" fill="{hex_of(fill)}"/>'
