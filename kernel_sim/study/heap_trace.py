"""What a program asked of its heap, whatever it was recorded with: allocate bytes into a slot, resize a slot, free a slot.

Addresses and ids of the recording become *slots*, counted from 0 in order of allocation, so that every policy may put each block where it likes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from kernel_sim.errors import BadInput
from kernel_sim.study.packed import opened

ALLOC, FREE, REALLOC = "alloc", "free", "realloc"
SUFFIX = ".mtrace.xz"


class HeapOperation(NamedTuple):
    """One request. `size` is in bytes, 0 for a free; a REALLOC of size 0 frees."""

    kind: str
    slot: int
    size: int


@dataclass(frozen=True)
class HeapTrace:
    """A recording. `form` is what it was read from, ``"mtrace"`` or ``"malloc lab"``; `dropped` counts what asks nothing of a heap, by its reason."""

    name: str
    form: str
    operations: Sequence[HeapOperation]
    dropped: dict[str, int] = field(default_factory=dict)

    @property
    def counts(self) -> dict[str, int]:
        """Operations by kind, then those dropped."""
        kinds = [operation.kind for operation in self.operations]
        return {"allocs": kinds.count(ALLOC), "frees": kinds.count(FREE), "reallocs": kinds.count(REALLOC), **self.dropped}

    def peak(self) -> tuple[int, int]:
        """The most payload that is ever live, in bytes, and after how many operations it first is."""
        live: dict[int, int] = {}
        payload = peak = peak_at = 0
        for number, (_, slot, size) in enumerate(self.operations, 1):
            payload += size - live.get(slot, 0)
            live[slot] = size
            if payload > peak:
                peak, peak_at = payload, number
        return peak, peak_at


def load(path: str | Path) -> HeapTrace:
    """A log of glibc's mtrace or a trace of the malloc lab, plain or compressed, known by what it holds; or a bundled one by its name.

    BadInput, in one line that names file and line, for anything else.
    """
    from kernel_sim.study.formats import malloclab, mtrace

    if not Path(path).exists() and str(path) in bundled():
        path = _home().joinpath(str(path) + SUFFIX)
    with opened(path) as file:
        lines = file.read().decode("utf-8", "replace").splitlines()
    for number, line in enumerate(lines, 1):
        if line.strip():
            if mtrace.begins(line):
                return mtrace.parse(lines, path)
            if malloclab.begins(line):
                return malloclab.parse(lines, path)
            raise BadInput(f"{path}:{number}: neither a log of mtrace nor a trace of the malloc lab: {shown(line)}")
    raise BadInput(f"{path}: it is empty")


def bundled() -> list[str]:
    """The names of the recordings that come with the package."""
    return sorted(path.name.removesuffix(SUFFIX) for path in _home().glob("*" + SUFFIX))


def _home() -> Path:
    return Path(str(resources.files("kernel_sim.data")))


def shown(line: str) -> str:
    """A line, as a message shows it."""
    return repr(line.strip()[:60])
