"""The frame map: what every frame of a memory is, as runs of equal frames.

    hole        no such frame: a gap of the memory map
    reserved    it exists and is never given out
    used        given out
    free        for hire

A map is kept as runs, so a machine of a terabyte with few allocations is described in a few numbers; a hundred million frames of
noise are as many runs as they need, and every pass over them is compiled. A map knows its *zones*, since no free block crosses a
zone's edge: `free_runs`, `buddyinfo` and `largest_free_run` look at each zone by itself.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from kernel_sim.errors import BadInput
from kernel_sim.study import runs as passes
from kernel_sim.study import sealed
from kernel_sim.study.formats import kpageflags
from kernel_sim.study.packed import opened
from kernel_sim.study.runs import FREE, HOLE, MAX_MAP_FRAMES, N_KINDS, RESERVED, USED

__all__ = ["FREE", "HOLE", "KIND_NAMES", "RESERVED", "USED", "FrameMap", "Survey", "Zone", "from_json", "load", "save", "to_json"]

Array = np.ndarray[Any, Any]
Zone = tuple[str, int, int]
"""A zone's name, its first frame, and the frame after its last."""

KIND_NAMES = ("hole", "reserved", "used", "free")
LINUX_ZONES: tuple[Zone, ...] = (("DMA", 0, 1 << 12), ("DMA32", 1 << 12, 1 << 20), ("Normal", 1 << 20, MAX_MAP_FRAMES))
MAGIC = b"KSFRMAP\0"
VERSION = 1


class Survey(NamedTuple):
    """What a range of frames holds: frames of each kind, the number of its free runs, and the longest of them, (first, end)."""

    counts: tuple[int, ...]
    n_free_runs: int
    longest_free: tuple[int, int]


