"""A heap's memory: pages of virtual addresses up to the break, a frame behind each, cut into granules that a policy places blocks in."""

from __future__ import annotations

from kernel_sim.allocators.base import Policy
from kernel_sim.errors import OutOfFrames
from kernel_sim.granules import GrowingManager
from kernel_sim.manager import FrameManager
from kernel_sim.units import FRAME_BYTES, MAX_FRAMES, Pfn


class Arena:
    """`n_frames` pages at first, from `base` on, the first `pad` bytes unused; granules of `granule_bytes`, under a policy.

    Frames come from `frames`, one at a time: virtual addresses do not care where they lie. OutOfFrames when there are not so many.
    """

    def __init__(self, policy: str | type | Policy, frames: FrameManager, n_frames: int, base: int, pad: int, granule_bytes: int, owner: int) -> None:
        self.frames, self.base, self.pad, self.granule_bytes, self.owner = frames, base, pad, granule_bytes, owner
        self.pages: list[Pfn] = []
        self.peak_bytes = 0
        most = min(sum(zone.n_frames for zone in frames.zones), MAX_FRAMES * granule_bytes // FRAME_BYTES)
        self._get_frames(max(n_frames, self.frames_for(1)))
        self.granules = GrowingManager(self.granules_in(len(self.pages)), self.granules_in(most), policy)

    @property
    def size_bytes(self) -> int:
        """Whole pages."""
        return len(self.pages) * FRAME_BYTES

    @property
    def end(self) -> int:
        """The break: the first address behind it all."""
        return self.base + self.size_bytes

    def granules_in(self, n_frames: int) -> int:
        """How many granules lie wholly in the first pages."""
        return (n_frames * FRAME_BYTES - self.pad) // self.granule_bytes

    def frames_for(self, n_granules: int) -> int:
        """The fewest pages that hold so many granules."""
        return -(-(self.pad + n_granules * self.granule_bytes) // FRAME_BYTES)

    def address_of(self, granule: int) -> int:
        """Where a granule begins."""
        return self.base + self.pad + granule * self.granule_bytes

    def granule_at(self, address: int) -> int:
        """The granule in which an address lies; it may be none of ours."""
        return (address - self.base - self.pad) // self.granule_bytes

    def grow(self, n_granules: int, n_frames: int, into: int = 0) -> None:
        """Move the break up, by at least so many granules and so many frames; the allocation at the top gets `into` granules.

        OutOfFrames, and nothing is changed, when there are no more.
        """
        n_frames = max(n_frames, self.frames_for(self.granules.end + n_granules) - len(self.pages))
        self._get_frames(n_frames)
        self.granules.grow(self.granules_in(len(self.pages)) - self.granules.end, into)

    def trim(self, threshold_bytes: int) -> bool:
        """Move the break down over whole pages that are free at the top, if at least so many bytes are; whether it was moved."""
        n_top = self.granules.free_at_top()
        if not n_top or n_top * self.granule_bytes < threshold_bytes:
            return False
        n_kept = max(self.frames_for(self.granules.end - n_top), self.frames_for(1))
        n_granules = self.granules.end - self.granules_in(n_kept)
        if not n_granules or not self.granules.shrink(n_granules):
            return False
        self._drop_frames(n_kept)
        return True

    def _get_frames(self, n_frames: int) -> None:
        """So many more, or none."""
        before = len(self.pages)
        try:
            for _ in range(n_frames):
                self.pages.append(self.frames.alloc(1, self.owner))
        except OutOfFrames:
            self._drop_frames(before)
            raise
        self.peak_bytes = max(self.peak_bytes, self.size_bytes)

    def _drop_frames(self, n_kept: int) -> None:
        """Give back those at the top, the last first."""
        while len(self.pages) > n_kept:
            self.frames.free(self.pages.pop())
