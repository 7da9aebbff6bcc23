"""What a run or a replay has to say: the same numbers for both, as JSON and for people."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from kernel_sim.compiled import Array
from kernel_sim.errors import OutOfFrames
from kernel_sim.fragmentation import extfrag_index, unusable_index
from kernel_sim.manager import FrameManager
from kernel_sim.operations import ALLOC, Performed, perform
from kernel_sim.units import FRAME_BYTES, N_ORDERS

if TYPE_CHECKING:
    from kernel_sim.study.framemap import FrameMap


def framemap_of(manager: FrameManager) -> FrameMap:
    """What every frame of a manager's memory is now."""
    from kernel_sim.frames import state_runs
    from kernel_sim.study.framemap import FrameMap

    first_pfn, kind = state_runs(manager.table)
    return FrameMap(manager.n_table_frames, first_pfn.astype("u4"), kind, tuple((zone.name, zone.first_pfn, zone.end_pfn) for zone in manager.zones))


def memory_report(manager: FrameManager) -> dict[str, Any]:
    """The state of the memory, and what the policy did to get it there. Frames, but for `memory_bytes` (the memory that exists)."""
    stats, blocks = manager.stats(), manager.buddyinfo()
    return {
        "policy": manager.policy.name,
        "memory_bytes": stats.n_frames * FRAME_BYTES,
        "frames": {"total": stats.n_frames, "free": stats.n_free, "used": stats.n_used, "largest_free_run": manager.largest_free_run()},
        "steps": stats.steps,
        "holes_examined": stats.examined,
        "splits": stats.splits,
        "merges": stats.merges,
        "internal_fragmentation": round(stats.internal_fragmentation, 6),
        "buddyinfo": {zone: list(counts) for zone, counts in blocks.items()},
        "unusable_index": {zone: [unusable_index(counts, order) for order in range(N_ORDERS)] for zone, counts in blocks.items()},
        "extfrag_index": {zone: [extfrag_index(counts, order) for order in range(N_ORDERS)] for zone, counts in blocks.items()},
    }


def operations_report(counts: dict[str, int], performed: Performed) -> dict[str, Any]:
    """What the trace asked for (`counts`, of a `SlotPlan`), and what became of it."""
    return {
        "operations": {**counts, "frees_of_failed": performed.frees_of_failed},
        "served": performed.served,
        "failed": performed.failed,
        "placements_sha256": performed.placements_sha256,
    }


def first_failure_report(manager: FrameManager, operations: Array, performed: Performed) -> dict[str, Any]:
    """``first_failure``: the first request that was not served, and why not; None when all were."""
    found = first_failure(manager, operations, performed)
    if found is None:
        return {"first_failure": None}
    event, why = found
    return {"first_failure": {
        "event": event, "n_frames": why.n_frames, "owner": int(operations[event - 1]["owner"]), "reason": why.reason, "n_free": why.n_free,
        "largest_free_run": why.largest_free_run, "extfrag_index": why.extfrag_index,
        "nearest_fit": asdict(why.nearest_fit) if why.nearest_fit else None, "message": str(why),
    }}


def first_failure(manager: FrameManager, operations: Array, performed: Performed) -> tuple[int, OutOfFrames] | None:
    """The event, counted from 1, and the exception of the first allocation that was not served.

    What stood in its way then is long gone at the end, so the operations before it are carried out once more, on a memory like the manager's. None
    when nothing failed, when that was interrupted, or for a policy that is not deterministic and serves the request this time.
    """
    failed = np.flatnonzero(performed.placements < 0)
    if not len(failed):
        return None
    slot = int(failed[0])
    at = int(np.flatnonzero(operations["kind"] == ALLOC)[slot])
    again = FrameManager(manager.zones, manager.policy, manager.in_use)
    if perform(again, operations[:at], slot).n_performed < at:
        return None
    n_frames, owner, cpu, mobility = (int(operations[at][name]) for name in ("n_frames", "owner", "cpu", "mobility"))
    try:
        again.alloc(n_frames, owner, cpu, mobility)
    except OutOfFrames as why:
        return at + 1, why
    return None
