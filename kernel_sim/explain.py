"""Why a request failed: nothing free, too much at once, scattered, or not aligned; and which allocations stand in the way of the nearest fit.

Nothing here runs while requests are served. An exception or a report asks, after the failure and before anything changes. The work is that of the
runs of free and taken frames, not of the frames: a terabyte is explained as fast as it was filled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from kernel_sim.compiled import Array
from kernel_sim.errors import NearestFit, Obstacle, OutOfFrames
from kernel_sim.frames import HEAD, RUN_HOLE, RUN_RESERVED, RUN_USED, SHARED_HEAD, state_runs
from kernel_sim.units import N_ORDERS

if TYPE_CHECKING:
    from kernel_sim.manager import FrameManager

N_NAMED = 3
"""How many of the allocations in the way are named."""


def failure(manager: FrameManager, n_frames: int) -> OutOfFrames:
    """The exception for a request that was not served, with the reason."""
    n_free, largest, size = int(manager.zone_records["n_free"].sum()), manager.largest_free_run(), max(_granted(manager, n_frames))
    facts: dict[str, Any] = {"n_frames": n_frames, "n_free": n_free, "largest_free_run": largest}
    asked = f"OutOfFrames: {_frames(n_frames)} asked for"
    if size <= 0:
        return OutOfFrames(f"{asked}; {manager.policy.name} never gives so many at once here", **facts, reason="limit")
    if n_free < n_frames:
        return OutOfFrames(f"{asked}, {n_free} free", **facts, reason="empty")
    order = min((n_frames - 1).bit_length(), N_ORDERS - 1)
    index, nearest = manager.extfrag_index(order), nearest_fit(manager, n_frames)
    reason, how = "scattered", f"{n_free} free but scattered: the largest free run has {largest}"
    if manager.policy.aligned and largest >= n_frames and (nearest is None or nearest.n_taken):
        reason, how = "alignment", f"{n_free} free, {largest} of them in one run, but no block of {size} that begins at a multiple of {size}"
    return OutOfFrames(f"{asked}, {how}, and the fragmentation index for order {order} is {index}{in_the_way(nearest)}", **facts, reason=reason,
                       extfrag_index=index, nearest_fit=nearest)


def in_the_way(nearest: NearestFit | None) -> str:
    """What follows in the message: the nearest fit, and who has its frames."""
    if nearest is None:
        return "; no frames of this memory could ever serve it"
    where = f"; nearest fit {nearest.first_pfn:#x} to {nearest.end_pfn:#x}"
    if not nearest.n_taken:
        return f"{where}, all of it free, but the policy did not find it in one piece"
    named = [f"{it.first_pfn:#x} to {it.end_pfn:#x} ({f'owner {it.owner}, event {it.event}' if it.event else 'in use from the start'})"
             for it in nearest.obstacles]
    if nearest.n_obstacles > len(named):
        named.append(f"{nearest.n_obstacles - len(named)} more")
    return f"{where}, {_frames(nearest.n_taken)} of it taken: {', '.join(named)}"


def nearest_fit(manager: FrameManager, n_frames: int) -> NearestFit | None:
    """The window that could most nearly serve such a request now, and the allocations in it; None when there is no such window.

    A window has as many frames as the policy would grant, begins at a multiple of that where the policy's blocks are aligned, and has neither a
    hole nor a reserved frame in it. The fewest taken frames win, then the lowest address.
    """
    runs = _Runs.of(manager)
    candidates: list[tuple[int, int, int]] = []     # of each zone the best: frames taken, first frame, size
    for zone, size in zip(manager.zones, _granted(manager, n_frames), strict=True):
        if size <= 0:
            continue
        starts = _windows(runs, zone.first_pfn, zone.end_pfn, size, size if manager.policy.aligned else 1)
        if len(starts):
            taken = runs.n_below(RUN_USED, starts + size) - runs.n_below(RUN_USED, starts)
            candidates.append((int(taken.min()), int(starts[taken.argmin()]), size))
    if not candidates:
        return None
    n_taken, first, size = min(candidates)
    n_obstacles, obstacles = _obstacles(manager, runs, first, first + size)
    return NearestFit(first, first + size, n_taken, n_obstacles, obstacles)


class _Runs(NamedTuple):
    """The frame table as runs: where each begins and of what kind it is (`frames.state_runs`), and where the last one ends."""

    firsts: Array
    kinds: Array
    end: int

    @classmethod
    def of(cls, manager: FrameManager) -> _Runs:
        return cls(*state_runs(manager.table), manager.n_table_frames)

    @property
    def ends(self) -> Array:
        return np.append(self.firsts[1:], self.end)

    def n_below(self, kind: int, pfns: Array) -> Array:
        """For each pfn, how many frames of a kind lie below it."""
        is_kind = self.kinds == kind
        before = np.append(0, np.cumsum((self.ends - self.firsts) * is_kind))
        at = np.searchsorted(self.firsts, pfns, side="right") - 1
        return before[at] + (pfns - self.firsts[at]) * is_kind[at]  # type: ignore[no-any-return]


def _granted(manager: FrameManager, n_frames: int) -> list[int]:
    """What the policy would take for such a request in each zone, or 0."""
    return [manager.granted_in(zone, n_frames) for zone in range(len(manager.zones))]


def _windows(runs: _Runs, first: int, end: int, size: int, step: int) -> Array:
    """Where the windows of `size` frames begin that can have the fewest frames taken, ascending: multiples of `step`, from first to end.

    Slide a window along: the number of taken frames in it rises or falls evenly until one of its ends comes to the edge of a run. So the least is
    found where that happens, or at the multiples of `step` on either side.
    """
    edges = np.concatenate([[first, end], runs.firsts, runs.ends])
    edges = np.concatenate([edges, edges - size])
    starts = np.unique(np.concatenate([edges // step * step, -(-edges // step) * step]))
    starts = starts[(starts >= first) & (starts + size <= end)]
    closed = sum(runs.n_below(kind, starts + size) - runs.n_below(kind, starts) for kind in (RUN_HOLE, RUN_RESERVED))
    return starts[closed == 0]  # type: ignore[no-any-return]


def _obstacles(manager: FrameManager, runs: _Runs, first: int, end: int) -> tuple[int, tuple[Obstacle, ...]]:
    """How many allocations have frames from first to end, and the lowest few of them."""
    n_found, named = 0, list[Obstacle]()
    frames = manager.table.frames
    inside = (runs.kinds == RUN_USED) & (runs.firsts < end) & (runs.ends > first)
    for run_first, run_end in zip(runs.firsts[inside].tolist(), runs.ends[inside].tolist(), strict=True):
        heads = run_first + np.flatnonzero(np.isin(frames["state"][run_first:run_end], (HEAD, SHARED_HEAD)))
        ends = np.append(heads[1:], run_end)
        here = (heads < end) & (ends > first)
        n_found += int(here.sum())
        for head, stop in zip(heads[here][:N_NAMED].tolist(), ends[here][:N_NAMED].tolist(), strict=True):
            named.append(Obstacle(head, stop, int(frames[head]["owner"]), int(frames[head]["event"])))
    return n_found, tuple(named[:N_NAMED])


def _frames(n: int) -> str:
    return f"{n} frame{'s' if n != 1 else ''}"
