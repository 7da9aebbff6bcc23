"""What the rules of the fits have in common: holes on a list, carved and coalesced."""

from __future__ import annotations

from collections.abc import Sequence

from kernel_sim.study.contract.rules.common import Tallies
from kernel_sim.zones import Range, Zone


def size(hole: Range) -> int:
    return hole[1] - hole[0]


class Fit(Tallies):
    """Holes of any length, (first, end), in the order in which they are searched; `choose` says which."""

    order, coalesce, carve = "address", "immediate", "low"

    def __init__(self, zone: Zone, free_runs: Sequence[Range]) -> None:
        super().__init__()
        self.zone = zone
        self.holes = self.arranged(sorted(free_runs))
        self.last_end = zone.first_pfn
        self.place: Range | None = None     # where next fit goes on in a list that is not in order of address; None for its front

    def granted(self, n_frames: int) -> int:
        return n_frames if n_frames <= self.zone.end_pfn - self.zone.first_pfn else 0

    # -- the list

    def arranged(self, holes: list[Range]) -> list[Range]:
        """As the order says, if it is not that of insertion."""
        if self.order == "size-descending":
            return sorted(holes, key=lambda hole: (-size(hole), hole))
        if self.order == "size-ascending":
            return sorted(holes, key=lambda hole: (size(hole), hole))
        return sorted(holes) if self.order == "address" else holes

    def enter(self, hole: Range) -> None:
        self.holes = self.arranged([hole, *self.holes] if self.order == "insert-front" else [*self.holes, hole])

    def leave(self, hole: Range) -> None:
        """The place of next fit passes to the hole behind."""
        at = self.holes.index(hole)
        self.holes.remove(hole)
        if self.place == hole:
            self.place = self.holes[at] if at < len(self.holes) else None

    # -- the decision

    def choose(self, n_frames: int) -> Range | None:
        raise NotImplementedError

    def large_enough(self, n_frames: int) -> list[Range]:
        """Every hole is looked at."""
        self.examined += len(self.holes)
        return [hole for hole in self.holes if size(hole) >= n_frames]

    def first_of(self, holes: Sequence[Range], n_frames: int) -> Range | None:
        """Holes are looked at until one is large enough."""
        for hole in holes:
            self.examined += 1
            if size(hole) >= n_frames:
                return hole
        return None

    # -- carving and coalescing

    def alloc(self, n_frames: int) -> int | None:
        hole = self.choose(n_frames)
        if hole is None and self.coalesce == "deferred" and self.coalesce_all():
            hole = self.choose(n_frames)
        if hole is None:
            return None
        first, end = hole
        pfn = first if self.carve == "low" else end - n_frames
        self.take(hole, (first + n_frames, end) if self.carve == "low" else (first, pfn))
        self.last_end = pfn + n_frames
        return pfn

    def take(self, hole: Range, rest: Range) -> None:
        """What is left stands where the hole stood, or where its size belongs; next fit stays at that place of the list."""
        self.place = hole
        if size(rest) == 0:
            self.leave(hole)
            return
        self.splits += 1
        if self.order.startswith("size"):
            self.leave(hole)
            self.enter(rest)
        else:
            self.holes[self.holes.index(hole)] = rest
            self.place = rest

    def free(self, pfn: int, n_frames: int) -> None:
        freed = (pfn, pfn + n_frames)
        touching = [hole for hole in self.holes if hole[1] == pfn or hole[0] == freed[1]] if self.coalesce == "immediate" else []
        self.join([freed, *touching], touching)

    def join(self, parts: Sequence[Range], listed: Sequence[Range]) -> None:
        """Make one hole of them."""
        self.merges += len(parts) - 1
        for hole in listed:
            self.leave(hole)
        self.enter((min(first for first, _ in parts), max(end for _, end in parts)))

    def coalesce_all(self) -> bool:
        """Join each run of holes that touch, in the order in which the first of each stands in the list. Whether there was one."""
        runs: list[list[Range]] = []
        for hole in sorted(self.holes):
            if runs and runs[-1][-1][1] == hole[0]:
                runs[-1].append(hole)
            else:
                runs.append([hole])
        runs = [run for run in runs if len(run) > 1]
        for run in sorted(runs, key=lambda run: min(map(self.holes.index, run))):
            self.join(run, run)
        return bool(runs)


def variant(fit: type[Fit], order: str, coalesce: str, carve: str, search: str) -> type[Fit]:
    """A fit with such choices. A tree decides as the list does, and looks at fewer holes."""
    judged = fit.judged if search == "linear" else ("splits", "merges")
    return type(fit.__name__, (fit,), {"order": order, "coalesce": coalesce, "carve": carve, "judged": judged})
