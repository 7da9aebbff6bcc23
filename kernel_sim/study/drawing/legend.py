"""What every picture says in words: amounts, zones, the longest free run. The same words in the terminal and on paper."""

from __future__ import annotations

from typing import NamedTuple

from kernel_sim.study.framemap import KIND_NAMES, FrameMap
from kernel_sim.study.runs import FREE, HOLE, RESERVED, USED
from kernel_sim.units import FRAME_BYTES, format_size

KIND_ORDER = (USED, FREE, RESERVED, HOLE)


class Amount(NamedTuple):
    """How much there is of a kind, as text; ``share`` is that of the frames which exist, and empty for holes."""

    kind: int
    name: str
    frames: str
    size: str
    share: str


def size_of(n_frames: int) -> str:
    """Frames as a size: ``64 KiB``; ``0`` for none."""
    return format_size(n_frames * FRAME_BYTES) if n_frames else "0"


def plural(n: int, what: str) -> str:
    """``1 frame``, ``2 frames``."""
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def headline(framemap: FrameMap) -> str:
    """``Physical memory up to 256 MiB: 106 MiB free in 281 runs``."""
    n_free, upto = framemap.counts[FREE], f"Physical memory up to {size_of(framemap.n_frames)}"
    return f"{upto}: {size_of(n_free)} free in {plural(framemap.n_free_runs, 'run')}" if n_free else f"{upto}: nothing is free"


def scale(shift: int, cell: str) -> str:
    """``one cell = 16 frames = 64 KiB``."""
    return f"one {cell} = {plural(1 << shift, 'frame')} = {size_of(1 << shift)}"


def amounts(framemap: FrameMap) -> list[Amount]:
    """A line for each kind."""
    present = max(framemap.n_present, 1)
    return [Amount(kind, KIND_NAMES[kind], str(n), size_of(n), "" if kind == HOLE else f"{100 * n / present:.1f} %")
            for kind in KIND_ORDER for n in [framemap.counts[kind]]]


def zones(framemap: FrameMap) -> list[tuple[str, str, str]]:
    """For each zone its name, where it lies, and how much of it is free."""
    return [(name, f"{size_of(first)} to {size_of(end)}", size_of(framemap.surveys[first, end].counts[FREE]))
            for name, first, end in framemap.zones]


def longest(framemap: FrameMap) -> str:
    """``83.5 MiB at 76 MiB (frame 0x4c00)``, or ``none``."""
    first, end = framemap.longest_free_range
    return f"{size_of(end - first)} at {size_of(first)} (frame {first:#x})" if end else "none"
