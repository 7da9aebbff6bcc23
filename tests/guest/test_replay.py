"""The guest `replay` against `perform` on the host: the same operations, the same placements, under every policy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from contract.specs import BUILT_IN, PLAIN, SPECS, short
from guest.raw import FOREVER, RCX, ask, leave, machine_of, mov
from guest.workloads import ANY, ONES, POWERS, random_operations

from kernel_sim import FrameManager
from kernel_sim.compiled import Array
from kernel_sim.machine.abi import CALL_BOX, FIRMWARE, FRAME_ALLOC, STREAM_NEXT, WINDOW_OPERATIONS
from kernel_sim.machine.machine import Machine, Run
from kernel_sim.operations import ALLOC, FREE, FREE_PREEXISTING, OPERATION, perform
from kernel_sim.zones import Zone

BOX = FIRMWARE + CALL_BOX
LARGE, SMALL = [Zone("Memory", ((0, 1 << 14),))], [Zone("Memory", ((0, 200),))]
HOLEY = [Zone("Low", ((1, 100), (160, 700)), reserved=((40, 50),)), Zone("High", ((700, 1500), (2048, 6000)))]
IN_USE = [(1, 30), (200, 460), (690, 720), (3000, 3100)]


def window_of(*operations: tuple[int, int, int, int]) -> Array:
    """(kind, n_frames, offset, slot) as operations."""
    return np.array([(kind, 0, 0, 0, 0, n_frames, offset, slot) for kind, n_frames, offset, slot in operations], OPERATION)


def replay_both(spec: str, zones: Sequence[Zone], operations: Array, in_use: Sequence[tuple[int, int]] = ()) -> Run:
    """Replay on the host and in the guest; whatever can be compared must be the same."""
    host, guest = (FrameManager(zones, spec, in_use) for _ in range(2))
    done = perform(host, operations)
    run = Machine(guest, "replay", seed=99).run(operations)
    assert run.ok, (run.stopped, run.fault, run.console)
    assert np.array_equal(run.performed.placements, done.placements)
    assert run.performed.placements_sha256 == done.placements_sha256
    for count in ("n_performed", "served", "failed", "frees_of_failed"):
        assert getattr(run.performed, count) == getattr(done, count), count
    assert guest.free_runs() == host.free_runs()
    assert guest.stats() == host.stats()
    guest.check()
    allocated = operations[operations["kind"] == ALLOC]["n_frames"].astype(np.int64)
    freed = operations[operations["kind"] == FREE]
    assert run.frames_written == allocated[done.placements >= 0].sum()
    assert run.frames_verified == freed["n_frames"][done.placements[freed["slot"]] >= 0].sum()
    assert (run.corrupted, run.refused) == (0, 0)
    return run


def length_for(spec: str, n: int) -> int:
    """A plain policy is served through the interpreter: a window and a little of it."""
    return min(n, WINDOW_OPERATIONS + 200) if spec == PLAIN else n


def sizes_for(spec: str) -> Sequence[int]:
    return ONES if spec == "page-stack" else POWERS if spec.startswith("buddy") else ANY


@pytest.mark.parametrize("spec", SPECS, ids=short)
def test_random_operations(spec: str) -> None:
    """Several windows, and all is served."""
    run = replay_both(spec, LARGE, random_operations(1, length_for(spec, 20_000), sizes_for(spec)))
    assert run.performed.failed == 0


@pytest.mark.parametrize("spec", SPECS, ids=short)
def test_failures(spec: str) -> None:
    """A memory that is too small for what is asked: slots are never served, and their frees are dropped, within a window and across."""
    run = replay_both(spec, SMALL, random_operations(2, length_for(spec, 9_000), ANY, live=150))
    assert run.performed.failed > 100 and run.performed.frees_of_failed > 100


@pytest.mark.parametrize("spec", SPECS, ids=short)
def test_zones_holes_and_what_was_in_use(spec: str) -> None:
    replay_both(spec, HOLEY, random_operations(3, length_for(spec, 9_000), sizes_for(spec), in_use=IN_USE), IN_USE)


@pytest.mark.slow
@pytest.mark.parametrize("spec", BUILT_IN)
@pytest.mark.parametrize("seed", range(4, 12))
def test_many_operations(spec: str, seed: int) -> None:
    replay_both(spec, HOLEY, random_operations(seed, 60_000, ANY if seed % 2 else POWERS, live=300, in_use=IN_USE), IN_USE)


@pytest.mark.parametrize("n", [0, 1, 2, WINDOW_OPERATIONS - 1, WINDOW_OPERATIONS, WINDOW_OPERATIONS + 1, 2 * WINDOW_OPERATIONS])
def test_lengths_around_a_window(n: int) -> None:
    assert replay_both("buddy", LARGE, random_operations(5, n)).performed.n_performed == n


def test_frees_across_the_edge_of_a_window() -> None:
    """The window's last operation allocates, the next one's first frees; the same for a slot that is not served, and for the parts of a slot."""
    filling = [(ALLOC, 1, 0, slot) for slot in range(WINDOW_OPERATIONS - 3)]
    n = len(filling)
    edge = [(ALLOC, 100_000, 0, n), (FREE, 100_000, 0, n), (ALLOC, 8, 0, n + 1),
            (FREE, 2, 3, n + 1), (FREE, 5, 9, n), (FREE, 3, 0, n + 1), (ALLOC, 1, 0, n + 2), (FREE, 1, 0, n + 2), (FREE, 3, 5, n + 1)]
    run = replay_both("first-fit", LARGE, window_of(*filling, *edge))
    assert (run.performed.served, run.performed.failed, run.performed.frees_of_failed) == (n + 2, 1, 2)


def test_a_window_of_frees_only() -> None:
    allocations = [(ALLOC, 1, 0, slot) for slot in range(WINDOW_OPERATIONS)]
    replay_both("best-fit", LARGE, window_of(*allocations, *((FREE, 1, 0, slot) for slot in reversed(range(WINDOW_OPERATIONS)))))


def test_offsets_of_what_was_in_use_mean_nothing() -> None:
    replay_both("buddy", LARGE, window_of((FREE_PREEXISTING, 4, 7, 16), (ALLOC, 4, 0, 0)), in_use=[(16, 32)])


def test_other_seeds_other_signatures_same_placements() -> None:
    operations = random_operations(6, 3000)
    runs = [Machine(FrameManager(LARGE), "replay", seed=seed).run(operations) for seed in (0, 1, -1, 1 << 63, (1 << 64) - 1)]
    assert len({run.performed.placements_sha256 for run in runs}) == 1
    assert all(run.ok for run in runs)


def test_the_same_run_twice() -> None:
    runs = [Machine(FrameManager(LARGE), "replay", seed=3).run(random_operations(7, 9000)) for _ in range(2)]
    assert (runs[0].blocks, runs[0].calls, runs[0].console) == (runs[1].blocks, runs[1].calls, runs[1].console)
    assert np.array_equal(runs[0].performed.placements, runs[1].performed.placements)


@pytest.mark.parametrize("spec", ["buddy", PLAIN], ids=short)
def test_a_byte_that_somebody_else_wrote(spec: str) -> None:
    """The host flips one byte of a live frame between two windows; the guest finds out when it frees the frame."""
    n = WINDOW_OPERATIONS
    operations = window_of(*((ALLOC, 1, 0, slot) for slot in range(n)), *((FREE, 1, 0, slot) for slot in range(100)))
    manager = FrameManager(LARGE, spec)
    machine = Machine(manager, "replay")

    def flip(done: int) -> None:
        if done == n:
            machine.ram.bytes[64] ^= 0x80                   # frame 0, the first slot's
            machine.ram.bytes[(n - 1) * 4096] ^= 1          # the last slot's, which nobody frees

    run = machine.run(operations, progress=flip)
    assert (run.stopped, run.exit_status, run.corrupted, run.ok) == ("exit", 1, 1, False)
    assert "does not hold what was written to it" in run.console
    manager.check()


def test_progress_is_told_at_every_window() -> None:
    told: list[int] = []
    n = 2 * WINDOW_OPERATIONS + 10
    Machine(FrameManager(LARGE), "replay").run(random_operations(8, n), progress=told.append)
    assert told == [0, WINDOW_OPERATIONS, 2 * WINDOW_OPERATIONS, n]


def test_a_refused_free_is_counted() -> None:
    """The operations make sense, but the frames that should have been in use are not."""
    run = Machine(FrameManager(LARGE), "replay", sanitize=False).run(window_of((FREE_PREEXISTING, 1, 0, 5), (FREE_PREEXISTING, 1, 0, 1 << 62)))
    assert (run.refused, run.exit_status) == (2, 1)
    assert "free of frame 5: not allocated" in run.console


@pytest.mark.parametrize("budget", [100, 20_000, 150_000, 400_000])
def test_a_replay_that_is_cut_short(budget: int) -> None:
    """What is reported is what was done, to the allocation."""
    operations = random_operations(9, 9000)
    manager, host = FrameManager(LARGE), FrameManager(LARGE)
    run = Machine(manager, "replay", budget=budget).run(operations)
    assert run.stopped == "budget" and run.performed.n_performed < 9000
    n = len(run.performed.placements)
    assert n == run.performed.served == manager.stats().n_allocs
    assert np.array_equal(run.performed.placements, perform(host, operations).placements[:n])
    manager.check()


# -- guests that do something else with their windows -------------------------------------------------------------------------------------


ALLOCATIONS = window_of(*((ALLOC, 2, 0, slot) for slot in range(10)))


def test_a_guest_that_skips_allocations() -> None:
    """It asks for the next window with one of ten allocations made: that is a fault, and the report counts the one."""
    manager = FrameManager(LARGE)
    run = machine_of(ask(STREAM_NEXT) + ask(FRAME_ALLOC) + ask(STREAM_NEXT) + leave(0), manager).run(ALLOCATIONS)
    assert run.stopped == "fault" and "1 allocations made of the window's 10" in str(run.fault)
    assert (run.performed.served, run.performed.n_performed) == (manager.stats().n_allocs, 1) == (1, 1)


def test_a_guest_that_allocates_more() -> None:
    manager = FrameManager(LARGE)
    run = machine_of(ask(STREAM_NEXT) + ask(FRAME_ALLOC) * 11 + ask(STREAM_NEXT) + leave(0), manager).run(ALLOCATIONS)
    assert run.stopped == "fault" and "11 allocations made of the window's 10" in str(run.fault)
    assert run.performed.served == 10 and manager.stats().n_allocs == 11


def test_a_guest_with_frames_of_its_own() -> None:
    """Before the first window, and after the last, it may allocate what it likes."""
    manager = FrameManager(LARGE)
    code = ask(FRAME_ALLOC, 64) + ask(STREAM_NEXT) + ask(FRAME_ALLOC, 2) * 10 + ask(STREAM_NEXT) + ask(FRAME_ALLOC, 64) + leave(0)
    run = machine_of(code, manager).run(ALLOCATIONS)
    assert run.ok and run.performed.placements.tolist() == [64 + 2 * slot for slot in range(10)]


def test_a_guest_that_leaves_without_a_word() -> None:
    """It exits well in the middle of its window; what it did is reported, and no more."""
    manager = FrameManager(LARGE)
    run = machine_of(ask(STREAM_NEXT) + ask(FRAME_ALLOC) * 3 + leave(0), manager).run(ALLOCATIONS)
    assert run.ok and (run.performed.n_performed, run.performed.served) == (3, 3)
    never = machine_of(leave(0)).run(ALLOCATIONS)
    assert never.ok and (never.performed.n_performed, never.performed.served, never.performed.failed) == (0, 0, 0)


def test_a_guest_that_asks_for_ever() -> None:
    """At the end of the stream there is an empty window, as often as it is asked for."""
    again = ask(STREAM_NEXT)
    jump_back = b"\x48\xff\xc9\x0f\x85" + (-(len(again) + 9)).to_bytes(4, "little", signed=True)     # dec rcx; jnz again
    assert machine_of(mov(RCX, 5000) + again + jump_back + leave(4)).run(window_of()).exit_status == 4
    leave_with_count = b"\x48\xa1" + (BOX + 8).to_bytes(8, "little") + b"\xe7\xf4" + FOREVER
    assert machine_of(again + leave_with_count).run(ALLOCATIONS).exit_status == 10


def test_a_window_where_nothing_is_streamed() -> None:
    read_status = b"\x48\xa1" + BOX.to_bytes(8, "little") + b"\x48\xc1\xe8\x20\xe7\xf4" + FOREVER
    assert machine_of(ask(STREAM_NEXT) + read_status).run().exit_status == 11       # not served
    run = Machine(FrameManager(64), "replay").run()
    assert run.exit_status == 2 and "no operations: not served" in run.console and run.performed is None
