"""Replay against C: the whole manager beside a textbook buddy compiled with -O2, over the same operations, in one process."""

from __future__ import annotations

import ctypes
import subprocess
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
from kernel_sim.bench.doorbell import seconds

from kernel_sim.compiled import Array
from kernel_sim.manager import FrameManager
from kernel_sim.operations import ALLOC, FREE, OPERATION, perform

N_FRAMES = 1 << 20


def random_operations(n: int, seed: int = 1, target: int = 200_000) -> Array:
    """`n` buddy operations: allocations of order 0 mostly, frees of random slots, about `target` slots live."""
    rng = np.random.default_rng(seed)
    coins, orders, picks = rng.random(n), rng.choice(4, n, p=[0.85, 0.08, 0.04, 0.03]), rng.random(n)
    operations, n_slots = np.zeros(n, OPERATION), 0
    live: list[int] = []
    sizes: list[int] = []
    for i in range(n):
        if not live or coins[i] < (0.5 if len(live) > target else 0.75 if i < n // 4 else 0.5):
            operations[i] = (ALLOC, 0, 0, 0, 0, 1 << orders[i], 0, n_slots)
            sizes.append(1 << orders[i])
            live.append(n_slots)
            n_slots += 1
        else:
            at = int(picks[i] * len(live))
            live[at], live[-1] = live[-1], live[at]
            slot = live.pop()
            operations[i] = (FREE, 0, 0, 0, 0, sizes[slot], 0, slot)
    return operations


def compile_c(name: str, folder: Path) -> ctypes.CDLL:
    """A reference of this folder, written in C, as a library."""
    library = folder / f"{name}.so"
    subprocess.run(["gcc", "-O2", "-shared", "-fPIC", "-o", str(library), str(Path(__file__).with_name(f"{name}.c"))], check=True)
    return ctypes.CDLL(str(library))


def replay_over_c(n_operations: int = 2_000_000, rounds: int = 5) -> float:
    """How many times as long as the C reference a replay takes. The best of some rounds of each, in turn."""
    operations = random_operations(n_operations)
    n_slots = int((operations["kind"] == ALLOC).sum())
    perform(FrameManager(N_FRAMES), operations[:1000])
    ours, theirs = [], []
    with tempfile.TemporaryDirectory() as folder:
        c = compile_c("textbook_buddy", Path(folder))
        for _ in range(rounds):
            placements = np.full(n_slots, -1, np.int64)
            c.setup(ctypes.c_int64(N_FRAMES))
            addresses = ctypes.c_void_p(operations.ctypes.data), ctypes.c_int64(n_operations), ctypes.c_void_p(placements.ctypes.data)
            theirs.append(seconds(partial(c.replay, *addresses)))
            manager = FrameManager(N_FRAMES)
            manager.table.frames["order"] = 0       # the reference has touched its table, too
            begin = time.perf_counter()
            done = perform(manager, operations, n_slots)
            ours.append(time.perf_counter() - begin)
            if not np.array_equal(done.placements, placements):
                raise AssertionError("the two did not place alike")
    return min(ours) / min(theirs)
