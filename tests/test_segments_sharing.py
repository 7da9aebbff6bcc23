"""Segments with several users, and numbers that name none."""

from __future__ import annotations

import pytest
from segments_game import interpreter

from kernel_sim import FrameManager, NoSuchSegment, SegmentTable, Shared
from kernel_sim.events import SHARE
from kernel_sim.segments import Compaction


def test_the_last_user_frees_the_frames() -> None:
    manager = FrameManager(16, interpreter("first-fit"))
    table = SegmentTable(manager)
    segment = table.alloc(4096).id
    assert [table.share(segment, owner=6), table.share(segment, 7), table.users(segment)] == [2, 3, 3]
    assert manager.events()[["kind", "owner", "pfn", "n_frames", "granted"]].tolist()[1:] == [(SHARE, 6, 0, 2, 0), (SHARE, 7, 0, 3, 0)]
    for left in (2, 1):
        table.free(segment)
        assert table.users(segment) == left and manager.stats().n_used == 1
    table.free(segment)
    assert manager.stats().n_used == 0
    with pytest.raises(NoSuchSegment):
        table.free(segment)
    assert table.users(table.alloc(1).id) == 1


def test_frames_with_users_of_their_own_do_not_move() -> None:
    """FRAME_SHARE on a segment's frames: somebody counts on where they are."""
    manager = FrameManager(32, interpreter("first-fit"))
    table = SegmentTable(manager)
    low, segment = table.alloc(4096).id, table.alloc(2 * 4096, owner=3).id
    manager.share(1, owner=4)
    table.free(low)
    assert table.compact() == Compaction(0, 0)
    for size in (1, 4 * 4096):
        with pytest.raises(Shared, match="0x1"):
            table.grow(segment, size)
    manager.free(1, owner=4)
    assert table.compact() == Compaction(1, 2)
    manager.check()


@pytest.mark.parametrize("wrong", [0, -1, 7, 1 << 70])
def test_no_such_segment(wrong: int) -> None:
    table = SegmentTable(FrameManager(16, interpreter("first-fit")))
    table.alloc(1)
    for call in (lambda: table.grow(wrong, 1), lambda: table.share(wrong), lambda: table.users(wrong)):
        with pytest.raises(NoSuchSegment, match=f"{wrong} names no live segment"):
            call()
