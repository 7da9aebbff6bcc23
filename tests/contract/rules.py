"""Where each policy must place: the rules as they are written down, on Python lists, one instance a zone.

They are slow on purpose: what they do can be seen at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from kernel_sim.zones import Range, Zone

TOP = 10


class Placement(Protocol):
    """A policy's rule, for one zone. It counts what it examines, splits and merges."""

    examined: int
    splits: int
    merges: int

    def granted(self, n_frames: int) -> int: ...        # 0 for more than it ever gives
    def alloc(self, n_frames: int) -> int | None: ...
    def free(self, pfn: int, n_frames: int) -> None: ...


class Tallies:
    """Nothing counted yet."""

    def __init__(self) -> None:
        self.examined = self.splits = self.merges = 0


def aligned_blocks(first: int, end: int) -> list[tuple[int, int]]:
    """(pfn, order) of the largest aligned blocks of a range, lowest first."""
    blocks = []
    while first < end:
        order = max(k for k in range(TOP + 1) if first % 2**k == 0 and first + 2**k <= end)
        blocks.append((first, order))
        first += 2**order
    return blocks


class Buddy(Tallies):
    """One list for each order; the last of a list is the next to be taken."""

    def __init__(self, zone: Zone, free_runs: Sequence[Range]) -> None:
        super().__init__()
        self.lists: list[list[int]] = [[] for _ in range(TOP + 1)]
        for pfn, order in sorted((block for run in free_runs for block in aligned_blocks(*run)), reverse=True):
            self.lists[order].append(pfn)

    def take(self, blocks: list[int]) -> int:
        return blocks.pop()

    def granted(self, n_frames: int) -> int:
        return next((2**order for order in range(TOP + 1) if 2**order >= n_frames), 0)

    def alloc(self, n_frames: int) -> int | None:
        wanted = next(order for order in range(TOP + 1) if 2**order >= n_frames)
        for order in range(wanted, TOP + 1):
            self.examined += 1
            if self.lists[order]:
                pfn = self.take(self.lists[order])
                for half in reversed(range(wanted, order)):
                    self.lists[half].append(pfn + 2**half)
                    self.splits += 1
                return pfn
        return None

    def free(self, pfn: int, n_frames: int) -> None:
        for block, order in aligned_blocks(pfn, pfn + n_frames):
            while order < TOP and (buddy := block ^ 2**order) in self.lists[order]:
                self.lists[order].remove(buddy)
                self.merges += 1
                block, order = min(block, buddy), order + 1
            self.lists[order].append(block)


class AddressBuddy(Buddy):
    """The lowest address of an order instead."""

    def take(self, blocks: list[int]) -> int:
        lowest = min(blocks)
        blocks.remove(lowest)
        return lowest


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


class FirstFit(Fit):
    def choose(self, n_frames: int) -> Range | None:
        return self.first_of(self.holes, n_frames)


class BestFit(Fit):
    def choose(self, n_frames: int) -> Range | None:
        return min(self.large_enough(n_frames), key=lambda hole: (hole[1] - hole[0], hole[0]), default=None)


class WorstFit(Fit):
    def choose(self, n_frames: int) -> Range | None:
        return min(self.large_enough(n_frames), key=lambda hole: (hole[0] - hole[1], hole[0]), default=None)


class NextFit(Fit):
    def choose(self, n_frames: int) -> Range | None:
        onwards = [hole for hole in self.holes if hole[0] >= self.last_end]
        return self.first_of(onwards + [hole for hole in self.holes if hole not in onwards], n_frames)


class PageStack(Tallies):
    """Single frames; the last of the list is the top of the stack."""

    def __init__(self, zone: Zone, free_runs: Sequence[Range]) -> None:
        super().__init__()
        self.stack = sorted((pfn for run in free_runs for pfn in range(*run)), reverse=True)

    def granted(self, n_frames: int) -> int:
        return 1 if n_frames == 1 else 0

    def alloc(self, n_frames: int) -> int | None:
        self.examined += 1
        return self.stack.pop() if self.stack else None

    def free(self, pfn: int, n_frames: int) -> None:
        self.stack += range(pfn, pfn + n_frames)


class ModelledMemory:
    """A policy's rule over all zones: the highest zone that can serve does."""

    def __init__(self, rule: type, zones: Sequence[Zone], free_runs: Sequence[Range]) -> None:
        self.zones = zones
        self.areas: list[Placement] = [rule(zone, [run for run in free_runs if zone.first_pfn <= run[0] < zone.end_pfn]) for zone in zones]

    def alloc(self, n_frames: int) -> tuple[int, int] | None:
        """(pfn, granted), or None."""
        for area in reversed(self.areas):
            granted = area.granted(n_frames)
            if granted and (pfn := area.alloc(n_frames)) is not None:
                return pfn, granted
        return None

    def free(self, first: int, end: int) -> None:
        """What was in use at the start may reach over the edge of a zone."""
        for area, zone in zip(self.areas, self.zones, strict=True):
            low, high = max(first, zone.first_pfn), min(end, zone.end_pfn)
            if low < high:
                area.free(low, high - low)

    def tallies(self) -> tuple[int, int, int]:
        """Examined, splits, merges, of all zones together."""
        return (sum(area.examined for area in self.areas), sum(area.splits for area in self.areas), sum(area.merges for area in self.areas))


RULES: dict[str, type] = {
    "buddy": Buddy, "buddy:order=address": AddressBuddy, "first-fit": FirstFit, "best-fit": BestFit, "worst-fit": WorstFit, "next-fit": NextFit,
    "page-stack": PageStack,
}
"""A policy that is not here has no rule written down yet; the contract holds for it all the same."""
