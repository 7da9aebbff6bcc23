"""A sheet as a PNG: the only file that imports Pillow."""

from __future__ import annotations

import io

from PIL import Image, ImageDraw, ImageFont

from kernel_sim.study.drawing.palette import PAPER
from kernel_sim.study.drawing.sheet import Sheet

_ANCHORS = {"start": "ls", "middle": "ms", "end": "rs"}  # Pillow's: left, middle, right, on the baseline


def to_png(sheet: Sheet) -> bytes:
    """The picture, one pixel a pixel, in colour."""
    image = Image.new("RGB", (sheet.width, sheet.height), PAPER)
    rows, columns = sheet.grid.shape[:2]
    cells = Image.fromarray(sheet.grid, "RGB").resize((columns * sheet.cell_px, rows * sheet.cell_px), Image.Resampling.NEAREST)
    image.paste(cells, (sheet.x, sheet.y))
    draw = ImageDraw.Draw(image)
    for box in sheet.boxes:
        draw.rectangle((box.x, box.y, box.x + box.width - 1, box.y + box.height - 1), box.fill)
    for line in sheet.lines:
        draw.line(line.points, line.colour, line.width, joint="curve")
    for label in sheet.labels:
        font = ImageFont.load_default(label.size)
        draw.text((label.x, label.y), label.text, label.colour, font, anchor=_ANCHORS[label.anchor])
    data = io.BytesIO()
    image.save(data, "PNG")
    return data.getvalue()
