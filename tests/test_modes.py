"""The same text three ways: compiled, compiled with bounds checks, and in the interpreter. Every way passes the contract and places alike.

Each runs in a process of its own, for numba reads its settings once.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from contract.specs import ALWAYS, CHOSEN, DEFAULTS

ROOT = Path(__file__).parent.parent
MODES = {"interpreter": {"NUMBA_DISABLE_JIT": "1"}, "bounds-checked": {"NUMBA_BOUNDSCHECK": "1"}}

REPLAY = """
import sys
from random import Random
from kernel_sim import FrameManager, OutOfFrames, Zone
from kernel_sim.compiled import JIT

print(JIT)
for spec in sys.argv[1:]:
    random = Random(5)
    manager = FrameManager([Zone("Low", ((3, 900),)), Zone("High", ((1000, 2500),), ((1100, 1200),))], spec, in_use=[(40, 80), (2000, 2040)])
    live, placed = [], []
    for _ in range(800):
        if live and random.random() < 0.4:
            manager.free(live.pop(random.randrange(len(live))))
            continue
        try:
            live.append(manager.alloc(random.choice((1, 1, 1, 2, 3, 5, 8, 13, 64, 200))))
            placed.append(live[-1])
        except OutOfFrames:
            placed.append(-1)
    manager.check()
    print(spec, placed, manager.stats(), manager.free_runs(), manager.events().tobytes().hex())
"""


def run(arguments: list[str], mode: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Python in a process of its own, in one mode, with few examples for Hypothesis."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("NUMBA_", "PYTEST_"))}
    return subprocess.run([sys.executable, *arguments], cwd=ROOT, env={**kept, **mode, "HYPOTHESIS_PROFILE": "quick"}, capture_output=True, text=True,
                          check=False)


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
def test_the_contract(mode: dict[str, str]) -> None:
    tests = ["tests/contract", "tests/scenarios", "tests/test_operations.py", "tests/test_segments.py", "tests/test_frames.py"]
    result = run(["-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-k", "not interpreter and not mutants and not placement", *tests], mode)
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-2000:]


def test_the_same_placements_in_the_interpreter() -> None:
    same_placements(list(ALWAYS), MODES["interpreter"])


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
@pytest.mark.parametrize("name", DEFAULTS)
def test_the_same_placements(name: str, mode: dict[str, str]) -> None:
    same_placements([spec for spec in CHOSEN if spec.partition(":")[0] == name], mode)


def same_placements(specs: list[str], mode: dict[str, str]) -> None:
    """To the frame, and to the byte of every event."""
    compiled, other = run(["-c", REPLAY, *specs], {}), run(["-c", REPLAY, *specs], mode)
    assert (compiled.returncode, other.returncode) == (0, 0), compiled.stderr[-2000:] + other.stderr[-2000:]
    assert compiled.stdout.splitlines()[0] == "True"
    assert other.stdout.splitlines()[0] == str("NUMBA_DISABLE_JIT" not in mode)
    assert compiled.stdout.splitlines()[1:] == other.stdout.splitlines()[1:]
    assert len(compiled.stdout.splitlines()) == 1 + len(specs)
