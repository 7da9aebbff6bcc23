"""The whole audit of a manager: the frame table, the zones, the counters and the policy's own lists, each against the others.

It takes nobody's word: the table is read frame by frame where it was ever touched, the policy's free blocks are walked one by one, and both
must tell the same story.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from kernel_sim.compiled import Array, entry, interpreted
from kernel_sim.errors import BrokenInvariant
from kernel_sim.frames import (
    CHUNK_SHIFT,
    HEAD,
    HOLE,
    PAD,
    RESERVED,
    RUN_FREE,
    RUN_USED,
    SHARED_HEAD,
    SHARED_TAIL,
    TAIL,
    count_frames,
    state_runs,
    touched_runs,
)
from kernel_sim.users import home
from kernel_sim.zones import subtract

if TYPE_CHECKING:
    from kernel_sim.manager import FrameManager

_GRAMMAR = ("", "a tail that follows no head", "padding that follows no allocation", "a state that does not exist",
            "a frame that is not free in a part of the table that was never touched", "an allocation of two owners")


def audit(manager: FrameManager) -> None:
    """BrokenInvariant, naming what does not fit, unless every account of every frame agrees."""
    _check_table(manager)
    _check_counts(manager)
    _check_fixed(manager)
    _check_shared(manager)
    for zone in range(len(manager.zones)):
        if not manager.policy.plain:
            _check_policy(manager, zone)
        manager.policy.check(manager.area(zone))


def _check_table(manager: FrameManager) -> None:
    """Every allocation is a head, tails, padding."""
    rule, pfn = grammar(manager.table.frames, manager.table.touched)
    if rule:
        raise BrokenInvariant(f"the frame table has {_GRAMMAR[rule]}, at frame {pfn:#x}")


@entry
def grammar(frames: Array, touched: Array) -> tuple[int, int]:
    """The first rule that a frame breaks, and the frame: (0, 0) for none."""
    for chunk in range(len(touched)):
        first = chunk << CHUNK_SHIFT
        for pfn in range(first, min(first + (1 << CHUNK_SHIFT), len(frames)) if touched[chunk] else min(first + 1, len(frames))):
            state = frames[pfn]["state"]
            before = frames[pfn - 1]["state"] if pfn > 0 else HOLE
            if not touched[chunk] and state != 0:
                return 4, pfn
            if (state == TAIL and before not in (HEAD, TAIL)) or (state == SHARED_TAIL and before not in (SHARED_HEAD, SHARED_TAIL)):
                return 1, pfn
            if state == PAD and before not in (HEAD, TAIL, PAD, SHARED_HEAD, SHARED_TAIL):
                return 2, pfn
            if state > SHARED_TAIL:
                return 3, pfn
            if state in (TAIL, PAD, SHARED_TAIL) and frames[pfn]["owner"] != frames[pfn - 1]["owner"]:
                return 5, pfn
    return 0, 0


def _check_counts(manager: FrameManager) -> None:
    """What the counters say is what the table holds."""
    firsts, kinds = state_runs(manager.table)
    lengths = np.diff(np.append(firsts, manager.n_table_frames))
    used, live = int(lengths[kinds == RUN_USED].sum()), manager.stats().n_used
    if used != live:
        raise BrokenInvariant(f"{used} frames are allocated in the frame table, {live} by the manager's count")
    for number, zone in enumerate(manager.zones):
        inside = np.clip(np.append(firsts, manager.n_table_frames), zone.first_pfn, zone.end_pfn)
        free, counted = int(np.diff(inside)[kinds == RUN_FREE].sum()), int(manager.zone_records["n_free"][number])
        if free != counted:
            raise BrokenInvariant(f"zone {zone.name}: {free} frames are free in the frame table, {counted} by the manager's count")


def _check_fixed(manager: FrameManager) -> None:
    """Reserved frames are reserved still, and holes are holes."""
    states = manager.table.frames["state"]
    for zone in manager.zones:
        for first, end in zone.reserved:
            if not (states[first:end] == RESERVED).all():
                raise BrokenInvariant(f"zone {zone.name}: the reserved frames {first:#x} to {end:#x} did not stay so")
    for first, end in subtract([(0, manager.n_table_frames)], [part for zone in manager.zones for part in zone.ranges]):
        if not (states[first:end] == HOLE).all():
            raise BrokenInvariant(f"the hole {first:#x} to {end:#x} did not stay one")


def _check_shared(manager: FrameManager) -> None:
    """Every shared allocation has users, as many as are counted; nobody else has any."""
    table, stats = manager.table, manager.stats()
    shared, counted = list[int](), dict[int, int]()
    for first, end in touched_runs(table):
        shared += (first + np.flatnonzero(table.frames["state"][first:end] == SHARED_HEAD)).tolist()
        counted.update((first + int(pfn), int(table.references[first + pfn])) for pfn in np.flatnonzero(table.references[first:end]))
    entries = _entries_by_frame(manager)
    n_frames, n_entries = sum(count_frames(table, state) for state in (SHARED_HEAD, SHARED_TAIL)), sum(map(len, entries.values()))
    if n_frames != stats.n_shared:
        raise BrokenInvariant(f"{n_frames} frames are shared in the frame table, {stats.n_shared} by the manager's count")
    if n_entries != manager.n_users:
        raise BrokenInvariant(f"{n_entries} users stand in the table of users, {manager.n_users} by the manager's count")
    for pfn in sorted({*shared, *counted, *entries}):
        if not (pfn in counted and pfn in entries and table.frames[pfn]["state"] == SHARED_HEAD):
            raise BrokenInvariant(f"frame table, count and users disagree whether frame {pfn:#x} begins a shared allocation")
        if sum(int(user["count"]) for user in entries[pfn].values()) != counted[pfn] + 1:
            raise BrokenInvariant(f"the uses of the allocation at frame {pfn:#x} are not the {counted[pfn] + 1} that are counted")
        _check_ring(entries[pfn], pfn, int(table.frames[pfn]["owner"]))


def _entries_by_frame(manager: FrameManager) -> dict[int, dict[int, Any]]:
    """The entries of the table of users, by frame and owner. Each stands where a search comes to it."""
    table, mask = manager.users, len(manager.users) - 1
    found = dict[int, dict[int, Any]]()
    for at in np.flatnonzero(table["count"]).tolist():
        user = table[at]
        pfn, owner = int(user["pfn"]), int(user["owner"])
        begin = int(interpreted(home)(table, pfn, owner))
        if owner in found.setdefault(pfn, {}) or not table["count"][[(begin + step) & mask for step in range((at - begin) & mask)]].all():
            raise BrokenInvariant(f"owner {owner} cannot be found among the users of frame {pfn:#x}, or stands there twice")
        found[pfn][owner] = user
    return found


def _check_ring(entries: dict[int, Any], pfn: int, first: int) -> None:
    """Every user of an allocation stands in its ring, once, and the owner in the frame's record is one of them."""
    around, owner = list[int](), first
    while owner in entries and owner not in around:
        around.append(owner)
        following = int(entries[owner]["next"])
        if following not in entries or entries[following]["prev"] != owner:
            break
        owner = following
    if owner != first or len(around) != len(entries):
        raise BrokenInvariant(f"the ring of the users of frame {pfn:#x} is torn at owner {owner}")


