"""Slabs: against a plain set of addresses, Bonwick's numbers, and every object that is given back wrongly."""

from __future__ import annotations

from collections import Counter

import pytest
from contract.specs import SPECS, short
from hypothesis import given
from hypothesis import strategies as st

from kernel_sim import (
    BadInput,
    BrokenInvariant,
    CacheInUse,
    DoubleFree,
    Foreign,
    FrameManager,
    Misaligned,
    NotAllocated,
    OutOfFrames,
    SlabAllocator,
    load_policy,
)
from kernel_sim.slab import KMALLOC_SIZES, SlabCache
from kernel_sim.slab_layout import layout_for


def allocator(n_frames: int = 256, policy: str = "buddy") -> SlabAllocator:
    return SlabAllocator(FrameManager(n_frames, load_policy(policy, uncompiled=True)))


# -- how a slab is cut ---------------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("size, align, n_frames, n_objects, header", [
    (32, 8, 1, 127, 32),        # the header takes the place of one object
    (400, 8, 1, 10, 32),        # 4096 - 32 = 10 * 400 + 64
    (512, 8, 1, 8, 0),          # from an eighth of a frame on the header is elsewhere
    (600, 8, 1, 6, 0),          # 496 unused: 12.1 %
    (700, 8, 2, 11, 0),         # one frame would leave 596 unused, 14.6 %; two leave 448, 5.5 %
    (3000, 8, 4, 5, 0),         # 1 frame: 26.8 %, 2: 26.8 %, 4: 8.4 %
    (100, 64, 1, 31, 32),       # each takes 128
    (33000, 8, 9, 1, 0),        # more than the largest slab: one of its own
])
def test_cuts_a_slab(size: int, align: int, n_frames: int, n_objects: int, header: int) -> None:
    cut = layout_for(size, align)
    assert (cut.n_frames, cut.n_objects, cut.header) == (n_frames, n_objects, header)
    assert cut.unused == n_frames * 4096 - header - n_objects * cut.stride >= 0


def test_at_most_an_eighth_is_unused() -> None:
    """Bonwick's bound on what the cutting wastes, for every size up to a frame's."""
    for size in range(1, 4097):
        cut = layout_for(size, 8)
        assert cut.unused * 8 <= cut.slab_bytes and cut.n_objects >= 1
        for n_frames in [n for n in (1, 2, 4) if n < cut.n_frames]:
            left = (n_frames * 4096 - cut.header) % cut.stride
            assert cut.stride > n_frames * 4096 or left * 8 > n_frames * 4096, f"{size} bytes would do with {n_frames} frames"


def test_colours_use_up_the_unused_bytes_and_start_again() -> None:
    slabs = allocator()
    cache = slabs.cache("thing", 400, align=16)
    cut = cache.layout
    assert (cut.unused, cut.n_colours) == (64, 5)
    firsts = []
    for _ in range(7):
        firsts.append(cache.alloc() % 4096)
        for _ in range(cut.n_objects - 1):
            cache.alloc()
    assert firsts == [0, 16, 32, 48, 64, 0, 16]
    slabs.check()


# -- objects -------------------------------------------------------------------------------------------------------------------------------

STEPS = st.lists(st.tuples(st.sampled_from(["alloc", "alloc", "alloc", "free", "reap"]), st.integers(0, 2), st.integers(0, 1 << 16)), max_size=120)


@given(STEPS)
def test_objects_never_overlap_and_are_constructed_once(steps: list[tuple[str, int, int]]) -> None:
    slabs, state = allocator(64), Counter[int]()

    def construct(address: int) -> None:
        assert state[address] == 0
        state[address] = 1

    def destroy(address: int) -> None:
        assert state[address] == 1
        state[address] = 0

    caches = [slabs.cache(f"{size} bytes", size, align, construct, destroy, owner=size) for size, align in ((1200, 8), (100, 64), (5000, 16))]
    live: dict[int, SlabCache] = {}
    for kind, which, pick in steps:
        cache = caches[which]
        own = sorted(address for address, home in live.items() if home is cache)
        if kind == "alloc":
            try:
                address = cache.alloc()
            except OutOfFrames:
                continue
            assert address % cache.align == 0 and state[address] == 1
            assert all(address + cache.size <= other or other + home.size <= address for other, home in live.items())
            live[address] = cache
        elif kind == "free" and own:
            address = own[pick % len(own)]
            slabs.free(address) if pick % 2 else cache.free(address)
            del live[address]
        elif kind == "reap":
            n_free = slabs.frames.stats().n_free
            assert cache.reap() + n_free == slabs.frames.stats().n_free
            assert not cache.empty
        slabs.check()
        for cache in caches:
            assert cache.stats().n_live == sum(home is cache for home in live.values())
            assert cache.stats().n_constructed - cache.stats().n_destroyed == cache.stats().n_objects
    for address in live:
        slabs.free(address)
    for cache in caches:
        cache.destroy()
    slabs.check()
    assert not any(state.values()) and slabs.frames.stats().n_used == 0


