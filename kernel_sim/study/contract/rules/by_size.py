"""What the rules of the policies that keep holes by size have in common: lists by class, carved and coalesced."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

from kernel_sim.study.contract.rules.common import Tallies
from kernel_sim.zones import Range, Zone


class BySize(Tallies):
    """A list for each class, the hole that is taken first in front. `bounds` are the least sizes of the classes, ascending."""

    divisions = 1       # classes to a power of two
    last_in_first = True

    def __init__(self, zone: Zone, free_runs: Sequence[Range]) -> None:
        super().__init__()
        self.zone = zone
        powers = range((zone.end_pfn - zone.first_pfn).bit_length() + 1)
        self.bounds = sorted({2**power * part // self.divisions for power in powers for part in range(self.divisions, 2 * self.divisions)
                              if 2**power * part % self.divisions == 0} | set(range(1, self.divisions)))
        self.lists: list[list[Range]] = [[] for _ in self.bounds]
        for run in sorted(free_runs, reverse=True):
            self.enter(run)

    def class_of(self, n_frames: int) -> int:
        """The largest class whose least size is not above `n_frames`."""
        return bisect_right(self.bounds, n_frames) - 1

    def class_from(self, n_frames: int) -> int:
        """The smallest class whose least size is not below `n_frames`."""
        return bisect_left(self.bounds, n_frames)

    def enter(self, hole: Range) -> None:
        holes = self.lists[self.class_of(hole[1] - hole[0])]
        holes.insert(0 if self.last_in_first else len(holes), hole)

    def granted(self, n_frames: int) -> int:
        return n_frames if n_frames <= self.zone.end_pfn - self.zone.first_pfn else 0

    def choose(self, n_frames: int) -> Range | None:
        raise NotImplementedError

    def front_from(self, wanted: int) -> Range | None:
        """The first hole of the least class from `wanted` on that has one."""
        for holes in self.lists[wanted:]:
            if holes:
                self.examined += 1
                return holes[0]
        return None

    def own_class(self, n_frames: int, tries: int | None = None) -> Range | None:
        """The first hole of the request's own class that is large enough, among so many."""
        for hole in self.lists[self.class_of(n_frames)][:tries]:
            self.examined += 1
            if hole[1] - hole[0] >= n_frames:
                return hole
        return None

    def alloc(self, n_frames: int) -> int | None:
        hole = self.choose(n_frames)
        if hole is None:
            return None
        first, end = hole
        self.lists[self.class_of(end - first)].remove(hole)
        if first + n_frames < end:
            self.enter((first + n_frames, end))
            self.splits += 1
        return first

    def free(self, pfn: int, n_frames: int) -> None:
        first, end = pfn, pfn + n_frames
        for holes in self.lists:
            for hole in [hole for hole in holes if hole[1] == pfn or hole[0] == pfn + n_frames]:
                holes.remove(hole)
                self.merges += 1
                first, end = min(first, hole[0]), max(end, hole[1])
        self.enter((first, end))
