"""What a manager's books must say, as sets of frames: who has which, what is free, which free is refused for what, and who uses what others use, too.

It takes whatever placement it is told, if it is legal. It is slow on purpose: what it does can be seen at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kernel_sim.errors import BadFree, DoubleFree, InteriorFree, NotAllocated, OutOfRange, Reserved, Shared
from kernel_sim.study.contract.laws import require
from kernel_sim.zones import Range, Zone

N_ORDERS = 11


@dataclass
class Allocation:
    """Frames from `first` to `end`, and padding from there to `padded_end`; `users` says who has it, and how often, in the order of their coming."""

    first: int
    end: int
    padded_end: int
    users: dict[int, int]

    @property
    def owner(self) -> int:
        """Of those who have it, the one who came first."""
        return next(iter(self.users))

    @property
    def n_uses(self) -> int:
        return sum(self.users.values())

    def leaver(self, owner: int) -> int:
        """Whose use ends when `owner` frees it; 0 is nobody in particular, and ends the first one's where it has no use of its own."""
        return self.owner if owner == 0 and 0 not in self.users else owner


@dataclass(frozen=True)
class Refusal:
    """The exception a wrong free is answered with, and the facts in it."""

    error: type[BadFree]
    pfn: int
    event: int


class Books:
    """Who has which frame. `holder` has every frame of every allocation, `event` the last event that touched a frame."""

    def __init__(self, zones: Sequence[Zone], in_use: Sequence[Range]) -> None:
        self.zones = zones
        self.exists = {pfn for zone in zones for run in zone.ranges for pfn in range(*run)}
        self.reserved = {pfn for zone in zones for run in zone.reserved for pfn in range(*run)}
        self.holder: dict[int, Allocation] = {}
        self.event: dict[int, int] = {}
        self.clock = 0
        for first, end in in_use:
            self._hold(Allocation(first, end, end, {0: 1}))
        self.free = self.exists - self.reserved - self.holder.keys()

    def _hold(self, allocation: Allocation) -> None:
        self.holder.update(dict.fromkeys(range(allocation.first, allocation.padded_end), allocation))

    @property
    def live(self) -> list[Allocation]:
        """Every allocation, by address."""
        return [allocation for pfn, allocation in sorted(self.holder.items()) if pfn == allocation.first]

    def zone_of(self, pfn: int) -> int:
        """The number of the zone in whose range a frame lies."""
        return next(number for number, zone in enumerate(self.zones) if zone.first_pfn <= pfn < zone.end_pfn)

    def alloc(self, pfn: int, n_frames: int, granted: int, owner: int) -> None:
        """Enter a placement. BrokenLaw unless its frames are free and of one zone, without a hole."""
        frames = set(range(pfn, pfn + granted))
        require(granted >= n_frames, "enough", f"{granted} frames for {n_frames}")
        require(frames <= self.free, "own frames", f"{sorted(frames - self.free)} were not free")
        require(self.zone_of(pfn) == self.zone_of(pfn + granted - 1), "own frames", f"{granted} frames at {pfn} cross the edge of a zone")
        self.free -= frames
        self._hold(Allocation(pfn, pfn + n_frames, pfn + granted, {owner: 1}))
        self.event.update(dict.fromkeys(frames, self.clock))

    @property
    def n_shared(self) -> int:
        """Frames that are used more than once."""
        return sum(it.end - it.first for pfn, it in self.holder.items() if pfn == it.first and it.n_uses > 1)

    def share(self, pfn: int, owner: int) -> int:
        """Enter one more use: how many there are then."""
        users = self.holder[pfn].users
        users[owner] = users.get(owner, 0) + 1
        return self.holder[pfn].n_uses

    def refusal(self, pfn: int, n_frames: int | None, owner: int = 0) -> Refusal | None:
        """Why a free is refused; None for a right one. Without a user's name a sharing is refused for the same."""
        event = self.event.get(pfn, 0)
        if pfn not in self.exists:
            return Refusal(OutOfRange, pfn, 0)
        if pfn in self.reserved:
            return Refusal(Reserved, pfn, 0)
        if pfn in self.free:
            return Refusal(DoubleFree if event else NotAllocated, pfn, event)
        held = self.holder[pfn]
        if pfn >= held.end or (n_frames is None and pfn != held.first):
            return Refusal(InteriorFree, pfn, event)
        if n_frames is not None and pfn + n_frames > held.end:
            return Refusal(NotAllocated, pfn, self.event.get(held.end, 0))
        if held.leaver(owner) not in held.users:
            return Refusal(NotAllocated, pfn, event)
        if held.n_uses > 1 and (n_frames or held.end - pfn) < held.end - held.first:
            return Refusal(Shared, pfn, event)
        return None

    def vacate(self, pfn: int, n_frames: int | None, owner: int = 0) -> Range:
        """Enter a free that is right. The frames that become free: with the padding, when the end of the allocation is among them; none while others
        use them."""
        held = self.holder[pfn]
        if held.n_uses > 1:
            leaver = held.leaver(owner)
            held.users[leaver] -= 1
            held.users = {user: count for user, count in held.users.items() if count}
            return pfn, pfn
        end = held.end if n_frames is None else pfn + n_frames
        freed = range(pfn, held.padded_end if end == held.end else end)
        for frame in freed:
            del self.holder[frame]
        self.free |= set(freed)
        self.event.update(dict.fromkeys(freed, self.clock))
        if held.first < pfn:
            self._hold(Allocation(held.first, pfn, pfn, dict(held.users)))
        if end < held.end:
            self._hold(Allocation(end, held.end, held.padded_end, dict(held.users)))
        return freed.start, freed.stop

    def flags(self) -> list[np.ndarray[Any, Any]]:
        """For each zone, which of the frames from 0 to its end are free and its own."""
        free = np.fromiter(self.free, np.int64)
        flags = []
        for zone in self.zones:
            first, end = zone.first_pfn, zone.end_pfn
            flags.append(np.zeros(end + 1, bool))
            flags[-1][free[(first <= free) & (free < end)]] = True
        return flags

    def free_runs(self) -> list[Range]:
        """Maximal runs of free frames, zone by zone."""
        runs: list[Range] = []
        for flags in self.flags():
            edges = np.flatnonzero(np.diff(flags, prepend=False)).tolist()
            runs += zip(edges[::2], edges[1::2], strict=True)
        return runs

    def buddyinfo(self) -> dict[str, tuple[int, ...]]:
        """Blocks by order: pairs of free buddies merge, from single frames up."""
        return {zone.name: count_merged(flags) for zone, flags in zip(self.zones, self.flags(), strict=True)}


def count_merged(heads: np.ndarray[Any, Any]) -> tuple[int, ...]:
    """How many blocks of each order are left when all pairs of set buddies have merged."""
    counts = []
    for _ in range(N_ORDERS - 1):
        heads = np.append(heads, np.zeros(len(heads) % 2, bool))
        pairs = heads[::2] & heads[1::2]
        counts.append(int(heads.sum()) - 2 * int(pairs.sum()))
        heads = pairs
    return (*counts, int(heads.sum()))
