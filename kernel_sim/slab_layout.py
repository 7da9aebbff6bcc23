"""How a slab is cut into objects, and what a cache of slabs counts."""

from __future__ import annotations

from dataclasses import dataclass

from kernel_sim.errors import BadInput
from kernel_sim.units import FRAME_BYTES

HEADER_BYTES = 32
"""What a slab's header takes up: four words for its lists, its count of live objects and its free list."""
MAX_SLAB_FRAMES = 8


@dataclass(frozen=True)
class Layout:
    """How a slab is cut. Bytes, but for the counts."""

    n_frames: int
    stride: int             # from one object to the next: the size, aligned
    n_objects: int
    n_colours: int          # places where the first object may begin
    header: int             # on the slab itself; 0 when it is elsewhere

    @property
    def slab_bytes(self) -> int:
        return self.n_frames * FRAME_BYTES

    @property
    def unused(self) -> int:
        """What the objects and the header leave over. The colour is taken from it."""
        return self.slab_bytes - self.header - self.n_objects * self.stride


def layout_for(size: int, align: int) -> Layout:
    """The slab for objects of so many bytes: the fewest frames that leave at most an eighth unused, or else the least share.

    BadInput for an object of no bytes, or an alignment that is no power of two or more than a frame.
    """
    if size < 1:
        raise BadInput(f"a cache's objects have at least one byte, not {size}")
    if align < 1 or align & (align - 1) or align > FRAME_BYTES:
        raise BadInput(f"a cache's alignment is a power of two up to {FRAME_BYTES}, not {align}")
    stride = -(-size // align) * align
    header = HEADER_BYTES if size < FRAME_BYTES // 8 else 0
    least = -(-stride // FRAME_BYTES)
    choices = [1 << k for k in range(MAX_SLAB_FRAMES.bit_length()) if 1 << k >= least] or [least]
    cuts = [_cut(n_frames, stride, align, header) for n_frames in choices]
    good = [cut for cut in cuts if cut.unused * 8 <= cut.slab_bytes]
    return good[0] if good else min(cuts, key=lambda cut: cut.unused / cut.slab_bytes)


def _cut(n_frames: int, stride: int, align: int, header: int) -> Layout:
    n_objects = (n_frames * FRAME_BYTES - header) // stride
    unused = n_frames * FRAME_BYTES - header - n_objects * stride
    return Layout(n_frames, stride, n_objects, unused // align + 1, header)


@dataclass(frozen=True)
class CacheStats:
    """How a cache stands, and what it did. Bytes where it says so."""

    n_full: int                 # slabs, by what they hold
    n_partial: int
    n_empty: int
    n_objects: int              # room for so many
    n_live: int
    n_allocs: int
    n_frees: int
    n_grown: int                # slabs made
    n_reaped: int               # slabs given back
    n_constructed: int
    n_destroyed: int
    object_bytes: int           # the size that was asked for
    slab_bytes: int             # of all slabs

    @property
    def n_slabs(self) -> int:
        return self.n_full + self.n_partial + self.n_empty

    @property
    def internal_fragmentation(self) -> float:
        """The share of the slabs that could not hold objects: alignment, headers, colours and what is unused. Between 0 and 1."""
        return 1 - self.n_objects * self.object_bytes / self.slab_bytes if self.slab_bytes else 0.0

    @property
    def utilization(self) -> float:
        """The share of the slabs that is live objects, between 0 and 1."""
        return self.n_live * self.object_bytes / self.slab_bytes if self.slab_bytes else 0.0
