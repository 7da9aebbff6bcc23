"""Slabs: caches of objects that are all alike, on top of any policy for frames.

Source: J. Bonwick, "The Slab Allocator: An Object-Caching Kernel Memory Allocator", USENIX Summer 1994.

Idea: a *cache* holds objects of one size. Its memory is *slabs*, runs of a few frames cut into objects and nothing else:

    frame(s) of one slab     | colour | object | object | object | … | unused | slab header |

Taking an object is taking it off its slab's free list, and there is nothing to search, to split or to coalesce. A slab is *full* (every object
is live), *partial*, or *empty*; objects come from partial slabs first, so that empty ones stay so and can be given back (*reaped*) when frames
are scarce. A *constructor* runs once for each object when its slab is made, and not for each allocation: objects come back as they were
constructed. The bytes that are left over shift the objects of each new slab by a *colour*, so that equal fields of different slabs do not
meet in the same lines of the processor's cache.

Invariant: every object of a slab is either live or on its slab's free list; a slab is on the one list that its live objects say.

A slab has the fewest frames, a power of two up to 8, that leave at most an eighth of it unused (section 3.2.2); larger objects have a slab
each. Objects of less than an eighth of a frame share it with the slab's header, at its end; that of larger ones is elsewhere (3.2.1). What a
header and a free list would hold lives in Python, here as in the frame table: frames are the guest's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from kernel_sim.errors import BadInput, BrokenInvariant, CacheInUse, DoubleFree, Foreign, Misaligned, NotAllocated, OutOfFrames
from kernel_sim.manager import FrameManager
from kernel_sim.slab_layout import CacheStats, layout_for
from kernel_sim.units import FRAME_BYTES, Pfn

KMALLOC_SIZES = (8, 16, 32, 64, 96, 128, 192, 256, 512, 1024, 2048, 4096, 8192)
"""Size classes as Linux has them (mm/slab_common.c). Larger requests get frames of their own."""

Callback = Callable[[int], None]
"""A constructor or destructor: it is told the object's address."""


@dataclass(eq=False)
class Slab:
    """A run of frames, cut into objects. `free` is the stack of the free ones' numbers; the last is taken first."""

    pfn: Pfn
    first: int                  # the address of the first object, behind the colour
    free: list[int]
    live: set[int] = field(default_factory=set)


