"""What the rules of the fits have in common: holes on a list, carved and coalesced."""

from __future__ import annotations

from collections.abc import Sequence

from kernel_sim.study.contract.rules.common import Tallies
from kernel_sim.zones import Range, Zone


class Fit(Tallies):
    """Holes of any length in order of address; `choose` says which."""

    def __init__(self, zone: Zone, free_runs: Sequence[Range]) -> None:
        super().__init__()
        self.zone = zone
        self.holes = sorted(free_runs)
        self.last_end = zone.first_pfn

    def granted(self, n_frames: int) -> int:
        return n_frames if n_frames <= self.zone.end_pfn - self.zone.first_pfn else 0

    def choose(self, n_frames: int) -> Range | None:
        raise NotImplementedError

    def large_enough(self, n_frames: int) -> list[Range]:
        """Every hole is looked at."""
        self.examined += len(self.holes)
        return [hole for hole in self.holes if hole[1] - hole[0] >= n_frames]

    def first_of(self, holes: Sequence[Range], n_frames: int) -> Range | None:
        """Holes are looked at until one is large enough."""
        for hole in holes:
            self.examined += 1
            if hole[1] - hole[0] >= n_frames:
                return hole
        return None

    def alloc(self, n_frames: int) -> int | None:
        hole = self.choose(n_frames)
        if hole is None:
            return None
        first, end = hole
        self.holes.remove(hole)
        if first + n_frames < end:
            self.holes = sorted([*self.holes, (first + n_frames, end)])
            self.splits += 1
        self.last_end = first + n_frames
        return first

    def free(self, pfn: int, n_frames: int) -> None:
        end = pfn + n_frames
        for hole in [hole for hole in self.holes if hole[1] == pfn or hole[0] == end]:
            self.holes.remove(hole)
            self.merges += 1
            pfn, end = min(pfn, hole[0]), max(end, hole[1])
        self.holes = sorted([*self.holes, (pfn, end)])
