"""Random guests in a child process: whatever they do, the process lives, each ends in one of the ways there are, and the books are in order."""

from __future__ import annotations

import subprocess
import sys
from ast import literal_eval
from pathlib import Path

import numpy as np
import pytest
from guest.random_programs import OUTCOMES, run_one

from kernel_sim import FrameManager

TESTS = Path(__file__).parents[1]
FOUR_GIB = 1 << 20      # frames


def survive(first: int, n: int, *memory: int) -> dict[str, int]:
    """Run programs `first` to `first` + `n`; how many ended in which way. A crash tells the program's number and how to run it again."""
    arguments = [str(number) for number in (first, n, *memory)]
    command = [sys.executable, "-X", "faulthandler", "-m", "guest.random_programs", *arguments]
    child = subprocess.run(command, cwd=TESTS, capture_output=True, text=True, timeout=300 + n, check=False)
    assert child.returncode == 0, (f"run again with: cd tests; python -m guest.random_programs {' '.join(arguments)}\n"
                                   f"exit status {child.returncode}\n{child.stderr[-2000:]}")
    ended = literal_eval(child.stdout)
    assert sum(ended.values()) == n
    return ended


def test_random_programs() -> None:
    """All ways to end occur."""
    assert set(survive(0, 1000)) == OUTCOMES


def test_random_programs_where_the_direct_map_shows_the_firmware() -> None:
    """With memory above 4 GiB the firmware lies in a hole below, and its code and page tables can be written through the direct map."""
    survive(100_000, 300, FOUR_GIB, 1024)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(1_000_000, 1_000_000 + 4 * 2000, 2000))
def test_many_random_programs(first: int) -> None:
    survive(first, 2000)
    survive(first, 500, FOUR_GIB, 1024)


def test_the_same_program_does_the_same() -> None:
    """Blocks, calls, console, fault and memory at the end: nothing depends on the host."""
    for number in (*range(1, 40), 1003, 1004):
        managers = FrameManager(256), FrameManager(256)
        runs = [run_one(number, manager) for manager in managers]
        assert str(runs[0]) == str(runs[1]), number
        assert managers[0].free_runs() == managers[1].free_runs()
        assert np.array_equal(managers[0].events(), managers[1].events())
