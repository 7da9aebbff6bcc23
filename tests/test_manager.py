"""FrameManager: what it is made of, why it refuses, what it tells, and how little it costs to start."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from contract.specs import PLAIN, SPECS, short

from kernel_sim import BadInput, FrameManager, NotAllocated, OutOfFrames, Zone
from kernel_sim.events import ALLOC, BAD_COUNT, DOUBLE_FREE, FREE, OK, OUT_OF_FRAMES, RING_EVENTS
from kernel_sim.fragmentation import extfrag_index, unusable_index

FITS = ["first-fit", "best-fit", "worst-fit", "next-fit", PLAIN]


def fill(manager: FrameManager, keep: int = 0) -> list[int]:
    """Take all frames but `keep`, one by one; ascending."""
    return sorted(manager.alloc(1) for _ in range(manager.stats().n_free - keep))


# -- what it is made of ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", SPECS, ids=short)
def test_a_number_is_one_zone_from_frame_0(spec: str) -> None:
    manager = FrameManager(37, spec)
    assert [(zone.first_pfn, zone.end_pfn) for zone in manager.zones] == [(0, 37)]
    assert manager.free_runs() == [(0, 37)]
    assert manager.buddyinfo() == {"Memory": (1, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0)}
    manager.check()


def test_buddy_is_the_default() -> None:
    assert FrameManager(16).policy.name == "buddy"


@pytest.mark.parametrize("spec", SPECS, ids=short)
def test_ranges_that_touch_are_one(spec: str) -> None:
    manager = FrameManager([Zone("Memory", ((0, 5), (5, 8)))], spec)
    manager.check()
    assert manager.free_runs() == [(0, 8)]
    assert fill(manager) == list(range(8))


@pytest.mark.parametrize("edge", [8, 7, 5, 1])
@pytest.mark.parametrize("spec", SPECS, ids=short)
def test_the_edge_of_a_zone_separates(spec: str, edge: int) -> None:
    """Sixteen free frames side by side in two zones: no run and no block reaches over the edge, whichever side is freed last."""
    manager = FrameManager([Zone("Low", ((0, edge),)), Zone("High", ((edge, 16),))], spec)
    assert manager.free_runs() == [(0, edge), (edge, 16)]
    assert manager.largest_free_run() == 16 - edge
    before = manager.buddyinfo()
    with pytest.raises(OutOfFrames):
        manager.alloc(16 - edge + 1)
    for direction in (1, -1):
        for pfn in fill(manager)[::direction]:
            manager.free(pfn)
            manager.check()
        assert manager.free_runs() == [(0, edge), (edge, 16)]
        assert manager.buddyinfo() == before


@pytest.mark.parametrize("spec", SPECS, ids=short)
def test_the_highest_zone_first(spec: str) -> None:
    manager = FrameManager([Zone("Low", ((0, 4),)), Zone("Middle", ((4, 8),)), Zone("High", ((100, 104),))], spec)
    order = [manager.alloc(1) for _ in range(12)]
    assert [sorted(order[at:at + 4]) for at in (0, 4, 8)] == [[100, 101, 102, 103], [4, 5, 6, 7], [0, 1, 2, 3]]
    manager.free(5)
    manager.free(2)
    assert [manager.alloc(1), manager.alloc(1)] == [5, 2]


@pytest.mark.parametrize("spec", FITS, ids=short)
def test_a_zone_that_is_too_small_is_passed_over(spec: str) -> None:
    manager = FrameManager([Zone("Low", ((0, 16),)), Zone("High", ((20, 28),))], spec)
    assert [manager.alloc(n) for n in (6, 6, 2, 9)] == [20, 0, 26, 6]


@pytest.mark.parametrize("spec", SPECS, ids=short)
def test_in_use_across_the_edge_of_a_zone(spec: str) -> None:
    """One allocation from the start, of two zones' frames: given back, each zone gets its own."""
    manager = FrameManager([Zone("Low", ((0, 8),)), Zone("High", ((8, 16),))], spec, in_use=[(6, 11)])
    manager.check()
    assert (manager.stats().n_used, manager.stats().n_free) == (5, 11)
    assert manager.free_runs() == [(0, 6), (11, 16)]
    manager.free(7, 2)
    manager.check()
    assert manager.free_runs() == [(0, 6), (7, 8), (8, 9), (11, 16)]
    manager.free(6)
    manager.free(9)
    manager.check()
    assert manager.free_runs() == [(0, 8), (8, 16)]


