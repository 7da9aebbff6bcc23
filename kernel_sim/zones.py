"""A machine's memory map as zones of frames.

A *zone* is a range of frames managed together; the *ranges* of a zone are the frames that exist in it, and what lies between
them is a hole. Linux cuts a PC's memory at 16 MiB and 4 GiB (old devices reach no further); so does `cut_zones`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from kernel_sim.errors import BadInput
from kernel_sim.units import FRAME_BYTES, MAX_FRAMES

Range = tuple[int, int]
"""Frames from the first to before the second."""

_LINUX_CUTS = (("DMA", 0, 4096), ("DMA32", 4096, 1 << 20), ("Normal", 1 << 20, MAX_FRAMES))
_E820 = re.compile(r"BIOS-e820:\s*\[mem (0x[0-9a-f]+)-(0x[0-9a-f]+)\]\s*(.*)", re.IGNORECASE)
_IOMEM = re.compile(r"([0-9a-f]+)-([0-9a-f]+) : (.*)", re.IGNORECASE)
_NEVER_RAM = ((0, 1), (0xA0, 0x100))
"""Linux never hands out frame 0, nor the video memory and ROMs of the first PC."""


@dataclass(frozen=True)
class Zone:
    """Frames managed together.

    ``ranges`` are the frames that exist, as half-open (first, end) pairs in ascending order; ``reserved`` those among them that are
    never given out. BadInput when ranges are empty, overlap, or lie outside the table.
    """

    name: str
    ranges: tuple[Range, ...]
    reserved: tuple[Range, ...] = ()

    def __post_init__(self) -> None:
        check_ranges(self.ranges, f"zone {self.name}")
        if not self.ranges:
            raise BadInput(f"zone {self.name}: a zone has at least one frame")
        if self.reserved:
            check_ranges(self.reserved, f"zone {self.name}, reserved")
            if intersect(self.ranges, self.reserved) != list(self.reserved):
                raise BadInput(f"zone {self.name}: a reserved range lies outside the zone's memory")

    @property
    def first_pfn(self) -> int:
        return self.ranges[0][0]

    @property
    def end_pfn(self) -> int:
        return self.ranges[-1][1]

    @property
    def n_frames(self) -> int:
        """Frames that exist, the reserved ones included."""
        return count(self.ranges)


def plain_zone(n_frames: int) -> list[Zone]:
    """A memory without a story: the frames 0 to `n_frames`, one zone."""
    if not 1 <= n_frames <= MAX_FRAMES:
        raise BadInput(f"a memory has between 1 and {MAX_FRAMES} frames, not {n_frames}")
    return [Zone("Memory", ((0, n_frames),))]


def check_ranges(ranges: Sequence[Range], where: str) -> None:
    """BadInput unless the ranges ascend, do not overlap and are not empty."""
    before = 0
    for first, end in ranges:
        if end <= first:
            raise BadInput(f"{where}: the range {first:#x} to {end:#x} is empty")
        if first < before:
            raise BadInput(f"{where}: the range {first:#x} to {end:#x} overlaps the one before it, or stands out of order")
        if end > MAX_FRAMES:
            raise BadInput(f"{where}: the range {first:#x} to {end:#x} ends beyond frame {MAX_FRAMES:#x}")
        before = end


def count(ranges: Iterable[Range]) -> int:
    """How many frames lie in the ranges."""
    return sum(end - first for first, end in ranges)


def intersect(one: Sequence[Range], other: Sequence[Range]) -> list[Range]:
    """What two ascending lists of ranges have in common."""
    found: list[Range] = []
    i = j = 0
    while i < len(one) and j < len(other):
        first, end = max(one[i][0], other[j][0]), min(one[i][1], other[j][1])
        if first < end:
            found.append((first, end))
        if one[i][1] <= other[j][1]:
            i += 1
        else:
            j += 1
    return found


def subtract(ranges: Sequence[Range], holes: Sequence[Range]) -> list[Range]:
    """What is left of ascending ranges when ascending holes are taken out."""
    left: list[Range] = []
    for first, end in ranges:
        for hole_first, hole_end in holes:
            if hole_end <= first or hole_first >= end:
                continue
            if first < hole_first:
                left.append((first, hole_first))
            first = max(first, hole_end)
        if first < end:
            left.append((first, end))
    return left


def cut_zones(ranges: Sequence[Range]) -> list[Zone]:
    """Usable frames as the zones Linux makes of them: DMA below 16 MiB, DMA32 below 4 GiB, Normal above."""
    check_ranges(ranges, "memory map")
    cut = ((name, tuple(intersect(ranges, [(first, end)]))) for name, first, end in _LINUX_CUTS)
    return [Zone(name, inside) for name, inside in cut if inside]


def read_memory_map(path: str | Path) -> list[Range]:
    """Usable frames in a memory map: the e820 lines of a kernel log, or /proc/iomem.

    Ranges are rounded inwards to whole frames, adjacent ones joined, and the frames that Linux never uses dropped. BadInput, with file and
    line, for a text with no usable memory, a range that ends before it begins, or usable ranges that overlap.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror or error}") from None
    usable = _usable_bytes(str(path), lines)
    usable.sort()
    for (_, last_end, _), (first, _, line) in pairwise(usable):
        if first < last_end:
            raise BadInput(f"{path}:{line}: usable memory overlaps an earlier range")
    frames = join((-(-first // FRAME_BYTES), end // FRAME_BYTES) for first, end, _ in usable)
    frames = subtract(frames, _NEVER_RAM)
    if not frames:
        raise BadInput(f"{path}: no usable memory in this memory map (e820 lines of a kernel log, or /proc/iomem read as root)")
    check_ranges(frames, str(path))
    return frames


def _usable_bytes(path: str, lines: Sequence[str]) -> list[tuple[int, int, int]]:
    """(first byte, end byte, line) of every usable range, as written."""
    found = []
    for number, line in enumerate(lines, 1):
        match = _E820.search(line) or (_IOMEM.match(line) if not line.startswith(" ") else None)
        if match is None:
            continue
        first, last = int(match[1], 16), int(match[2], 16)
        if first == last == 0:
            raise BadInput(f"{path}:{number}: a range of zero size (/proc/iomem shows its addresses to root only)")
        if last < first:
            raise BadInput(f"{path}:{number}: the range {first:#x}-{last:#x} ends before it begins")
        if match[3].strip().lower() in ("usable", "system ram"):
            found.append((first, last + 1, number))
    return found


def join(ranges: Iterable[Range]) -> list[Range]:
    """Ascending ranges with the empty ones dropped and the adjacent ones made one."""
    joined: list[Range] = []
    for first, end in ranges:
        if first >= end:
            continue
        if joined and joined[-1][1] == first:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((first, end))
    return joined
