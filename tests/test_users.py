"""Allocations with several users: the table that knows them, against dictionaries, and what becomes of a machine that shares a great deal."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel_sim import FrameManager, NotAllocated, OutOfRange, TooManyUsers, load_policy
from kernel_sim import users as table_of_users
from kernel_sim.compiled import interpreted
from kernel_sim.events import FREE, OK, SHARE
from kernel_sim.operations import ALLOC, OPERATION, perform
from kernel_sim.operations import FREE as FREE_OPERATION
from kernel_sim.users import MOST_USERS, USER, most_entries, ring

BUDDY = load_policy("buddy", uncompiled=True)
add, enter, erase, home, is_user, place, take_out = (interpreted(getattr(table_of_users, name)) for name in (
    "add", "enter", "erase", "home", "is_user", "place", "take_out"))


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3), st.integers(0, 5)), max_size=120))
def test_rings_in_a_table_that_is_nearly_full(steps: list[tuple[bool, int, int]]) -> None:
    """Four allocations of up to six users in 32 entries: whoever is taken out stands in somebody's way again and again."""
    table, model = np.zeros(32, USER), dict[int, dict[int, int]]()
    for is_entered, pfn, owner in steps:
        users = model.setdefault(pfn, {})
        if is_entered and users:
            assert add(table, pfn, next(iter(users)), owner) == (owner not in users)
            users[owner] = users.get(owner, 0) + 1
        elif is_entered:
            enter(table, pfn, owner, owner, owner)
            users[owner] = 1
        elif owner in users and len(users) > 1:
            following = [*users, *users][list(users).index(owner) + 1]
            assert take_out(table, pfn, owner) == following
            del users[owner]
        elif owner in users:
            erase(table, place(table, pfn, owner))
            del users[owner]
        assert {number: dict(ring(table, number, next(iter(held)))) for number, held in model.items() if held} == {
            number: held for number, held in model.items() if held}
        assert all(is_user(table, number, somebody) == (somebody in model.get(number, {})) for number in range(4) for somebody in range(6))
        assert np.count_nonzero(table["count"]) == sum(map(len, model.values()))
    assert not table[table["count"] == 0].view(np.uint8).any(), "an entry that was emptied holds nothing"


@given(st.integers(0, (1 << 32) - 1), st.integers(0, 0xFFFF), st.integers(10, 22))
def test_a_search_begins_in_the_table(pfn: int, owner: int, bits: int) -> None:
    table = np.broadcast_to(np.zeros(1, USER), 1 << bits)
    assert 0 <= int(home(table, pfn, owner)) < 1 << bits


def test_searches_begin_apart() -> None:
    """A thousand frames side by side, each with fifty users, in a table half as full as it may be: the places are spread as if by chance."""
    table = np.broadcast_to(np.zeros(1, USER), 1 << 17)
    begun = {int(home(table, pfn, owner)) for pfn in range(70_000, 71_000) for owner in range(1, 51)}
    assert len(begun) > 0.8 * (1 << 17) * (1 - np.exp(-50_000 / (1 << 17)))


@pytest.mark.parametrize("n_frames, entries", [(1, 1024), (256, 1024), (257, 2048), (1 << 16, 1 << 18), (1 << 20, 1 << 22), (1 << 28, 1 << 22)])
def test_room_for_users(n_frames: int, entries: int) -> None:
    assert most_entries(n_frames) == entries


