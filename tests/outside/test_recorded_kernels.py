"""Debian's 6.12 kernel, recorded: its own flags, its own free lists, its own counts (see tests/data/README.md).

The kernel says the same thing in three ways that it computes apart: a flag on every frame, the lists that /proc/buddyinfo counts,
and the trace of what entered and left those lists. The map must agree with all of them.
"""

from __future__ import annotations

import csv
import gzip
from pathlib import Path

import numpy as np
import pytest

from kernel_sim.study import framemap as maps
from kernel_sim.study.formats import buddyinfo
from kernel_sim.study.framemap import FREE, USED, FrameMap

KERNELS = sorted((Path(__file__).parent.parent / "data" / "kernel").iterdir())
pytestmark = pytest.mark.parametrize("kernel", KERNELS, ids=lambda path: path.name)
MOMENTS = ("start", "end")


def load(kernel: Path, moment: str) -> FrameMap:
    [path] = kernel.glob(f"{moment}.kpageflags.*")
    return maps.load(path)


@pytest.mark.parametrize("moment", MOMENTS)
def test_free_runs(kernel: Path, moment: str) -> None:
    rows = [[int(field) for field in row] for row in list(csv.reader((kernel / f"{moment}.free_runs.csv").open()))[1:]]
    assert load(kernel, moment).free_runs().tolist() == rows


@pytest.mark.parametrize("moment", MOMENTS)
def test_free_runs_cut_into_blocks_are_the_kernels_own_buddyinfo(kernel: Path, moment: str) -> None:
    ours = buddyinfo.to_text(buddyinfo.lines_of(load(kernel, moment).buddyinfo()))
    assert ours.encode() == (kernel / f"{moment}.buddyinfo").read_bytes()


def test_what_left_and_entered_the_free_lists_turns_the_start_into_the_end(kernel: Path) -> None:
    codes = load(kernel, "start").codes()
    free = codes == FREE
    with gzip.open(kernel / "buddy_ops.csv.gz", "rt") as file:
        for op in csv.DictReader(file):
            block = slice(int(op["pfn"]), int(op["pfn"]) + (1 << int(op["order"])))
            assert free[block].all() if op["op"] == "-" else not free[block].any(), op
            free[block] = op["op"] == "+"
    codes[free], codes[~free & (codes == FREE)] = FREE, USED
    end = load(kernel, "end")
    assert FrameMap.from_codes(codes).free_runs().tolist() == end.free_runs().tolist()
    assert np.array_equal(free, end.codes() == FREE)