@pytest.mark.parametrize("spec", SPECS, ids=short)
def test_a_zone_with_nothing_free(spec: str) -> None:
    zones = [Zone("Low", ((0, 8),)), Zone("High", ((8, 16),), reserved=((8, 16),))]
    manager = FrameManager(zones, spec, in_use=[(0, 8)])
    manager.check()
    assert (manager.free_runs(), manager.largest_free_run()) == ([], 0)
    with pytest.raises(OutOfFrames, match="1 frame asked for, 0 free$"):
        manager.alloc(1)


@pytest.mark.parametrize("memory, in_use, complaint", [
    (0, [], "between 1 and 4294967295 frames, not 0"),
    (-5, [], "not -5"),
    (1 << 33, [], "not 8589934592"),
    ([], [], "at least one zone"),
    ([Zone("A", ((8, 9),)), Zone("B", ((0, 8),))], [], "^zones: .*out of order"),
    ([Zone("A", ((0, 9),)), Zone("B", ((8, 12),))], [], "^zones: .*overlaps"),
    ([Zone("A", ((0, 8),)), Zone("A", ((8, 12),))], [], "^zones: each has a name of its own, not A, A"),
    (16, [(8, 17)], "frames in use: a range lies outside the memory"),
    (16, [(8, 8)], "frames in use: the range 0x8 to 0x8 is empty"),
    (16, [(8, 10), (2, 4)], "frames in use: .*out of order"),
    ([Zone("A", ((0, 4), (8, 12)))], [(2, 10)], "frames in use: a range lies outside the memory"),
    ([Zone("A", ((0, 16),), reserved=((4, 8),))], [(2, 6)], "frames in use: a range has reserved frames in it"),
])
def test_a_memory_that_makes_no_sense(memory: object, in_use: list[tuple[int, int]], complaint: str) -> None:
    with pytest.raises(BadInput, match=complaint) as caught:
        FrameManager(memory, "first-fit", in_use=in_use)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_in_use_may_come_in_any_pairs() -> None:
    assert FrameManager(16, "first-fit", in_use=np.array([[2, 4], [4, 6]])).free_runs() == [(0, 2), (6, 16)]  # type: ignore[arg-type]


# -- numbers from elsewhere -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [np.int64, np.uint64, np.uint32, np.int8])
def test_numbers_of_numpy(kind: type) -> None:
    manager = FrameManager(64, "first-fit")
    assert manager.alloc(kind(3)) == 0
    manager.free(kind(0), kind(2))
    assert manager.free_runs() == [(0, 2), (3, 64)]


def test_no_halves() -> None:
    manager = FrameManager(64, "first-fit")
    for wrong in (lambda: manager.alloc(1.5), lambda: manager.free(1.5), lambda: manager.free(1, 1.5)):  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="integer"):
            wrong()
    assert len(manager.events()) == 0


def test_owners_are_16_bits() -> None:
    manager = FrameManager(64, "first-fit")
    assert [manager.owner_of(manager.alloc(1, owner=owner)) for owner in (0, 65535, 65536 + 3)] == [0, 65535, 3]


# -- why there are no frames ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", SPECS, ids=short)
def test_empty(spec: str) -> None:
    manager = FrameManager(8, spec)
    fill(manager)
    with pytest.raises(OutOfFrames) as caught:
        manager.alloc(1)
    failure = caught.value
    assert (failure.reason, failure.n_frames, failure.n_free, failure.largest_free_run) == ("empty", 1, 0, 0)
    assert str(failure) == "OutOfFrames: 1 frame asked for, 0 free"


