"""Segments: base, bound and id, over every policy that gives more than single frames."""

from __future__ import annotations

from itertools import pairwise

import pytest
from contract.specs import SPECS, short
from hypothesis import given
from hypothesis import strategies as st

from kernel_sim import DoubleFree, FrameManager, NoSuchSegment, NotAllocated, OutOfFrames, SegmentTable
from kernel_sim.segments import MAX_SEGMENTS, Segment

PIECES = [spec for spec in SPECS if spec != "page-stack"]


@pytest.mark.parametrize("spec", PIECES, ids=short)
def test_base_and_bound(spec: str) -> None:
    manager = FrameManager(64, spec)
    table = SegmentTable(manager)
    small, large = table.alloc(100, owner=3), table.alloc(3 * 4096 + 1)
    assert (small.id, small.bound, small.n_frames) == (1, 100, 1)
    assert (large.id, large.bound, large.n_frames) == (2, 12289, 4)
    if spec in ("buddy", "first-fit"):
        assert (small.base, large.base) == (0, 4096 * (4 if spec == "buddy" else 1))
    assert small.base % 4096 == large.base % 4096 == 0
    assert manager.owner_of(small.base // 4096) == 3
    assert table.lookup(2) == large == Segment(2, large.base, 12289)
    manager.check()
    table.free(1)
    table.free(2)
    manager.check()
    assert manager.stats().n_free == 64


def test_whole_frames_are_taken() -> None:
    manager = FrameManager(64, "first-fit")
    table = SegmentTable(manager)
    for size_bytes, n_frames in ((1, 1), (4095, 1), (4096, 1), (4097, 2), (8192, 2)):
        before = manager.stats().n_used
        assert table.alloc(size_bytes).n_frames == manager.stats().n_used - before == n_frames


def test_ids_are_used_again_the_latest_first() -> None:
    table = SegmentTable(FrameManager(64, "first-fit"))
    assert [table.alloc(1).id for _ in range(5)] == [1, 2, 3, 4, 5]
    for segment in (2, 4, 1):
        table.free(segment)
    assert [table.alloc(1).id for _ in range(4)] == [1, 4, 2, 6]


@pytest.mark.parametrize("segment", [0, -1, 2, MAX_SEGMENTS, 1 << 70])
def test_no_such_segment(segment: int) -> None:
    table = SegmentTable(FrameManager(64, "first-fit"))
    table.alloc(1)
    for wrong in (table.lookup, table.free):
        with pytest.raises(NoSuchSegment, match=f"^NoSuchSegment: {segment} names no live segment$"):
            wrong(segment)


def test_a_freed_segment_is_none() -> None:
    table = SegmentTable(FrameManager(64, "first-fit"))
    table.free(table.alloc(1).id)
    with pytest.raises(NoSuchSegment, match="1 names no live segment"):
        table.free(1)


def test_a_segment_does_not_free_what_its_frames_have_become() -> None:
    manager = FrameManager(64)
    table = SegmentTable(manager)
    segment = table.alloc(4096)
    manager.free(segment.base // 4096)
    pfn = manager.alloc(1)
    assert pfn == segment.base // 4096
    with pytest.raises(NotAllocated, match="segment 1 lost its frames at 0x0; they are somebody else's now"):
        table.free(segment.id)
    assert manager.owner_of(pfn) == 0
    manager.free(pfn)
    manager.check()


def test_frames_freed_behind_a_segments_back() -> None:
    manager = FrameManager(64, "first-fit")
    table = SegmentTable(manager)
    segment = table.alloc(4096)
    manager.free(0)
    with pytest.raises(DoubleFree, match="frame 0x0 was already freed, by event 2"):
        table.free(segment.id)


@pytest.mark.parametrize("size_bytes", [0, -1])
def test_less_than_one_byte(size_bytes: int) -> None:
    with pytest.raises(ValueError, match="at least one byte"):
        SegmentTable(FrameManager(64, "first-fit")).alloc(size_bytes)


def test_no_room_takes_no_id() -> None:
    """The holes between segments: enough bytes, and in no one piece."""
    table = SegmentTable(FrameManager(8, "first-fit"))
    for _ in range(4):
        table.alloc(8192)
    table.free(1)
    table.free(3)
    with pytest.raises(OutOfFrames, match="3 frames asked for, 4 free but scattered: the largest free run has 2"):
        table.alloc(3 * 4096)
    with pytest.raises(OutOfFrames) as caught:
        table.alloc(1 << 70)
    assert caught.value.reason == "limit"
    assert [table.alloc(8192).id, table.alloc(8192).id] == [3, 1]


def test_a_policy_of_single_frames() -> None:
    table = SegmentTable(FrameManager(8, "page-stack"))
    assert table.alloc(4096).base == 0
    with pytest.raises(OutOfFrames, match="page-stack never gives so many"):
        table.alloc(4097)


def test_the_table_is_full() -> None:
    manager = FrameManager(1 << 17, "page-stack")
    table = SegmentTable(manager)
    assert [table.alloc(1).id for _ in range(MAX_SEGMENTS - 1)] == list(range(1, MAX_SEGMENTS))
    with pytest.raises(OutOfFrames):
        table.alloc(1)
    assert manager.stats().n_used == MAX_SEGMENTS - 1
    table.free(77)
    assert table.alloc(1).id == 77


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 1 << 16)), max_size=60))
def test_against_a_dictionary(steps: list[tuple[bool, int]]) -> None:
    manager = FrameManager(40, "best-fit")
    table, model = SegmentTable(manager), dict[int, Segment]()
    for allocate, number in steps:
        if allocate or not model:
            try:
                made = table.alloc(number % 30_000 + 1)
            except OutOfFrames:
                continue
            assert made.id not in model
            model[made.id] = made
        else:
            chosen = sorted(model)[number % len(model)]
            table.free(chosen)
            del model[chosen]
        assert [table.lookup(segment) for segment in model] == list(model.values())
        frames = sorted((segment.base // 4096, segment.n_frames) for segment in model.values())
        assert all(first + n <= behind for (first, n), (behind, _) in pairwise(frames))
        assert sum(n for _, n in frames) == manager.stats().n_used
        manager.check()
