"""The search of the fits, linear and indexed: the same operations in a memory that is worn into many small holes.

    . U U U . U U U . U U U …  and 2^20 free frames above        n holes of one frame, three frames in use behind each from the start

In each round the middle one of three frames in use is freed, at a random place, which makes a hole more; one frame is asked for, which most
fits serve from a hole; a run is allocated that none of the small holes can serve, and one of earlier rounds is freed. So there are about n holes
all the time; a search along the list passes by most of them, and so does the walk to a freed frame's place.

How an index grows with the holes has two causes, a longer way down and caches that no longer hold it. `growth` keeps them apart: the same rounds
are played once at places in random order, and once in order of address, where the way is as long and what is met was met shortly before; and
beside both stands C (sorted_holes.c) that only walks, down nodes of the same width, up again, and to the frames' records, at the same places.
"""

from __future__ import annotations

import ctypes
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from kernel_sim.bench.replaying import compile_c

from kernel_sim.allocators.tree_nodes import NODE_WORDS
from kernel_sim.compiled import Array
from kernel_sim.frames import lazy_zeros
from kernel_sim.manager import FrameManager
from kernel_sim.operations import ALLOC, FREE, FREE_PREEXISTING, OPERATION, perform

UNIT = 4                    # frames: a hole of one, and three in use
ABOVE = 1 << 20             # free frames behind the units
LAG = 8                     # rounds after which a run is freed
FITS = ("first-fit", "next-fit", "best-fit", "worst-fit")


def worn_memory(policy: str, n_holes: int) -> FrameManager:
    """A manager with so many holes of one frame, and a large one behind them."""
    return FrameManager(n_holes * UNIT + ABOVE, policy, in_use=[(at + 1, at + UNIT) for at in range(0, n_holes * UNIT, UNIT)])


def rounds(n_holes: int, n: int, seed: int = 1, in_order: bool = False) -> Array:
    """The operations of `n` rounds, four a round; in the first eight there is no run to be freed yet. Places at random, or the lowest in order."""
    rng = np.random.default_rng(seed)
    operations = np.zeros((n, 4), OPERATION)
    operations["kind"] = (FREE_PREEXISTING, ALLOC, ALLOC, FREE)
    operations["n_frames"] = 1
    operations["n_frames"][:, 2] = rng.integers(UNIT + 1, 33, n)
    operations["slot"][:, 0] = (np.arange(n) if in_order else rng.permutation(n_holes)[:n]) * UNIT + 2
    operations["slot"][:, 1] = 2 * np.arange(n)
    operations["slot"][:, 2] = operations["slot"][:, 1] + 1
    operations["slot"][LAG:, 3] = operations["slot"][:-LAG, 2]
    operations["n_frames"][LAG:, 3] = operations["n_frames"][:-LAG, 2]
    there_is_one = np.ones((n, 4), bool)
    there_is_one[:LAG, 3] = False
    return operations[there_is_one]


def nanoseconds(policy: str, n_holes: int, n_rounds: int, repeat: int = 3) -> float:
    """Nanoseconds of processor time an operation; the best of some repetitions, each in a memory of its own."""
    operations = rounds(n_holes, n_rounds)
    perform(worn_memory(policy, 32), rounds(32, 16))
    return min(play(worn_memory(policy, n_holes), operations)[0] for _ in range(repeat))


def play(manager: FrameManager, operations: Array) -> tuple[float, float]:
    """Nanoseconds of processor time an operation, and holes or nodes examined by an allocation."""
    examined = manager.stats().examined
    begin = time.process_time()
    done = perform(manager, operations, len(operations))
    seconds = time.process_time() - begin
    if done.failed:
        raise AssertionError("the large hole was to serve them all")
    return seconds / len(operations) * 1e9, (manager.stats().examined - examined) / int((operations["kind"] == ALLOC).sum())


def indexed_over_linear(fit: str, n_holes: int = 100_000, n_rounds: int = 200) -> float:
    """Operations a second with search=indexed, over those with search=linear."""
    return nanoseconds(fit, n_holes, n_rounds, 1) / nanoseconds(f"{fit}:search=indexed", n_holes, 20_000)


@dataclass(frozen=True)
class Growth:
    """What search=indexed costs among so many holes: nanoseconds an operation, and the same of the walk in C."""

    n_holes: int
    nodes: float                # examined by an allocation
    at_random: float
    in_order: float
    c_at_random: float
    c_in_order: float

    @property
    def ratio(self) -> float:
        """Over C, at random places."""
        return self.at_random / self.c_at_random


def growth(fit: str, sizes: tuple[int, ...] = (1_000, 10_000, 100_000, 1_000_000), repeat: int = 3) -> list[Growth]:
    """One for each number of holes. The best of some repetitions of each measurement, in turn."""
    policy = f"{fit}:search=indexed"
    perform(worn_memory(policy, 32), rounds(32, 16))
    with tempfile.TemporaryDirectory() as folder:
        c = compile_c("sorted_holes", Path(folder))
        return [grown(policy, c, n_holes, repeat) for n_holes in sizes]


def grown(policy: str, c: ctypes.CDLL, n_holes: int, repeat: int) -> Growth:
    """`growth` for one number of holes."""
    orders = [rounds(n_holes, min(n_holes, 20_000), in_order=in_order) for in_order in (False, True)]
    nodes, ours, theirs = [0.0, 0.0], [[], []], [[], []]  # type: list[float], list[list[float]], list[list[float]]
    for _ in range(repeat):
        for i, operations in enumerate(orders):
            took, nodes[i] = play(worn_memory(policy, n_holes), operations)
            ours[i].append(took)
            theirs[i].append(walk_nanoseconds(c, n_holes, operations))
    return Growth(n_holes, nodes[0], *map(min, (*ours, *theirs)))


def walk_nanoseconds(c: ctypes.CDLL, n_holes: int, operations: Array) -> float:
    """The walk in C to the places of the same operations: those freed at their own, the others at the lowest hole or behind them all."""
    keys = np.where(operations["kind"] == FREE_PREEXISTING, operations["slot"] // UNIT * UNIT,
                    np.where(operations["n_frames"] == 1, 0, (n_holes - 1) * UNIT)).astype(np.int64)
    nodes, frames = lazy_zeros(n_holes * NODE_WORDS, np.int64), lazy_zeros((n_holes * UNIT + ABOVE) * 2, np.int64)
    frames[:n_holes * UNIT * 2:2] = 1       # the tags have been written there, too
    c.build(ctypes.c_void_p(nodes.ctypes.data), ctypes.c_int64(n_holes), ctypes.c_int64(UNIT))
    walk = partial(c.walk, *(ctypes.c_void_p(array.ctypes.data) for array in (nodes, frames, keys)), ctypes.c_int64(len(keys)))
    begin = time.process_time()
    walk()
    return (time.process_time() - begin) / len(keys) * 1e9
