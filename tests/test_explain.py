"""Why a request failed: the reason, the nearest fit and the allocations in it, against a model that looks at every window of the memory."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel_sim import FrameManager, OutOfFrames, Zone, load_policy
from kernel_sim.errors import NearestFit, Obstacle
from kernel_sim.explain import nearest_fit
from kernel_sim.study.contract.driver import Driver
from kernel_sim.study.contract.memories import FREE, HOLE, RESERVED, USED, Memory, across_edges, lay_out

POLICIES = {spec: load_policy(spec, uncompiled=True) for spec in ("buddy", "first-fit")}

MEMORIES = st.builds(
    lay_out,
    st.lists(st.lists(st.tuples(st.sampled_from([FREE, FREE, USED, USED, RESERVED, HOLE]), st.integers(1, 20)), min_size=1, max_size=8),
             min_size=2, max_size=2),
    st.tuples(st.integers(0, 9), st.sampled_from([0, 0, 3])).map(list), st.just(1)).filter(lambda memory: memory.zones).map(across_edges)


@pytest.mark.parametrize("spec", ["buddy", "first-fit"])
@given(memory=MEMORIES, places=st.lists(st.integers(0, 60), max_size=25), sizes=st.lists(st.integers(1, 40), min_size=1, max_size=8))
def test_every_failure_explains_itself(spec: str, memory: Memory, places: list[int], sizes: list[int]) -> None:
    """Fill a memory with small allocations, give some back, and ask for more than it has: the driver holds every failure against its model."""
    driver = Driver(POLICIES[spec], memory)
    for number in range(sum(end - first for first, end in memory.free_runs)):
        driver.alloc(number % 3 + 1, number % 4)
    for place in places:
        if live := driver.books.live:
            driver.free(live[place % len(live)].first, None)
    for size in sizes:
        driver.alloc(size, 9)
    driver.compare()


def explained(manager: FrameManager, n_frames: int) -> OutOfFrames:
    with pytest.raises(OutOfFrames) as caught:
        manager.alloc(n_frames)
    return caught.value


def test_who_stands_in_the_way() -> None:
    """Six frames of owners 1, 2 and 3 in a memory of sixteen; ten are free, five of them in one run:

        0 1 2 3 4 5 6 7 8 9 a b c d e f
        . . 1 1 1 . 2 . . . . . 3 3 . .

    A window of six frames has one frame taken only where it holds the second owner's: at 5 it does."""
    manager = FrameManager(16, POLICIES["first-fit"])
    for owner, n_frames in ((7, 2), (1, 3), (7, 1), (2, 1), (7, 5), (3, 2), (7, 2)):
        manager.alloc(n_frames, owner=owner)
    for pfn in (0, 5, 7, 14):
        manager.free(pfn)
    failure = explained(manager, 6)
    assert (failure.reason, failure.n_free, failure.largest_free_run) == ("scattered", 10, 5)
    assert failure.nearest_fit == NearestFit(5, 11, 1, 1, (Obstacle(6, 7, 2, 4),))
    assert str(failure).endswith("; nearest fit 0x5 to 0xb, 1 frame of it taken: 0x6 to 0x7 (owner 2, event 4)")
    assert failure.extfrag_index == manager.extfrag_index(3)


def test_a_buddy_needs_a_block_of_its_own() -> None:
    """Eight of sixteen frames are free in one run, 4 to 12, and no aligned block of eight: four frames stand in the way of each. The allocation of
    the first four has a frame of padding, which counts as taken."""
    manager = FrameManager(16, POLICIES["buddy"])
    for n_frames in (3, 4, 4, 4):
        manager.alloc(n_frames, owner=5)
    manager.free(4)
    manager.free(8)
    failure = explained(manager, 5)
    assert (failure.reason, failure.n_free, failure.largest_free_run) == ("alignment", 8, 8)
    assert failure.nearest_fit == NearestFit(0, 8, 4, 1, (Obstacle(0, 4, 5, 1),))
    assert "8 of them in one run, but no block of 8 that begins at a multiple of 8" in str(failure)


def test_the_first_few_of_many_are_named() -> None:
    """Every other frame is taken, eight in all; three are named."""
    manager = FrameManager(16, POLICIES["first-fit"])
    for _ in range(16):
        manager.alloc(1)
    for pfn in range(0, 16, 2):
        manager.free(pfn)
    found = explained(manager, 8).nearest_fit
    assert found is not None
    assert (found.first_pfn, found.n_taken, found.n_obstacles) == (0, 4, 4)
    assert [it.first_pfn for it in found.obstacles] == [1, 3, 5]
    assert str(explained(manager, 8)).endswith("0x1 to 0x2 (owner 0, event 2), 0x3 to 0x4 (owner 0, event 4), 0x5 to 0x6 (owner 0, event 6), 1 more")


def test_no_window_spans_a_hole_an_edge_or_a_reserved_frame() -> None:
    zones = [Zone("Low", ((0, 6), (8, 12)), reserved=((2, 3),)), Zone("High", ((12, 15),))]
    manager = FrameManager(zones, POLICIES["first-fit"], in_use=[(9, 10)])
    failure = explained(manager, 4)
    assert (failure.reason, failure.n_free) == ("scattered", 11)
    assert failure.nearest_fit == NearestFit(8, 12, 1, 1, (Obstacle(9, 10, 0, 0),))
    assert str(failure).endswith("1 frame of it taken: 0x9 to 0xa (in use from the start)")
    assert explained(manager, 5).nearest_fit is None
    assert str(explained(manager, 5)).endswith("; no frames of this memory could ever serve it")


def test_a_terabyte_is_explained_by_its_runs() -> None:
    """2^28 frames, three of them taken, at the quarters: no quarter and one frame more is free, and the lowest window is as good as any."""
    quarter = 1 << 26
    manager = FrameManager(4 * quarter, POLICIES["first-fit"], in_use=[(at * quarter, at * quarter + 1) for at in (1, 2, 3)])
    failure = explained(manager, quarter + 1)
    assert (failure.reason, failure.largest_free_run) == ("scattered", quarter)
    assert failure.nearest_fit == NearestFit(0, quarter + 1, 1, 1, (Obstacle(quarter, quarter + 1, 0, 0),))


def test_asked_of_a_manager_that_could_serve() -> None:
    """A report may ask at any time: the nearest fit of a request that would be served has nothing in its way."""
    assert nearest_fit(FrameManager(16, POLICIES["first-fit"]), 4) == NearestFit(0, 4, 0, 0, ())
    assert nearest_fit(FrameManager(16, POLICIES["first-fit"]), 17) is None
