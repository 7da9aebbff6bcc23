"""Everything that can go wrong, as one tree.

    SimError
    ├── OutOfFrames          ordinary: the policy could not serve a request
    ├── BadFree              a free that was refused; nothing changed
    │   ├── DoubleFree         the frame was allocated once and is free already
    │   ├── NotAllocated       the frames were never allocated, or are not all of one allocation
    │   ├── InteriorFree       the frame lies inside an allocation that starts elsewhere
    │   ├── OutOfRange         there is no such frame
    │   └── Reserved           the frame is set aside and was never for hire
    ├── NoSuchSegment        a segment id that names no live segment
    ├── GuestFault           the guest's mistake, with the instruction that made it
    ├── BadInput             a file's or an argument's mistake: one line, exit status 2
    │   └── BadPolicy          a policy that does not load or returns nonsense
    ├── Unsettled            a search that ended at its limit, before the answer was certain
    └── BrokenInvariant      ours: the books disagree, and nothing after this can be trusted

Errors carry facts: the frame, its number in hexadecimal, and the event that put it into the state it is in.
"""

from __future__ import annotations


class SimError(Exception):
    """Root of everything kernel_sim raises on purpose."""


class OutOfFrames(SimError):
    """A request that could not be served.

    ``n_frames`` is what was asked for, ``n_free`` the frames free in all zones, ``largest_free_run`` the longest run of
    them, ``reason`` one of ``"empty"`` (fewer free than asked for), ``"scattered"`` (enough, but not in one piece that the
    policy can give) and ``"limit"`` (more than the policy ever gives at once).
    """

    def __init__(self, message: str, *, n_frames: int, n_free: int, largest_free_run: int, reason: str) -> None:
        super().__init__(message)
        self.n_frames = n_frames
        self.n_free = n_free
        self.largest_free_run = largest_free_run
        self.reason = reason


class BadFree(SimError):
    """A free that was refused and changed nothing. ``pfn`` is the frame, ``event`` the earlier event, or 0 for none."""

    def __init__(self, message: str, *, pfn: int, event: int = 0) -> None:
        super().__init__(message)
        self.pfn = pfn
        self.event = event


class DoubleFree(BadFree):
    """The frame was allocated once and has been freed since, by ``event``."""


class NotAllocated(BadFree):
    """The frame was never allocated, or the range runs over the end of the allocation it begins in."""


class InteriorFree(BadFree):
    """The frame lies inside an allocation, which ``event`` made, and is not its first."""


class OutOfRange(BadFree):
    """There is no frame of that number: beyond the memory, or in a hole of the memory map."""


class Reserved(BadFree):
    """The frame is reserved: it exists, and was never given out."""


class NoSuchSegment(SimError):
    """The segment id names no live segment."""


class GuestFault(SimError):
    """The guest did what the machine does not allow. ``rip`` is the address of the instruction."""

    def __init__(self, message: str, *, rip: int = 0) -> None:
        super().__init__(message)
        self.rip = rip


class BadInput(SimError, ValueError):
    """A file or an argument that cannot be used. The message is one line and names it."""


class BadPolicy(BadInput):
    """A policy that is unknown, does not load, or returned what no policy may return."""


class Unsettled(SimError):
    """A search ended at the limit it was given, before the answer was certain."""


class BrokenInvariant(SimError):
    """The frame table, the policy and the counters disagree. Never the guest's doing."""