class SlabCache:
    """Objects of `size` bytes, aligned to `align`. Made by `SlabAllocator.cache`.

    Of the partial slabs the one that has been so for the longest serves, then an empty one, then a new one. On a slab the object that was freed
    last is taken first, and at the beginning the lowest.
    """

    def __init__(self, allocator: SlabAllocator, name: str, size: int, align: int, constructor: Callback | None, destructor: Callback | None,
                 owner: int) -> None:
        self.allocator, self.name, self.size, self.align, self.owner = allocator, name, size, align, owner
        self.layout = layout_for(size, align)
        self._constructor, self._destructor = constructor, destructor
        self.full: dict[Slab, None] = {}        # lists, in the order in which slabs came to them
        self.partial: dict[Slab, None] = {}
        self.empty: dict[Slab, None] = {}
        self._colour = 0
        self._n_allocs = self._n_frees = self._n_grown = self._n_reaped = self._n_constructed = self._n_destroyed = 0

    # -- objects ----------------------------------------------------------------------------------------------------------------------

    def alloc(self) -> int:
        """An object, constructed: its address. OutOfFrames when there are no frames for a new slab, not even after reaping all caches."""
        slab = next(iter(self.partial), None) or next(iter(self.empty), None) or self._grow()
        home = self._list_of(slab)
        number = slab.free.pop()
        slab.live.add(number)
        self._settle(slab, home)
        self._n_allocs += 1
        return slab.first + number * self.layout.stride

    def free(self, address: int) -> None:
        """Give an object back. DoubleFree, Misaligned, Foreign or NotAllocated for any other address; nothing is changed then."""
        slab, number = self._find(address)
        home = self._list_of(slab)
        slab.live.remove(number)
        slab.free.append(number)
        self._settle(slab, home)
        self._n_frees += 1

    def reap(self, most: int | None = None) -> int:
        """Give empty slabs back, the longest empty first: all, or as many as `most`. Their objects are destroyed. Returns the number of frames."""
        slabs = list(self.empty)[:most]
        for slab in slabs:
            del self.empty[slab]
            self._dissolve(slab, self.layout.n_objects)
            self._n_reaped += 1
        return len(slabs) * self.layout.n_frames

    def destroy(self) -> None:
        """Give all slabs back and forget the cache. CacheInUse while objects are live."""
        n_live = sum(len(slab.live) for slab in self.slabs())
        if n_live:
            raise CacheInUse(f"CacheInUse: cache {self.name} has {n_live} live objects", n_live=n_live)
        self.reap()
        self.allocator.forget(self)

    # -- looking ----------------------------------------------------------------------------------------------------------------------

    def slabs(self) -> Iterator[Slab]:
        """All of them: full, partial, empty."""
        for slabs in (self.full, self.partial, self.empty):
            yield from slabs

    def stats(self) -> CacheStats:
        """How the cache stands."""
        n_slabs = len(self.full) + len(self.partial) + len(self.empty)
        return CacheStats(len(self.full), len(self.partial), len(self.empty), n_slabs * self.layout.n_objects,
                          sum(len(slab.live) for slab in self.slabs()), self._n_allocs, self._n_frees, self._n_grown, self._n_reaped,
                          self._n_constructed, self._n_destroyed, self.size, n_slabs * self.layout.slab_bytes)

    def check(self) -> None:
        """The audit. BrokenInvariant names the slab and what is wrong with it."""
        layout = self.layout
        for name, slabs in (("full", self.full), ("partial", self.partial), ("empty", self.empty)):
            for slab in slabs:
                where = f"cache {self.name}: the slab at frame {slab.pfn:#x}"
                if self._list_of(slab) is not slabs:
                    raise BrokenInvariant(f"{where} is among the {name} with {len(slab.live)} of {layout.n_objects} objects live")
                if sorted([*slab.free, *slab.live]) != list(range(layout.n_objects)):
                    raise BrokenInvariant(f"{where} has an object that is neither live nor free, or both")
                colour = slab.first - slab.pfn * FRAME_BYTES
                if colour % self.align or not 0 <= colour <= layout.unused:
                    raise BrokenInvariant(f"{where} has its objects {colour} bytes in")
        n_live = sum(len(slab.live) for slab in self.slabs())
        if n_live != self._n_allocs - self._n_frees:
            raise BrokenInvariant(f"cache {self.name}: {n_live} objects are live, {self._n_allocs - self._n_frees} by its counts")
        if self._n_constructed - self._n_destroyed != sum(1 for _ in self.slabs()) * layout.n_objects:
            raise BrokenInvariant(f"cache {self.name}: not every object of its slabs is constructed")

    # -- slabs ------------------------------------------------------------------------------------------------------------------------

    def _list_of(self, slab: Slab) -> dict[Slab, None]:
        """The list that a slab's live objects put it on."""
        if not slab.live:
            return self.empty
        return self.partial if slab.free else self.full

    def _settle(self, slab: Slab, home: dict[Slab, None]) -> None:
        """Move a slab to the end of the list where it belongs now."""
        now = self._list_of(slab)
        if now is not home:
            del home[slab]
            now[slab] = None

    def _grow(self) -> Slab:
        """A new slab: frames, a colour, and every object constructed. If a constructor raises, all of it is undone."""
        layout = self.layout
        pfn = self.allocator.alloc_frames(layout.n_frames, self.owner)
        slab = Slab(pfn, pfn * FRAME_BYTES + self._colour * self.align, list(range(layout.n_objects - 1, -1, -1)))
        self.allocator.enter(self, slab)
        n_done = 0
        try:
            for n_done in range(layout.n_objects):
                if self._constructor:
                    self._constructor(slab.first + n_done * layout.stride)
        except BaseException:
            self._n_constructed += n_done
            self._dissolve(slab, n_done)
            raise
        self._n_constructed += layout.n_objects
        self._colour = (self._colour + 1) % layout.n_colours
        self._n_grown += 1
        self.empty[slab] = None
        return slab

    def _dissolve(self, slab: Slab, n_constructed: int) -> None:
        """Destroy a slab's objects, and give its frames back."""
        try:
            for number in range(n_constructed):
                if self._destructor:
                    self._destructor(slab.first + number * self.layout.stride)
        finally:
            self._n_destroyed += n_constructed
            self.allocator.leave(self, slab)

    def _find(self, address: int) -> tuple[Slab, int]:
        """The slab and the number of a live object."""
        cache, slab = self.allocator.home_of(address)
        pfn = address // FRAME_BYTES
        if cache is not self:
            raise Foreign(f"Foreign: address {address:#x} belongs to cache {cache.name}, not to {self.name}", pfn=pfn, address=address)
        number, offset = divmod(address - slab.first, self.layout.stride)
        if offset or not 0 <= number < self.layout.n_objects:
            raise Misaligned(f"Misaligned: no object of cache {self.name} begins at address {address:#x}", pfn=pfn, address=address)
        if number not in slab.live:
            raise DoubleFree(f"DoubleFree: the object at address {address:#x} of cache {self.name} is free already", pfn=pfn, address=address)
        return slab, number


