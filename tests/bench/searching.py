"""The search of the fits, linear and indexed: the same operations in a memory that is worn into many small holes.

    . U U U . U U U . U U U …  and 2^20 free frames above        n holes of one frame, three frames in use behind each from the start

In each round the middle one of three frames in use is freed, at a random place, which makes a hole more; one frame is asked for, which most
fits serve from a hole; a run is allocated that none of the small holes can serve, and one of earlier rounds is freed. So there are about n holes
all the time; a search along the list passes by most of them, and so does the walk to a freed frame's place.
"""

from __future__ import annotations

import time

import numpy as np

from kernel_sim.compiled import Array
from kernel_sim.manager import FrameManager
from kernel_sim.operations import ALLOC, FREE, FREE_PREEXISTING, OPERATION, perform

UNIT = 4                    # frames: a hole of one, and three in use
ABOVE = 1 << 20             # free frames behind the units
LAG = 8                     # rounds after which a run is freed
FITS = ("first-fit", "next-fit", "best-fit", "worst-fit")


def worn_memory(policy: str, n_holes: int) -> FrameManager:
    """A manager with so many holes of one frame, and a large one behind them."""
    return FrameManager(n_holes * UNIT + ABOVE, policy, in_use=[(at + 1, at + UNIT) for at in range(0, n_holes * UNIT, UNIT)])


def rounds(n_holes: int, n: int, seed: int = 1) -> Array:
    """The operations of `n` rounds, four a round; in the first eight there is no run to be freed yet."""
    rng = np.random.default_rng(seed)
    operations = np.zeros((n, 4), OPERATION)
    operations["kind"] = (FREE_PREEXISTING, ALLOC, ALLOC, FREE)
    operations["n_frames"] = 1
    operations["n_frames"][:, 2] = rng.integers(UNIT + 1, 33, n)
    operations["slot"][:, 0] = rng.permutation(n_holes)[:n] * UNIT + 2
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
    times = []
    perform(worn_memory(policy, 32), rounds(32, 16))
    for _ in range(repeat):
        manager = worn_memory(policy, n_holes)
        begin = time.process_time()
        done = perform(manager, operations, 2 * n_rounds)
        times.append(time.process_time() - begin)
        if done.failed:
            raise AssertionError("the large hole was to serve them all")
    return min(times) / len(operations) * 1e9


def indexed_over_linear(fit: str, n_holes: int = 100_000, n_rounds: int = 200) -> float:
    """Operations a second with search=indexed, over those with search=linear."""
    return nanoseconds(fit, n_holes, n_rounds, 1) / nanoseconds(f"{fit}:search=indexed", n_holes, 20_000)


def growth(fit: str, sizes: tuple[int, ...] = (1_000, 10_000, 100_000, 1_000_000)) -> dict[int, float]:
    """Nanoseconds an operation with search=indexed, by the number of holes."""
    return {n_holes: nanoseconds(f"{fit}:search=indexed", n_holes, min(n_holes, 20_000)) for n_holes in sizes}
