"""Everything that can go wrong, as one tree.

    SimError
    ├── OutOfFrames          ordinary: the policy could not serve a request
    ├── BadFree              a free, or a sharing, that was refused; nothing changed
    │   ├── DoubleFree         the frame was allocated once and is free already
    │   ├── NotAllocated       the frames were never allocated, or are not all of one allocation
    │   ├── InteriorFree       the frame lies inside an allocation that starts elsewhere
    │   ├── OutOfRange         there is no such frame
    │   ├── Reserved           the frame is set aside and was never for hire
    │   ├── Shared             the frames are part of an allocation with other users, which is freed whole or not at all
    │   ├── TooManyUsers       no further user of an allocation can be counted
    │   ├── Misaligned         the address lies in a slab, and no object begins there
    │   └── Foreign            the object is of another cache
    ├── HeapFull             ordinary: the heap could not grow, or its policy never gives so much at once
    ├── NoSuchSegment        a segment id that names no live segment
    ├── CacheInUse           a cache with live objects cannot be destroyed
    ├── GuestFault           the guest's mistake, with the instruction that made it
    │   └── Finding            what the sanitizer caught: the frame, the access, and what is known of both
    ├── BadInput             a file's or an argument's mistake: one line, exit status 2
    │   └── BadPolicy          a policy that does not load or returns nonsense
    ├── Unsettled            a search that ended at its limit, before the answer was certain
    └── BrokenInvariant      ours: the books disagree, and nothing after this can be trusted

Errors carry facts: the frame, its number in hexadecimal, and the event that put it into the state it is in. Heaps and slabs are asked by
address: there the message names the address, ``pfn`` is the frame that holds it, and ``address`` the address itself.
"""

from __future__ import annotations

from dataclasses import dataclass


class SimError(Exception):
    """Root of everything kernel_sim raises on purpose."""


@dataclass(frozen=True)
class Obstacle:
    """An allocation that stands in the way: frames from `first_pfn` to before `end_pfn`, padding included.

    `owner` has it, and `event` made it: 0 for one that was there from the start.
    """

    first_pfn: int
    end_pfn: int
    owner: int
    event: int


@dataclass(frozen=True)
class NearestFit:
    """The frames that could most nearly have served a request: of all such windows the one with the fewest frames taken, the lowest of equals.

    From `first_pfn` to before `end_pfn`, of one zone, without a hole or a reserved frame; `n_taken` frames of it are allocated, to `n_obstacles`
    allocations, of which `obstacles` names the lowest few.
    """

    first_pfn: int
    end_pfn: int
    n_taken: int
    n_obstacles: int
    obstacles: tuple[Obstacle, ...]


class OutOfFrames(SimError):
    """A request that could not be served.

    ``n_frames`` is what was asked for, ``n_free`` the frames free in all zones, ``largest_free_run`` the longest run of them, and ``reason`` one of

    ``"limit"``       more than the policy ever gives at once
    ``"empty"``       fewer frames are free than were asked for
    ``"scattered"``   enough are free, but not in one piece that the policy can give
    ``"alignment"``   a free run is long enough, but the policy gives blocks at multiples of their size, and none of those is free

    For the last two, ``extfrag_index`` is the kernel's fragmentation index for the request's order (thousandths), else None, and ``nearest_fit``
    says what stands in the way; None when no frames of the memory could ever serve the request.
    """

    def __init__(self, message: str, *, n_frames: int, n_free: int, largest_free_run: int, reason: str, extfrag_index: int | None = None,
                 nearest_fit: NearestFit | None = None) -> None:
        super().__init__(message)
        self.n_frames = n_frames
        self.n_free = n_free
        self.largest_free_run = largest_free_run
        self.reason = reason
        self.extfrag_index = extfrag_index
        self.nearest_fit = nearest_fit


class BadFree(SimError):
    """A free that was refused and changed nothing. The same words answer who would share what is not there to be shared.

    ``pfn`` is the frame, -1 for an address that lies in none; ``event`` the earlier event, or 0 for none; ``address`` what was freed, in bytes,
    where frees are by address.
    """

    def __init__(self, message: str, *, pfn: int, event: int = 0, address: int | None = None) -> None:
        super().__init__(message)
        self.pfn = pfn
        self.event = event
        self.address = address


class DoubleFree(BadFree):
    """The frame was allocated once and has been freed since, by ``event``."""


class NotAllocated(BadFree):
    """The frame was never allocated, or not to the owner that was named, or the range runs over the end of the allocation it begins in."""


class InteriorFree(BadFree):
    """The frame lies inside an allocation, which ``event`` made, and is not its first."""


class OutOfRange(BadFree):
    """There is no frame of that number: beyond the memory, or in a hole of the memory map."""


class Reserved(BadFree):
    """The frame is reserved: it exists, and was never given out."""


class Shared(BadFree):
    """The frames are part of an allocation that has more than one user: such a one is given back whole, by each of them."""


class TooManyUsers(BadFree):
    """A user more than can be counted: one allocation has at most 65,535, and all shared ones together have as many as there is room for."""


class Misaligned(BadFree):
    """The address lies in a slab, but no object begins there."""


class Foreign(BadFree):
    """The address is an object of another cache than the one it was given back to."""


class HeapFull(SimError):
    """A heap could not serve a request: ``size_bytes`` were asked for, of a heap that has ``heap_bytes``."""

    def __init__(self, message: str, *, size_bytes: int, heap_bytes: int) -> None:
        super().__init__(message)
        self.size_bytes = size_bytes
        self.heap_bytes = heap_bytes


class CacheInUse(SimError):
    """A cache was to be destroyed while ``n_live`` of its objects are live."""

    def __init__(self, message: str, *, n_live: int) -> None:
        super().__init__(message)
        self.n_live = n_live


class NoSuchSegment(SimError):
    """The segment id names no live segment."""


class GuestFault(SimError):
    """The guest did what the machine does not allow. ``rip`` is the address of the instruction."""

    def __init__(self, message: str, *, rip: int = 0) -> None:
        super().__init__(message)
        self.rip = rip


class Finding(GuestFault):
    """What the sanitizer caught.

    ``kind`` is its name (`kernel_sim.machine.notebook.KINDS`), ``pfn`` the frame, ``address`` the virtual address (None for a bad free and an
    uninitialised read), ``access`` "read", "write" or "fetch" (None for a bad free), ``owner`` who has the frame or had it last, ``event`` the event
    that put it into its state, or 0. ``details`` are lines for people: whose frame it is, and the stacks of the access, of the allocation and of
    the free.
    """

    def __init__(self, message: str, *, rip: int, kind: str, pfn: int, address: int | None, access: str | None, owner: int, event: int,
                 details: tuple[str, ...]) -> None:
        super().__init__(message, rip=rip)
        self.kind = kind
        self.pfn = pfn
        self.address = address
        self.access = access
        self.owner = owner
        self.event = event
        self.details = details


class BadInput(SimError, ValueError):
    """A file or an argument that cannot be used. The message is one line and names it."""


class BadPolicy(BadInput):
    """A policy that is unknown, does not load, or returned what no policy may return."""


class Unsettled(SimError):
    """A search ended at the limit it was given, before the answer was certain."""


class BrokenInvariant(SimError):
    """The frame table, the policy and the counters disagree. Never the guest's doing."""
