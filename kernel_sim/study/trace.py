"""A trace: which frames a kernel handed out and took back, in order, as columns of numbers; and the file it lives in.

A trace may know the memory that it happened in: the *memory map*, which frames there were, and the *start map*, what each of
them was when the trace began. `kernel_sim.study.slots` makes operations of a trace, which any policy can carry out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kernel_sim.errors import BadInput
from kernel_sim.operations import ALLOC, FREE
from kernel_sim.study import sealed
from kernel_sim.units import MAX_FRAMES
from kernel_sim.zones import Range, check_ranges

if TYPE_CHECKING:
    from kernel_sim.study.framemap import FrameMap

Array = np.ndarray[Any, Any]

MAGIC = b"KSTRACE\0"
VERSION = 1
SUFFIX = ".kstrace"
NOBODY = ""
"""The owner of events that name none."""

_COLUMNS = {"kind": "u1", "n_frames": "<u4", "pfn": "<i8", "mobility": "u1", "cpu": "<u2", "owner": "<u2", "time_us": "<i8"}
_DIFFERENCES = ("pfn", "time_us")
"""Columns whose differences are kept in the file: they are small, and many are alike."""


@dataclass(frozen=True, eq=False)
class Trace:
    """Events in order, one column for each thing that is known of them; all columns are equally long.

    ``kind``      ALLOC or FREE (u1)
    ``n_frames``  how many frames, from ``pfn`` on (u4, i8)
    ``mobility``  the kernel's migratetype; 0 where it is not known, as on frees (u1)
    ``cpu``       the processor (u2)
    ``owner``     whose doing it was, an index of ``owners`` (u2)
    ``time_us``   microseconds since the first event; 0 where no times are known (i8)

    ``plain_frames`` is the size of the plain memory that a trace was made for which no machine recorded; its pfns are mere names then.

    Columns are read-only. BadInput for columns that do not fit together, and for frames that no frame table can describe.
    """

    kind: Array
    n_frames: Array
    pfn: Array
    mobility: Array
    cpu: Array
    owner: Array
    time_us: Array
    owners: tuple[str, ...] = (NOBODY,)
    name: str = ""
    memory_map: tuple[Range, ...] | None = None
    start: FrameMap | None = None
    plain_frames: int | None = None

    def __post_init__(self) -> None:
        for name, kind in _COLUMNS.items():
            object.__setattr__(self, name, _column(name, getattr(self, name), kind))
            if len(getattr(self, name)) != len(self.kind):
                raise BadInput(f"a trace of {len(self.kind)} events has {len(getattr(self, name))} in its column {name}")
        object.__setattr__(self, "owners", tuple(self.owners))
        if self.memory_map is not None:
            object.__setattr__(self, "memory_map", tuple((int(first), int(end)) for first, end in self.memory_map))
            check_ranges(self.memory_map, "a trace's memory map")
        if self.plain_frames is not None and not (isinstance(self.plain_frames, int) and 0 < self.plain_frames <= MAX_FRAMES):
            raise BadInput(f"a trace's plain memory of {self.plain_frames!r} frames")
        self._check_events()

    @classmethod
    def of(cls, kind: Array | Sequence[int], n_frames: Array | Sequence[int], pfn: Array | Sequence[int], **others: Any) -> Trace:
        """A trace of events of which only this is known; `others` are more columns and attributes, zeros where none are given."""
        n = len(kind)
        known = {name: np.zeros(n, column) for name, column in _COLUMNS.items()}
        return cls(**{**known, "kind": np.asarray(kind), "n_frames": np.asarray(n_frames), "pfn": np.asarray(pfn), **others})

    @classmethod
    def load(cls, path: str | Path) -> Trace:
        """Read a trace: our own file form, a kernel's text (see `kernel_sim.study.formats.ftrace`), or a bundled one by its name.

        A text may be compressed with gzip or xz; what a file is, its content says. BadInput, in one line that names the file, for
        anything else.
        """
        from kernel_sim.study.formats import ftrace
        from kernel_sim.study.packed import opened

        if not Path(path).exists() and str(path) in bundled():
            return cls.from_bytes(f"{path}{SUFFIX}", _bundled_file(str(path)))
        with opened(path) as stream:
            data = stream.read()
        if sealed.is_sealed(data, MAGIC):
            return cls.from_bytes(path, data)
        return ftrace.read_text(path, data).trace

    @classmethod
    def from_bytes(cls, path: str | Path, data: bytes) -> Trace:
        """The trace in a sealed file's bytes. BadInput, naming `path`, for one that is damaged."""
        header, columns = sealed.read(path, data, MAGIC, VERSION)
        try:
            return _unpacked(header, columns)
        except BadInput as error:
            raise BadInput(f"{path}: damaged: {error}") from None
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise BadInput(f"{path}: damaged: {type(error).__name__} {error}") from None

    def save(self, path: str | Path) -> None:
        """Write the trace in our own file form, whole or not at all. Equal traces make equal bytes."""
        columns = {name: np.ascontiguousarray(getattr(self, name)) for name in _COLUMNS}
        for name in _DIFFERENCES:
            columns[name] = _narrow(np.diff(columns[name], prepend=0))
        header: dict[str, Any] = {"name": self.name, "owners": self.owners, "memory_map": self.memory_map, "start": None}
        if self.plain_frames is not None:
            header["plain_frames"] = self.plain_frames
        if self.start is not None:
            header["start"] = {"n_frames": self.start.n_frames, "zones": self.start.zones}
            runs = self.start.runs()
            columns["start_length"], columns["start_kind"] = _narrow(runs[:, 1] - runs[:, 0]), runs[:, 2].astype(np.uint8)
        sealed.write(path, MAGIC, VERSION, header, columns)

    def __len__(self) -> int:
        return len(self.kind)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Trace):
            return NotImplemented
        return all(np.array_equal(getattr(self, field.name), getattr(other, field.name)) if field.name in _COLUMNS
                   else getattr(self, field.name) == getattr(other, field.name) for field in fields(self))

    @property
    def end_pfn(self) -> int:
        """The frame after the highest one that the trace names; 0 for no events."""
        return int((self.pfn + self.n_frames).max(initial=0))

    def _check_events(self) -> None:
        ends = self.pfn + self.n_frames
        faults = (("is neither an allocation nor a free", (self.kind != ALLOC) & (self.kind != FREE)),
                  ("is of no frames", self.n_frames == 0),
                  (f"names frames outside 0 to {MAX_FRAMES:#x}", (self.pfn < 0) | (self.pfn > MAX_FRAMES) | (ends > MAX_FRAMES)),
                  ("is of an owner without a name", self.owner >= len(self.owners)))
        for what, where in faults:
            if where.any():
                raise BadInput(f"event {int(where.argmax()) + 1} of a trace {what}")
        if not all(isinstance(owner, str) for owner in self.owners) or not isinstance(self.name, str):
            raise BadInput("a trace and its owners are named by text")


