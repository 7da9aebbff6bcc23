"""Fragmentation over time: what a memory looked like after every so many operations of a replay.

A sample only looks: it changes nothing, and placements are those of a replay without samples. Its columns, by their names in JSON and CSV:

``operation``               operations done
``free_frames``             frames nobody has, ``used_frames`` those somebody has
``padding_frames``          used frames that nobody asked for: a policy that rounds up gives them
``internal_fragmentation``  their share of the used frames
``external_fragmentation``  the share of the free frames that is not in the largest run: 1 - largest_free_run / free_frames
``holes``                   runs of free frames, ``largest_free_run`` the frames of the longest
``free_huge_frames``        free aligned blocks of 512 frames (2 MiB)
``failed``                  allocations so far that were not served
``steps``                   the policy's steps so far: blocks or holes examined, splits, merges
``steps_per_operation``     its steps since the sample before, for each operation since
``free_blocks_0`` … 10      free blocks by order, all zones together, as in ``/proc/buddyinfo``
``unusable_index_0`` … 10   the kernel's index by order, in thousandths (`kernel_sim.fragmentation`)
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kernel_sim.errors import BadInput
from kernel_sim.fragmentation import count_blocks, unusable_index
from kernel_sim.frames import PAD, count_frames
from kernel_sim.manager import FrameManager
from kernel_sim.units import MAX_ORDER, N_ORDERS

_HUGE_ORDER = 9
_DIGITS = 6
_SAMPLES = 200

COLUMNS = (
    "operation", "free_frames", "used_frames", "padding_frames", "internal_fragmentation", "external_fragmentation", "holes", "largest_free_run",
    "free_huge_frames", "failed", "steps", "steps_per_operation", *(f"free_blocks_{order}" for order in range(N_ORDERS)),
    *(f"unusable_index_{order}" for order in range(N_ORDERS)),
)

Number = int | float


@dataclass(frozen=True)
class Samples:
    """Samples in order: `rows`, each with a number for each of COLUMNS; one was taken after every `every` operations, and at the end."""

    every: int
    rows: tuple[tuple[Number, ...], ...]

    def column(self, name: str) -> list[Number]:
        """The numbers of one column. KeyError for a name that is none of COLUMNS."""
        if name not in COLUMNS:
            raise KeyError(name)
        return [row[COLUMNS.index(name)] for row in self.rows]

    def as_json(self) -> dict[str, Any]:
        """Every column by its name, and how often a sample was taken."""
        return {"every": self.every, **{name: self.column(name) for name in COLUMNS}}

    def as_csv(self) -> str:
        """A line of names and a line for each sample."""
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([COLUMNS, *self.rows])
        return text.getvalue()


class Sampler:
    """Takes the samples of a manager. It is called with the number of operations done, as `progress` is that is told them."""

    def __init__(self, manager: FrameManager, every: int) -> None:
        if every < 1:
            raise BadInput(f"a sample after every {every} operations: it takes 1 at least")
        self.manager, self.every = manager, every
        self._rows: list[tuple[Number, ...]] = []
        self(0)

    def __call__(self, done: int) -> None:
        """Take a sample if it is time."""
        if done % self.every == 0 and not (self._rows and self._rows[-1][0] == done):
            self._take(done)

    def samples(self, done: int) -> Samples:
        """All of them; the last one is of `done` operations, wherever that is."""
        if self._rows[-1][0] != done:
            self._take(done)
        return Samples(self.every, tuple(self._rows))

    def _take(self, done: int) -> None:
        last_done, last_steps = (self._rows[-1][COLUMNS.index(name)] for name in ("operation", "steps")) if self._rows else (0, 0)
        state = memory_now(self.manager)
        since = done - last_done
        pace = round((state["steps"] - last_steps) / since, _DIGITS) if since else 0.0
        self._rows.append(tuple({"operation": done, "steps_per_operation": pace, **state}[name] for name in COLUMNS))


def memory_now(manager: FrameManager) -> dict[str, Number]:
    """Those of COLUMNS that a single look at a manager can tell."""
    stats, zones = manager.stats(), manager.free_runs_by_zone()
    lengths = np.concatenate([runs[:, 1] - runs[:, 0] for runs in zones])
    blocks: Sequence[int] = np.sum([count_blocks(runs) for runs in zones], axis=0).tolist()
    largest, padding = int(lengths.max(initial=0)), count_frames(manager.table, PAD)
    return {
        "free_frames": stats.n_free, "used_frames": stats.n_used, "padding_frames": padding,
        "internal_fragmentation": _share(padding, stats.n_used), "external_fragmentation": _share(stats.n_free - largest, stats.n_free),
        "holes": len(lengths), "largest_free_run": largest,
        "free_huge_frames": sum(blocks[order] << order - _HUGE_ORDER for order in range(_HUGE_ORDER, MAX_ORDER + 1)),
        "failed": stats.n_failed, "steps": stats.steps, **{f"free_blocks_{order}": n for order, n in enumerate(blocks)},
        **{f"unusable_index_{order}": unusable_index(blocks, order) for order in range(N_ORDERS)},
    }


def telling_both(sampler: Sampler | None, progress: Callable[[int], None] | None) -> Callable[[int], None] | None:
    """One `progress` that tells a sampler and whoever else wants to know; None if nobody does."""
    if sampler is None or progress is None:
        return sampler or progress

    def tell(done: int) -> None:
        sampler(done)
        progress(done)
    return tell


def often_enough(n_operations: int) -> int:
    """How many operations to let pass between two samples where nobody says: as makes 200 of them."""
    return max(1, -(-n_operations // _SAMPLES))


def _share(part: int, whole: int) -> float:
    return round(part / whole, _DIGITS) if whole else 0.0
