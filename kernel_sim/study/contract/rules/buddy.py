"""Buddy: where it must place."""

from __future__ import annotations

from collections.abc import Sequence

from kernel_sim.study.contract.rules.common import TOP, Tallies, aligned_blocks
from kernel_sim.zones import Range, Zone


class Buddy(Tallies):
    """One list for each order; the last of a list is the next to be taken."""

    def __init__(self, zone: Zone, free_runs: Sequence[Range]) -> None:
        super().__init__()
        self.lists: list[list[int]] = [[] for _ in range(TOP + 1)]
        for pfn, order in sorted((block for run in free_runs for block in aligned_blocks(*run)), reverse=True):
            self.lists[order].append(pfn)

    def take(self, blocks: list[int]) -> int:
        return blocks.pop()

    def granted(self, n_frames: int) -> int:
        return next((2**order for order in range(TOP + 1) if 2**order >= n_frames), 0)

    def alloc(self, n_frames: int) -> int | None:
        wanted = next(order for order in range(TOP + 1) if 2**order >= n_frames)
        for order in range(wanted, TOP + 1):
            self.examined += 1
            if self.lists[order]:
                pfn = self.take(self.lists[order])
                for half in reversed(range(wanted, order)):
                    self.lists[half].append(pfn + 2**half)
                    self.splits += 1
                return pfn
        return None

    def free(self, pfn: int, n_frames: int) -> None:
        for block, order in aligned_blocks(pfn, pfn + n_frames):
            while order < TOP and (buddy := block ^ 2**order) in self.lists[order]:
                self.lists[order].remove(buddy)
                self.merges += 1
                block, order = min(block, buddy), order + 1
            self.lists[order].append(block)


class AddressBuddy(Buddy):
    """The lowest address of an order instead."""

    def take(self, blocks: list[int]) -> int:
        lowest = min(blocks)
        blocks.remove(lowest)
        return lowest


def rule(order: str) -> type:
    return {"lifo": Buddy, "address": AddressBuddy}[order]
