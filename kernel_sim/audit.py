"""The whole audit of a manager: the frame table, the zones, the counters and the policy's own lists, each against the others.

It takes nobody's word: the table is read frame by frame where it was ever touched, the policy's free blocks are walked one by one, and both
must tell the same story.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kernel_sim.compiled import Array, entry
from kernel_sim.errors import BrokenInvariant
from kernel_sim.frames import CHUNK_SHIFT, HEAD, HOLE, PAD, RESERVED, RUN_FREE, RUN_USED, TAIL, state_runs
from kernel_sim.zones import subtract

if TYPE_CHECKING:
    from kernel_sim.manager import FrameManager

_GRAMMAR = ("", "a tail that follows no head", "padding that follows no allocation", "a state that does not exist",
            "a frame that is not free in a part of the table that was never touched")


def audit(manager: FrameManager) -> None:
    """BrokenInvariant, naming what does not fit, unless every account of every frame agrees."""
    _check_table(manager)
    _check_counts(manager)
    _check_fixed(manager)
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
            if state == TAIL and before not in (HEAD, TAIL):
                return 1, pfn
            if state == PAD and before not in (HEAD, TAIL, PAD):
                return 2, pfn
            if state > HOLE:
                return 3, pfn
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
