"""The stream of operations, window by window, read by an honest guest that is written here."""

from __future__ import annotations

import numpy as np
import pytest
from guest.workloads import ANY, random_operations

from kernel_sim import FrameManager, OutOfFrames
from kernel_sim.compiled import Array
from kernel_sim.errors import BadInput
from kernel_sim.machine.abi import DROPPED, WINDOW_OPERATIONS
from kernel_sim.machine.stream import Stream
from kernel_sim.operations import ALLOC, FREE, FREE_PREEXISTING, OPERATION, perform


class Guest:
    """Does what the operations of a window say, on a manager, and puts placements where the host would."""

    def __init__(self, operations: Array, manager: FrameManager) -> None:
        self.stream, self.manager = Stream(operations), manager
        self.window = np.zeros(WINDOW_OPERATIONS, OPERATION)

    def run(self) -> None:
        while n := self.stream.next_window(self.window):
            self.do(n, n)

    def do(self, n: int, n_done: int) -> int:
        """The first `n_done` of the window's n operations; how many allocations that were."""
        placed: dict[int, int] = {}
        for i, operation in enumerate(self.window[:min(n, n_done)]):
            kind, n_frames, slot = int(operation["kind"]), int(operation["n_frames"]), int(operation["slot"])
            if kind == ALLOC:
                self.stream.due[len(placed)] = placed[i] = self.alloc(n_frames)
            elif kind == FREE:
                first = slot if slot >= 0 else placed[-1 - slot]
                if first >= 0:
                    self.manager.free(first + int(operation["offset"]), n_frames)
            elif kind == FREE_PREEXISTING:
                self.manager.free(slot, n_frames)
            else:
                assert kind == DROPPED
        return len(placed)

    def alloc(self, n_frames: int) -> int:
        try:
            return int(self.manager.alloc(n_frames))
        except OutOfFrames:
            return -1


@pytest.mark.parametrize(("seed", "n", "n_frames"), [(1, 9000, 4096), (2, 9000, 150), (3, WINDOW_OPERATIONS, 300), (4, 0, 10)])
def test_an_honest_guest(seed: int, n: int, n_frames: int) -> None:
    """It ends with the placements, the counts and the free frames of the host."""
    in_use = [(n_frames - 8, n_frames)]
    operations = random_operations(seed, n, ANY, live=100, in_use=in_use)
    host, manager = (FrameManager(n_frames, "next-fit", in_use=in_use) for _ in range(2))
    done = perform(host, operations)
    guest = Guest(operations, manager)
    guest.run()
    seen = guest.stream.finish(0)
    assert np.array_equal(seen.placements, done.placements)
    assert (seen.n_performed, seen.served, seen.failed, seen.frees_of_failed) == (n, done.served, done.failed, done.frees_of_failed)
    assert manager.free_runs() == host.free_runs()


@pytest.mark.parametrize("n_done", [0, 1, 7, 500, 2000, WINDOW_OPERATIONS])
def test_a_guest_that_stops_in_a_window(n_done: int) -> None:
    """What counts as done reaches to the first allocation that was not asked for."""
    operations = random_operations(5, 2 * WINDOW_OPERATIONS)
    guest = Guest(operations, FrameManager(1 << 14))
    guest.do(guest.stream.next_window(guest.window), WINDOW_OPERATIONS)
    placed = guest.do(guest.stream.next_window(guest.window), n_done)
    seen = guest.stream.finish(placed)
    allocations = np.flatnonzero(operations["kind"] == ALLOC)
    assert len(seen.placements) == seen.served == (operations["kind"][:WINDOW_OPERATIONS + n_done] == ALLOC).sum()
    assert seen.n_performed == min([at for at in allocations if at >= WINDOW_OPERATIONS + n_done], default=len(operations))


def test_before_the_first_window_nothing_is_done() -> None:
    seen = Stream(random_operations(6, 100)).finish(0)
    assert (seen.n_performed, seen.served, seen.failed, len(seen.placements)) == (0, 0, 0, 0)


def test_more_allocations_than_the_window_has_do_no_harm() -> None:
    stream = Stream(random_operations(7, 100))
    stream.next_window(np.zeros(WINDOW_OPERATIONS, OPERATION))
    assert stream.finish(1 << 40).n_performed == 100


def test_the_operations_are_not_written_to() -> None:
    operations = random_operations(8, 6000)
    before = operations.copy()
    operations.flags.writeable = False
    Guest(operations, FrameManager(1 << 14)).run()
    assert np.array_equal(operations, before)


@pytest.mark.parametrize("wrong", [(ALLOC, 0, 0, 0, 0, 1, 0, 1), (FREE, 0, 0, 0, 0, 1, 0, 0), (9, 0, 0, 0, 0, 1, 0, 0), (ALLOC, 0, 0, 0, 0, 0, 0, 0),
                                   (FREE_PREEXISTING, 0, 0, 0, 0, 1, 0, -1)])
def test_operations_that_make_no_sense(wrong: tuple[int, ...]) -> None:
    with pytest.raises(BadInput, match="operation 0"):
        Stream(np.array([wrong], OPERATION))