@dataclass(frozen=True, eq=False)
class FrameMap:
    """What every frame from 0 to `n_frames` is. Make one with `from_codes`, `from_runs` or `load`, which check it.

    ``first_pfn`` (uint32; `runs` has int64, to calculate with) holds each run's first frame, ascending from 0; ``kind`` (uint8)
    what its frames are: HOLE, RESERVED, USED or FREE. A run ends where the next begins, the last at ``n_frames``; neighbours
    differ. ``zones`` are half open, ascending and disjoint, and every free frame lies in one; without them the memory is cut at
    16 MiB and 4 GiB as Linux cuts it, and a zone with nothing but holes is left out. BadInput for other zones.
    """

    n_frames: int
    first_pfn: Array
    kind: Array
    zones: tuple[Zone, ...] = ()

    def __post_init__(self) -> None:
        if not self.zones:
            object.__setattr__(self, "zones", self._linux_zones())
        self._check_zones()

    @classmethod
    def from_codes(cls, codes: Array, zones: Iterable[Zone] = ()) -> FrameMap:
        """The map of a uint8 array that holds, for each frame, what it is."""
        _check_size(len(codes))
        built = passes.RunBuilder(len(codes))
        built.add(codes)
        return cls(built.n_frames, built.first_pfn, built.kind, tuple(zones))

    @classmethod
    def from_runs(cls, n_frames: int, runs: Iterable[tuple[int, int, int]] | Array, zones: Iterable[Zone] = ()) -> FrameMap:
        """The map of ascending (first, end, kind) triples, or an int64 array of such rows. Frames in no run are holes."""
        _check_size(n_frames)
        rows = np.asarray(runs if isinstance(runs, np.ndarray) else list(runs), np.int64).reshape(-1, 3)
        edges = np.concatenate([[0], rows[:, :2].ravel(), [n_frames]])
        if (np.diff(edges) < 0).any() or (rows[:, 0] >= rows[:, 1]).any():
            raise BadInput(f"the runs of a frame map ascend, are not empty, do not overlap, and end by frame {n_frames:#x}")
        if ((rows[:, 2] < 0) | (rows[:, 2] >= N_KINDS)).any():
            raise BadInput(f"a run is one of {', '.join(KIND_NAMES)}: 0 to {N_KINDS - 1}")
        kinds = np.full(2 * len(rows) + 1, HOLE, np.uint8)  # a gap, a run, a gap, a run, … a gap
        kinds[1::2] = rows[:, 2]
        return cls(n_frames, *_merge(edges, kinds), tuple(zones))

    @property
    def counts(self) -> tuple[int, ...]:
        """Frames of each kind: holes, reserved, used, free."""
        return tuple(int(n) for n in np.sum([window.counts for window in self.surveys.values()], axis=0))

    @property
    def n_present(self) -> int:
        """Frames that exist."""
        return self.n_frames - self.counts[HOLE]

    @property
    def n_free_runs(self) -> int:
        """How many runs `free_runs` has."""
        return sum(window.n_free_runs for window in self.surveys.values())

    @property
    def longest_free_range(self) -> tuple[int, int]:
        """The longest free run, (first, end), the lowest of equals. (0, 0) when nothing is free."""
        return max((window.longest_free for window in self.surveys.values()), key=lambda run: run[1] - run[0])

    @property
    def largest_free_run(self) -> int:
        """Frames in the longest free run."""
        first, end = self.longest_free_range
        return end - first

    def free_runs(self) -> Array:
        """The free runs as rows (first, end), int64, ascending; a zone's edge cuts a run."""
        parts = [np.empty((0, 2), np.int64)]
        for _, first, end in self.zones:
            parts.append(np.empty((self.surveys[first, end].n_free_runs, 2), np.int64))
            passes.fill_free(self.first_pfn, self.kind, first, end, parts[-1])
        return np.concatenate(parts)

    def buddyinfo(self) -> dict[str, tuple[int, ...]]:
        """For each zone, the free blocks of order 0 to 10: its free runs cut into the largest aligned blocks."""
        return {name: tuple(int(n) for n in passes.count_free_blocks(self.first_pfn, self.kind, first, end))
                for name, first, end in self.zones}

    def runs(self) -> Array:
        """All runs as rows (first, end, kind), int64."""
        first = self.first_pfn.astype(np.int64)
        return np.column_stack([first, np.append(first[1:], self.n_frames), self.kind])

    def codes(self) -> Array:
        """What each frame is, one uint8 a frame."""
        return np.repeat(self.kind, self.lengths())

    def lengths(self) -> Array:
        """Frames of each run, int64."""
        return np.diff(self.first_pfn.astype(np.int64), append=self.n_frames)

    def windows(self) -> list[tuple[int, int]]:
        """The memory cut at every zone's edge: (first, end) of each zone, and of what lies between zones."""
        edges = sorted({0, self.n_frames, *(edge for _, first, end in self.zones for edge in (first, end))})
        return list(pairwise(edges))

    @cached_property
    def surveys(self) -> dict[tuple[int, int], Survey]:
        """What there is in each of the `windows`."""
        found = {}
        for low, high in self.windows():
            counts = np.zeros(N_KINDS, np.int64)
            n_runs, first, end = passes.survey(self.first_pfn, self.kind, low, high, counts)
            found[low, high] = Survey(tuple(int(n) for n in counts), n_runs, (first, end))
        return found

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, FrameMap):
            return NotImplemented
        return (self.n_frames == other.n_frames and self.zones == other.zones
                and np.array_equal(self.first_pfn, other.first_pfn) and np.array_equal(self.kind, other.kind))

    def _linux_zones(self) -> tuple[Zone, ...]:
        cut = [(name, first, min(end, self.n_frames)) for name, first, end in LINUX_ZONES if first < self.n_frames]
        return tuple(zone for zone in cut if passes.shows(self.first_pfn, self.kind, zone[1], zone[2], RESERVED))

    def _check_zones(self) -> None:
        before = 0
        for name, first, end in self.zones:
            if not before <= first < end <= self.n_frames:
                raise BadInput(f"zone {name}: frames {first:#x} to {end:#x} are none, out of order, or beyond the memory")
            before = end
        inside = {(first, end) for _, first, end in self.zones}
        for low, high in self.windows():
            if (low, high) not in inside and passes.shows(self.first_pfn, self.kind, low, high, FREE):
                raise BadInput(f"free frames in no zone, between frames {low:#x} and {high:#x}")
        if len({name for name, _, _ in self.zones}) < len(self.zones):
            raise BadInput("two zones of a frame map have the same name")