@pytest.mark.parametrize("spec", ["buddy", "buddy:order=address", *FITS], ids=short)
def test_scattered(spec: str) -> None:
    """Every other frame of 64 is free: 32 of them, and not two in one piece. Linux' index for order 1, by its own arithmetic:
    1000 - (1000 + 32 * 1000 / 2) / 32 = 469."""
    manager = FrameManager(64, spec)
    for pfn in fill(manager)[::2]:
        manager.free(pfn)
    with pytest.raises(OutOfFrames) as caught:
        manager.alloc(2)
    failure = caught.value
    assert (failure.reason, failure.n_frames, failure.n_free, failure.largest_free_run) == ("scattered", 2, 32, 1)
    assert str(failure) == ("OutOfFrames: 2 frames asked for, 32 free but scattered: the largest free run has 1, and the fragmentation index "
                            "for order 1 is 469; nearest fit 0x0 to 0x2, 1 frame of it taken: 0x1 to 0x2 (owner 0, event 2)")
    assert (manager.extfrag_index(1), manager.unusable_index(1)) == (469, 1000)


def test_scattered_for_a_buddy_alone() -> None:
    """Two free frames side by side, and no block of two."""
    manager = FrameManager(4, "buddy")
    fill(manager)
    manager.free(1)
    manager.free(2)
    with pytest.raises(OutOfFrames) as caught:
        manager.alloc(2)
    assert (caught.value.reason, caught.value.largest_free_run) == ("alignment", 2)
    assert str(caught.value) == (
        "OutOfFrames: 2 frames asked for, 2 free, 2 of them in one run, but no block of 2 that begins at a multiple of 2, and the fragmentation "
        "index for order 1 is 0; nearest fit 0x0 to 0x2, 1 frame of it taken: 0x0 to 0x1 (owner 0, event 1)")


@pytest.mark.parametrize("spec, n_frames", [("buddy", 1025), ("buddy:order=address", 1 << 40), ("page-stack", 2), *((fit, 4097) for fit in FITS),
                                            ("first-fit", 1 << 70)], ids=str)
def test_limit(spec: str, n_frames: int) -> None:
    manager = FrameManager(4096, spec)
    with pytest.raises(OutOfFrames) as caught:
        manager.alloc(n_frames)
    failure = caught.value
    assert (failure.reason, failure.n_frames, failure.n_free, failure.largest_free_run) == ("limit", n_frames, 4096, 4096)
    assert str(failure) == f"OutOfFrames: {n_frames} frames asked for; {manager.policy.name} never gives so many at once here"


def test_the_most_a_buddy_gives() -> None:
    assert FrameManager(4096, "buddy").alloc(1024) == 0


def test_a_failure_changes_nothing() -> None:
    manager = FrameManager([Zone("Low", ((0, 24),)), Zone("High", ((32, 48),))], "buddy")
    fill(manager, keep=5)
    table, blocks = manager.table.frames.tobytes(), [sorted(manager.policy.blocks(manager.area(zone))) for zone in range(2)]
    with pytest.raises(OutOfFrames):
        manager.alloc(8)
    assert manager.table.frames.tobytes() == table
    assert [sorted(manager.policy.blocks(manager.area(zone))) for zone in range(2)] == blocks


# -- what it tells --------------------------------------------------------------------------------------------------------------------


def test_stats() -> None:
    """3 frames take a block of 4: a quarter of what was granted is nobody's wish."""
    manager = FrameManager(64, "buddy")
    pfn = manager.alloc(3)
    stats = manager.stats()
    assert (stats.requested, stats.granted, stats.n_used, stats.n_free, stats.n_frames) == (3, 4, 4, 60, 64)
    assert stats.internal_fragmentation == 0.25
    assert (stats.splits, stats.merges) == (4, 0)           # 64, 32, 16, 8
    assert stats.steps == stats.examined + 4
    manager.free(pfn)
    with pytest.raises(NotAllocated):
        manager.free(63)
    with pytest.raises(OutOfFrames):
        manager.alloc(65)
    stats = manager.stats()
    assert (stats.n_allocs, stats.n_failed, stats.n_frees, stats.n_refused, stats.merges) == (1, 1, 1, 1, 4)
    assert (stats.n_used, stats.n_free, stats.granted) == (0, 64, 4)


def test_nothing_granted_is_no_fragmentation() -> None:
    assert FrameManager(4).stats().internal_fragmentation == 0.0


def test_reserved_frames_exist_but_are_neither_free_nor_used() -> None:
    stats = FrameManager([Zone("Memory", ((0, 16),), reserved=((4, 8),))], in_use=[(0, 2)]).stats()
    assert (stats.n_frames, stats.n_free, stats.n_used) == (16, 10, 2)


