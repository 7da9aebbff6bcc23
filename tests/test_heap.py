"""The heap: against a list of granules, against sums by hand, and against every mistake a program makes with its heap."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest
from contract.specs import PLAIN, SPECS, short
from hypothesis import given
from hypothesis import strategies as st

from kernel_sim import (
    BadInput,
    BrokenInvariant,
    DoubleFree,
    FrameManager,
    HeapFull,
    InteriorFree,
    NotAllocated,
    OutOfRange,
    load_policy,
)
from kernel_sim.allocators.base import Policy
from kernel_sim.heap import DEFAULT_BASE, Heap

GRANULES_A_FRAME = 256


def interpreted(spec: str) -> Policy:
    return load_policy(spec, uncompiled=True)


def heap(spec: str = "first-fit", n_frames: int = 1024, **options: int | None) -> Heap:
    """A heap in the interpreter, with frames of its own."""
    return Heap(interpreted(spec), FrameManager(n_frames, interpreted("page-stack")), **options)  # type: ignore[arg-type]


@dataclass
class Model:
    """A heap under first fit as a list with an element a granule: None, or whose it is. Blocks are known by their first granule."""

    trim: int
    cells: list[int | None] = field(default_factory=lambda: [None] * 255)      # of the first frame's 256 the padding takes a half, and so one
    sizes: dict[int, int] = field(default_factory=dict)

    def granules(self, size: int) -> int:
        return (8 + size + 15) // 16

    def top(self) -> int:
        """Free granules at the top."""
        n = 0
        while n < len(self.cells) and self.cells[-1 - n] is None:
            n += 1
        return n

    def raise_break(self, missing: int) -> None:
        while missing > 0:
            self.cells += [None] * GRANULES_A_FRAME
            missing -= GRANULES_A_FRAME

    def lowest(self, n: int) -> int | None:
        return next((at for at in range(len(self.cells) - n + 1) if all(cell is None for cell in self.cells[at:at + n])), None)

    def alloc(self, size: int) -> int:
        n = self.granules(size)
        at = self.lowest(n)
        if at is None:
            self.raise_break(n - self.top())
            at = self.lowest(n)
        assert at is not None
        self.cells[at:at + n] = [at] * n
        self.sizes[at] = size
        self.keep_splinter(at)
        return at

    def end_of(self, at: int) -> int:
        end = at
        while end < len(self.cells) and self.cells[end] == at:
            end += 1
        return end

    def keep_splinter(self, at: int) -> None:
        """A single granule is less than the 32 bytes worth splitting off."""
        end = self.end_of(at)
        if self.cells[end:end + 1] == [None] and self.cells[end + 1:end + 2] != [None]:
            self.cells[end] = at

    def free(self, at: int) -> None:
        self.cells = [None if cell == at else cell for cell in self.cells]
        del self.sizes[at]
        self.lower_break()

    def lower_break(self) -> None:
        if self.top() * 16 >= self.trim:
            while self.top() >= GRANULES_A_FRAME and len(self.cells) > 255:
                del self.cells[-GRANULES_A_FRAME:]

    def realloc(self, at: int, size: int) -> int:
        n, end = self.granules(size), self.end_of(at)
        if n <= end - at:
            if end - at - n >= 2:
                self.cells[at + n:end] = [None] * (end - at - n)
                self.lower_break()
            self.sizes[at] = size
            return at
        free = 0
        while end + free < len(self.cells) and free < n - (end - at) and self.cells[end + free] is None:
            free += 1
        at_top = end + free == len(self.cells)
        if free == n - (end - at) or at_top:
            if free < n - (end - at):
                self.raise_break(n - (end - at) - free)
                self.cells[at:at + n] = [at] * n
            else:
                self.cells[at:at + n] = [at] * n
                self.keep_splinter(at)
            self.sizes[at] = size
            return at
        moved = self.alloc(size)
        self.free(at)
        return moved

    def address(self, at: int) -> int:
        return DEFAULT_BASE + 8 + 16 * at + 8


SIZES = st.one_of(st.integers(0, 200), st.integers(0, 9000))
REQUESTS = st.lists(st.tuples(st.sampled_from(["alloc", "alloc", "free", "realloc"]), st.integers(0, 1 << 16), SIZES), max_size=40)


@given(REQUESTS)
def test_places_as_the_model_does(requests: list[tuple[str, int, int]]) -> None:
    """First fit, address by address, together with growth, splinters, resizing in place and trimming."""
    ours, model, peak = heap(trim=8192), Model(trim=8192), 0
    for kind, which, size in requests:
        live = sorted(model.sizes)
        at = live[which % len(live)] if live else None
        if kind == "alloc" or at is None:
            assert ours.alloc(size) == model.address(model.alloc(size))
        elif kind == "free" or size == 0:
            ours.free(model.address(at))
            model.free(at)
        else:
            assert ours.realloc(model.address(at), size) == model.address(model.realloc(at, size))
        peak = max(peak, sum(model.sizes.values()))
        assert ours.heap_bytes == (len(model.cells) + 1) * 16
        assert ours.blocks() == sorted((model.address(at), size) for at, size in model.sizes.items())
    ours.check()
    assert ours.stats().peak_payload_bytes == peak
    used = sum(cell is not None for cell in model.cells)
    assert ours.stats().granted_bytes == 16 * used and ours.stats().free_bytes == 16 * (len(model.cells) - used)


@pytest.mark.parametrize("spec", SPECS, ids=short)
def test_every_policy_keeps_a_heap(spec: str) -> None:
    """Payloads are aligned, and disjoint by the audit; what the policy cannot give is HeapFull; at the end all granules are free."""
    ours, rng, live, refused = heap(spec, 256, trim=20_000), random.Random(5), list[int](), list[str]()
    for step in range(300):
        try:
            if rng.random() < 0.5 or not live:
                live.append(ours.alloc(rng.choice([0, 8, 24, 100, 1000, 5000])))
            elif rng.random() < 0.5:
                at = rng.randrange(len(live))
                live[at] = ours.realloc(live[at], rng.choice([1, 50, 500, 3000])) or 0
            else:
                ours.free(live.pop(rng.randrange(len(live))))
        except HeapFull as error:
            refused.append(str(error))
        if step % 60 == 0:
            ours.check()
    assert all("never gives so many at once" in message for message in refused)
    assert all(address % 16 == 0 for address in live) and len(set(live)) == len(live)
    for address in live:
        ours.free(address)
    ours.check()
    stats = ours.stats()
    assert (stats.payload_bytes, stats.granted_bytes) == (0, 0)
    assert stats.n_allocs + stats.n_failed + stats.n_frees + stats.n_reallocs == 300 + len(live)
    if ours.can_take:
        assert stats.heap_bytes < 20_000 + 4096 and stats.n_shrinks > 0


# -- by hand -------------------------------------------------------------------------------------------------------------------------------

def test_a_block_is_header_payload_and_rounding() -> None:
    ours = heap()
    first, second = ours.alloc(24), ours.alloc(25)
    assert (first, second) == (DEFAULT_BASE + 16, DEFAULT_BASE + 48)        # 8 of padding, 8 of header; 32 bytes on
    assert ours.stats().granted_bytes == 32 + 48 and ours.stats().payload_bytes == 49
    assert ours.stats().internal_fragmentation == pytest.approx(1 - 49 / 80)


@pytest.mark.parametrize("header, alignment, size, granted", [
    (8, 16, 8, 16), (8, 16, 9, 32), (16, 16, 16, 32), (8, 8, 1, 16), (0, 16, 0, 16), (4, 8, 4, 8), (24, 16, 8, 32), (8, 64, 57, 128)])
def test_header_and_alignment(header: int, alignment: int, size: int, granted: int) -> None:
    ours = heap(header=header, alignment=alignment, split=0)
    addresses = [ours.alloc(size) for _ in range(10)]
    assert all(address % alignment == 0 for address in addresses)
    assert addresses[1] - addresses[0] == granted and ours.stats().granted_bytes == 10 * granted
    assert addresses[0] - header >= DEFAULT_BASE
    ours.check()


def test_grows_in_place_into_free_granules() -> None:
    ours = heap()
    first, second, third = ours.alloc(100), ours.alloc(100), ours.alloc(100)
    ours.free(second)
    assert ours.realloc(first, 200) == first and ours.realloc(first, 230) != first
    ours.free(third)
    assert ours.stats().n_in_place == 1 and ours.stats().bytes_copied == 200
    ours.check()


def test_shrinks_in_place_and_the_tail_is_free() -> None:
    ours = heap()
    first, behind = ours.alloc(1000), ours.alloc(8)
    assert ours.realloc(first, 100) == first
    assert ours.alloc(800) == first + 112 and ours.realloc(behind, 9) != 0
    ours.check()


def test_the_block_at_the_top_grows_with_the_heap() -> None:
    """Under any policy, also one that cannot give up certain granules: what is new goes to the block at once."""
    for spec in ("first-fit", PLAIN):
        ours = heap(spec)
        first = ours.alloc(255 * 16 - 8)                         # all granules
        assert ours.realloc(first, 10_000) == first and ours.heap_bytes == 12288
        assert ours.stats().bytes_copied == 0
        ours.check()


def test_a_policy_that_cannot_give_up_granules_moves_and_never_shrinks() -> None:
    ours = heap(PLAIN, trim=0)
    first, second = ours.alloc(100), ours.alloc(100)
    ours.free(second)
    assert not ours.can_take and ours.realloc(first, 150) != first
    before = ours.alloc(100_000)
    ours.free(before)
    assert ours.stats().n_shrinks == 0 and ours.heap_bytes > 100_000


def test_gives_frames_back_when_enough_is_free_at_the_top() -> None:
    frames = FrameManager(256, interpreted("buddy"))
    ours = Heap(interpreted("first-fit"), frames, trim=16384, owner=3)
    low, high = ours.alloc(5000), ours.alloc(20_000)
    assert frames.stats().n_used == len(ours.arena.pages) == 7 and frames.owner_of(ours.arena.pages[0]) == 3
    ours.free(high)
    assert frames.stats().n_used == 2 and ours.stats().n_shrinks == 1 and ours.stats().peak_heap_bytes == 7 * 4096
    ours.free(low)
    ours.check()


def test_an_address_has_a_frame_behind_it() -> None:
    frames = FrameManager(64, interpreted("buddy"))
    taken = frames.alloc(1)
    ours = Heap(interpreted("first-fit"), frames)
    address = ours.alloc(9000)
    assert taken not in ours.arena.pages
    assert ours.physical(address + 5000) == ours.arena.pages[1] * 4096 + (address + 5000) % 4096
    with pytest.raises(OutOfRange):
        ours.physical(ours.arena.end)


def test_a_policy_that_rounds_up_lends_its_padding() -> None:
    """Buddy: 5 granules are given 8; growing to 8 stays in place and costs nothing, cutting to 3 gives back what is left of the block."""
    ours = heap("buddy")
    address = ours.alloc(72)
    assert ours.stats().granted_bytes == 128
    assert ours.realloc(address, 120) == address and ours.stats().granted_bytes == 128
    assert ours.realloc(address, 40) == address and ours.stats().granted_bytes == 48
    ours.check()
    ours.free(address)
    assert ours.stats().granted_bytes == 0
    ours.check()


def test_realloc_of_none_and_to_nothing() -> None:
    ours = heap()
    address = ours.realloc(None, 10)
    assert address is not None and ours.size_of(address) == 10
    assert ours.realloc(address, 0) is None and ours.blocks() == []
    assert (ours.stats().n_allocs, ours.stats().n_frees, ours.stats().n_reallocs) == (1, 1, 0)


# -- what goes wrong -----------------------------------------------------------------------------------------------------------------------

def test_wrong_frees_are_told_apart() -> None:
    ours = heap()
    first, second = ours.alloc(100), ours.alloc(100)
    ours.free(first)
    before = ours.blocks()
    with pytest.raises(DoubleFree, match=r"^DoubleFree: the block at 0x10000010 was already freed, by operation 3$") as double:
        ours.free(first)
    assert double.value.address == first and double.value.event == 3 and double.value.pfn == ours.arena.pages[0]
    with pytest.raises(InteriorFree, match=rf"address {second + 8:#x} lies inside the block at {second:#x}, of 100 bytes"):
        ours.free(second + 8)
    with pytest.raises(NotAllocated, match="no block begins at address"):
        ours.free(second + 1024)
    with pytest.raises(OutOfRange, match=r"address 0x8 lies outside the heap, 0x10000000 to 0x10001000"):
        ours.realloc(8, 5)
    assert ours.blocks() == before and ours.stats().n_frees == 1
    ours.check()


def test_a_freed_address_in_a_new_block_is_inside_it() -> None:
    ours = heap()
    first, second = ours.alloc(100), ours.alloc(100)
    ours.free(first)
    ours.free(second)
    ours.alloc(300)
    with pytest.raises(InteriorFree):
        ours.free(second)


def test_a_full_heap_changes_nothing() -> None:
    frames = FrameManager(4, interpreted("page-stack"))
    ours = Heap(interpreted("first-fit"), frames)
    address = ours.alloc(5000)
    with pytest.raises(HeapFull, match=r"^HeapFull: 12000 bytes asked for, of a heap of 8192: OutOfFrames: 1 frame asked for, 0 free$") as full:
        ours.alloc(12_000)
    assert (full.value.size_bytes, full.value.heap_bytes) == (12_000, 8192)
    for too_much in (16_400, 20_000):
        with pytest.raises(HeapFull, match="its frames hold no more than 16368 bytes"):
            ours.realloc(address, too_much)
    assert ours.blocks() == [(address, 5000)] and frames.stats().n_used == 2 and ours.stats().n_failed == 3
    ours.check()
    assert ours.realloc(address, 16000) == address
    with pytest.raises(HeapFull, match="there are no frames for a heap"):
        Heap(interpreted("first-fit"), frames)


def test_a_policy_that_never_gives_so_much() -> None:
    with pytest.raises(HeapFull, match="page-stack never gives so many at once here"):
        heap("page-stack").alloc(100)
    with pytest.raises(HeapFull, match="buddy never gives so many at once here"):
        heap("buddy").alloc(1 << 20)


@pytest.mark.parametrize("options, complaint", [
    ({"alignment": 24}, "a power of two from 8 to 4096, not 24"), ({"alignment": 4}, "a power of two"),
    ({"header": -1}, "between 0 and 4096 bytes, not -1"), ({"split": -1}, "0 bytes or more"), ({"trim": -5}, "0 bytes or more"),
    ({"growth": 0}, "at least 1 frame, not by 0"), ({"base": 100}, "a multiple of 4096")])
def test_numbers_that_make_no_heap(options: dict[str, int], complaint: str) -> None:
    with pytest.raises(BadInput, match=f"heap: .*{complaint}"):
        heap(**options)


def test_sizes_below_nothing() -> None:
    with pytest.raises(ValueError, match="0 bytes or more, not -1"):
        heap().alloc(-1)


class Beyond:
    """Gives out what lies beyond the break."""

    def __init__(self, zone: object) -> None:
        self.given = 100

    def alloc(self, n_frames: int) -> int:
        self.given += 100
        return self.given

    def free(self, pfn: int, n_frames: int) -> None:
        pass


def test_a_policy_that_gives_out_what_is_not_there() -> None:
    ours = Heap(Beyond, FrameManager(64, interpreted("page-stack")))
    ours.alloc(8)
    with pytest.raises(BadInput, match="policy Beyond gave out frame 0xff: no frame of its zone"):
        ours.alloc(8)


@pytest.mark.parametrize("spoil, complaint", [
    (lambda ours, block: setattr(block, "size", 99), "0x10000010 is too small for its 99 bytes"),
    (lambda ours, block: setattr(block, "first", 1), "0x10000010 overlaps the one before it, or lies elsewhere"),
    (lambda ours, block: ours.granules.free(0), "granules belong to live blocks, 0 are in use by the granules' own count, and 48 bytes"),
    (lambda ours, block: ours.arena.pages.append(5), "has 255 granules, which is not what its 2 frames hold"),
    (lambda ours, block: setattr(ours.counts, "payload_bytes", 1), "have 40 bytes of payload, and 1 by the heap's count"),
])
def test_the_audit_finds_what_is_wrong(spoil: object, complaint: str) -> None:
    ours = heap()
    ours.alloc(40)
    ours.check()
    spoil(ours, next(iter(ours.live.values())))  # type: ignore[operator]
    with pytest.raises(BrokenInvariant, match=complaint):
        ours.check()
