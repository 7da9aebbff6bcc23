"""FrameManager: who may have which frames. It checks, delegates to the policy, and records."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from kernel_sim import events, fragmentation, ledger, users
from kernel_sim.allocators.base import EXAMINED, MERGES, SPLITS, Policy
from kernel_sim.allocators.plain import load_policy
from kernel_sim.compiled import Array, address_of, interpreted
from kernel_sim.entries import Entries, entries_for, holds, share
from kernel_sim.errors import BadInput, OutOfRange, SimError
from kernel_sim.frames import (
    CHUNK_SHIFT,
    FRAME,
    HEAD,
    HOLE,
    PAD,
    RESERVED,
    RUN_FREE,
    SHARED_HEAD,
    SHARED_TAIL,
    TAIL,
    Table,
    lazy_zeros,
    mark,
    state_runs,
)
from kernel_sim.units import Pfn
from kernel_sim.zones import Range, Zone, check_ranges, count, intersect, join, plain_zone, subtract


@dataclass(frozen=True)
class Stats:
    """What happened so far. Frames, but for the counts of operations."""

    n_allocs: int
    n_failed: int
    n_frees: int        # one by each user of a shared allocation
    n_refused: int
    requested: int      # frames asked for, in the allocations that were served
    granted: int        # frames given for them; a policy that rounds up gives more
    examined: int       # holes or blocks that the policy looked at
    splits: int
    merges: int
    n_frames: int       # frames that exist
    n_free: int
    n_used: int
    n_shares: int       # times that an allocation got one more user
    n_shared: int       # frames that have more than one user now, of those in use; each is counted once

    @property
    def steps(self) -> int:
        """The policy's effort: holes examined, splits and merges."""
        return self.examined + self.splits + self.merges

    @property
    def internal_fragmentation(self) -> float:
        """The share of what was granted that nobody had asked for, between 0 and 1."""
        return 1 - self.requested / self.granted if self.granted else 0.0


