"""Linux: where it must place. Python lists, the front first, and a dictionary of pageblocks; the manager's own requests are unmovable."""

from __future__ import annotations

import math
from collections.abc import Sequence

from kernel_sim.study.contract.rules.common import TOP, Tallies, aligned_blocks
from kernel_sim.zones import Range, Zone

UNMOVABLE, MOVABLE, RECLAIMABLE = range(3)
OTHERS = {UNMOVABLE: (RECLAIMABLE, MOVABLE), MOVABLE: (RECLAIMABLE, UNMOVABLE), RECLAIMABLE: (UNMOVABLE, MOVABLE)}
PAGEBLOCK = 512
ON_CPU = (0, 1, 2, 3, 9)


class Linux(Tallies):
    """One zone, with one processor asking."""

    n_cpus = 1

    def __init__(self, zone: Zone, free_runs: Sequence[Range]) -> None:
        super().__init__()
        self.zone = zone
        self.type: dict[int, int] = {}
        self.lists: dict[tuple[int, int], list[int]] = {(kind, order): [] for kind in OTHERS for order in range(TOP + 1)}
        for pfn, order in sorted(block for run in free_runs for block in aligned_blocks(*run)):
            self.lists[MOVABLE, order].append(pfn)
        self.waiting: list[list[tuple[int, int]]] = [[] for _ in range(14)]
        self.factor, self.freed, self.may_hold = 0, 0, 0
        self.large = self.short = False
        self.set_sizes(zone.end_pfn - zone.first_pfn)
        self.may_hold = self.least

    def set_sizes(self, managed: int) -> None:
        lowest = min(max(math.isqrt(managed * 64), 128), 262144) // 4
        gap = max(lowest // 4, managed // 1000)
        quarter = max(min(managed // 1024, 256) // 4, 1)
        self.batch = max(2 ** int(math.log2(quarter + quarter // 2)) - 1, 1)
        self.high = lowest + 2 * gap
        self.least = max((lowest + gap) // self.n_cpus, 4 * self.batch)
        self.most = max(managed // 8 // self.n_cpus, self.least)

    # -- free blocks by type ---------------------------------------------------------------------------------------------------------------

    @property
    def n_listed(self) -> int:
        return sum(len(blocks) << order for (_, order), blocks in self.lists.items())

    def type_of(self, pfn: int) -> int:
        return self.type.get(pfn // PAGEBLOCK, MOVABLE)

    def take(self, kind: int, found: int, order: int, rest: int) -> int:
        pfn = self.lists[kind, found].pop(0)
        for half in reversed(range(order, found)):
            self.lists[rest, half].insert(0, pfn + 2**half)
            self.splits += 1
        return pfn

    def from_lists(self, order: int, kind: int) -> int | None:
        pfn = self.smallest(order, kind)
        pfn = self.claim(order, kind) if pfn is None else pfn
        return self.steal(order, kind) if pfn is None else pfn

    def smallest(self, order: int, kind: int) -> int | None:
        for found in range(order, TOP + 1):
            self.examined += 1
            if self.lists[kind, found]:
                return self.take(kind, found, order, kind)
        return None

    def other_with(self, order: int, kind: int) -> int | None:
        self.examined += 1
        return next((other for other in OTHERS[kind] if self.lists[other, order]), None)

    def claim(self, order: int, kind: int) -> int | None:
        for found in reversed(range(max(order, 4 if kind == MOVABLE else 0), TOP + 1)):
            other = self.other_with(found, kind)
            if other is None:
                continue
            block = self.lists[other, found][0]
            if found >= 9:
                self.type.update({part // PAGEBLOCK: kind for part in range(block, block + 2**found, PAGEBLOCK)})
                return self.take(other, found, order, kind)
            if self.change_pageblock(block // PAGEBLOCK, kind):
                return self.smallest(order, kind)
        return None

    def change_pageblock(self, number: int, kind: int) -> bool:
        inside = [(pfn, order, other) for (other, order), blocks in self.lists.items() for pfn in blocks if pfn // PAGEBLOCK == number]
        whole = self.zone.first_pfn <= number * PAGEBLOCK and (number + 1) * PAGEBLOCK <= self.zone.end_pfn
        if not whole or sum(2**order for _, order, _ in inside) < PAGEBLOCK / 2:
            return False
        for pfn, order, other in sorted(inside):
            self.lists[other, order].remove(pfn)
            self.lists[kind, order].append(pfn)
        self.type[number] = kind
        return True

    def steal(self, order: int, kind: int) -> int | None:
        for found in range(order, TOP + 1):
            other = self.other_with(found, kind)
            if other is not None:
                return self.take(other, found, order, other)
        return None

    def free_block(self, pfn: int, order: int) -> None:
        kind = self.type_of(pfn)
        while order < TOP and (buddy := self.listed(pfn ^ 2**order, order)):
            self.lists[buddy].remove(pfn ^ 2**order)
            if order == 9:
                self.type[(pfn ^ 2**order) // PAGEBLOCK] = kind
            pfn, order = min(pfn, pfn ^ 2**order), order + 1
            self.merges += 1
        parent = pfn // 2**(order + 1) * 2**(order + 1)
        soon = order < TOP - 1 and self.listed(parent ^ 2**(order + 1), order + 1)
        self.lists[kind, order].insert(len(self.lists[kind, order]) if soon else 0, pfn)

    def listed(self, pfn: int, order: int) -> tuple[int, int] | None:
        return next(((kind, order) for kind in OTHERS if pfn in self.lists[kind, order]), None)

    # -- the processor's lists -------------------------------------------------------------------------------------------------------------

    @property
    def held(self) -> int:
        return sum(2**order for blocks in self.waiting for _, order in blocks)

    @staticmethod
    def number(order: int, kind: int) -> int:
        return 12 + (kind == MOVABLE) if order == 9 else 3 * order + kind

    def granted(self, n_frames: int) -> int:
        return next((2**order for order in range(TOP + 1) if 2**order >= n_frames), 0)

    def alloc(self, n_frames: int) -> int | None:
        order = next(order for order in range(TOP + 1) if 2**order >= n_frames)
        self.short = self.short or self.n_listed - 2**order < self.high
        if order in ON_CPU:
            self.freed //= 2
            self.examined += 1
            own = self.waiting[self.number(order, UNMOVABLE)]
            if not own:
                self.refill(own, order)
            if own:
                return own.pop(0)[0]
        pfn = self.from_lists(order, UNMOVABLE)
        if pfn is None:
            self.give_back(self.held, 0)
            pfn = self.from_lists(order, UNMOVABLE)
        return pfn

    def refill(self, own: list[tuple[int, int]], order: int) -> None:
        for _ in range(self.refill_size(order)):
            pfn = self.from_lists(order, UNMOVABLE)
            if pfn is None:
                break
            own.append((pfn, order))

    def refill_size(self, order: int) -> int:
        wanted = self.batch if order else self.batch * 2**self.factor
        if not self.short and self.least < self.most:
            self.may_hold = min(self.may_hold + wanted, self.most)
        if order == 0:
            room = max(self.may_hold - self.held - self.batch, self.batch)
            if wanted <= room:
                self.factor = min(self.factor + 1, 5)
            wanted = min(wanted, room)
        return int(max(wanted // 2**order, 2)) if wanted > 1 else int(wanted)

    def free(self, pfn: int, n_frames: int) -> None:
        for block, order in aligned_blocks(pfn, pfn + n_frames):
            if order in ON_CPU:
                self.lay_down(block, order)
            else:
                size = min(2**order, PAGEBLOCK)
                for part in range(block, block + 2**order, size):
                    self.free_block(part, size.bit_length() - 1)

    def lay_down(self, pfn: int, order: int) -> None:
        number = self.number(order, self.type_of(pfn))
        self.factor //= 2
        self.waiting[number].insert(0, (pfn, order))
        large = 1 <= order <= 3
        emptying = large and self.large and min(self.freed, self.held) >= self.batch
        self.large = large
        if self.freed < self.batch * 32:
            self.freed += 2**order
        mark = self.mark(emptying)
        if self.held >= mark:
            n_frames = self.batch * 32 if emptying else min(max(self.freed, self.batch), mark - self.batch) if mark >= self.batch else 1
            self.give_back(n_frames, number)
            self.short = self.short and self.n_listed <= self.high

    def mark(self, emptying: bool) -> int:
        """How much may be held just now."""
        before = self.may_hold
        if emptying:
            self.may_hold = max(before - self.batch * 32, self.least)
            return 0
        if self.least < self.most and self.short:
            self.may_hold = max(before - max(self.freed, self.batch), self.least)
            return int(max(self.held, self.least))
        if self.least < self.most and self.held >= before:
            self.may_hold = min(max(self.freed + self.batch, before), self.most)
        return int(before)

    def give_back(self, n_frames: int, number: int) -> None:
        while n_frames > 0 and self.held:
            while n_frames > 0 and self.waiting[number]:
                pfn, order = self.waiting[number].pop()
                n_frames -= 2**order
                self.free_block(pfn, order)
            number = (number + 1) % 14


def rule(cpus: str) -> type | None:
    """For one processor and for several, of which only the first is ever asked."""
    return type("Linux", (Linux,), {"n_cpus": int(cpus)})
