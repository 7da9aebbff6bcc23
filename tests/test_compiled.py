"""Compiled code: what it says before it keeps people waiting, and what a step is to the interpreter."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

COUNT = """
from kernel_sim.compiled import before_compiling, entry
said = []
before_compiling(lambda: said.append("compiling"))
@entry
def twice(x):
    return 2 * x
print(twice(21), twice(2.5), said)
"""


@pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT") == "1", reason="nothing is compiled then")
def test_it_is_said_once_and_only_when_it_is_so(tmp_path: Path) -> None:
    script = tmp_path / "count.py"
    script.write_text(COUNT, encoding="utf-8")
    runs = [subprocess.run([sys.executable, str(script)], env={**os.environ, "KERNEL_SIM_CACHE_DIR": str(tmp_path / "cache")}, capture_output=True,
                           text=True, check=True).stdout for _ in range(2)]
    assert runs == ["42 5.0 ['compiling']\n", "42 5.0 []\n"]


STEPS = """
from kernel_sim.compiled import compiled, entry, outlined
@outlined
def twice(n):
    return 2 * n
@compiled
def one_more(n):
    return twice(n) + 1
@entry
def whole(n):
    return one_more(n) + 1
print(one_more(20), len(twice.signatures), len(one_more.signatures))
print(whole(20), len(twice.signatures), len(one_more.signatures))
"""


@pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT") == "1", reason="nothing is compiled then")
def test_a_step_that_the_interpreter_calls_is_interpreted(tmp_path: Path) -> None:
    """With all that it calls; it is compiled for the entry that has it inside, and not before."""
    script = tmp_path / "steps.py"
    script.write_text(STEPS, encoding="utf-8")
    done = subprocess.run([sys.executable, str(script)], env={**os.environ, "KERNEL_SIM_CACHE_DIR": str(tmp_path / "cache")}, capture_output=True,
                          text=True, check=True)
    assert done.stdout == "41 0 0\n42 1 1\n"


@pytest.mark.slow
def test_a_terminal_is_told(tmp_path: Path) -> None:
    """A replay with nothing compiled yet, then the same again."""
    for said in (1, 0):
        ours, its = pty.openpty()
        child = subprocess.Popen([sys.executable, "-m", "kernel_sim.tools.cli", "replay", "tiny", "--json"], stderr=its, stdout=subprocess.DEVNULL,
                                 env={**os.environ, "KERNEL_SIM_CACHE_DIR": str(tmp_path)})
        os.close(its)
        with os.fdopen(ours, "rb", buffering=0) as terminal:
            text = b""
            while chunk := read(terminal):
                text += chunk
        assert child.wait() == 0
        assert text.count(b"compiling this policy, once") == said


def read(terminal: object) -> bytes:
    """What a terminal shows next; nothing when its other side is closed, which Linux calls an error."""
    try:
        return terminal.read(1000)  # type: ignore[attr-defined,no-any-return]
    except OSError:
        return b""
