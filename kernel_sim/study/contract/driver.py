"""Drives a manager and its oracles through the same operations and compares them after every one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple

from kernel_sim.allocators.base import Policy
from kernel_sim.compiled import interpreted
from kernel_sim.errors import BadFree, OutOfFrames
from kernel_sim.events import ALLOC, FREE, OK
from kernel_sim.manager import FrameManager
from kernel_sim.study.contract.books import Books, Refusal
from kernel_sim.study.contract.memories import Memory, Operation, size_of
from kernel_sim.study.contract.modelled import ModelledMemory

OWNERS = 5


class Driver:
    """A manager, the books, and (where the policy has a written rule) the prediction of every placement."""

    def __init__(self, policy: str | type | Policy, memory: Memory, rule: type | None = None) -> None:
        self.manager = FrameManager(memory.zones, policy, in_use=memory.in_use)
        self.books = Books(memory.zones, memory.in_use)
        self.predicted = ModelledMemory(rule, memory.zones, memory.free_runs) if rule else None
        self.counts = {"n_allocs": 0, "n_failed": 0, "n_frees": 0, "n_refused": 0, "requested": 0, "granted": 0}
        self.compare()

    def perform(self, operations: list[Operation]) -> None:
        for operation in operations:
            self.act(operation)
            self.compare()

    def act(self, operation: Operation) -> None:
        live = self.books.live
        if operation.kind == "alloc" or (operation.kind != "wild" and not live):
            self.alloc(size_of(operation), operation.b % OWNERS)
        elif operation.kind == "free":
            self.free(live[operation.a % len(live)].first, None)
        elif operation.kind == "part":
            chosen = live[operation.a % len(live)]
            offset = operation.b % (chosen.end - chosen.first)
            self.free(chosen.first + offset, operation.b // 7 % (chosen.end - chosen.first - offset) + 1)
        else:
            self.free(operation.a % (self.manager.n_table_frames + 6) - 3, operation.b % 6 or None)

    def alloc(self, n_frames: int, owner: int) -> int | None:
        """Ask for frames; whatever comes must be legal, and where there is a rule, what the rule says."""
        self.books.clock += 1
        predicted = self.predicted.alloc(n_frames) if self.predicted else None
        try:
            pfn = int(self.manager.alloc(n_frames, owner=owner))
        except OutOfFrames as failure:
            assert predicted is None, f"{n_frames} frames are there, at {predicted}"
            self.counts["n_failed"] += 1
            self.check_failure(failure, n_frames)
            return None
        granted = declared(self.manager, n_frames)
        if self.predicted:
            assert (pfn, granted) == predicted, f"{n_frames} frames"
        self.check_zone(pfn, n_frames)
        self.books.alloc(pfn, n_frames, granted, owner)
        self.counts["n_allocs"] += 1
        self.counts["requested"] += n_frames
        self.counts["granted"] += granted
        self.check_event(ALLOC, pfn, n_frames, granted)
        assert self.manager.owner_of(pfn) == self.manager.owner_of(pfn + n_frames - 1) == owner
        return pfn

    def check_failure(self, failure: OutOfFrames, n_frames: int) -> None:
        """The reason is the true one. A single frame is refused only when there is none."""
        runs = self.books.free_runs()
        n_free = sum(end - first for first, end in runs)
        assert (failure.n_frames, failure.n_free) == (n_frames, n_free)
        assert failure.largest_free_run == max((end - first for first, end in runs), default=0)
        assert failure.reason == ("limit" if not declared(self.manager, n_frames) else "empty" if n_free < n_frames else "scattered")
        assert n_frames > 1 or n_free == 0
        event = self.manager.events()[-1]
        assert (event["kind"], event["pfn"], event["n_frames"], event["granted"]) == (ALLOC, -1, n_frames, 0)

    def check_zone(self, pfn: int, n_frames: int) -> None:
        """A single frame comes from the highest zone that has one."""
        if n_frames == 1:
            assert self.books.zone_of(pfn) == self.books.zone_of(max(self.books.free))

    def free(self, pfn: int, n_frames: int | None) -> None:
        """Give frames back, rightly or wrongly."""
        self.books.clock += 1
        refusal = self.books.refusal(pfn, n_frames)
        if refusal:
            self.counts["n_refused"] += 1
            assert refused(lambda: self.manager.free(pfn, n_frames)) == refusal
            return
        self.manager.free(pfn, n_frames)
        first, end = self.books.vacate(pfn, n_frames)
        if self.predicted:
            self.predicted.free(first, end)
        self.counts["n_frees"] += 1
        self.check_event(FREE, pfn, n_frames or 0, end - first)
        assert self.manager.owner_of(pfn) is None

    def check_event(self, kind: int, pfn: int, n_frames: int, granted: int) -> None:
        """The latest event tells what has just been done."""
        event = self.manager.events()[-1]
        assert tuple(event[name].item() for name in ("number", "kind", "status", "pfn", "n_frames", "granted")) == (
            self.books.clock, kind, OK, pfn, n_frames, granted)

    def compare(self) -> None:
        """The audit, and every figure that the manager gives, against the books."""
        self.manager.check()
        stats = self.manager.stats()
        assert self.manager.free_runs() == self.books.free_runs()
        assert self.manager.buddyinfo() == self.books.buddyinfo()
        assert {name: getattr(stats, name) for name in self.counts} == self.counts
        assert (stats.n_frames, stats.n_free, stats.n_used) == (len(self.books.exists), len(self.books.free), len(self.books.holder))
        if self.predicted:
            tallies = (stats.examined, stats.splits, stats.merges)
            assert tallies[:1] == self.predicted.tallies()[:1] if self.manager.policy.plain else tallies == self.predicted.tallies(), astuple(stats)


def refused(wrong_free: Callable[[], None]) -> Refusal | None:
    """The refusal that a free is answered with, None for none."""
    try:
        wrong_free()
    except BadFree as error:
        return Refusal(type(error), error.pfn, error.event)
    return None


def declared(manager: FrameManager, n_frames: int) -> int:
    """How many frames the policy says such a request takes up in some zone; 0 if it never gives so many."""
    granted = interpreted(manager.policy.granted)
    return max(int(granted(manager.area(zone), n_frames)) for zone in range(len(manager.zones)))