def _check_size(n_frames: int) -> None:
    if not 1 <= n_frames <= MAX_MAP_FRAMES:
        raise BadInput(f"a frame map has between 1 and {MAX_MAP_FRAMES} frames, not {n_frames}")


def _merge(edges: Array, kind: Array) -> tuple[Array, Array]:
    """First frames and kinds of the stretches between consecutive edges, empty ones dropped and equal neighbours joined."""
    lasting = edges[:-1] < edges[1:]
    first_pfn, kind = edges[:-1][lasting], kind[lasting]
    begins = np.append(True, kind[1:] != kind[:-1])
    return first_pfn[begins].astype(np.uint32), kind[begins]


def save(framemap: FrameMap, path: str | Path) -> None:
    """Write the map in its own file form, whole or not at all."""
    header = {"n_frames": framemap.n_frames, "zones": framemap.zones}
    sealed.write(path, MAGIC, VERSION, header, {"length": framemap.lengths(), "kind": framemap.kind})  # numbers compress worse


def load(path: str | Path) -> FrameMap:
    """Read a map: our own file form, our JSON, or kpageflags, each plain or compressed with gzip or xz.

    BadInput, in one line that names the file, for anything else.
    """
    with opened(path) as stream:
        start = stream.peek(len(MAGIC))[:len(MAGIC)]
        if start == MAGIC:
            return _said_of(path, lambda: _from_sealed(path, stream.read()))
        if start.startswith(b"{") and b"\0" not in start:
            return _said_of(path, lambda: from_json(stream.read()))
        built = kpageflags.read(stream, path)
    return FrameMap(built.n_frames, built.first_pfn, built.kind)


def to_json(framemap: FrameMap) -> str:
    """The map as JSON: ``{"version": 1, "n_frames": …, "zones": [[name, first, end], …], "runs": [[first, end, "free"], …]}``."""
    runs = ((first, end, KIND_NAMES[kind]) for first, end, kind in framemap.runs().tolist())
    return json.dumps({"version": VERSION, "n_frames": framemap.n_frames, "zones": framemap.zones, "runs": list(runs)},
                      separators=(",", ":")) + "\n"


def from_json(text: str | bytes) -> FrameMap:
    """The map that `to_json` wrote. BadInput for any other text."""
    try:
        said = json.loads(text)
        if said["version"] != VERSION:
            raise BadInput(f"version {said['version']} of this file form; this program reads version {VERSION}")
        runs = [(_whole(first), _whole(end), KIND_NAMES.index(kind)) for first, end, kind in said["runs"]]
        return FrameMap.from_runs(_whole(said["n_frames"]), runs, _zones(said["zones"]))
    except json.JSONDecodeError as error:
        raise BadInput(f"not JSON, at line {error.lineno}: {error.msg}") from None
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        if isinstance(error, BadInput):
            raise
        raise BadInput(f"not the JSON of a frame map: {error}") from None


def _from_sealed(path: str | Path, data: bytes) -> FrameMap:
    header, columns = sealed.read(path, data, MAGIC, VERSION)
    try:
        length, kind = columns["length"].astype(np.int64), columns["kind"].astype(np.int64)
        if not len(length) or length.min() < 1 or length.max() > MAX_MAP_FRAMES:
            raise BadInput("damaged: a run of no possible length")
        end = np.cumsum(length)
        return FrameMap.from_runs(_whole(header["n_frames"]), np.column_stack([end - length, end, kind]), _zones(header["zones"]))
    except (KeyError, TypeError) as error:
        raise BadInput(f"damaged: {error}") from None


def _zones(listed: Any) -> tuple[Zone, ...]:
    return tuple((str(name), _whole(first), _whole(end)) for name, first, end in listed)


def _whole(number: Any) -> int:
    if type(number) is not int:
        raise BadInput(f"{str(number)[:40]!r} where a whole number should stand")
    return number


def _said_of(path: str | Path, read: Callable[[], FrameMap]) -> FrameMap:
    """What `read` returns; what it complains of, with the file's name in front."""
    try:
        return read()
    except BadInput as error:
        raise BadInput(str(error) if str(error).startswith(f"{path}:") else f"{path}: {error}") from None