@pytest.mark.parametrize("policy", SPECS, ids=short)
def test_stands_on_any_policy(policy: str) -> None:
    slabs = allocator(64, policy)
    objects = [slabs.kmalloc(100) for _ in range(100)]
    slabs.check()
    for address in objects:
        slabs.kfree(address)
    assert slabs.reap() > 0 and slabs.frames.stats().n_used == 0
    slabs.check()


def test_partial_slabs_first_then_empty_ones_then_new_ones() -> None:
    slabs = allocator()
    cache = slabs.cache("thing", 1024)                          # four in a frame
    objects = [cache.alloc() for _ in range(12)]
    assert objects == [base + n * 1024 for base in (0, 4096, 8192) for n in range(4)] and len(cache.full) == 3
    for address in (objects[5], objects[0], objects[1], objects[2], objects[3]):
        cache.free(address)
    stats = cache.stats()
    assert (stats.n_full, stats.n_partial, stats.n_empty, stats.n_live) == (1, 1, 1, 7)
    assert cache.alloc() == objects[5], "the partial one, though the other is free and was so later"
    assert [cache.alloc() for _ in range(4)] == [objects[3], objects[2], objects[1], objects[0]], "then the empty one, the last freed first"
    assert cache.alloc() == 12288 and cache.stats().n_grown == 4


def test_takes_empty_slabs_from_others_when_frames_are_scarce() -> None:
    slabs = allocator(4)
    idle, busy = slabs.cache("idle", 4096), slabs.cache("busy", 4096)
    for address in [idle.alloc() for _ in range(3)]:
        idle.free(address)
    assert idle.stats().n_empty == 3
    assert len({busy.alloc() for _ in range(4)}) == 4
    assert idle.stats().n_slabs == 0 and idle.stats().n_reaped == 3
    with pytest.raises(OutOfFrames):
        busy.alloc()
    slabs.check()


def test_reaps_as_many_as_are_asked_for_the_longest_empty_first() -> None:
    slabs = allocator()
    cache = slabs.cache("thing", 4096)
    objects = [cache.alloc() for _ in range(4)]
    for address in (objects[2], objects[0], objects[3]):
        cache.free(address)
    assert cache.reap(2) == 2
    assert [slab.first for slab in cache.empty] == [objects[3]] and [slab.first for slab in cache.full] == [objects[1]]
    slabs.check()


def test_internal_fragmentation_is_what_cannot_hold_objects() -> None:
    cache = allocator().cache("thing", 700)
    assert cache.stats().internal_fragmentation == cache.stats().utilization == 0.0
    cache.alloc()
    assert cache.stats().internal_fragmentation == pytest.approx(1 - 11 * 700 / 8192)
    assert cache.stats().utilization == pytest.approx(700 / 8192)


def test_a_constructor_that_fails_leaves_nothing_behind() -> None:
    slabs, destroyed = allocator(), list[int]()

    def construct(address: int) -> None:
        if address >= 2048:
            raise MemoryError("no buffer")

    cache = slabs.cache("thing", 1024, constructor=construct, destructor=destroyed.append)
    with pytest.raises(MemoryError, match="no buffer"):
        cache.alloc()
    assert destroyed == [0, 1024] and slabs.frames.stats().n_used == 0 and cache.stats().n_slabs == 0
    slabs.check()


# -- sizes ---------------------------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("size, a_class", [(1, 8), (8, 8), (9, 16), (65, 96), (97, 128), (129, 192), (193, 256), (4097, 8192)])
def test_the_smallest_class_that_holds_it(size: int, a_class: int) -> None:
    slabs = allocator()
    address = slabs.kmalloc(size)
    assert slabs.home_of(address)[0].name == f"kmalloc-{a_class}" and a_class in KMALLOC_SIZES
    slabs.kfree(address)
    slabs.check()