def test_users_of_one_allocation_run_out() -> None:
    """65,535 uses; the next one is refused and not wrapped, and all of them can be given back."""
    manager = FrameManager(16, BUDDY)
    pfn = manager.alloc(2, owner=1)
    assert [manager.share(pfn, 1 + i % 3) for i in range(1, MOST_USERS)][-1] == MOST_USERS
    before = manager.table.frames.tobytes(), manager.users.tobytes(), manager.table.references.tobytes()
    for owner in (1, 4):
        with pytest.raises(TooManyUsers, match=rf"^TooManyUsers: frame {pfn:#x} can have no more users$"):
            manager.share(pfn, owner)
    assert (manager.table.frames.tobytes(), manager.users.tobytes(), manager.table.references.tobytes()) == before
    assert manager.users_of(pfn + 1) == dict.fromkeys((1, 2, 3), MOST_USERS // 3)
    manager.check()
    manager.free(pfn, owner=3)
    assert manager.share(pfn, 4) == MOST_USERS


def share_until_refused(manager: FrameManager, pairs: list[tuple[int, int]]) -> int:
    """How many could."""
    for done, (pfn, owner) in enumerate(pairs):
        try:
            manager.share(pfn, owner)
        except TooManyUsers:
            return done
    raise AssertionError("nobody was refused")


def test_room_for_all_users_runs_out() -> None:
    """A quarter of the entries stays empty; when users have gone, others can come."""
    manager = FrameManager(64, BUDDY)
    frames = [manager.alloc(1, owner=1) for _ in range(64)]
    n_shares = share_until_refused(manager, [(pfn, owner) for owner in range(2, 100) for pfn in frames])
    assert 1024 * 3 // 4 - 2 < manager.n_users <= 1024 * 3 // 4 and manager.stats().n_shares == n_shares
    manager.check()
    for pfn in frames:
        assert [manager.holds(pfn, owner) for owner in (1, 2, 90)] == [True, True, False]
        for owner in list(manager.users_of(pfn)):
            manager.free(pfn, owner=owner)
    manager.check()
    assert (manager.n_users, manager.stats().n_shared, manager.stats().n_free) == (0, 0, 64)
    assert not manager.users.view(np.uint8).any() and not manager.table.references.any()


def test_the_table_grows() -> None:
    """5,000 frames with four users each: 16,384 entries and more, in tables twice as large each time, none of which holds anything afterwards."""
    manager = FrameManager(1 << 13, BUDDY)
    frames, sizes = [manager.alloc(1, owner=1) for _ in range(5000)], [len(manager.users)]
    for owner in (2, 3, 4):
        for pfn in frames:
            manager.share(pfn, owner)
            sizes += [len(manager.users)] if len(manager.users) != sizes[-1] else []
    assert sizes == [1 << bits for bits in range(10, 16)] and manager.n_users == 20_000
    manager.check()
    assert all(manager.users_of(pfn) == dict.fromkeys((1, 2, 3, 4), 1) for pfn in frames[::50])
    for owner in (1, 3, 4, 2):
        for pfn in frames:
            manager.free(pfn, owner=owner)
    manager.check()
    assert manager.stats().n_free == 1 << 13 and not manager._room_for_users.view(np.uint8).any()


def test_fork_and_copy_on_write() -> None:
    """A process of eight frames forks twice; the children write, each gets frames of its own, and the last to let go frees the old ones."""
    manager = FrameManager(64, BUDDY)
    frames = [manager.alloc(1, owner=1) for _ in range(8)]
    for child in (2, 3):
        assert [manager.share(pfn, child) for pfn in frames] == [child] * 8
    assert (manager.stats().n_used, manager.stats().n_shared) == (8, 8)
    for pfn in frames[:4]:                      # child 2 writes to four of them
        assert not manager.holds(manager.alloc(1, owner=2), 1)
        manager.free(pfn, owner=2)
    for pfn in frames:                          # the parent exits: the record passes on
        manager.free(pfn, owner=1)
    assert [manager.owner_of(pfn) for pfn in frames] == [3] * 4 + [2] * 4
    assert (manager.stats().n_used, manager.stats().n_shared) == (12, 4)
    for pfn in frames:
        manager.free(pfn, owner=3)
    assert (manager.stats().n_used, manager.stats().n_shared) == (8, 0)
    assert manager.stats().n_frees == 4 + 8 + 8
    manager.check()


def test_what_events_tell() -> None:
    manager = FrameManager(16, BUDDY)
    pfn = manager.alloc(3, owner=7)
    manager.share(pfn, 8)
    manager.free(pfn, 3, owner=7)
    with pytest.raises(NotAllocated):
        manager.free(pfn, owner=7)
    told = [tuple(int(event[name]) for name in ("kind", "status", "owner", "pfn", "n_frames", "granted")) for event in manager.events()[1:]]
    assert told[0] == (SHARE, OK, 8, pfn, 2, 0) and told[1] == (FREE, OK, 7, pfn, 3, 0)
    assert told[2][:3] == (FREE, 3, 7) and manager.table.frames[pfn]["event"] == 1


def test_who_has_what_is_not_allocated() -> None:
    manager = FrameManager(16, BUDDY)
    pfn = manager.alloc(3, owner=7)
    manager.share(pfn, 8)
    assert [manager.holds(at, 8) for at in range(pfn, pfn + 5)] == [True] * 4 + [False], "padding is of the allocation"
    assert manager.users_of(pfn + 3) == {7: 1, 8: 1} and manager.users_of(pfn + 4) == {}
    assert not any(manager.holds(nowhere, 7) for nowhere in (-1, -(1 << 70), 16, 1 << 40, 1 << 70))
    with pytest.raises(OutOfRange):
        manager.users_of(16)
    manager.free(pfn, owner=8)
    manager.free(pfn, owner=7)
    assert not manager.holds(pfn, 7) and not manager.holds(pfn, 0)


def test_a_trace_frees_in_anybodys_name() -> None:
    """What one process allocated another gives back there, and no one asks."""
    manager = FrameManager(16, BUDDY)
    operations = np.zeros(2, OPERATION)
    operations["kind"], operations["n_frames"], operations["owner"] = (ALLOC, FREE_OPERATION), 1, (5, 6)
    perform(manager, operations)
    assert manager.stats().n_free == 16 and manager.events()[-1]["owner"] == 6


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux")
def test_a_terabyte() -> None:
    """Sharing takes host memory for what is shared, not for what could be."""
    terabyte = FrameManager(1 << 28, BUDDY)
    frames = [terabyte.alloc(512, owner=1) for _ in range(16)]
    terabyte.share(frames[0], 2)
    terabyte.free(frames[0], owner=2)           # whatever is made once has been made
    before = resident_bytes()
    for pfn in frames:
        assert terabyte.share(pfn, 2) == 2 and terabyte.holds(pfn + 511, 2)
    assert resident_bytes() - before < 1 << 20
