"""The heap: bytes for a user, out of whole frames. The same story as the frames', one level further up.

A heap is a range of virtual addresses, backed frame by frame by a frame manager, that grows at its top, as ``brk`` does. It is cut into
*granules* of `alignment` bytes, and who places what is a policy, any of those for frames: blocks are runs of granules.

    base                                                                                     the break
     | pad | header  payload . . . . . rest | header  payload . rest | free granules . . . . |
           ^ granule 0                      ^ a block begins at a granule, its payload at a multiple of the alignment

A *block* is a header (the size word of a real heap: its bytes are counted, what would be in them lives in Python) and the payload, rounded up
to whole granules. ``pad``, once a heap, moves all payloads to multiples of the alignment. The rules are those of R. Bryant and D. O'Hallaron,
Computer Systems: A Programmer's Perspective, section 9.9, and of D. Lea, "A memory allocator", 1996, whose heap is glibc's.

*Split threshold*: when fewer than so many bytes would be left free behind a block, the block keeps them. *Trim threshold*: when so many bytes
are free at the top, its whole frames go back to the frame manager. Both, and growth in place into free granules, need a policy that can give up
certain granules (`kernel_sim.granules`); `Heap.can_take` says whether it can.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass

from kernel_sim.allocators.base import Policy
from kernel_sim.allocators.plain import load_policy
from kernel_sim.arena import Arena
from kernel_sim.errors import BadFree, BadInput, DoubleFree, HeapFull, InteriorFree, NotAllocated, OutOfFrames, OutOfRange
from kernel_sim.frames import FREE
from kernel_sim.heap_stats import HeapCounts, HeapStats
from kernel_sim.manager import FrameManager
from kernel_sim.units import FRAME_BYTES

DEFAULT_BASE = 0x1000_0000
DEFAULT_FRAMES = 1 << 16
"""Behind a heap to which nobody gave a frame manager: 256 MiB, of which the host only feels what is used."""


@dataclass
class Block:
    """A live block: granules `first` to `first + granted`, of which the frame table knows `asked` as asked for, and `size` bytes of payload."""

    first: int
    asked: int
    granted: int
    size: int


class Heap:
    """`alloc`, `free`, `realloc` of bytes at virtual addresses.

    `policy` places blocks among the granules; `frames` is the manager that the heap's frames come from (by default one of its own, of 256 MiB).
    `header`, `alignment` (a power of two, the size of a granule), `split` and `trim` are in bytes, as above; `trim` None: it never shrinks.
    `growth` is the least number of frames by which it grows, and has from the start. `base` is the address of its first frame, `owner` who it
    asks for frames as. BadInput for numbers that make no heap, BadPolicy for a policy, HeapFull when there are not even the first frames.
    """

    def __init__(self, policy: str | type | Policy = "first-fit", frames: FrameManager | None = None, *, header: int = 8, alignment: int = 16,
                 split: int = 32, trim: int | None = 128 << 10, growth: int = 1, base: int = DEFAULT_BASE, owner: int = 0) -> None:
        _check(header, alignment, split, trim, growth, base)
        self.header, self.alignment, self.split, self.trim, self.growth = header, alignment, split, trim, growth
        frames = frames or FrameManager(DEFAULT_FRAMES, load_policy("page-stack", uncompiled=True))
        self.live: dict[int, Block] = {}        # by the address of the payload
        self._freed: dict[int, int] = {}        # address -> the operation that freed it last
        self._n_operations = 0
        self.counts = HeapCounts()
        try:
            self.arena = Arena(policy, frames, growth, base, -header % alignment, alignment, owner)
        except OutOfFrames as error:
            raise HeapFull(f"HeapFull: there are no frames for a heap: {error}", size_bytes=0, heap_bytes=0) from None
        self.granules = self.arena.granules

    # -- bytes ------------------------------------------------------------------------------------------------------------------------

    def alloc(self, size: int) -> int:
        """The address of `size` bytes, 0 or more. HeapFull when there is no room; ValueError below 0."""
        size = _checked(size)
        self._n_operations += 1
        try:
            address = self._place(size)
        except HeapFull:
            self.counts.n_failed += 1
            raise
        self.counts.n_allocs += 1
        self._count_payload(size)
        return address

    def free(self, address: int) -> None:
        """Give a block back. DoubleFree, InteriorFree, OutOfRange or NotAllocated for any other address; nothing is changed then."""
        self._n_operations += 1
        block = self._block_at(address)
        self._release(block, address)
        self.counts.n_frees += 1
        self._count_payload(-block.size)

    def realloc(self, address: int | None, size: int) -> int | None:
        """Make a block larger or smaller, where it lies if that can be: its address then. Of None it is an `alloc`; with size 0 a `free`, and None.

        HeapFull when there is no room, and the block stays as it was; BadFree for an address that is no block's.
        """
        size = _checked(size)
        if address is None:
            return self.alloc(size)
        if size == 0:
            self.free(address)
            return None
        self._n_operations += 1
        block = self._block_at(address)
        try:
            in_place = self._resize(block, self._granules_for(size))
            moved = address if in_place else self._move(block, address, size)
        except HeapFull:
            self.counts.n_failed += 1
            raise
        self._count_payload(size - block.size)
        block.size = size
        self.counts.n_reallocs += 1
        self.counts.n_in_place += in_place
        return moved

    # -- looking ----------------------------------------------------------------------------------------------------------------------

    @property
    def heap_bytes(self) -> int:
        """The size of the heap now: whole frames."""
        return self.arena.size_bytes

    @property
    def can_take(self) -> bool:
        """Whether the policy can give up certain granules. Without it nothing is trimmed, no splinter kept, and only the block at the top grows."""
        return self.granules.can_take

    def size_of(self, address: int) -> int:
        """The payload of a live block, in bytes. BadFree for an address that is no block's."""
        return self._block_at(address).size

    def blocks(self) -> list[tuple[int, int]]:
        """The live blocks as (address, payload in bytes), by address."""
        return sorted((address, block.size) for address, block in self.live.items())

    def physical(self, address: int) -> int:
        """The physical address behind a virtual one. OutOfRange outside the heap."""
        if not self.arena.base <= address < self.arena.end:
            raise self._refusal(address)
        page, offset = divmod(address - self.arena.base, FRAME_BYTES)
        return self.arena.pages[page] * FRAME_BYTES + offset

    def stats(self) -> HeapStats:
        """Bytes and operations so far."""
        of_granules = self.granules.stats()
        return HeapStats(**vars(self.counts), heap_bytes=self.heap_bytes, peak_heap_bytes=self.arena.peak_bytes,
                         free_bytes=of_granules.n_free * self.alignment, largest_free_bytes=self.granules.largest_free_run() * self.alignment,
                         examined=of_granules.examined, splits=of_granules.splits, merges=of_granules.merges)

    def check(self) -> None:
        """The whole audit: of the granules, the frames below, and the blocks between them. BrokenInvariant names what does not fit."""
        from kernel_sim.heap_audit import audit

        audit(self)

    # -- blocks -----------------------------------------------------------------------------------------------------------------------

    def _place(self, size: int) -> int:
        """A new block, in a larger heap if need be."""
        n = self._granules_for(size)
        first, granted = self.granules.try_alloc(n) or self._place_higher(n, size)
        block = Block(first, n, granted, size)
        self._count_granted(granted)
        if granted == n:
            self._keep_splinter(block)
        address = self.arena.address_of(first) + self.header
        self.live[address] = block
        self._freed.pop(address, None)
        return address

    def _place_higher(self, n: int, size: int) -> tuple[int, int]:
        """Grow, and try again: by what is missing at the top; by all of it, for a policy that does not coalesce; once more, for one that aligns."""
        if n > self.granules.limit:
            raise self._full(size, f"its frames hold no more than {self.granules.limit * self.alignment} bytes")
        granted = self.granules.granted(n)
        if granted == 0:
            raise self._full(size, f"{self.granules.policy.name} never gives so many at once here")
        for missing in (n - self.granules.free_at_top(), granted, granted):
            self._grow(max(missing, 1), size)
            found = self.granules.try_alloc(n)
            if found is not None:
                return found
        raise self._full(size, f"{self.granules.policy.name} found no place in a heap that has grown for it")

    def _keep_splinter(self, block: Block) -> None:
        """Let a block keep the free granules behind it when they are too few to be of use."""
        threshold = self.split // self.alignment
        end = block.first + block.granted
        n_free = self.granules.free_from(end, threshold) if threshold > 1 else 0
        if 0 < n_free < threshold and self.granules.lengthen(end, n_free):
            self._enlarge(block, n_free)

    def _release(self, block: Block, address: int) -> None:
        """Give a block's granules back, and with them, if there are many at the top, frames."""
        self.granules.free(block.first)
        del self.live[address]
        self._freed[address] = self._n_operations
        self._count_granted(-block.granted)
        self._trim()

    def _resize(self, block: Block, n: int) -> bool:
        """Give a block n granules where it is: what it has, fewer, or more from behind it. False when there are not as many."""
        if n <= block.granted:
            self._cut(block, n)
            return True
        end, missing = block.first + block.granted, n - block.granted
        n_free = self.granules.free_from(end, missing)
        if n_free < missing:
            return end + n_free == self.granules.end and self._resize_at_top(block, n_free, missing - n_free)
        if not self.granules.lengthen(end, missing):
            return False
        self._enlarge(block, missing)
        self._keep_splinter(block)
        return True

    def _cut(self, block: Block, n: int) -> None:
        """Give back what a block has beyond n granules, unless that is too little to be of use, or padding that only goes with the block."""
        if block.asked > n and (block.granted - n) * self.alignment >= self.split:
            self.granules.free(block.first + n, block.asked - n)
            self._count_granted(n - block.granted)
            block.asked = block.granted = n
            self._trim()

    def _resize_at_top(self, block: Block, n_free: int, beyond: int) -> bool:
        """Move the break up for a block with nothing but `n_free` free granules above it. False when there are no more frames."""
        end = block.first + block.granted
        if n_free and not self.granules.lengthen(end, n_free):
            return False
        try:
            self._grow(beyond, block.size, into=beyond)
        except HeapFull:
            if n_free:
                self.granules.free(end, n_free)
            return False
        self._enlarge(block, n_free + beyond)
        return True

    def _move(self, block: Block, address: int, size: int) -> int:
        """A new block with the payload of an old one, as far as it goes."""
        moved = self._place(size)
        self.counts.bytes_copied += min(size, block.size)
        self._release(block, address)
        return moved

    def _enlarge(self, block: Block, n: int) -> None:
        block.granted += n
        block.asked = block.granted
        self._count_granted(n)

    def _count_granted(self, n_granules: int) -> None:
        self.counts.granted_bytes += n_granules * self.alignment

    def _count_payload(self, more: int) -> None:
        counts = self.counts
        counts.payload_bytes += more
        counts.peak_payload_bytes = max(counts.peak_payload_bytes, counts.payload_bytes)

    def _granules_for(self, size: int) -> int:
        """How many a block takes."""
        return max(-(-(self.header + size) // self.alignment), 1)

    def _grow(self, n_granules: int, size: int, into: int = 0) -> None:
        """Move the break up by at least so many granules, of which the block at the top gets `into`."""
        try:
            self.arena.grow(n_granules, self.growth, into)
        except OutOfFrames as error:
            raise self._full(size, str(error)) from None
        self.counts.n_grows += 1

    def _trim(self) -> None:
        """Move the break down if enough is free below it."""
        if self.trim is not None and self.can_take and self.arena.trim(self.trim):
            self.counts.n_shrinks += 1

    # -- refusals ---------------------------------------------------------------------------------------------------------------------

    def _full(self, size: int, why: str) -> HeapFull:
        return HeapFull(f"HeapFull: {size} bytes asked for, of a heap of {self.heap_bytes}: {why}", size_bytes=size, heap_bytes=self.heap_bytes)

    def _block_at(self, address: int) -> Block:
        """The live block whose payload begins there."""
        block = self.live.get(address)
        if block is None:
            raise self._refusal(address)
        return block

    def _refusal(self, address: int) -> BadFree:
        """Why nothing can be done with an address that is no live block's."""
        base, end = self.arena.base, self.arena.end
        if not base <= address < end:
            return OutOfRange(f"OutOfRange: address {address:#x} lies outside the heap, {base:#x} to {end:#x}", pfn=-1, address=address)
        pfn, granule = self.arena.pages[(address - base) // FRAME_BYTES], self.arena.granule_at(address)
        if 0 <= granule < self.granules.end and self.granules.table.frames[granule]["state"] != FREE:
            first, block = next((at, block) for at, block in self.live.items() if block.first <= granule < block.first + block.granted)
            return InteriorFree(f"InteriorFree: address {address:#x} lies inside the block at {first:#x}, of {block.size} bytes", pfn=pfn,
                                address=address)
        if address in self._freed:
            event = self._freed[address]
            return DoubleFree(f"DoubleFree: the block at {address:#x} was already freed, by operation {event}", pfn=pfn, event=event, address=address)
        return NotAllocated(f"NotAllocated: no block begins at address {address:#x}", pfn=pfn, address=address)


def _checked(size: int) -> int:
    """A size as one of Python's own numbers."""
    size = operator.index(size)
    if size < 0:
        raise ValueError(f"a block has 0 bytes or more, not {size}")
    return size


def _check(header: int, alignment: int, split: int, trim: int | None, growth: int, base: int) -> None:
    """BadInput for numbers that make no heap."""
    if not 8 <= alignment <= FRAME_BYTES or alignment & (alignment - 1):
        raise BadInput(f"heap: the alignment is a power of two from 8 to {FRAME_BYTES}, not {alignment}")
    if not 0 <= header <= FRAME_BYTES:
        raise BadInput(f"heap: a header has between 0 and {FRAME_BYTES} bytes, not {header}")
    if split < 0 or (trim is not None and trim < 0):
        raise BadInput(f"heap: the split and the trim threshold are 0 bytes or more, not {split} and {trim}")
    if growth < 1:
        raise BadInput(f"heap: it grows by at least 1 frame, not by {growth}")
    if base < 0 or base % FRAME_BYTES:
        raise BadInput(f"heap: its base is the address of a frame, a multiple of {FRAME_BYTES}, not {base:#x}")