def _check_policy(manager: FrameManager, zone: int) -> None:
    """The policy's free blocks are exactly the zone's free frames: none twice, none missing, none of somebody else's."""
    where = f"zone {manager.zones[zone].name}: policy {manager.policy.name}"
    blocks = np.array(sorted(manager.policy.blocks(manager.area(zone))), np.int64).reshape(-1, 2)
    firsts, ends = blocks[:, 0], blocks[:, 0] + blocks[:, 1]
    twice = np.flatnonzero(firsts[1:] < ends[:-1])
    if len(twice):
        raise BrokenInvariant(f"{where} lists frame {firsts[twice[0] + 1]:#x} twice")
    opens = np.append(True, firsts[1:] != ends[:-1])[:len(firsts)]
    closes = np.append(firsts[1:] != ends[:-1], True)[:len(firsts)]
    own = np.stack([firsts[opens], ends[closes]], axis=1)
    table = manager.free_runs_of(zone)
    if not np.array_equal(own, table):
        strange = sorted(set(map(tuple, own.tolist())) ^ set(map(tuple, table.tolist())))
        raise BrokenInvariant(f"{where} and the frame table disagree about what is free, first at {strange[0][0]:#x} to {strange[0][1]:#x}")
    _check_marks(manager, zone, where, np.concatenate([firsts, ends - 1]))


def _check_marks(manager: FrameManager, zone: int, where: str, edges: Array) -> None:
    """A policy marks, in the record's ``order``, frames at the edges of its free blocks. Elsewhere a mark would be taken for a block that is none.

    What was never touched is not looked at: a mark is left behind where something was given out or taken back.
    """
    for first, end in touched_runs(manager.table):
        first, end = max(first, manager.zones[zone].first_pfn), min(end, manager.zones[zone].end_pfn)
        marked = first + np.flatnonzero(manager.table.frames["order"][first:max(first, end)])
        stale = np.setdiff1d(marked, edges)
        if len(stale):
            raise BrokenInvariant(f"{where} left a mark on frame {stale[0]:#x}, which is no edge of a free block")
