"""The stream: operations handed to the guest in windows, so that a trace of any length runs in a guest of 2 MiB.

The guest cannot keep where every slot of a long trace was placed; the host can. In a window each free names its frames: by pfn when the slot was
placed in an earlier window, else by the number of the window's operation that places it.
"""

from __future__ import annotations

import numpy as np

from kernel_sim.compiled import Array
from kernel_sim.machine.abi import DROPPED, WINDOW_OPERATIONS
from kernel_sim.operations import ALLOC, FREE, Performed, check_operations, tally

_NOT_YET = -(1 << 40)       # a result that the guest has not written


class Stream:
    """Operations on their way to the guest, and their placements on the way back."""

    def __init__(self, operations: Array) -> None:
        self.operations = operations
        self.placements = np.full(check_operations(operations), -1, np.int64)
        self.done = 0               # operations that the guest has finished
        self._n_slots = 0           # slots that they allocated
        self._handed_out = 0

    def next_window(self, window: Array, results: Array) -> int:
        """Take the results of the last window, fill in the next one; how many operations it has, 0 at the end."""
        self._take(self.operations[self.done:self._handed_out], results)
        part = self.operations[self.done:self.done + WINDOW_OPERATIONS].copy()
        self._handed_out = self.done + len(part)
        self._resolve(part)
        window[:len(part)] = part
        results[:len(part)] = _NOT_YET
        return len(part)

    def finish(self, results: Array) -> Performed:
        """What became of the operations, when the guest has stopped: wherever it was in its window."""
        part = self.operations[self.done:self._handed_out]
        waiting = np.flatnonzero((part["kind"] == ALLOC) & (results[:len(part)] == _NOT_YET))
        if len(waiting):
            part = part[:waiting[0]]
        self._take(part, results)
        return tally(self.operations[:self.done], self.placements)

    def _take(self, part: Array, results: Array) -> None:
        placed = results[:len(part)][part["kind"] == ALLOC]
        self.placements[self._n_slots:self._n_slots + len(placed)] = np.maximum(placed, -1)
        self._n_slots += len(placed)
        self.done += len(part)

    def _resolve(self, part: Array) -> None:
        """Say where the slots are that a window's frees speak of."""
        frees = np.flatnonzero(part["kind"] == FREE)
        slots = part["slot"][frees]
        placers = np.flatnonzero(part["kind"] == ALLOC)
        here = slots >= self._n_slots
        part["slot"][frees[here]] = -1 - placers[slots[here] - self._n_slots]
        known = self.placements[slots[~here]]
        part["slot"][frees[~here]] = known
        part["kind"][frees[~here][known < 0]] = DROPPED


