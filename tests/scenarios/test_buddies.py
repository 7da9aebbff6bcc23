"""What buddies are known for: how they come apart, how they find together again, and how little it takes to keep them apart."""

from __future__ import annotations

import pytest

from kernel_sim import FrameManager, OutOfFrames

BUDDIES = ["buddy", "buddy:order=address"]
TOP = 10


def refuses(manager: FrameManager, n_frames: int) -> bool:
    with pytest.raises(OutOfFrames):
        manager.alloc(n_frames)
    return True


@pytest.mark.parametrize("policy", BUDDIES)
def test_pathological(policy: str) -> None:
    """One block of each order, then whittle until half of the memory is free and none of it is of use.

    The largest block is given back and taken again in two halves, until all are single frames; then one of each pair of buddies is given back.
    """
    manager = FrameManager(2**TOP, policy)
    blocks = [(2**order, int(manager.alloc(2**order))) for order in range(TOP)] + [(1, int(manager.alloc(1)))]
    assert manager.stats().n_free == 0
    while max(blocks)[0] > 1:
        size, pfn = max(blocks)
        blocks.remove((size, pfn))
        manager.free(pfn)
        blocks += [(size // 2, int(manager.alloc(size // 2))) for _ in range(2)]
        assert manager.stats().n_free == 0
    assert sorted(pfn for _, pfn in blocks) == list(range(2**TOP))
    for _, pfn in blocks:
        if pfn % 2:
            manager.free(pfn)
    manager.check()
    assert manager.stats().n_free == 2**TOP // 2
    assert all(refuses(manager, 2**order) for order in range(1, TOP + 1))
    assert manager.unusable_index(1) == 1000


@pytest.mark.parametrize("policy", BUDDIES)
def test_one_frame_pins_a_block(policy: str) -> None:
    """Of four blocks of the top order all is given back but one frame each: 99.9% of the memory is free, and not one block of the top order."""
    manager = FrameManager(4 * 2**TOP, policy)
    frames = [int(manager.alloc(1)) for _ in range(4 * 2**TOP)]
    for pfn in frames:
        if pfn % 2**TOP != 333:
            manager.free(pfn)
    assert manager.stats().n_free == 4 * (2**TOP - 1)
    assert manager.buddyinfo()["Memory"] == (4,) * TOP + (0,)
    assert refuses(manager, 2**TOP)
    assert manager.unusable_index(TOP) == 1000
    for pfn in range(333, 4 * 2**TOP, 2**TOP):
        manager.free(pfn)
    assert manager.buddyinfo()["Memory"] == (0,) * TOP + (4,)
    manager.check()


@pytest.mark.parametrize("policy", BUDDIES)
def test_neighbours_are_not_buddies(policy: str) -> None:
    """Frames 1 and 2 are side by side, and were never split from one block: they do not merge."""
    manager = FrameManager(4, policy)
    for pfn in [manager.alloc(1) for _ in range(4)][1:3]:
        manager.free(pfn)
    assert manager.free_runs() == [(1, 3)]
    assert manager.buddyinfo()["Memory"][:2] == (2, 0)
    assert refuses(manager, 2)
    manager.free(0)
    assert manager.alloc(2) == 0


@pytest.mark.parametrize("policy", BUDDIES)
def test_a_cascade_of_merges(policy: str) -> None:
    """One frame splits the block of 1024 ten times; given back, it undoes all ten."""
    manager = FrameManager(2**TOP, policy)
    pfn = manager.alloc(1)
    assert manager.stats().splits == TOP
    assert manager.buddyinfo()["Memory"] == (1,) * TOP + (0,)
    manager.free(pfn)
    assert manager.stats().merges == TOP
    assert manager.buddyinfo()["Memory"] == (0,) * TOP + (1,)


def test_last_in_first_out_and_by_address() -> None:
    """The block that was given back last is warm in the cache: Linux takes it first. By address the low end fills up and the high end stays whole."""
    taken = {}
    for policy in BUDDIES:
        manager = FrameManager(64, policy)
        frames = [manager.alloc(1) for _ in range(64)]
        for pfn in (frames[9], frames[2], frames[40], frames[20]):
            manager.free(pfn)
        taken[policy] = [manager.alloc(1) for _ in range(4)]
    assert taken == {"buddy": [20, 40, 2, 9], "buddy:order=address": [2, 9, 20, 40]}


def test_the_smallest_sufficient_order_comes_before_the_lowest_address() -> None:
    """A lone frame far up is taken before the large block at the bottom is split."""
    for policy in BUDDIES:
        manager = FrameManager(64, policy, in_use=[(32, 50), (51, 64)])
        assert manager.alloc(1) == 50
        assert manager.alloc(1) == 0


@pytest.mark.parametrize("policy", BUDDIES)
def test_a_memory_of_odd_size(policy: str) -> None:
    """1000 frames from frame 24 on: blocks of 8, 32, 64, 128, 256 and 512, and a request is served from the one that fits."""
    from kernel_sim import Zone

    manager = FrameManager([Zone("Odd", ((24, 1024),))], policy)
    assert manager.buddyinfo()["Odd"] == (0, 0, 0, 1, 0, 1, 1, 1, 1, 1, 0)
    assert [manager.alloc(2**order) for order in (9, 8, 7, 6, 5, 3)] == [512, 256, 128, 64, 32, 24]
    assert manager.stats().splits == 0
    assert manager.stats().n_free == 0


def test_a_page_stack_hands_out_the_warmest_frame() -> None:
    """The last frame given back is the first to be taken, whatever its address."""
    manager = FrameManager(8, "page-stack")
    assert [manager.alloc(1) for _ in range(5)] == [0, 1, 2, 3, 4]
    for pfn in (1, 3, 0):
        manager.free(pfn)
    assert [manager.alloc(1) for _ in range(4)] == [0, 3, 1, 5]


def test_rounding_costs_a_buddy_what_a_fit_keeps() -> None:
    """Requests for 33 frames in a memory of 1024: a block of 64 each, so 16 are served and the memory is full, with 496 frames that nobody asked for.
    A fit serves 31 and has one frame left."""
    outcome = {}
    for policy in ("buddy", "first-fit"):
        manager = FrameManager(1024, policy)
        while manager.largest_free_run() >= 33:
            manager.alloc(33)
        outcome[policy] = (manager.stats().n_allocs, manager.stats().n_free, manager.stats().granted - manager.stats().requested)
    assert outcome == {"buddy": (16, 0, 496), "first-fit": (31, 1, 0)}
