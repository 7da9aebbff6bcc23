"""How soon `kernel-sim run` reaches the guest's first instruction, against importing numba; and how a terabyte compares with 64 MiB."""

from __future__ import annotations

import subprocess
import sys

from kernel_sim.bench.doorbell import best_of, seconds

_TO_THE_FIRST_INSTRUCTION = """
import ctypes
import os
from kernel_sim.machine.cpu import Cpu
from kernel_sim.tools.cli import main
exit_at_once = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * 5)(lambda *_: os._exit(0))
functions = Cpu.functions.fget
Cpu.functions = property(lambda cpu: (*functions(cpu)[:3], ctypes.cast(exit_at_once, ctypes.c_void_p).value))
main(["run"])
"""


def _python(*arguments: str) -> float:
    return seconds(lambda: subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL))


def start_over_numba(rounds: int = 7) -> float:
    """The time from the command to the first instruction, machine code cached, over that of `python -c "import numba"`."""
    _python("-c", _TO_THE_FIRST_INSTRUCTION)
    ours, numba = best_of(rounds, lambda: _python("-c", _TO_THE_FIRST_INSTRUCTION), lambda: _python("-c", "import numba"))
    return ours / numba


def terabyte_over_64m(rounds: int = 5) -> float:
    """The time of a replay in a machine of 1 TiB over that in one of 64 MiB, start included."""
    def play(size: str) -> float:
        return _python("-m", "kernel_sim.tools.cli", "replay", "mixed", "--json", "--memory", size)
    play("64M")
    large, small = best_of(rounds, lambda: play("1T"), lambda: play("64M"))
    return large / small
