"""What buddies are known for: how they come apart, how they find together again, and how little it takes to keep them apart."""

from __future__ import annotations

import pytest

from kernel_sim import FrameManager, OutOfFrames, Zone, load_policy

BUDDIES = ["buddy", "buddy:order=address", "buddy:order=fifo"]
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


def test_which_block_of_an_order_is_taken() -> None:
    """The block that was given back last is warm in the cache: Linux takes it first. First in, first out, every block rests as long as it can. By
    address the low end fills up and the high end stays whole."""
    taken = {}
    for policy in BUDDIES:
        manager = FrameManager(64, policy)
        frames = [manager.alloc(1) for _ in range(64)]
        for pfn in (frames[9], frames[2], frames[40], frames[20]):
            manager.free(pfn)
        taken[policy] = [manager.alloc(1) for _ in range(4)]
    assert taken == {"buddy": [20, 40, 2, 9], "buddy:order=address": [2, 9, 20, 40], "buddy:order=fifo": [9, 2, 40, 20]}


def test_the_smallest_sufficient_order_comes_before_the_lowest_address() -> None:
    """A lone frame far up is taken before the large block at the bottom is split."""
    for policy in BUDDIES:
        manager = FrameManager(64, policy, in_use=[(32, 50), (51, 64)])
        assert manager.alloc(1) == 50
        assert manager.alloc(1) == 0


@pytest.mark.parametrize("policy", BUDDIES)
def test_a_memory_of_odd_size(policy: str) -> None:
    """1000 frames from frame 24 on: blocks of 8, 32, 64, 128, 256 and 512, and a request is served from the one that fits."""
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


def in_interpreter(policy: str, n_frames: int) -> FrameManager:
    """A manager that needs no compiler."""
    return FrameManager(n_frames, load_policy(policy, uncompiled=True))


def test_lazy_buddies_do_not_split_what_they_have_just_merged() -> None:
    """A frame that comes and goes: at once merged, the block of 1024 is split and merged each time; lazily, it is split once."""
    effort = {}
    for policy in ("buddy", "buddy:merge=lazy"):
        manager = in_interpreter(policy, 2**TOP)
        for _ in range(50):
            manager.free(manager.alloc(1))
        effort[policy] = (manager.stats().splits, manager.stats().merges)
    assert effort == {"buddy": (50 * TOP, 50 * TOP), "buddy:merge=lazy": (TOP, 0)}


def test_lazy_buddies_merge_when_nothing_else_helps() -> None:
    """All frames given back, one by one: nothing is merged until the whole is asked for; then all of it is, and a second such request, which cannot
    be served, finds nothing left to merge and looks at no block."""
    manager = in_interpreter("buddy:merge=lazy", 2**TOP)
    frames = [manager.alloc(1) for _ in range(2**TOP)]
    for pfn in frames:
        manager.free(pfn)
    assert manager.stats().merges == 0
    assert manager.alloc(1) == frames[-1]
    manager.free(frames[-1])
    assert manager.stats().merges == 0
    assert manager.alloc(2**TOP) == 0
    assert manager.stats().merges == 2**TOP - 1
    before = manager.stats().examined
    assert refuses(manager, 2**TOP)
    assert manager.stats().examined == before + 1
    manager.check()


@pytest.mark.parametrize("largest", [0, 3, 10])
def test_no_block_is_larger_than_the_largest_order(largest: int) -> None:
    """2^N frames are given at once, and not one more: that is a limit, and not for want of memory."""
    manager = in_interpreter(f"buddy:max_order={largest}", 2**12)
    assert manager.alloc(2**largest) == 0
    with pytest.raises(OutOfFrames) as caught:
        manager.alloc(2**largest + 1)
    assert caught.value.reason == "limit"
    manager.free(0)
    assert manager.stats().merges == 0
    manager.check()


def test_with_order_0_a_buddy_is_a_stack_of_pages() -> None:
    """No block can be split, none merged: what is left of a buddy is the page stack."""
    placed = {}
    for policy in ("buddy:max_order=0", "page-stack"):
        manager = in_interpreter(policy, 64)
        frames = [manager.alloc(1) for _ in range(40)]
        for pfn in frames[3:30:5]:
            manager.free(pfn)
        placed[policy] = [*frames, *(manager.alloc(1) for _ in range(10))]
    assert placed["buddy:max_order=0"] == placed["page-stack"]