class SlabAllocator:
    """Caches on top of one frame manager, under any policy.

    `kmalloc` serves sizes from caches of its own, made when they are first wanted; `kfree` and `free` find an object's cache by its address.
    """

    def __init__(self, frames: FrameManager) -> None:
        self.frames = frames
        self.caches: dict[str, SlabCache] = {}
        self._homes: dict[int, tuple[SlabCache, Slab]] = {}     # by frame
        self._large: dict[int, bool] = {}                       # what had frames of its own: address -> whether it is live

    def cache(self, name: str, size: int, align: int = 8, constructor: Callback | None = None, destructor: Callback | None = None,
              owner: int = 0) -> SlabCache:
        """A new cache. BadInput for a name that is taken, or a size or alignment that makes no slab."""
        if name in self.caches:
            raise BadInput(f"there is a cache {name} already")
        made = SlabCache(self, name, size, align, constructor, destructor, owner)
        self.caches[name] = made
        return made

    def kmalloc(self, size: int) -> int:
        """An object of the smallest size class that holds `size` bytes, or frames of its own beyond the largest: its address.

        OutOfFrames when there is no room; ValueError below 1 byte.
        """
        if size < 1:
            raise ValueError(f"an object has at least one byte, not {size}")
        fitting = next((a_class for a_class in KMALLOC_SIZES if a_class >= size), None)
        if fitting is None:
            n_frames = -(-size // FRAME_BYTES)
            address = self.alloc_frames(n_frames, 0) * FRAME_BYTES
            self._large[address] = True
            return address
        name = f"kmalloc-{fitting}"
        return (self.caches.get(name) or self.cache(name, fitting)).alloc()

    def free(self, address: int) -> None:
        """Give back an object, whichever cache it is of. DoubleFree, Misaligned or NotAllocated for any other address."""
        self.home_of(address)[0].free(address)

    def kfree(self, address: int) -> None:
        """`free`, also for what was too large for a size class."""
        if address not in self._large or address // FRAME_BYTES in self._homes:
            self.free(address)
        elif not self._large[address]:
            raise DoubleFree(f"DoubleFree: the object at address {address:#x} is free already", pfn=address // FRAME_BYTES, address=address)
        else:
            self._large[address] = False
            self.frames.free(address // FRAME_BYTES)

    def reap(self) -> int:
        """Give back the empty slabs of all caches. Returns the number of frames."""
        return sum(cache.reap() for cache in self.caches.values())

    def check(self) -> None:
        """The audit: of every cache, and of the frames that it lives in. BrokenInvariant names what does not fit."""
        self.frames.check()
        known = {pfn: (cache, slab) for cache in self.caches.values() for slab in cache.slabs() for pfn in self._frames_of(cache, slab)}
        if known != self._homes:
            raise BrokenInvariant("slabs: the caches' lists and the index by frame differ")
        for pfn, (cache, _) in known.items():
            if self.frames.owner_of(pfn) != cache.owner:
                raise BrokenInvariant(f"cache {cache.name}: frame {pfn:#x} of a slab is not the cache's any more")
        for cache in self.caches.values():
            cache.check()

    # -- for the caches ---------------------------------------------------------------------------------------------------------------

    def alloc_frames(self, n_frames: int, owner: int) -> Pfn:
        """Frames in one run; when there are none, after reaping."""
        try:
            return self.frames.alloc(n_frames, owner)
        except OutOfFrames:
            if not self.reap():
                raise
        return self.frames.alloc(n_frames, owner)

    def enter(self, cache: SlabCache, slab: Slab) -> None:
        """A slab's frames are this cache's now."""
        self._homes.update(dict.fromkeys(self._frames_of(cache, slab), (cache, slab)))

    def leave(self, cache: SlabCache, slab: Slab) -> None:
        """A slab is no more; its frames go back."""
        for pfn in self._frames_of(cache, slab):
            del self._homes[pfn]
        self.frames.free(slab.pfn)

    def forget(self, cache: SlabCache) -> None:
        """A cache is no more."""
        del self.caches[cache.name]

    def home_of(self, address: int) -> tuple[SlabCache, Slab]:
        """The cache and the slab in whose frames an address lies. NotAllocated when it is in none."""
        home = self._homes.get(address // FRAME_BYTES)
        if home is None:
            raise NotAllocated(f"NotAllocated: address {address:#x} lies in no slab", pfn=address // FRAME_BYTES, address=address)
        return home

    def _frames_of(self, cache: SlabCache, slab: Slab) -> range:
        return range(slab.pfn, slab.pfn + cache.layout.n_frames)
