"""Segments that grow, shrink, are shared and are moved together, against a model that holds their contents as bytes."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from contract.specs import ALWAYS, DEFAULTS, ONE_CHANGE, PLAIN, short, stands_for_others

from kernel_sim import BadPolicy, DoubleFree, FrameManager, NoSuchSegment, NotAllocated, OutOfFrames, SegmentTable, Shared, load_policy
from kernel_sim.compiled import compiled, plain
from kernel_sim.events import ALLOC, FREE, OK, SHARE
from kernel_sim.manager import Stats
from kernel_sim.segment_moves import bind_moves
from kernel_sim.segments import Compaction, Segment
from kernel_sim.units import FRAME_BYTES
from kernel_sim.zones import Zone

SLIDING = ("first-fit", "next-fit", "best-fit", "worst-fit", "tlsf", "half-fit", "segregated-fit", "bitmap", "best-fit:coalesce=never",
           "first-fit:coalesce=deferred", "worst-fit:carve=high", "next-fit:order=size-descending", "first-fit:search=indexed")
"""Policies that can give up certain frames."""
ZONES = [Zone("Low", ((2, 30), (34, 60)), reserved=((20, 22),)), Zone("High", ((60, 110),)), Zone("Top", ((128, 200),))]
OTHERS = [spec for spec in ONE_CHANGE if stands_for_others(spec)]


def interpreter(spec: str) -> Any:
    return load_policy(spec, uncompiled=spec != PLAIN)


class Game:
    """A table of segments and a model of it: the bytes of each, by its id. Beside them stand allocations that nobody may move."""

    def __init__(self, policy: Any, seed: int, memory: Any = 160, obstacles: bool = True) -> None:
        self.manager = FrameManager(memory, policy)
        self.memory = np.zeros(self.manager.n_table_frames * FRAME_BYTES, np.uint8)
        self.table = SegmentTable(self.manager, self.memory)
        self.rng = random.Random(seed)
        self.bytes, self.users, self.fixed = dict[int, bytes](), dict[int, int](), dict[int, int]()
        self.copied = 0
        self.most = 1 if self.manager.policy.name == "page-stack" else 9
        self.steps = [self.alloc, self.alloc, self.alloc, self.free, self.free, self.grow, self.grow, self.share, self.compact]
        self.steps += [self.set_in_the_way] if obstacles else []

    def play(self, n: int) -> None:
        for _ in range(n):
            self.rng.choice(self.steps)()
            self.check()

    def size(self) -> int:
        return self.rng.randrange(1, self.most * FRAME_BYTES + 1)

    def chosen(self) -> int:
        return self.rng.choice(sorted(self.bytes) or [0])

    def frames(self, segment: int) -> int:
        return -(-len(self.bytes[segment]) // FRAME_BYTES)

    def write(self, segment: int, start: int, size: int) -> None:
        """New bytes, from `start` to the size."""
        base, new = self.table.lookup(segment).base, self.rng.randbytes(max(size - start, 0))
        self.bytes[segment] = self.bytes.get(segment, b"")[:min(start, size)] + new
        self.memory[base + start:base + start + len(new)] = np.frombuffer(new, np.uint8)

    def alloc(self) -> None:
        try:
            made = self.table.alloc(self.size(), owner=self.rng.randrange(1, 9))
        except OutOfFrames:
            return
        assert made.id not in self.bytes
        self.users[made.id] = 1
        self.write(made.id, 0, made.bound)

    def set_in_the_way(self) -> None:
        """An allocation that is no segment; or one less."""
        if self.fixed and self.rng.random() < 0.5:
            pfn = self.rng.choice(sorted(self.fixed))
            assert set(self.memory[pfn * FRAME_BYTES:(pfn + self.fixed.pop(pfn)) * FRAME_BYTES].tolist()) == {pfn % 251}
            self.manager.free(pfn)
            return
        n_frames = self.rng.randrange(1, min(self.most, 3) + 1)
        try:
            pfn = self.manager.alloc(n_frames, owner=77)
        except OutOfFrames:
            return
        self.fixed[pfn] = n_frames
        self.memory[pfn * FRAME_BYTES:(pfn + n_frames) * FRAME_BYTES] = pfn % 251

    def free(self) -> None:
        segment = self.chosen()
        if not segment:
            return
        self.table.free(segment)
        self.users[segment] -= 1
        if not self.users[segment]:
            del self.users[segment], self.bytes[segment]
            with pytest.raises(NoSuchSegment):
                self.table.lookup(segment)

    def share(self) -> None:
        segment = self.chosen()
        if segment and self.users[segment] < 3:
            self.users[segment] += 1
            assert self.table.share(segment) == self.table.users(segment) == self.users[segment]

    def grow(self) -> None:
        """To a size that may be smaller. A failure changes nothing; what it had is there still."""
        segment = self.chosen()
        if not segment:
            return
        before, size, free = self.table.lookup(segment), self.size(), self.manager.free_runs()
        try:
            after = self.table.grow(segment, size)
        except OutOfFrames:
            assert (self.table.lookup(segment), self.manager.free_runs()) == (before, free)
            return
        assert after == self.table.lookup(segment) == Segment(segment, after.base, size)
        if after.base != before.base:
            assert after.n_frames > before.n_frames
            self.copied += before.n_frames
        elif self.manager.policy.take:
            room = (before.base // FRAME_BYTES + before.n_frames, before.base // FRAME_BYTES + after.n_frames)
            assert after.n_frames <= before.n_frames or any(first <= room[0] and room[1] <= end for first, end in free)
        self.write(segment, min(before.bound, size), size)

    def compact(self) -> None:
        before = {segment: self.table.lookup(segment).base for segment in self.bytes}
        clock = int(self.manager.events()["number"][-1]) if len(self.manager.events()) else 0
        done = self.table.compact()
        after = {segment: self.table.lookup(segment).base for segment in self.bytes}
        assert done.n_moved == sum(after[segment] != before[segment] for segment in before)
        assert all(after[segment] <= before[segment] and self.zone(after[segment]) == self.zone(before[segment]) for segment in before)
        events = [event for event in self.manager.events() if event["number"] > clock]
        assert done.frames_copied == self.follow(before, events)
        assert before == after
        self.copied += done.frames_copied

    def follow(self, bases: dict[int, int], events: list[Any]) -> int:
        """Read the moves off the event ring, where each is an allocation and a free; write them into `bases`. Frames copied."""
        at, copied = {base // FRAME_BYTES: segment for segment, base in bases.items()}, 0
        for given, taken in zip(events[::2], events[1::2], strict=True):
            assert (given["kind"], given["status"], taken["kind"], taken["status"]) == (ALLOC, OK, FREE, OK)
            new, freed = int(given["pfn"]), int(taken["pfn"])
            if freed == new:
                continue        # the policy's place was no better
            old = freed if freed in at else new + int(given["n_frames"])
            segment = at.pop(old)
            at[new], bases[segment] = segment, new * FRAME_BYTES
            copied += self.frames(segment)
        return copied

    def zone(self, base: int) -> int:
        return next(i for i, zone in enumerate(self.manager.zones) if zone.first_pfn <= base // FRAME_BYTES < zone.end_pfn)

    def check(self) -> None:
        """Contents, places, books and counts."""
        self.manager.check()
        taken = []
        for segment, contents in self.bytes.items():
            found = self.table.lookup(segment)
            assert found.bound == len(contents)
            assert self.memory[found.base:found.base + found.bound].tobytes() == contents, segment
            owners = {self.manager.owner_of(found.base // FRAME_BYTES + i) for i in range(found.n_frames)}
            assert len(owners) == 1 and None not in owners
            taken.append((found.base // FRAME_BYTES, found.n_frames))
        taken += self.fixed.items()
        assert all(first + n <= behind for (first, n), (behind, _) in pairwise(sorted(taken)))
        assert self.table.frames_copied == self.copied


@pytest.mark.parametrize("spec", ALWAYS)
def test_a_random_game(spec: str) -> None:
    for seed in range(3):
        Game(spec, seed).play(150)
    Game(spec, 9, ZONES).play(200)


@pytest.mark.parametrize("spec", [*DEFAULTS, PLAIN, *SLIDING[8:]], ids=short)
def test_a_random_game_in_the_interpreter(spec: str) -> None:
    for seed, memory in ((11, 90), (12, ZONES)):
        Game(interpreter(spec), seed, memory).play(60)


@pytest.mark.slow
@pytest.mark.parametrize("spec", OTHERS)
def test_more_games_in_the_interpreter(spec: str) -> None:
    for seed, memory in ((21, 90), (22, ZONES), (23, 300)):
        Game(interpreter(spec), seed, memory).play(150)


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


@pytest.mark.parametrize("wrong", [0, -1, 7, 1 << 70])
def test_no_such_segment(wrong: int) -> None:
    table = SegmentTable(FrameManager(16, interpreter("first-fit")))
    table.alloc(1)
    for call in (lambda: table.grow(wrong, 1), lambda: table.share(wrong), lambda: table.users(wrong)):
        with pytest.raises(NoSuchSegment, match=f"{wrong} names no live segment"):
            call()


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


def test_statistics_stay_consistent() -> None:
    """Every event is one of the four kinds of the statistics, also those of moves."""
    game = Game(interpreter("best-fit"), 5)
    game.play(120)
    stats: Stats = game.manager.stats()
    clock = int(game.manager.events()["number"][-1])
    assert stats.n_allocs + stats.n_failed + stats.n_frees + stats.n_refused + stats.n_shares == clock


def test_the_guest_program_is_there() -> None:
    assert (Path(__file__).parents[1] / "firmware/images/moving.elf").is_file()