def test_fibonacci_buddies_come_apart_as_the_numbers_do() -> None:
    """13 frames, of which five are asked for: 13 is 8 and 5. Then three: 8 is 5 and 3. Then one: 5 is 3 and 2, 2 is 1 and 1. The larger part
    is left whole."""
    manager = FrameManager([Zone("Thirteen", ((100, 113),))], load_policy("fibonacci-buddy", uncompiled=True))
    assert [manager.alloc(n_frames) for n_frames in (5, 3, 1)] == [108, 105, 104]
    assert manager.stats().splits == 1 + 1 + 2
    assert manager.free_runs() == [(100, 104)]
    assert [manager.alloc(n_frames) for n_frames in (3, 1)] == [100, 103]
    for pfn in (108, 104, 105, 100, 103):
        manager.free(pfn)
    assert manager.stats().merges == 4
    assert manager.alloc(13) == 100


def test_weighted_buddies_come_apart_three_to_one_and_two_to_one() -> None:
    """16 frames, of which four are asked for: 12 and 4. Then four more: 12 is 8 and 4. Then six: 8 is 6 and 2."""
    manager = FrameManager([Zone("Sixteen", ((100, 116),))], load_policy("weighted-buddy", uncompiled=True))
    assert [manager.alloc(n_frames) for n_frames in (4, 4, 6)] == [112, 108, 100]
    assert manager.stats().splits == 3
    assert manager.free_runs() == [(106, 108)]
    for pfn in (112, 108, 100):
        manager.free(pfn)
    assert manager.stats().merges == 3
    assert manager.alloc(16) == 100


@pytest.mark.parametrize("policy, granted", [("buddy", 16), ("fibonacci-buddy", 13), ("weighted-buddy", 12)])
def test_more_sizes_waste_less_inside(policy: str, granted: int) -> None:
    """Eleven frames: the next power of two is 16, the next Fibonacci number 13, the next 3·2^k 12."""
    manager = in_interpreter(policy, 1597)
    manager.alloc(11)
    assert manager.stats().granted == granted


@pytest.mark.parametrize("policy, largest", [("fibonacci-buddy", 1597), ("weighted-buddy", 1024), ("buddy", 1024)])
def test_each_system_has_a_largest_block(policy: str, largest: int) -> None:
    """Linux' largest request, 1024 frames, is served by all of them."""
    manager = in_interpreter(policy, 4 * 1597)
    assert manager.alloc(1024) == 0
    manager.alloc(largest)
    with pytest.raises(OutOfFrames) as caught:
        manager.alloc(largest + 1)
    assert caught.value.reason == "limit"


@pytest.mark.parametrize("policy, tile", [("fibonacci-buddy", 1597), ("weighted-buddy", 1024)])
def test_whatever_the_order_of_the_frees_the_whole_comes_back(policy: str, tile: int) -> None:
    """Two tiles and a rest, taken frame by frame and given back in disorder, are what they were: the tiles can be had again."""
    manager = FrameManager([Zone("Odd", ((77, 77 + 2 * tile + 5),))], load_policy(policy, uncompiled=True))
    frames = [manager.alloc(1) for _ in range(2 * tile + 5)]
    for at in sorted(range(len(frames)), key=lambda i: i * 7919 % 4001):
        manager.free(frames[at])
    manager.check()
    assert manager.stats().merges == manager.stats().splits
    assert sorted(manager.alloc(tile) for _ in range(2)) == [77, 77 + tile]
    assert refuses(manager, 6)


@pytest.mark.parametrize("policy", ["fibonacci-buddy", "weighted-buddy"])
def test_frames_that_were_never_a_block_become_blocks(policy: str) -> None:
    """Frames in use at the start are given back from the middle outwards: no mark in them says what block they were of, and all merge in the end."""
    manager = FrameManager(1597, load_policy(policy, uncompiled=True), in_use=[(0, 1597)])
    for first, end in ((500, 700), (100, 101), (700, 1597), (0, 100), (101, 500)):
        manager.free(first, end - first)
        manager.check()
    assert manager.alloc({"fibonacci-buddy": 1597, "weighted-buddy": 1024}[policy]) == 0


@pytest.mark.parametrize("policy", ["buddy:max_order=0", "buddy:order=fifo", "buddy:max_order=0,order=fifo", "buddy:merge=lazy",
                                    "buddy:order=address", "fibonacci-buddy", "weighted-buddy"])
def test_a_terabyte_is_one_range(policy: str) -> None:
    """256 Mi frames, of which a few are taken and given back: the audit has a few blocks to look at, and the rest as one."""
    manager = in_interpreter(policy, 1 << 28)
    frames = [manager.alloc(1) for _ in range(3)]
    for pfn in frames:
        manager.free(pfn)
    assert manager.stats().n_free == 1 << 28
    if "address" not in policy:
        assert len(list(manager.policy.blocks(manager.area(0)))) < 100