class FrameManager:
    """Hands out page frames.

    `memory` is a number of frames, for one plain zone of the frames 0 to that, or a sequence of zones (`kernel_sim.zones`). `policy` is a name
    (``"buddy"``, ``"buddy:order=address"``, ``"path/to/file.py:ClassName"``) or a plain class. `in_use` are (first, end) ranges of frames that
    are taken from the start, as the memory of a machine that has been running for a while is; they can be freed.

    BadInput for a memory map that makes no sense, BadPolicy for a policy.
    """

    def __init__(self, memory: int | Sequence[Zone], policy: str | type | Policy = "buddy", in_use: Sequence[Range] = ()) -> None:
        self.zones: tuple[Zone, ...] = tuple(plain_zone(memory) if isinstance(memory, int) else memory)
        if not self.zones:
            raise BadInput("a memory has at least one zone")
        check_ranges([(zone.first_pfn, zone.end_pfn) for zone in self.zones], "zones")
        if len({zone.name for zone in self.zones}) < len(self.zones):
            raise BadInput(f"zones: each has a name of its own, not {', '.join(zone.name for zone in self.zones)}")
        self.policy = load_policy(policy)
        self.in_use: tuple[Range, ...] = tuple((int(first), int(end)) for first, end in in_use)
        self.n_table_frames = self.zones[-1].end_pfn
        self._lay_out()
        self._mark(self.in_use)

    # -- frames -----------------------------------------------------------------------------------------------------------------------

    def alloc(self, n_frames: int, owner: int = 0, cpu: int = 0, mobility: int = 0) -> Pfn:
        """Frames in one run; the pfn of the first. OutOfFrames, with the reason, when the policy has none; ValueError below 1 frame."""
        n_frames = operator.index(n_frames)     # numpy's unsigned numbers would not mix with the signed ones of compiled code
        if n_frames < 1:
            raise ValueError(f"an allocation has at least one frame, not {n_frames}")
        pfn = int(self.entries.alloc(self.root, min(n_frames, 1 << 62), owner & 0xFFFF, cpu & 0xFFFF, mobility & 0xFFFF))
        if pfn < 0:
            raise self.error_for(-pfn, n_frames)
        return Pfn(pfn)

    def free(self, pfn: int, n_frames: int | None = None, owner: int = 0) -> None:
        """Give back the allocation that starts at `pfn`, or `n_frames` of it from `pfn` on, as real kernels do when they split a block.

        Of an allocation with more than one user (`share`) it ends one use, that of `owner`, and the frames are free when the last one has ended.
        Shared is raised for part of such a one. Owner 0 is nobody in particular: it may free whatever is allocated, and where it has no use of
        its own, it ends that of the owner whom `owner_of` names. NotAllocated for an owner who does not have the frames.

        DoubleFree, NotAllocated, InteriorFree, OutOfRange or Reserved for any other frame; nothing is changed then.
        """
        if n_frames is not None and n_frames < 1:
            raise ValueError(f"a free gives back at least one frame, not {n_frames}")
        pfn = operator.index(pfn)
        status = int(self.entries.free(self.root, self._within(pfn), min(operator.index(n_frames or 0), 1 << 62), owner & 0xFFFF))
        if status != events.OK:
            raise self.error_for(status, n_frames, pfn)

    def share(self, pfn: int, owner: int) -> int:
        """Make `owner` one more user of the allocation that starts at `pfn`: how many uses it has now. Each user frees it once for every use.

        An owner may use it more than once. Refused like a free of it (DoubleFree, NotAllocated, InteriorFree, OutOfRange, Reserved), and by
        TooManyUsers where no more can be counted; nothing is changed then.
        """
        pfn = operator.index(pfn)
        n_uses = int(share(self._address, self._within(pfn), owner & 0xFFFF))
        if n_uses < 0:
            raise self.error_for(-n_uses, None, pfn)
        return n_uses

    # -- looking ----------------------------------------------------------------------------------------------------------------------

    def free_runs(self) -> list[Range]:
        """The free frames as maximal (first, end) runs, ascending. A run ends at a zone's edge."""
        return [run for zone in self.free_runs_by_zone() for run in zip(*zone.T.tolist(), strict=True)]

    def free_runs_by_zone(self) -> list[Array]:
        """The free runs of each zone, as int64 rows (first, end): for many runs, without a Python number for each."""
        firsts, kinds = state_runs(self.table)
        ends = np.append(firsts[1:], self.n_table_frames)
        runs = np.stack([firsts[kinds == RUN_FREE], ends[kinds == RUN_FREE]], axis=1)
        cut = [np.clip(runs, zone.first_pfn, zone.end_pfn) for zone in self.zones]
        return [np.ascontiguousarray(zone[zone[:, 0] < zone[:, 1]]) for zone in cut]

    def largest_free_run(self) -> int:
        """Frames in the longest free run."""
        return max((int((runs[:, 1] - runs[:, 0]).max()) for runs in self.free_runs_by_zone() if len(runs)), default=0)

    def buddyinfo(self) -> dict[str, tuple[int, ...]]:
        """Free blocks by order, 0 to 10, for each zone: the free runs cut into the largest aligned blocks."""
        counts = [fragmentation.count_blocks(runs) for runs in self.free_runs_by_zone()]
        return {zone.name: tuple(by_order.tolist()) for zone, by_order in zip(self.zones, counts, strict=True)}

    def unusable_index(self, order: int, zone: str | None = None) -> int:
        """The kernel's index: of 1000 free frames, how many lie in blocks too small for this order. All zones together, or one by name."""
        return fragmentation.unusable_index(self._counts(zone), order)

    def extfrag_index(self, order: int, zone: str | None = None) -> int:
        """The kernel's index: near 0 a failure means too little memory, near 1000 too scattered; -1000 when a block of the order is free."""
        return fragmentation.extfrag_index(self._counts(zone), order)

    def stats(self) -> Stats:
        """Frames and operations so far."""
        c = [int(value) for value in self._counters]
        n_frees = c[ledger.CLOCK] - c[ledger.N_ALLOCS] - c[ledger.N_FAILED] - c[ledger.N_REFUSED] - c[ledger.N_SHARES]
        n_frames, n_free = sum(zone.n_frames for zone in self.zones), int(self.zone_records["n_free"].sum())
        n_used = int(self.zone_records["n_frames"].sum()) - n_free
        return Stats(c[ledger.N_ALLOCS], c[ledger.N_FAILED], n_frees, c[ledger.N_REFUSED], c[ledger.REQUESTED], c[ledger.GRANTED],
                     c[EXAMINED], c[SPLITS], c[MERGES], n_frames, n_free, n_used, c[ledger.N_SHARES], c[ledger.N_SHARED])

    def events(self) -> Array:
        """The latest events (`kernel_sim.events.EVENT`), the oldest first; a copy."""
        numbers = np.arange(max(1, self.clock - events.RING_EVENTS + 1), self.clock + 1)
        return self._ring[numbers % events.RING_EVENTS].copy()

    @property
    def clock(self) -> int:
        """The number of the latest event."""
        return int(self._counters[ledger.CLOCK])

    def owner_of(self, pfn: int) -> int | None:
        """Who has a frame, or None for one that is not allocated. OutOfRange beyond the memory."""
        if not 0 <= pfn < self.n_table_frames:
            raise OutOfRange(f"OutOfRange: there is no frame {pfn:#x}", pfn=pfn)
        record = self.table.frames[pfn]
        return int(record["owner"]) if record["state"] in (HEAD, TAIL, SHARED_HEAD, SHARED_TAIL) else None

    def holds(self, pfn: int, owner: int) -> bool:
        """Whether `owner` is among the users of the allocation that a frame, padding included, is of. No for a frame that is not allocated or none.

        Compiled code asks `kernel_sim.users.holds`.
        """
        return bool(holds(self._address, self._within(operator.index(pfn)), owner))

    def users_of(self, pfn: int) -> dict[int, int]:
        """Who uses the allocation that a frame, padding included, is of, and how often: the owner whom `owner_of` names, then the others in the order
        in which they came. Nobody for a frame that is not allocated. OutOfRange beyond the memory."""
        if self.owner_of(pfn) is None and self.table.frames[pfn]["state"] != PAD:
            return {}
        head = int(interpreted(users.head_of)(self.table.frames, pfn))
        first = int(self.table.frames[head]["owner"])
        return dict(users.ring(self.users, head, first)) if self.table.references[head] else {first: 1}

    @property
    def users(self) -> Array:
        """The table of those who share (`kernel_sim.users.USER`), as large as it is now."""
        n_entries = int(self.root[ledger.R_N_USERS])
        return self._room_for_users[n_entries:2 * n_entries]

    @property
    def n_users(self) -> int:
        """How many owners of shared allocations are kept, one for each allocation that he uses."""
        return int(self._counters[ledger.N_USERS])

    def check(self) -> None:
        """The whole audit, independent of the policy's own bookkeeping. BrokenInvariant names what does not fit."""
        from kernel_sim.audit import audit

        audit(self)

    # -- the inside -------------------------------------------------------------------------------------------------------------------

    def error_for(self, status: int, n_frames: int | None, pfn: int | None = None) -> SimError:
        """The exception that tells in Python what the latest event's status (`kernel_sim.events`) tells a guest."""
        from kernel_sim.complaints import complaint

        return complaint(self, status, n_frames, pfn)

    @property
    def witness(self) -> int:
        """The frame at which the latest refusal, or broken invariant, showed."""
        return int(self._counters[ledger.WITNESS])

    @property
    def latest_event(self) -> Any:
        """The event that was recorded last."""
        return self._ring[self._counters[ledger.CLOCK] % events.RING_EVENTS]

    def _within(self, pfn: int) -> int:
        """A frame's number as compiled code can hold it: any that is none becomes one just outside."""
        return min(max(pfn, -1), self.n_table_frames)

    @cached_property
    def bound(self) -> ledger.Bound:
        """The bookkeeping, made for this policy."""
        return ledger.bind_policy(self.policy)

    @cached_property
    def entries(self) -> Entries:
        """The doors from the interpreter into the bookkeeping."""
        return entries_for(self.policy)

    def _lay_out(self) -> None:
        """Make the arrays, and the root that leads to them."""
        n_frames = self.n_table_frames
        self.table = Table(lazy_zeros(n_frames, FRAME), lazy_zeros((n_frames >> CHUNK_SHIFT) + 1, np.uint8), lazy_zeros(n_frames, np.uint16))
        most_users = users.most_entries(n_frames)
        self._room_for_users = lazy_zeros(2 * most_users, users.USER)
        first_table = address_of(self._room_for_users[users.FEWEST_ENTRIES:])
        self.zone_records = np.zeros(len(self.zones), ledger.ZONE)
        self._counters = np.zeros(ledger.N_COUNTERS, np.int64)
        self._ring = lazy_zeros(events.RING_EVENTS, events.EVENT)
        self.root = np.array([address_of(self.table.frames), n_frames, address_of(self.table.touched), len(self.table.touched),
                              address_of(self.zone_records), len(self.zones), address_of(self._counters), address_of(self._ring),
                              address_of(self.table.references), first_table, users.FEWEST_ENTRIES, most_users, 0], np.int64)
        self._address = self.root[ledger.R_ROOT] = address_of(self.root)

    def _mark(self, in_use: Sequence[Range]) -> None:
        """Set holes, reserved frames and those in use aside, and tell the policy of the rest."""
        check_ranges(in_use, "frames in use")
        exist = [part for zone in self.zones for part in zone.ranges]
        if intersect(join(exist), in_use) != list(in_use):
            raise BadInput("frames in use: a range lies outside the memory")
        if any(intersect(zone.reserved, in_use) for zone in self.zones):
            raise BadInput("frames in use: a range has reserved frames in it")
        for first, end in subtract([(0, self.n_table_frames)], exist):
            mark(self.table, first, end, HOLE)
        for first, end in in_use:
            mark(self.table, first, end, HEAD)
        self._words: list[Array] = []
        for number, zone in enumerate(self.zones):
            for first, end in zone.reserved:
                mark(self.table, first, end, RESERVED)
            self._set_up(number, zone, subtract(subtract(join(zone.ranges), zone.reserved), in_use))

    def _set_up(self, number: int, zone: Zone, free: Sequence[Range]) -> None:
        firsts, ends = (np.array([run[side] for run in free], np.int64) for side in (0, 1))
        words = lazy_zeros(self.policy.n_words(zone.first_pfn, zone.end_pfn, len(free)), np.int64)
        self._words.append(words)
        for_hire = zone.n_frames - count(zone.reserved)
        self.zone_records[number] = (zone.first_pfn, zone.end_pfn, for_hire, int((ends - firsts).sum()), address_of(words), len(words))
        self.entries.setup(self.root, number, firsts, ends)

    def free_runs_of(self, zone: int) -> Array:
        """The free runs of one zone, as int64 rows (first, end)."""
        return self.free_runs_by_zone()[zone]

    def _counts(self, zone: str | None) -> tuple[int, ...]:
        info = self.buddyinfo()
        if zone is None:
            return tuple(sum(by_order) for by_order in zip(*info.values(), strict=True))
        if zone not in info:
            raise BadInput(f"no zone {zone!r}; there are {', '.join(info)}")
        return info[zone]

    def granted_in(self, zone: int, n_frames: int) -> int:
        """What the policy would take for such a request in a zone, by number; 0 for more than it ever gives."""
        return int(interpreted(self.policy.granted)(self.area(zone), n_frames))

    def area(self, zone: int) -> Any:
        """A zone as the policy sees it, for an audit."""
        record = self.zone_records[zone]
        return interpreted(self.policy.open_area)(self.table.frames, int(record["words"]), int(record["n_words"]), self._counters,
                                                  int(record["first"]), int(record["end"]))
