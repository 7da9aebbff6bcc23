"""A policy's rule over all zones of a memory."""

from __future__ import annotations

from collections.abc import Sequence

from kernel_sim.study.contract.rules.common import Placement
from kernel_sim.zones import Range, Zone


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

    def tallies(self) -> dict[str, int]:
        """What the policy must have counted, of all zones together."""
        return {name: sum(getattr(area, name) for area in self.areas) for name in self.areas[0].judged}
