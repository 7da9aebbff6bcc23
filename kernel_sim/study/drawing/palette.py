"""The colours of a memory, one for each class of `cells`, told apart by colour-blind eyes and in grey too.

Used frames are a warm orange; free ones a teal that deepens with the order of their block; reserved ones a dark slate; holes a
pale grey.
"""

from __future__ import annotations

from kernel_sim.study.runs import FREE, HOLE, RESERVED, USED
from kernel_sim.units import N_ORDERS

Colour = tuple[int, int, int]
"""Red, green and blue, 0 to 255."""

PAPER: Colour = (255, 255, 255)
INK: Colour = (34, 34, 40)
FAINT_INK: Colour = (108, 108, 118)
RULE: Colour = (190, 190, 198)

_PALE, _MIDDLE, _DEEP = (206, 240, 229), (72, 178, 163), (0, 92, 94)


def blend(one: Colour, other: Colour, share: float) -> Colour:
    """The colour that is `share` of the way from one to the other."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue


def _tone(order: int) -> Colour:
    share = 2 * order / (N_ORDERS - 1)
    return blend(_PALE, _MIDDLE, share) if share <= 1 else blend(_MIDDLE, _DEEP, share - 1)


CLASS_COLOURS: tuple[Colour, ...] = tuple(
    {HOLE: (233, 233, 238), RESERVED: (88, 80, 104), USED: (228, 118, 46)}[kind] for kind in range(FREE)
) + tuple(_tone(order) for order in range(N_ORDERS))

OWNER_COLOURS: tuple[Colour, ...] = (
    (168, 146, 24), (58, 110, 214), (196, 46, 92), (140, 92, 214), (240, 190, 64), (116, 148, 36), (112, 190, 244), (232, 138, 186), (128, 76, 40),
    (86, 40, 118), (160, 30, 34), (150, 150, 158))
"""For the owners of used frames that a picture tells apart, in order; the last is for all others."""


def contrast(colour: Colour) -> Colour:
    """A colour that reads on top of that one without shouting."""
    bright = 299 * colour[0] + 587 * colour[1] + 114 * colour[2] > 128_000
    return blend(colour, (0, 0, 0) if bright else (255, 255, 255), 0.45)


def hex_of(colour: Colour) -> str:
    """The colour as ``#rrggbb``."""
    return "#{:02x}{:02x}{:02x}".format(*colour)
