"""Buddy: where it must place."""

from __future__ import annotations

from collections.abc import Sequence

from kernel_sim.study.contract.rules.common import Tallies, aligned_blocks
from kernel_sim.zones import Range, Zone


class Buddy(Tallies):
    """One list for each order; the last of a list is the next to be taken."""

    top = 10
    lazy = False
    freed = False       # whether anything was, since all was merged

    def __init__(self, zone: Zone, free_runs: Sequence[Range]) -> None:
        super().__init__()
        self.lists: list[list[int]] = [[] for _ in range(self.top + 1)]
        for pfn, order in sorted((block for run in free_runs for block in aligned_blocks(*run, self.top)), reverse=True):
            self.lists[order].append(pfn)

    def put(self, blocks: list[int], pfn: int) -> None:
        blocks.append(pfn)

    def ordered(self, blocks: list[int]) -> list[int]:
        """As they would be taken, one after the other."""
        return blocks[::-1]

    def granted(self, n_frames: int) -> int:
        return next((2**order for order in range(self.top + 1) if 2**order >= n_frames), 0)

    def alloc(self, n_frames: int) -> int | None:
        pfn = self.take(n_frames)
        if pfn is None and self.lazy and self.freed:
            self.merge_all()
            pfn = self.take(n_frames)
        return pfn

    def take(self, n_frames: int) -> int | None:
        wanted = next(order for order in range(self.top + 1) if 2**order >= n_frames)
        for order in range(wanted, self.top + 1):
            self.examined += 1
            if self.lists[order]:
                pfn = self.ordered(self.lists[order])[0]
                self.lists[order].remove(pfn)
                for half in reversed(range(wanted, order)):
                    self.put(self.lists[half], pfn + 2**half)
                    self.splits += 1
                return pfn
        return None

    def free(self, pfn: int, n_frames: int) -> None:
        for block, order in aligned_blocks(pfn, pfn + n_frames, self.top):
            while not self.lazy and order < self.top and (buddy := block ^ 2**order) in self.lists[order]:
                self.lists[order].remove(buddy)
                self.merges += 1
                block, order = min(block, buddy), order + 1
            self.put(self.lists[order], block)
            self.freed = True

    def merge_all(self) -> None:
        """Whoever is merged by its buddy is not looked at again."""
        for order in range(self.top):
            for pfn in self.ordered(self.lists[order]):
                if pfn not in self.lists[order]:
                    continue
                self.examined += 1
                if (buddy := pfn ^ 2**order) in self.lists[order]:
                    self.lists[order].remove(pfn)
                    self.lists[order].remove(buddy)
                    self.put(self.lists[order + 1], min(pfn, buddy))
                    self.merges += 1
        self.freed = False


class FifoBuddy(Buddy):
    """A block joins its list at the other end."""

    def put(self, blocks: list[int], pfn: int) -> None:
        blocks.insert(0, pfn)


class AddressBuddy(Buddy):
    """The lowest address of an order instead."""

    def ordered(self, blocks: list[int]) -> list[int]:
        return sorted(blocks)


def rule(order: str, max_order: str, merge: str) -> type:
    base = {"lifo": Buddy, "fifo": FifoBuddy, "address": AddressBuddy}[order]
    return type(base.__name__, (base,), {"top": int(max_order), "lazy": merge == "lazy"})
