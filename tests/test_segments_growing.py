"""Segments that grow and shrink: where they are if they can, else elsewhere; and what a growth that fails leaves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from contract.specs import PLAIN
from segments_game import SLIDING, interpreter

from kernel_sim import FrameManager, OutOfFrames, SegmentTable
from kernel_sim.compiled import compiled, plain
from kernel_sim.events import ALLOC
from kernel_sim.segments import Segment
from kernel_sim.units import FRAME_BYTES
from kernel_sim.zones import Zone


def test_growing_where_it_is() -> None:
    manager = FrameManager(16, "first-fit")
    table = SegmentTable(manager)
    segment = table.alloc(100, owner=5)
    assert table.grow(segment.id, 4096) == Segment(1, 0, 4096)            # within its frame
    assert manager.stats().n_allocs == 1
    assert table.grow(segment.id, 3 * 4096 + 1) == Segment(1, 0, 12289)
    assert [manager.owner_of(pfn) for pfn in range(5)] == [5, 5, 5, 5, None]
    event = manager.events()[-1]
    assert (event["kind"], event["pfn"], event["n_frames"], event["owner"]) == (ALLOC, 1, 3, 5)
    assert table.grow(segment.id, 16 * 4096).base == 0
    with pytest.raises(OutOfFrames, match="17 frames asked for"):
        table.grow(segment.id, 17 * 4096)
    assert table.grow(segment.id, 4097) == Segment(1, 0, 4097)
    assert manager.free_runs() == [(2, 16)] and table.frames_copied == 0
    table.free(segment.id)
    manager.check()
    assert manager.free_runs() == [(0, 16)]


def test_a_buddy_grows_over_its_padding_and_then_moves() -> None:
    manager = FrameManager(64, "buddy")
    memory = np.zeros(64 * FRAME_BYTES, np.uint8)
    table = SegmentTable(manager, memory)
    segment = table.alloc(5 * 4096, owner=3)
    memory[:5 * 4096] = 9
    assert manager.stats().internal_fragmentation == 3 / 8
    assert table.grow(segment.id, 8 * 4096).base == 0
    assert manager.stats().internal_fragmentation == 0 and manager.stats().n_allocs == 1
    assert [manager.owner_of(pfn) for pfn in (0, 7, 8)] == [3, 3, None]
    moved = table.grow(segment.id, 9 * 4096)
    assert moved.base == 16 * 4096 and table.frames_copied == table.frames_copied_growing == 8
    assert set(memory[moved.base:moved.base + 5 * 4096].tolist()) == {9}
    assert manager.owner_of(16) == 3 and manager.free_runs() == [(0, 16), (32, 64)]
    table.grow(segment.id, 3 * 4096)
    assert manager.free_runs() == [(0, 16), (19, 64)]
    manager.check()


def test_growing_over_somebody_else_moves() -> None:
    """Under every kind of obstacle: an allocation, a reserved frame, a hole, the zone's edge, the memory's end."""
    for zones, behind in (([Zone("Z", ((0, 2), (3, 9)))], 1), ([Zone("Z", ((0, 9),), reserved=((2, 3),))], 1),
                          ([Zone("A", ((0, 2),)), Zone("B", ((2, 9),))], 1), ([Zone("Z", ((0, 9),))], 0)):
        manager = FrameManager(zones, interpreter("first-fit"))
        table = SegmentTable(manager, np.zeros(9 * FRAME_BYTES, np.uint8))
        held = [manager.alloc(1) for _ in range(7 if len(zones) == 2 else 0)]
        segment = table.alloc(2 * 4096)
        assert segment.base == 0
        if not behind:
            manager.alloc(1)
        for pfn in held[3:]:
            manager.free(pfn)
        assert table.grow(segment.id, 3 * 4096).base > 0
        assert table.frames_copied == 2
        manager.check()


def test_a_failed_growth_changes_nothing() -> None:
    for spec in (*SLIDING, "buddy", "llfree", PLAIN):
        manager = FrameManager(32, interpreter(spec))
        memory = np.zeros(32 * FRAME_BYTES, np.uint8)
        table = SegmentTable(manager, memory)
        ids = [table.alloc(4 * FRAME_BYTES).id for _ in range(6)]
        memory[:] = np.arange(len(memory)) % 251
        bytes_before, free, records = memory.copy(), manager.free_runs(), table.records.copy()
        for size in (17 * FRAME_BYTES, 1 << 40, 1 << 70):
            with pytest.raises(OutOfFrames):
                table.grow(ids[2], size)
        with pytest.raises(ValueError, match="at least one byte"):
            table.grow(ids[2], 0)
        assert manager.free_runs() == free and np.array_equal(memory, bytes_before) and np.array_equal(table.records, records)
        manager.check()


def test_a_policy_that_stops_half_way_gets_back_what_it_gave() -> None:
    """It gives up one frame, and no more."""
    policy = interpreter("first-fit")
    take = compiled(lambda area, pfn, n_frames: False)
    stingy = replace(policy, name="stingy", take=lambda area, pfn, n_frames: n_frames == 1 and pfn == 2 and plain(policy.take)(area, pfn, n_frames))
    for name, chosen in (("stingy", stingy), ("never", replace(policy, name="never", take=take))):
        manager = FrameManager(16, chosen)
        table = SegmentTable(manager)
        segment = table.alloc(2 * 4096).id
        assert table.grow(segment, 4 * 4096).base == 2 * 4096, name
        manager.check()
        assert manager.free_runs() == [(0, 2), (6, 16)]
