"""The memory in which a trace is played: zones, what is in use at the start, and what the trace's own frame numbers mean there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kernel_sim.errors import BadInput
from kernel_sim.units import MAX_FRAMES
from kernel_sim.zones import Range, Zone, cut_zones, intersect, join, plain_zone

if TYPE_CHECKING:
    from kernel_sim.study.framemap import FrameMap
    from kernel_sim.study.trace import Trace


@dataclass(frozen=True)
class Setting:
    """A memory before anything happens.

    `in_use` are (first, end) frames that are taken from the start. `start` is the start map they came from, if there is one, and `usable` the
    frames that exist, if the trace's frames must lie among them; without a memory map the trace's frame numbers are mere names.
    """

    zones: tuple[Zone, ...]
    in_use: tuple[Range, ...] = ()
    start: FrameMap | None = None
    usable: tuple[Range, ...] | None = None


def settle(trace: Trace | None, n_frames: int | None = None, memory_map: Sequence[Range] | None = None,
           start: FrameMap | None = None) -> Setting:
    """The memory for a trace.

    `n_frames` makes one plain zone, `memory_map` (usable frames) the zones of a PC. With neither, the trace's own memory map and start map are
    taken; where it has none, a plain memory of the size it was made for, or one that holds every frame it names. `start` marks what is in use;
    what it calls a hole is one.
    BadInput when a size and a map are both given, or when the two maps have no frame in common.
    """
    if n_frames is not None and memory_map is not None:
        raise BadInput("a memory has a size or a memory map, not both")
    if n_frames is None and memory_map is None and trace is not None:
        memory_map, start = trace.memory_map, start if start is not None else trace.start
        n_frames = trace.plain_frames if memory_map is None else None
    if start is None:
        if memory_map is not None:
            return Setting(tuple(cut_zones(memory_map)), usable=tuple(memory_map))
        return Setting(tuple(plain_zone(n_frames or _enough_for(trace))))
    exist, in_use = _of_start_map(start)
    usable = intersect(exist, [(0, n_frames)] if n_frames else memory_map if memory_map is not None else [(0, MAX_FRAMES)])
    if not usable:
        raise BadInput("the start map and the memory map have no frame in common")
    zones = [Zone("Memory", tuple(usable))] if n_frames else cut_zones(usable)
    return Setting(tuple(zones), tuple(intersect(usable, in_use)), start, tuple(usable))


def _of_start_map(start: FrameMap) -> tuple[list[Range], list[Range]]:
    """(frames that exist, frames that are in use) by a start map. Reserved frames are in use."""
    from kernel_sim.study.framemap import FREE, HOLE

    runs = start.runs().tolist()
    exist = join((first, end) for first, end, kind in runs if kind != HOLE)
    return exist, join((first, end) for first, end, kind in runs if kind not in (HOLE, FREE))


def _enough_for(trace: Trace | None) -> int:
    """A memory of a power of two frames, 64 MiB or more, in which the trace's frames would fit."""
    needed = max(trace.end_pfn if trace is not None else 0, 1 << 14)
    return min(1 << (needed - 1).bit_length(), MAX_FRAMES)