def test_what_is_larger_than_any_class_has_frames_of_its_own() -> None:
    slabs = allocator(64, "first-fit")
    address = slabs.kmalloc(20_000)
    assert address % 4096 == 0 and slabs.frames.stats().n_used == 5
    slabs.kfree(address)
    assert slabs.frames.stats().n_used == 0
    with pytest.raises(DoubleFree, match=f"the object at address {address:#x} is free already"):
        slabs.kfree(address)
    with pytest.raises(ValueError, match="at least one byte, not 0"):
        slabs.kmalloc(0)
    again = slabs.kmalloc(10)
    assert again == address, "a slab where the frames were"
    slabs.kfree(again)


# -- what goes wrong -----------------------------------------------------------------------------------------------------------------------

def test_wrong_frees_are_told_apart() -> None:
    slabs = allocator()
    cache, other = slabs.cache("thing", 400, align=16), slabs.cache("other", 64)
    a, b, c = cache.alloc(), cache.alloc(), other.alloc()
    cache.free(a)
    with pytest.raises(DoubleFree, match=f"^DoubleFree: the object at address {a:#x} of cache thing is free already$") as double:
        cache.free(a)
    assert double.value.address == a and double.value.pfn == a // 4096
    for address in (b + 8, b - 1, 4095, 4096 - 64):
        with pytest.raises(Misaligned, match=f"^Misaligned: no object of cache thing begins at address {address:#x}$"):
            slabs.free(address)
    with pytest.raises(Foreign, match=f"^Foreign: address {c:#x} belongs to cache other, not to thing$"):
        cache.free(c)
    for nowhere in (-8, 50 * 4096, 1 << 40):
        with pytest.raises(NotAllocated, match="lies in no slab"):
            slabs.free(nowhere)
    never = b + 400
    with pytest.raises(DoubleFree):
        cache.free(never)
    assert (cache.stats().n_live, other.stats().n_live) == (1, 1)
    slabs.check()


def test_an_object_of_a_slab_that_was_reaped() -> None:
    slabs = allocator()
    cache = slabs.cache("thing", 400)
    address = cache.alloc()
    cache.free(address)
    cache.reap()
    with pytest.raises(NotAllocated, match=f"address {address:#x} lies in no slab"):
        cache.free(address)


def test_a_cache_in_use_is_not_destroyed() -> None:
    slabs = allocator()
    cache = slabs.cache("thing", 400)
    address = cache.alloc()
    with pytest.raises(CacheInUse, match="cache thing has 1 live objects") as busy:
        cache.destroy()
    assert busy.value.n_live == 1
    with pytest.raises(BadInput, match="there is a cache thing already"):
        slabs.cache("thing", 8)
    cache.free(address)
    cache.destroy()
    assert slabs.cache("thing", 8).alloc() >= 0


@pytest.mark.parametrize("size, align, complaint", [
    (0, 8, "at least one byte, not 0"), (8, 3, "a power of two up to 4096, not 3"), (8, 8192, "not 8192")])
def test_numbers_that_make_no_slab(size: int, align: int, complaint: str) -> None:
    with pytest.raises(BadInput, match=complaint):
        allocator().cache("thing", size, align)


@pytest.mark.parametrize("spoil, complaint", [
    (lambda slabs, cache, slab: slab.live.add(3), "neither live nor free, or both"),
    (lambda slabs, cache, slab: slab.free.pop(), "neither live nor free, or both"),
    (lambda slabs, cache, slab: setattr(slab, "first", slab.first + 3), "has its objects 3 bytes in"),
    (lambda slabs, cache, slab: cache.full.update({slab: cache.partial.pop(slab)}), "is among the full with 1 of"),
    (lambda slabs, cache, slab: cache.partial.clear(), "the caches' lists and the index by frame differ"),
    (lambda slabs, cache, slab: slabs.frames.free(slab.pfn), "is not the cache's any more"),
    (lambda slabs, cache, slab: setattr(cache, "_n_frees", 1), "1 objects are live, 0 by its counts"),
    (lambda slabs, cache, slab: setattr(cache, "_n_constructed", 1), "not every object of its slabs is constructed"),
])
def test_the_audit_finds_what_is_wrong(spoil: object, complaint: str) -> None:
    slabs = allocator()
    cache = slabs.cache("thing", 400)
    cache.alloc()
    slabs.check()
    spoil(slabs, cache, next(cache.slabs()))  # type: ignore[operator]
    with pytest.raises(BrokenInvariant, match=complaint):
        slabs.check()
