"""LLFree against its paper: L. Wrenger and others, "LLFree: Scalable and Optionally-Persistent Page-Frame Allocation", USENIX ATC 2023.

The fragmentation benchmark is that of the authors' artifact (llfree-rs, bench/frag): all memory is given out frame by frame, a random half is
freed, and then, round by round, a tenth of what is left is given back and asked for again, one random frame at a time. Their figure shows that
with LLFree huge frames become free again while this goes on, and that with Linux' buddy they do not.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from kernel_sim import FrameManager, load_policy
from kernel_sim.compiled import Array
from kernel_sim.operations import ALLOC, FREE, OPERATION, perform

N_FRAMES, HUGE = 1 << 16, 512
HALF = N_FRAMES // 2


@cache
def benchmark(rounds: int) -> tuple[Array, int]:
    """The operations, and how many slots they have."""
    random = np.random.default_rng(1)
    order = random.permutation(N_FRAMES)
    live, n_swaps = order[HALF:].tolist(), HALF // 10 * rounds
    operations = np.zeros(N_FRAMES + HALF + 2 * n_swaps, OPERATION)
    operations["n_frames"], operations["mobility"] = 1, 1
    operations["kind"][:N_FRAMES], operations["slot"][:N_FRAMES] = ALLOC, np.arange(N_FRAMES)
    operations["kind"][N_FRAMES:N_FRAMES + HALF], operations["slot"][N_FRAMES:N_FRAMES + HALF] = FREE, order[:HALF]
    operations["kind"][N_FRAMES + HALF:] = np.tile([FREE, ALLOC], n_swaps)
    slots = np.zeros(2 * n_swaps, np.int64)
    for swap, at in enumerate(random.integers(0, HALF, n_swaps).tolist()):
        slots[2 * swap], slots[2 * swap + 1] = live[at], N_FRAMES + swap
        live[at] = N_FRAMES + swap
    operations["slot"][N_FRAMES + HALF:] = slots
    return operations, N_FRAMES + n_swaps


def free_huge_frames(policy: str, rounds: int) -> int:
    """How many huge frames are free after so many rounds; 64 at most, for half of the memory is in use."""
    operations, n_slots = benchmark(rounds)
    manager = FrameManager(N_FRAMES, policy)
    assert perform(manager, operations, n_slots).failed == 0
    manager.check()
    return sum(max(end // HUGE - -(-first // HUGE), 0) for first, end in manager.free_runs())


@pytest.mark.slow
def test_huge_frames_become_free_again() -> None:
    """None after the random half was freed; then more and more, where the buddies have none to the end."""
    found = {policy: [free_huge_frames(policy, rounds) for rounds in (0, 50, 200)] for policy in ("buddy", "linux", "llfree")}
    assert found["buddy"] == found["linux"] == [0, 0, 0]
    assert found["llfree"][0] == 0 < found["llfree"][1] < found["llfree"][2]
    assert found["llfree"][2] > 48      # three quarters of those that could be


@pytest.mark.parametrize("children", ["32", "8"])
def test_the_metadata_is_what_the_paper_says(children: str) -> None:
    """A cache line and a 16-bit counter for 2 MiB, and a 16-bit counter a tree: about 0.003 percent of the memory. Nothing a frame."""
    policy = load_policy(f"llfree:children={children}", uncompiled=True)
    n_frames = 1 << 28
    n_bytes = 8 * policy.n_words(0, n_frames, 1)
    n_children = n_frames // HUGE
    assert n_children * 66 < n_bytes <= n_children * (66 + 2 / int(children)) + 64
    assert n_bytes / (n_frames * 4096) < 0.000033
    manager = FrameManager(1 << 14, policy)
    frames = [manager.alloc(n) for n in (1, 3, 64, 200, 512, 1024)]
    for pfn in frames:
        manager.free(pfn)
    assert not any(manager.table.frames[link].any() for link in ("next", "prev", "order"))
