"""From kpageflags to PNG: the processor time of one `kernel-sim map`, start of the process and imports included.

Noise is the worst there is: nearly every frame of another state than its neighbour, so nearly as many runs as frames. A small map
in the same run shows what of it is start-up.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

_WORDS = np.array([0, 1 << 10, 1 << 20, 1 << 32], "<u8")  # used, free, hole, reserved
_CHUNK_FRAMES = 1 << 22


def map_png_seconds(n_frames: int = 10**8) -> float:
    """CPU seconds, user and system, of `kernel-sim map` on so many frames of noise, its machine code cached."""
    with tempfile.TemporaryDirectory() as folder:
        source, picture = Path(folder, "noise.kpageflags"), Path(folder, "noise.png")
        rng = np.random.default_rng(1)
        with source.open("wb") as file:
            for first in range(0, n_frames, _CHUNK_FRAMES):
                file.write(_WORDS[rng.integers(0, len(_WORDS), min(_CHUNK_FRAMES, n_frames - first))].tobytes())
        _draw(source, picture)
        before = _children_seconds()
        _draw(source, picture)
        return _children_seconds() - before


def _draw(source: Path, picture: Path) -> None:
    subprocess.run([sys.executable, "-m", "kernel_sim.tools.cli", "map", str(source), "-o", str(picture)], check=True)


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Print both figures."""
    for n_frames in (1, 10**8):
        print(f"{n_frames:>11} frames: {map_png_seconds(n_frames):.2f} s of CPU time")


if __name__ == "__main__":
    main()
