"""Make the traces that come with the package from recordings of a real kernel: ``python -m kernel_sim.data.make [RECORDINGS]``.

RECORDINGS is the folder of recordings, ``tests/data/kernel`` of the checkout if none is given; its README says how they were
made. Each bundled trace is the part of a recording between its two snapshots, with the machine's memory map and with the
first snapshot as the start map. The same recordings make the same bytes.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from kernel_sim.study import framemap
from kernel_sim.study.formats.ftrace import read_ftrace
from kernel_sim.study.trace import SUFFIX, Trace
from kernel_sim.zones import read_memory_map

RECORDINGS = {"mixed": "mixed_256M_k612", "frag": "frag_128M_k612", "huge": "huge_256M_k612", "tiny": "tiny_96M_k612"}
FROM_MARKER, TO_MARKER = "SNAP_B_start", "SNAP_A_end"
"""The start map is older than the first marker, the end map younger than the last."""

_HERE = Path(__file__).parent


def bundle(folder: Path, name: str) -> Trace:
    """The trace of one recording, under the name that it is loaded by."""
    trace = read_ftrace(_file(folder, "trace.txt"), FROM_MARKER, TO_MARKER).trace
    return replace(trace, name=name, memory_map=tuple(read_memory_map(folder / "iomem")),
                   start=framemap.load(_file(folder, "start.kpageflags.u64le")))


def _file(folder: Path, name: str) -> Path:
    """A recorded file, which is compressed one way or another."""
    return next(path for path in (folder / f"{name}.gz", folder / f"{name}.xz", folder / name) if path.exists())


def main(argv: Sequence[str]) -> None:
    """Write every bundled trace beside this script."""
    recordings = Path(argv[0]) if argv else _HERE.parents[1] / "tests" / "data" / "kernel"
    for name, folder in RECORDINGS.items():
        bundle(recordings / folder, name).save(_HERE / f"{name}{SUFFIX}")


if __name__ == "__main__":
    main(sys.argv[1:])
