"""Drives a manager and its oracles through the same operations and compares them after every one."""

from __future__ import annotations

from collections.abc import Callable

from kernel_sim.allocators.base import Policy
from kernel_sim.errors import BadFree, OutOfFrames
from kernel_sim.events import ALLOC, FREE, OK, SHARE
from kernel_sim.manager import FrameManager, Stats
from kernel_sim.study.contract.books import Books, Refusal
from kernel_sim.study.contract.laws import held_to, require
from kernel_sim.study.contract.memories import Memory, Operation, size_of
from kernel_sim.study.contract.modelled import ModelledMemory
from kernel_sim.study.contract.refusals import why_not

OWNERS = 5


class Driver:
    """A manager, the books, and (where the policy has a written rule) the prediction of every placement.

    Whatever does not fit is a `BrokenLaw`. `doing` says in words what was begun last; `watch` is told of every operation that is over.
    """

    def __init__(self, policy: str | type | Policy, memory: Memory, rule: type | None = None, watch: Callable[[Driver], None] | None = None) -> None:
        self.doing = "at the start"
        self.watch = watch
        with held_to("no nonsense"):
            self.manager = FrameManager(memory.zones, policy, in_use=memory.in_use)
        self.books = Books(memory.zones, memory.in_use)
        self.predicted = ModelledMemory(rule, memory.zones, memory.free_runs) if rule else None
        self.counts = {"n_allocs": 0, "n_failed": 0, "n_frees": 0, "n_refused": 0, "requested": 0, "granted": 0, "n_shares": 0}
        self.compare()

    def perform(self, operations: list[Operation]) -> None:
        for operation in operations:
            self.act(operation)
            self.compare()

    def act(self, operation: Operation) -> None:
        live = self.books.live
        if operation.kind == "alloc" or (not operation.kind.startswith("wild") and not live):
            self.alloc(size_of(operation), operation.b % OWNERS)
        elif operation.kind == "share":
            self.share(live[operation.a % len(live)].first, operation.b % OWNERS)
        elif operation.kind == "leave":
            chosen = live[operation.a % len(live)]
            users = [*chosen.users, *range(OWNERS)]     # mostly one who may
            self.free(chosen.first, chosen.end - chosen.first if operation.b % 3 else None, users[operation.b // 3 % len(users)])
        elif operation.kind == "wild share":
            self.share(operation.a % (self.manager.n_table_frames + 6) - 3, operation.b % OWNERS)
        elif operation.kind == "free":
            self.free(live[operation.a % len(live)].first, None)
        elif operation.kind == "part":
            chosen = live[operation.a % len(live)]
            offset = operation.b % (chosen.end - chosen.first)
            self.free(chosen.first + offset, operation.b // 7 % (chosen.end - chosen.first - offset) + 1)
        else:
            self.free(operation.a % (self.manager.n_table_frames + 6) - 3, operation.b % 6 or None)

    def begin(self, doing: str) -> None:
        """What was begun before is over, and stands in the books."""
        if self.watch:
            self.watch(self)
        self.doing = doing

    def alloc(self, n_frames: int, owner: int) -> int | None:
        """Ask for frames; whatever comes must be legal, and where there is a rule, what the rule says."""
        self.begin(f"alloc {n_frames}")
        self.books.clock += 1
        predicted = self.predicted.alloc(n_frames) if self.predicted else None
        try:
            with held_to("no nonsense"):
                pfn = int(self.manager.alloc(n_frames, owner=owner))
        except OutOfFrames as failure:
            self.doing += " -> none"
            self.check_failure(failure, n_frames)
            require(predicted is None, "placement", f"{n_frames} frames are refused; the rule gives frame {predicted and predicted[0]}")
            self.counts["n_failed"] += 1
            return None
        self.doing += f" -> {pfn}"
        granted = int(self.manager.events()[-1]["granted"])
        require(granted == self.declared(pfn, n_frames), "enough", f"{granted} frames are granted for {n_frames}; the policy declares another number")
        self.check_zone(pfn, n_frames)
        self.books.alloc(pfn, n_frames, granted, owner)
        self.check_rule(predicted, pfn, granted, n_frames)
        self.counts["n_allocs"] += 1
        self.counts["requested"] += n_frames
        self.counts["granted"] += granted
        self.check_event(ALLOC, pfn, n_frames, granted)
        require(self.manager.owner_of(pfn) == self.manager.owner_of(pfn + n_frames - 1) == owner, "figures", f"frame {pfn} is not owner {owner}'s")
        return pfn

    def declared(self, pfn: int, n_frames: int) -> int:
        """What the policy says that it takes for such a request, in the zone of a frame."""
        return self.manager.granted_in(self.books.zone_of(pfn), n_frames)

    def check_rule(self, predicted: tuple[int, int] | None, pfn: int, granted: int, n_frames: int) -> None:
        """Where there is a rule, it was kept."""
        if self.predicted:
            expected = f"frame {predicted[0]}, {predicted[1]} frames" if predicted else "none"
            require((pfn, granted) == predicted, "placement", f"{n_frames} frames are placed at {pfn} ({granted} granted); the rule says {expected}")

    def check_failure(self, failure: OutOfFrames, n_frames: int) -> None:
        """The reason is the true one. A single frame is refused only when there is none."""
        law = "no refusal without a reason"
        runs = self.books.free_runs()
        n_free = sum(end - first for first, end in runs)
        require(n_frames > 1 or n_free == 0, law, f"a frame is refused while {n_free} are free")
        require((failure.n_frames, failure.n_free) == (n_frames, n_free), law, f"{failure.n_free} free, it says; there are {n_free}")
        require(failure.largest_free_run == max((end - first for first, end in runs), default=0), law, "the longest free run is not the one it names")
        sizes = [self.manager.granted_in(zone, n_frames) for zone in range(len(self.books.zones))]
        expected = why_not(self.books, sizes, n_frames, self.manager.policy.aligned)
        require(failure.reason == expected.reason, law, f"the reason is {expected.reason}, not {failure.reason}")
        require(failure.nearest_fit == expected.nearest_fit, law, f"the nearest fit is {expected.nearest_fit}, not {failure.nearest_fit}")
        event = self.manager.events()[-1]
        told = (event["kind"], event["pfn"], event["n_frames"], event["granted"])
        require(told == (ALLOC, -1, n_frames, 0), "figures", f"the event of the failure tells {told}")

    def check_zone(self, pfn: int, n_frames: int) -> None:
        """A single frame comes from the highest zone that has one."""
        if n_frames == 1 and pfn in self.books.free:
            require(self.books.zone_of(pfn) == self.books.zone_of(max(self.books.free)), "highest zone", f"frame {pfn} is not of it")

    def free(self, pfn: int, n_frames: int | None, owner: int = 0) -> None:
        """Give frames back, rightly or wrongly."""
        self.begin((f"free {pfn}" if n_frames is None else f"free {n_frames} at {pfn}") + (f" by {owner}" if owner else ""))
        self.books.clock += 1
        if self.is_refused(self.books.refusal(pfn, n_frames, owner), lambda: self.manager.free(pfn, n_frames, owner)):
            return
        with held_to("no nonsense"):
            self.manager.free(pfn, n_frames, owner)
        first, end = self.books.vacate(pfn, n_frames, owner)
        if self.predicted and first < end:
            self.predicted.free(first, end)
        self.counts["n_frees"] += 1
        self.check_event(FREE, pfn, n_frames or 0, end - first)
        if first < end:
            require(self.manager.owner_of(pfn) is None, "figures", f"frame {pfn} is free and has an owner")
        else:
            self.check_users(pfn)

    def is_refused(self, refusal: Refusal | None, ask: Callable[[], object]) -> bool:
        """Whether it must be; then it is asked for, and is."""
        if refusal:
            self.counts["n_refused"] += 1
            told = refused(ask)
            require(told == refusal, "wrong frees", f"{self.doing} is answered with {told}, not {refusal}")
            self.doing += f" -> refused, {refusal.error.__name__}"
        return refusal is not None

    def share(self, pfn: int, owner: int) -> None:
        """Make somebody a user of an allocation, rightly or wrongly."""
        self.begin(f"share {pfn} with {owner}")
        self.books.clock += 1
        if self.is_refused(self.books.refusal(pfn, None), lambda: self.manager.share(pfn, owner)):
            return
        with held_to("no nonsense"):
            told = self.manager.share(pfn, owner)
        n_uses = self.books.share(pfn, owner)
        require(told == n_uses, "last user", f"{told} uses, it says; there are {n_uses}")
        self.counts["n_shares"] += 1
        self.check_event(SHARE, pfn, n_uses, 0)
        self.check_users(pfn)

    def check_users(self, pfn: int) -> None:
        """Who has an allocation, each of its frames, and who has not."""
        held, manager = self.books.holder[pfn], self.manager
        told = manager.users_of(pfn)
        require(list(told.items()) == list(held.users.items()), "last user", f"frame {pfn} is used by {told}, it says; it is by {held.users}")
        for frame in {held.first, held.end - 1, held.padded_end - 1}:
            having = {owner for owner in range(OWNERS) if manager.holds(frame, owner)}
            require(having == held.users.keys(), "last user", f"{having} have frame {frame}, it says; {set(held.users)} do")
        require(manager.owner_of(pfn) == manager.owner_of(held.end - 1) == held.owner, "figures", f"frame {pfn} is not owner {held.owner}'s")

    def check_event(self, kind: int, pfn: int, n_frames: int, granted: int) -> None:
        """The latest event tells what has just been done."""
        event = self.manager.events()[-1]
        told = tuple(event[name].item() for name in ("number", "kind", "status", "pfn", "n_frames", "granted"))
        require(told == (self.books.clock, kind, OK, pfn, n_frames, granted), "figures", f"the latest event is {told}")

    def compare(self) -> None:
        """The audit, and every figure that the manager gives, against the books."""
        with held_to("audit"):
            self.manager.check()
        stats = self.manager.stats()
        require(self.manager.free_runs() == self.books.free_runs(), "figures", "free runs")
        require(self.manager.buddyinfo() == self.books.buddyinfo(), "figures", "blocks by order")
        require({name: getattr(stats, name) for name in self.counts} == self.counts, "figures", f"{stats}")
        counted = (stats.n_frames, stats.n_free, stats.n_used, stats.n_shared)
        require(counted == (len(self.books.exists), len(self.books.free), len(self.books.holder), self.books.n_shared), "figures", f"{stats}")
        if self.predicted:
            self.check_effort(stats)

    def check_effort(self, stats: Stats) -> None:
        """A plain policy counts its steps in one number, if at all. An index looks at fewer holes than its rule, which then does not say how many."""
        assert self.predicted is not None
        expected = self.predicted.tallies()
        if self.manager.policy.plain:
            steps = expected.get("examined", stats.examined)
            require(stats.examined in (0, steps), "effort", f"{stats.examined} steps; the rule examines {steps} holes")
        else:
            counted = {name: getattr(stats, name) for name in expected}
            require(counted == expected, "effort", f"counted {counted}; the rule says {expected}")


def refused(wrong_free: Callable[[], object]) -> Refusal | None:
    """The refusal that a free is answered with, None for none."""
    try:
        wrong_free()
    except BadFree as error:
        return Refusal(type(error), error.pfn, error.event)
    return None


def declared(manager: FrameManager, n_frames: int) -> int:
    """How many frames the policy says such a request takes up in some zone; 0 if it never gives so many."""
    return max(manager.granted_in(zone, n_frames) for zone in range(len(manager.zones)))
