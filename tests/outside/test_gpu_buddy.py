"""The KUnit tests of Linux' GPU buddy allocator: drivers/gpu/tests/gpu_buddy_test.c (before: drm_buddy_test.c).

Its blocks go up to order 16 and more; ours, as those of Linux' page allocator, to order 10. The pools are scaled to that: 2^11 - 1 frames where
the source has 2^17 - 1, and 2^10 where it has 2^16. The 48 frames in thirds are those of the source.
"""

from __future__ import annotations

import pytest

from kernel_sim import FrameManager, OutOfFrames

BUDDIES = ["buddy", "buddy:order=address", "buddy:order=fifo", "buddy:merge=lazy"]
FITS = ["first-fit", "best-fit", "worst-fit", "next-fit"]
TOP = 10


def serves(manager: FrameManager, n_frames: int) -> bool:
    """Whether such a request is served; if so, it is given back."""
    try:
        manager.free(manager.alloc(n_frames))
    except OutOfFrames:
        return False
    return True


@pytest.mark.parametrize("policy", BUDDIES)
def test_optimistic(policy: str) -> None:
    """A pool with room for just one block of each order serves them all, and then not one frame more."""
    manager = FrameManager(2 ** (TOP + 1) - 1, policy)
    for order in range(TOP + 1):
        manager.alloc(2**order)
    assert not serves(manager, 1)
    assert manager.stats().n_free == 0
    manager.check()


@pytest.mark.parametrize("policy", BUDDIES)
def test_pessimistic(policy: str) -> None:
    """One block of each order but the top one leaves one frame. When that is taken, every order fails; and as blocks are given back in increasing
    size, each makes the next order available, until the whole is."""
    manager = FrameManager(2**TOP, policy)
    blocks = [manager.alloc(2**order) for order in range(TOP)]
    last = manager.alloc(1)
    assert not any(serves(manager, 2**order) for order in range(TOP + 1))
    manager.free(last)
    for order, block in enumerate(blocks):
        assert not serves(manager, 2 ** (order + 1))
        manager.free(block)
        assert serves(manager, 2 ** (order + 1))
        manager.check()
    assert manager.alloc(2**TOP) == 0


def thirds(policy: str) -> tuple[FrameManager, list[list[int]]]:
    """48 frames, all taken one by one, and dealt to left, middle and right in turn."""
    manager = FrameManager(48, policy)
    frames = sorted(int(manager.alloc(1)) for _ in range(48))
    assert frames == list(range(48))
    return manager, [frames[third::3] for third in range(3)]


@pytest.mark.parametrize("policy", BUDDIES + FITS)
def test_contiguous(policy: str) -> None:
    manager, (left, middle, right) = thirds(policy)
    assert not serves(manager, 3)
    for pfn in middle:
        manager.free(pfn)
    assert not serves(manager, 3)
    assert not serves(manager, 2)
    for pfn in right:
        manager.free(pfn)
    assert not serves(manager, 3)
    assert serves(manager, 2)
    for pfn in left:
        manager.free(pfn)
    assert serves(manager, 3)
    manager.check()


@pytest.mark.parametrize("policy, n_pairs", [*((policy, 8) for policy in BUDDIES), *((policy, 16) for policy in FITS)])
def test_contiguous_across_buddies(policy: str, n_pairs: int) -> None:
    """Middle and right are free: 16 pairs of neighbours, of which every other is a pair of buddies. A fit gives out all, a buddy the buddies only;
    the source's allocator finds the others by a search of its own for contiguous requests."""
    manager, (_, middle, right) = thirds(policy)
    for pfn in middle + right:
        manager.free(pfn)
    pairs = []
    while manager.largest_free_run() >= 2:
        try:
            pairs.append(manager.alloc(2))
        except OutOfFrames:
            break
    assert len(pairs) == n_pairs
    assert sorted(pairs) == [pfn for pfn in middle if n_pairs == 16 or pfn % 2 == 0]
