"""Every policy against C: the whole manager with it, beside the textbook buddy in C, over the same operations, in one process."""

from __future__ import annotations

import ctypes
import tempfile
from collections.abc import Iterable, Iterator
from functools import cache, partial
from pathlib import Path

import numpy as np
from kernel_sim.bench.doorbell import best_of, seconds
from kernel_sim.bench.replaying import N_FRAMES, compile_c, random_operations
from kernel_sim.bench.searching import FITS

from kernel_sim.allocators.base import policy_names
from kernel_sim.compiled import Array
from kernel_sim.manager import FrameManager
from kernel_sim.operations import ALLOC, perform

AT_MOST = {"buddy": 3.0, "tlsf": 8.0, "bitmap": 8.0}
AT_MOST_OTHERS = 25.0


def measured_policies() -> list[str]:
    """Every policy there is by its bare name; of the fits not the textbook's search through a list of all holes, which would take minutes."""
    return [f"{name}:search=indexed" if name in FITS else name for name in policy_names()]


def bound_of(name: str) -> float:
    """How many times the reference's time a policy may take."""
    return AT_MOST.get(name.partition(":")[0], AT_MOST_OTHERS)


def policies_over_c(names: Iterable[str], n_operations: int = 2_000_000, rounds: int = 5) -> Iterator[tuple[str, float]]:
    """(policy, how many times as long as the C reference a replay takes), one after the other: the best of some rounds of each, in turn."""
    operations = _operations(n_operations)
    n_slots = int((operations["kind"] == ALLOC).sum())
    with tempfile.TemporaryDirectory() as folder:
        c = compile_c("textbook_buddy", Path(folder))
        for name in names:
            perform(FrameManager(N_FRAMES, name), operations[:1000])        # waits for the compiler
            theirs, ours = best_of(rounds, partial(_reference, c, operations, n_slots), partial(_policy, name, operations, n_slots))
            yield name, ours / theirs


@cache
def _operations(n: int) -> Array:
    return random_operations(n)


def _reference(c: ctypes.CDLL, operations: Array, n_slots: int) -> float:
    placements = np.full(n_slots, -1, np.int64)
    c.setup(ctypes.c_int64(N_FRAMES))
    addresses = ctypes.c_void_p(operations.ctypes.data), ctypes.c_int64(len(operations)), ctypes.c_void_p(placements.ctypes.data)
    return seconds(lambda: c.replay(*addresses))


def _policy(name: str, operations: Array, n_slots: int) -> float:
    """The replay alone, in a fresh memory whose table has been touched, as the reference's has."""
    manager = FrameManager(N_FRAMES, name)
    manager.table.frames["event"] = 0
    return seconds(lambda: perform(manager, operations, n_slots))
