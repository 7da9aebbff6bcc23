"""LLFree's fragmentation protocol: how many whole huge frames are left when a half-full memory is shuffled.

Source: L. Wrenger, F. Rommel, A. Halbuer, C. Dietrich, D. Lohmann, "LLFree: Scalable and Optionally-Persistent Page-Frame Allocation", USENIX
ATC 2023; the benchmark ``bench/src/bin/frag.rs`` of luhsra/llfree-rs.

1. Every processor allocates blocks of one order until the memory is full.
2. All blocks are shuffled and dealt out to the processors in equal shares; each frees as many of its own as make half of the memory.
3. In every round each processor frees one of its blocks, taken at random, and allocates another, a tenth as often as it has freed blocks in
   step 2. After each round one counts the huge frames (2 MiB) that are free.

Here processors take turns, one operation each, where the benchmark has threads; its generator is another one, too.
"""

from __future__ import annotations

from array import array
from typing import NamedTuple

import numpy as np

from kernel_sim.study.workload.chance import Array, Rng, shuffled


class Played(NamedTuple):
    """Slot or ~slot of each event (int64), the processor of each (int64), and how many events there are when the half and each round are done."""

    slots: Array
    cpus: Array
    marks: list[int]


def play(n_blocks: int, rounds: int, n_cpus: int, rng: Rng) -> Played:
    """The events on a memory of `n_blocks` blocks of the order that is asked for."""
    slots, cpus = array("q", range(n_blocks)), array("q", (block % n_cpus for block in range(n_blocks)))
    dealt = np.array_split(shuffled(rng, n_blocks), n_cpus)
    shares: list[list[int]] = [share.tolist() for share in dealt]
    n_freed = n_blocks // 2 // n_cpus
    for _ in range(n_freed):
        for cpu, share in enumerate(shares):
            slots.append(~share.pop())
            cpus.append(cpu)
    marks, fresh = [len(slots)], n_blocks
    for _ in range(rounds):
        chosen = rng.random((n_freed // 10, n_cpus)).tolist()
        for row in chosen:
            for cpu, (share, chance) in enumerate(zip(shares, row, strict=True)):
                at = int(chance * len(share))
                slots.extend((~share[at], fresh))
                cpus.extend((cpu, cpu))
                share[at] = fresh
                fresh += 1
        marks.append(len(slots))
    return Played(np.frombuffer(slots, np.int64), np.frombuffer(cpus, np.int64), marks)
