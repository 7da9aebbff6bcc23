"""Operations for replays: what traces are made of, and their edges."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kernel_sim.compiled import Array
from kernel_sim.operations import ALLOC, FREE, FREE_PREEXISTING, IMPLIED, OPERATION

POWERS = (1, 1, 1, 1, 2, 4, 8, 16, 32)
ANY = (1, 1, 1, 2, 3, 4, 5, 7, 8, 11, 16, 30)
ONES = (1,)


def random_operations(seed: int, n: int, sizes: Sequence[int] = POWERS, live: int = 400, in_use: Sequence[tuple[int, int]] = ()) -> Array:
    """`n` operations: allocations, frees of whole slots and of parts of them, old ones and new, and of frames that were `in_use` before."""
    rng = np.random.default_rng(seed)
    before = [pfn for first, end in in_use for pfn in range(first, end)]
    rng.shuffle(before)
    pieces: list[tuple[int, int, int]] = []     # live: (slot, offset, frames)
    made, n_slots = np.zeros(n, OPERATION), 0
    for i in range(n):
        made[i]["cpu"], made[i]["owner"], made[i]["mobility"] = rng.integers(0, 1 << 16, 3)
        if before and rng.random() < 0.1:
            made[i]["kind"], made[i]["n_frames"], made[i]["slot"] = FREE_PREEXISTING, 1, before.pop()
        elif not pieces or rng.random() < (0.3 if len(pieces) > live else 0.7):
            size = int(rng.choice(sizes))
            made[i]["kind"], made[i]["n_frames"], made[i]["slot"] = ALLOC, size, n_slots
            pieces.append((n_slots, 0, size))
            n_slots += 1
        else:
            _free(made[i], pieces, rng)
    return made


def _free(made: Array, pieces: list[tuple[int, int, int]], rng: np.random.Generator) -> None:
    """Free one of the live pieces, or a part of it, which leaves up to two."""
    at = int(rng.integers(len(pieces))) if rng.random() < 0.7 else len(pieces) - 1
    pieces[at], pieces[-1] = pieces[-1], pieces[at]
    slot, offset, size = pieces.pop()
    first = int(rng.integers(size)) if rng.random() < 0.4 else 0
    count = int(rng.integers(1, size - first + 1)) if rng.random() < 0.4 else size - first
    made["kind"], made["n_frames"], made["offset"], made["slot"] = FREE, count, offset + first, slot
    made["flags"] = IMPLIED if rng.random() < 0.1 else 0
    pieces.extend(piece for piece in ((slot, offset, first), (slot, offset + first + count, size - first - count)) if piece[2])
