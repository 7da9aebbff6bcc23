"""What heaps and slabs are known for, each in a few requests."""

from __future__ import annotations

import pytest

from kernel_sim import FrameManager, Heap, OutOfFrames, SlabAllocator, load_policy


def interpreted(spec: str) -> Heap:
    return Heap(load_policy(spec, uncompiled=True))


def test_one_small_block_holds_up_the_break() -> None:
    """A large block, eight bytes above it, and the large one is freed. Nothing can be given back: the heap ends above the small block. When that
    goes, all of it does."""
    heap = interpreted("first-fit")
    large, small = heap.alloc(200_000), heap.alloc(8)
    heap.free(large)
    assert heap.heap_bytes > 200_000 and heap.stats().n_shrinks == 0
    heap.free(small)
    assert heap.heap_bytes == 4096 and heap.stats().n_shrinks == 1


def test_every_other_block_freed_is_of_no_use() -> None:
    """Three hundred blocks of 100 bytes, every other one freed: half of the heap is free, and a block of twice the size makes it grow."""
    heap = interpreted("best-fit")
    blocks = [heap.alloc(100) for _ in range(300)]
    for address in blocks[::2]:
        heap.free(address)
    before = heap.stats()
    assert before.free_bytes > 150 * 112 and before.external_fragmentation > 0.8
    at = heap.arena.end
    for _ in range(40):
        heap.alloc(200)
    assert heap.arena.end > at


def test_small_blocks_are_mostly_header_and_rounding() -> None:
    """A thousand blocks of one byte take sixteen each; a slab gives them a byte each, and so sixteen times as many in a frame."""
    heap = interpreted("first-fit")
    for _ in range(1000):
        heap.alloc(1)
    assert heap.stats().internal_fragmentation == pytest.approx(15 / 16, abs=0.001)
    slabs = SlabAllocator(FrameManager(64, load_policy("buddy", uncompiled=True)))
    cache = slabs.cache("byte", 1, align=1)
    for _ in range(1000):
        cache.alloc()
    assert cache.stats().n_slabs == 1 and cache.stats().internal_fragmentation < 0.01


def test_a_list_that_grows_is_cheap_at_the_top() -> None:
    """A list that grows at the top of the heap is never copied. With another above it, it has to move over that one with all that it has, once; and
    the other, now in the way of nobody, moves down into the room that it left."""
    heap = interpreted("first-fit")
    low = heap.alloc(16)
    for size in range(32, 4000, 16):
        low = heap.realloc(low, size) or 0
    assert heap.stats().bytes_copied == 0
    high = heap.alloc(16)
    for size in range(32, 1000, 16):
        low, high = heap.realloc(low, 4000 + size) or 0, heap.realloc(high, size) or 0
    stats = heap.stats()
    assert stats.n_reallocs - stats.n_in_place == 2 and stats.bytes_copied == 3984 + 16
    assert high < low


def test_idle_caches_feed_a_busy_one() -> None:
    """A cache that once was busy keeps its slabs, until another finds no frames: then they are reaped. With live objects in them they cannot be."""
    slabs = SlabAllocator(FrameManager(8, load_policy("first-fit", uncompiled=True)))
    once, now = slabs.cache("once", 2048), slabs.cache("now", 4096)
    objects = [once.alloc() for _ in range(16)]
    with pytest.raises(OutOfFrames):
        now.alloc()
    for address in objects[1:]:
        once.free(address)
    assert slabs.frames.stats().n_free == 0
    assert len({now.alloc() for _ in range(7)}) == 7
    with pytest.raises(OutOfFrames):
        now.alloc()
    slabs.check()
