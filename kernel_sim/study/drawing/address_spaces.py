"""The picture of two address spaces over one memory, as SVG: regions at the sides, frames in the middle, bands from what is mapped to where it lies.

Addresses grow downwards. In the middle every frame has the same height; at the sides a region is as high as its frames, or as its name needs, and
what lies between regions, nearly all of an address space, is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import NamedTuple

from kernel_sim.study.drawing.legend import size_of
from kernel_sim.study.drawing.palette import FAINT_INK, INK, PAPER, RULE, Colour, blend, hex_of

WIDTH = 1080
_TOP, _BOTTOM, _MARGIN = 122, 74, 30
_SIDE_PX, _MEMORY_PX, _GAP_PX = 214, 170, 211
_STRIP_PX, _MAX_FRAME_PX, _MIN_REGION_PX, _BETWEEN_PX = 760, 6.0, 22.0, 26.0
_LEFT, _MEMORY = _MARGIN, _MARGIN + _SIDE_PX + _GAP_PX
_RIGHT = _MEMORY + _MEMORY_PX + _GAP_PX
_BLACK: Colour = (0, 0, 0)

SIDES: tuple[Colour, Colour] = ((52, 104, 208), (222, 110, 40))
SHARED: Colour = (138, 84, 190)
FREE: Colour = (224, 244, 236)
OTHER: Colour = (168, 168, 176)
_TONES = (0.0, 0.28, 0.48, 0.14, 0.38)


class Run(NamedTuple):
    """`n_frames` frames from `pfn` on, mapped one after the other from a virtual address on."""

    virtual: int
    pfn: int
    n_frames: int


class Region(NamedTuple):
    """A part of an address space, with what is mapped in it, by address. `number` chooses its tone."""

    number: int
    name: str
    runs: tuple[Run, ...]

    @property
    def n_frames(self) -> int:
        return sum(run.n_frames for run in self.runs)

    def frames(self) -> Iterator[int]:
        """The frames, by address."""
        return (pfn for run in self.runs for pfn in range(run.pfn, run.pfn + run.n_frames))


class Space(NamedTuple):
    """One side: the regions by address, and the frames of what translates, called `tables_are`."""

    name: str
    regions: tuple[Region, ...]
    tables: frozenset[int]
    tables_are: str = "page tables"


@dataclass(frozen=True)
class Memory:
    """The middle: `n_frames` frames, and the (first, end) runs of those in use."""

    n_frames: int
    used: tuple[tuple[int, int], ...]


def to_svg(title: str, subtitle: str, spaces: Sequence[Space], memory: Memory) -> str:
    """The picture of one space, at the left, or of two."""
    return _Picture(title, subtitle, list(spaces), memory).drawn()


class _Picture:
    """What is where, and then the parts from the back to the front."""

    def __init__(self, title: str, subtitle: str, spaces: list[Space], memory: Memory) -> None:
        self.title, self.subtitle, self.spaces, self.memory = title, subtitle, spaces, memory
        self.frame_px = min(_MAX_FRAME_PX, _STRIP_PX / memory.n_frames)
        self.strip_px = self.frame_px * memory.n_frames
        self.places = [list(self.place(space)) for space in spaces]
        sides = [places[-1][2] for places in self.places if places]
        self.bottom = max([_TOP + self.strip_px, *sides])
        self.owner_tones = self.tones()

    def place(self, space: Space) -> Iterator[tuple[Region, float, float]]:
        """Each region with its upper and lower edge."""
        y = _TOP + 16.0
        for region in space.regions:
            height = max(region.n_frames * self.frame_px, _MIN_REGION_PX)
            yield region, y, y + height
            y += height + _BETWEEN_PX

    def tones(self) -> dict[int, Colour]:
        """The colour of every frame that one of the two maps, or has a table in."""
        told: dict[int, Colour] = {}
        shared = {pfn for region in self.spaces[0].regions for pfn in region.frames()}
        for side, space in enumerate(self.spaces):
            told |= dict.fromkeys(space.tables, blend(SIDES[side], _BLACK, 0.5))
            for region in space.regions:
                for pfn in region.frames():
                    told[pfn] = SHARED if side and pfn in shared else _tone(side, region.number)
        return told

    def drawn(self) -> str:
        height = round(self.bottom + _BOTTOM)
        size = f'width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}"'
        parts = [f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="Helvetica, Arial, sans-serif">',
                 _rect(0, 0, WIDTH, height, PAPER), _text(_LEFT, 44, self.title, 24), _text(_LEFT, 70, self.subtitle, 15, colour=FAINT_INK),
                 *self.bands(), *self.strip()]
        for side, space in enumerate(self.spaces):
            parts += self.regions(side, space)
        return "\n".join([*parts, *self.legend(height), "</svg>\n"])

    def bands(self) -> Iterator[str]:
        """From every run of a region to its frames."""
        for side, places in enumerate(self.places):
            here, there = ((_LEFT + _SIDE_PX, _MEMORY), (_RIGHT, _MEMORY + _MEMORY_PX))[side]
            for region, top, bottom in places:
                a_frame, y = (bottom - top) / region.n_frames, top
                for run in region.runs:
                    end = y + run.n_frames * a_frame
                    yield _band(here, y, end, there, self.y_of(run.pfn), self.y_of(run.pfn + run.n_frames), _tone(side, region.number))
                    y = end

    def y_of(self, pfn: int) -> float:
        """Where a frame begins in the middle."""
        return _TOP + pfn * self.frame_px

    def strip(self) -> Iterator[str]:
        """The frames, runs of one colour as one."""
        yield _text(_MEMORY + _MEMORY_PX / 2, _TOP - 12, f"physical memory, {size_of(self.memory.n_frames)}", 15, "middle")
        yield _rect(_MEMORY, _TOP, _MEMORY_PX, self.strip_px, FREE)
        yield '<g shape-rendering="crispEdges">'
        for first, end, colour in _coloured(self.memory.used, self.owner_tones):
            yield _rect(_MEMORY, self.y_of(first), _MEMORY_PX, (end - first) * self.frame_px, colour)
        yield "</g>"
        yield (f'<rect x="{_MEMORY}" y="{_TOP}" width="{_MEMORY_PX}" height="{self.strip_px:g}" fill="none" stroke="{hex_of(RULE)}"/>')
        yield _text(_MEMORY + _MEMORY_PX / 2, self.y_of(self.memory.n_frames) + 18, f"frame {self.memory.n_frames - 1:#x}", 12, "middle", FAINT_INK)

    def regions(self, side: int, space: Space) -> Iterator[str]:
        x = (_LEFT, _RIGHT)[side]
        yield _text(x, _TOP - 12, space.name, 15)
        for region, top, bottom in self.places[side]:
            yield _rect(x, top, _SIDE_PX, bottom - top, _tone(side, region.number))
            yield _text(x, top - 5, f"{region.runs[0].virtual:#x}", 11, colour=FAINT_INK)
            yield _text(x + 8, (top + bottom) / 2 + 5, f"{region.name}, {size_of(region.n_frames)}", 14, colour=_ink(_tone(side, region.number)))

    def legend(self, height: int) -> Iterator[str]:
        """What the colours mean."""
        drawn = {colour for _, _, colour in _coloured(self.memory.used, self.owner_tones)}
        items = [(FREE, "free"), *(item for item in ((OTHER, "the kernel's and others'"), (SHARED, "shared by both")) if item[0] in drawn)]
        items += [(blend(SIDES[side], _BLACK, 0.5), f"{space.tables_are} of {space.name.split(',')[0]}") for side, space in enumerate(self.spaces)]
        x = _LEFT
        for colour, words in items:
            yield f'<rect x="{x}" y="{height - 36}" width="20" height="14" fill="{hex_of(colour)}" stroke="{hex_of(RULE)}"/>'
            yield _text(x + 28, height - 24, words, 13)
            x += 60 + 8 * len(words)


def _tone(side: int, number: int) -> Colour:
    return blend(SIDES[side], PAPER, _TONES[number % len(_TONES)])


def _ink(colour: Colour) -> Colour:
    return PAPER if 299 * colour[0] + 587 * colour[1] + 114 * colour[2] < 140_000 else INK


def _coloured(used: Iterable[tuple[int, int]], tones: dict[int, Colour]) -> Iterator[tuple[int, int, Colour]]:
    """The frames in use as runs of one colour."""
    for first, end in used:
        begin = first
        for pfn in range(first + 1, end + 1):
            if pfn == end or tones.get(pfn, OTHER) != tones.get(begin, OTHER):
                yield begin, pfn, tones.get(begin, OTHER)
                begin = pfn


def _band(x: float, top: float, bottom: float, to_x: float, to_top: float, to_bottom: float, colour: Colour) -> str:
    middle = (x + to_x) / 2
    path = (f"M{x:g},{top:.1f} C{middle:g},{top:.1f} {middle:g},{to_top:.1f} {to_x:g},{to_top:.1f} "
            f"L{to_x:g},{to_bottom:.1f} C{middle:g},{to_bottom:.1f} {middle:g},{bottom:.1f} {x:g},{bottom:.1f} Z")
    return f'<path d="{path}" fill="{hex_of(colour)}" fill-opacity="0.3" stroke="{hex_of(colour)}" stroke-opacity="0.55" stroke-width="0.5"/>'


def _rect(x: float, y: float, width: float, height: float, fill: Colour) -> str:
    return f'<rect x="{x:g}" y="{y:.2f}" width="{width:g}" height="{height:.2f}" fill="{hex_of(fill)}"/>'


def _text(x: float, y: float, words: str, size: int, anchor: str = "start", colour: Colour = INK) -> str:
    return f'<text x="{x:g}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{hex_of(colour)}">{escape(words)}</text>'