def bundled() -> list[str]:
    """The names of the traces that come with the package."""
    files = resources.files("kernel_sim.data").iterdir()
    return sorted(file.name.removesuffix(SUFFIX) for file in files if file.name.endswith(SUFFIX))


def _bundled_file(name: str) -> bytes:
    return resources.files("kernel_sim.data").joinpath(name + SUFFIX).read_bytes()


def _column(name: str, values: Any, kind: str) -> Array:
    """The values as a read-only column of a type that they must fit."""
    values = np.asarray(values)
    if values.ndim != 1 or (values.dtype.kind not in "iu" and len(values)):
        raise BadInput(f"a trace's column {name} is a row of whole numbers")
    limits = np.iinfo(kind)
    if values.dtype != kind and len(values) and not limits.min <= int(values.min()) <= int(values.max()) <= limits.max:
        raise BadInput(f"a trace's column {name} holds numbers from {limits.min} to {limits.max}, "
                       f"not {values.min()} to {values.max()}")
    column: Array = values.astype(kind)
    column.flags.writeable = False
    return column


def _narrow(values: Array) -> Array:
    """The values in four bytes each, if they fit."""
    limits = np.iinfo("<i4")
    fits = not len(values) or limits.min <= values.min() <= values.max() <= limits.max
    return np.asarray(values, "<i4" if fits else "<i8")


def _unpacked(header: Mapping[str, Any], columns: Mapping[str, Array]) -> Trace:
    """The trace of a sealed file's header and columns."""
    from kernel_sim.study.framemap import FrameMap

    events = {name: np.cumsum(columns[name], dtype=np.int64) if name in _DIFFERENCES else columns[name] for name in _COLUMNS}
    start = header["start"]
    if start is not None:
        end = np.cumsum(columns["start_length"], dtype=np.int64)
        if not len(end) or end[-1] != start["n_frames"]:
            raise BadInput("the runs of its start map do not add up")
        runs = np.column_stack([end - columns["start_length"], end, columns["start_kind"]])
        start = FrameMap.from_runs(start["n_frames"], runs, tuple((name, first, end) for name, first, end in start["zones"]))
    memory_map = header["memory_map"]
    return Trace(**events, owners=tuple(header["owners"]), name=header["name"], start=start, plain_frames=header.get("plain_frames"),
                 memory_map=None if memory_map is None else tuple((first, end) for first, end in memory_map))