def test_events() -> None:
    manager = FrameManager(16, "buddy")
    pfn = manager.alloc(3, owner=9, cpu=2, mobility=1)
    manager.free(pfn)
    with pytest.raises(OutOfFrames):
        manager.alloc(17, owner=8)
    log = manager.events()
    names = ("number", "kind", "status", "owner", "pfn", "n_frames", "granted", "steps", "cpu", "mobility")
    steps = 3 + 2                                   # orders 2, 3, 4 looked at; 16 and 8 split
    assert [tuple(event[name].item() for name in names) for event in log] == [
        (1, ALLOC, OK, 9, 0, 3, 4, steps, 2, 1), (2, FREE, OK, 0, 0, 0, 4, 2, 0, 0),
        (3, ALLOC, OUT_OF_FRAMES, 8, -1, 17, 0, 6, 0, 0)]        # orders 5 to 10 looked at in vain


def test_refusals_are_events() -> None:
    manager = FrameManager(16, "first-fit")
    manager.alloc(1)
    manager.free(0)
    for n_frames in (None, 3):
        with pytest.raises(Exception, match="already freed"):
            manager.free(0, n_frames)
    refused = manager.events()[2:]
    assert refused[["status", "pfn", "n_frames", "granted"]].tolist() == [(DOUBLE_FREE, 0, 0, 0), (DOUBLE_FREE, 0, 3, 0)]
    assert BAD_COUNT not in refused["status"]


def test_the_ring_keeps_the_latest() -> None:
    manager = FrameManager(1, "page-stack")
    for _ in range(RING_EVENTS):
        manager.free(manager.alloc(1))
    assert manager.events()["number"].tolist() == list(range(RING_EVENTS + 1, 2 * RING_EVENTS + 1))
    copied = manager.events()
    manager.alloc(1)
    assert int(copied[0]["number"]) == RING_EVENTS + 1, "what was handed out is a copy"


def test_the_indices_of_one_zone_and_of_all() -> None:
    """Low keeps four lone frames, High a block of 8. The arithmetic itself is tested elsewhere."""
    manager = FrameManager([Zone("Low", ((0, 8),)), Zone("High", ((8, 24),))], "first-fit", in_use=[(0, 1), (2, 3), (4, 5), (6, 7), (16, 24)])
    low, high = (4, *[0] * 10), (0, 0, 0, 1, *[0] * 7)
    assert manager.buddyinfo() == {"Low": low, "High": high}
    for order in range(11):
        assert manager.unusable_index(order, "Low") == unusable_index(low, order)
        assert manager.extfrag_index(order, "High") == extfrag_index(high, order)
        assert manager.extfrag_index(order) == extfrag_index((4, 0, 0, 1, *[0] * 7), order)
    with pytest.raises(BadInput, match="no zone 'Normal'; there are Low, High"):
        manager.unusable_index(0, "Normal")


@pytest.mark.parametrize("spec", SPECS, ids=short)
def test_two_managers_of_one_policy_do_not_meet(spec: str) -> None:
    """Neither by name nor by the same policy object."""
    first = FrameManager(16, spec)
    second = FrameManager(16, first.policy)
    for _ in range(2):
        assert first.alloc(1) == second.alloc(1)
    first.check()
    second.check()
    assert first.stats() == second.stats()


# -- how little it costs --------------------------------------------------------------------------------------------------------------

TERABYTE = """
import os, sys
from kernel_sim import FrameManager

def resident_bytes():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

warm = FrameManager(64, sys.argv[1])
warm.free(warm.alloc(1))
before = resident_bytes()
manager = FrameManager(1 << 28, sys.argv[1])
given = [manager.alloc(1) for _ in range(1000)]
assert len(set(given)) == 1000
for pfn in given:
    manager.free(pfn)
assert manager.stats().n_free == 1 << 28
assert manager.free_runs() == [(0, 1 << 28)]
assert manager.buddyinfo()["Memory"] == (0,) * 10 + (1 << 18,)
print(resident_bytes() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads the process's own memory from /proc")
@pytest.mark.parametrize("spec", [spec for spec in SPECS if spec != PLAIN])
def test_a_terabyte_starts_small(spec: str) -> None:
    """2^28 frames, whose table would fill 4 GiB: memory is used for what is touched."""
    run = subprocess.run([sys.executable, "-c", TERABYTE, spec], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) < 100 << 20
