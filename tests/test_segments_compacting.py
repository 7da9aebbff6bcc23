"""Segments that are moved together: what that makes room for, and what stays where it is."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from segments_game import SLIDING, Game, interpreter

from kernel_sim import BadPolicy, DoubleFree, FrameManager, NotAllocated, OutOfFrames, SegmentTable
from kernel_sim.segment_moves import bind_moves
from kernel_sim.segments import Compaction
from kernel_sim.units import FRAME_BYTES
from kernel_sim.zones import Zone


@pytest.mark.parametrize("spec", SLIDING)
def test_compaction_leaves_one_hole(spec: str) -> None:
    """Segments alone in a memory: whatever the policy, afterwards all that is free is one run, and a second time nothing moves."""
    for seed in range(4):
        game = Game(interpreter(spec), seed, 120, obstacles=False)
        game.steps.remove(game.compact)
        game.play(60)
        scattered = len(game.manager.free_runs())
        game.compact()
        game.check()
        free = game.manager.stats().n_free
        assert game.manager.largest_free_run() == free and game.manager.free_runs() == [(120 - free, 120)]
        assert scattered > 1
        game.compact()
        assert game.table.compact() == Compaction(0, 0)
        if spec == "first-fit":
            assert game.table.alloc(free * FRAME_BYTES).n_frames == free


def test_a_request_that_failed_succeeds_after_compaction() -> None:
    manager = FrameManager(64, "first-fit")
    table = SegmentTable(manager, np.zeros(64 * FRAME_BYTES, np.uint8))
    ids = [table.alloc(4 * FRAME_BYTES).id for _ in range(16)]
    for segment in ids[::2]:
        table.free(segment)
    with pytest.raises(OutOfFrames, match="32 free but scattered: the largest free run has 4"):
        table.alloc(32 * FRAME_BYTES)
    assert table.compact() == Compaction(8, 32)
    assert table.alloc(32 * FRAME_BYTES).base == 32 * FRAME_BYTES
    assert (table.frames_copied_growing, table.frames_copied_compacting) == (0, 32)


def test_other_allocations_stay_where_they_are() -> None:
    manager = FrameManager(16, interpreter("first-fit"))
    table = SegmentTable(manager)
    first, wall, second, third = table.alloc(2 * 4096).id, manager.alloc(2), table.alloc(4 * 4096).id, table.alloc(4096).id
    table.free(first)
    assert table.compact() == Compaction(1, 1)      # the small one jumps over the wall into the hole, the large one does not fit
    assert (table.lookup(third).base, table.lookup(second).base) == (0, 4 * 4096)
    manager.free(wall)
    assert table.compact() == Compaction(1, 4)
    assert manager.free_runs() == [(5, 16)]


def test_zones_keep_their_segments() -> None:
    manager = FrameManager([Zone("Low", ((0, 16),)), Zone("High", ((16, 24),))], interpreter("first-fit"))
    table = SegmentTable(manager)
    ids = [table.alloc(4 * 4096).id for _ in range(5)]
    assert [table.lookup(segment).base // 4096 for segment in ids] == [16, 20, 0, 4, 8]
    table.free(ids[0])
    table.free(ids[2])
    assert table.compact() == Compaction(3, 12)
    assert [table.lookup(segment).base // 4096 for segment in (ids[1], ids[3], ids[4])] == [16, 0, 4]


def test_what_lost_frames_behind_its_back_is_left_alone() -> None:
    """A part that was freed, or freed and given to somebody else: such a segment neither grows nor moves, and the others do."""
    for pfn, n_frames in ((4, 1), (5, 1), (7, 1), (4, 4)):
        for again in (False, True):
            manager = FrameManager(16, interpreter("first-fit"))
            table = SegmentTable(manager, np.zeros(16 * FRAME_BYTES, np.uint8))
            low, victim, high = (table.alloc(4 * FRAME_BYTES).id for _ in range(3))
            manager.free(pfn, n_frames)
            if again:
                assert manager.alloc(n_frames) == pfn
            table.free(low)
            with pytest.raises((NotAllocated, DoubleFree)):
                table.grow(victim, 5 * FRAME_BYTES)
            table.compact()
            assert table.lookup(victim).base == 4 * FRAME_BYTES
            assert table.lookup(high).base == 0
            manager.check()


def test_a_plain_policy_that_gives_out_what_is_not_its_own() -> None:
    """In the middle of a compaction, too, that is told by name."""
    class Wrong:
        def __init__(self, zone: Any) -> None:
            self.next = 0

        def alloc(self, n_frames: int) -> int:
            self.next += n_frames
            return self.next - n_frames if self.next <= 8 else 1

        def free(self, pfn: int, n_frames: int) -> None:
            pass

    manager = FrameManager(16, Wrong)
    table = SegmentTable(manager)
    ids = [table.alloc(2 * 4096).id for _ in range(4)]
    table.free(ids[0])
    with pytest.raises(BadPolicy, match="gave out frame"):
        table.compact()


def test_many_segments_are_sorted() -> None:
    """Thousands of them, in no order, and one pass puts them side by side."""
    manager = FrameManager(1 << 14, "first-fit")
    table, rng = SegmentTable(manager), random.Random(4)
    ids = [table.alloc(rng.randrange(1, 3 * 4096)).id for _ in range(6000)]
    for segment in rng.sample(ids, 3000):
        table.free(segment)
        ids.remove(segment)
    for segment in rng.sample(ids, 1500):
        table.grow(segment, rng.randrange(1, 4 * 4096))
    order = sorted(ids, key=lambda segment: table.lookup(segment).base)
    used = manager.stats().n_used
    table.compact()
    assert manager.free_runs() == [(used, 1 << 14)]
    assert sorted(ids, key=lambda segment: table.lookup(segment).base) == order
    manager.check()


def test_a_terabyte_is_not_looked_at() -> None:
    """What was never touched is passed over in large steps."""
    manager = FrameManager(1 << 28, interpreter("worst-fit"))
    table = SegmentTable(manager)
    ids = [table.alloc(4096).id for _ in range(3)]
    manager.alloc(1 << 10)
    table.free(ids[0])
    assert table.compact().n_moved == 2
    table.free(ids[1])
    assert table.grow(ids[2], 8192).base == 4096


def test_the_moves_are_made_once_for_all_managers_of_a_policy() -> None:
    assert bind_moves(FrameManager(4, "first-fit").policy) is bind_moves(FrameManager(8, "first-fit").policy)


def test_the_guest_program_is_there() -> None:
    assert (Path(__file__).parents[1] / "firmware/images/moving.elf").is_file()
