"""The stream: operations handed to the guest in windows, so that a trace of any length runs in a guest of 2 MiB.

The guest cannot keep where every slot of a long trace was placed; the host can, and notes it while it serves the guest's calls. In a window each free
names its frames: by pfn when the slot was placed in an earlier window, else by the number of the window's operation that places it.
"""

from __future__ import annotations

import numpy as np

from kernel_sim.compiled import Array
from kernel_sim.machine.abi import DROPPED, WINDOW_OPERATIONS
from kernel_sim.operations import ALLOC, FREE, Performed, check_operations, tally


class Stream:
    """Operations on their way to the guest.

    `done` counts the operations of the windows before this one; `due` is the part of the placements that this window's allocations fill, in order.
    """

    def __init__(self, operations: Array) -> None:
        self.operations = operations
        self.placements = np.full(check_operations(operations), -1, np.int64)
        self.due = self.placements[:0]
        self.done = 0
        self._n_slots = 0           # slots of the windows before this one
        self._part = operations[:0]
        self.began = False          # whether the guest has asked for a window: before that it may allocate what it likes

    def next_window(self, window: Array) -> int:
        """All of the last window is done: fill in the next one; how many operations it has, 0 at the end."""
        self.began = True
        self.done += len(self._part)
        self._n_slots += len(self.due)
        self._part = self.operations[self.done:self.done + WINDOW_OPERATIONS]
        self.due = self.placements[self._n_slots:self._n_slots + int((self._part["kind"] == ALLOC).sum())]
        window[:len(self._part)] = self._resolved()
        return len(self._part)

    def finish(self, n_placed: int) -> Performed:
        """What became of the operations when the guest has stopped, with so many of its window's allocations asked for."""
        placers = np.flatnonzero(self._part["kind"] == ALLOC)
        n_done = int(placers[n_placed]) if n_placed < len(placers) else len(self._part)
        return tally(self.operations[:self.done + n_done], self.placements)

    def _resolved(self) -> Array:
        """The window's operations, with the places of the slots that its frees speak of."""
        part = self._part.copy()
        frees = np.flatnonzero(part["kind"] == FREE)
        slots = part["slot"][frees]
        placers = np.flatnonzero(part["kind"] == ALLOC)
        here = slots >= self._n_slots
        part["slot"][frees[here]] = -1 - placers[slots[here] - self._n_slots]
        known = self.placements[slots[~here]]
        part["slot"][frees[~here]] = known
        part["kind"][frees[~here][known < 0]] = DROPPED
        return part
