"""What the rules of the buddies with unequal parts have in common: every block there could ever be, written down."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import ClassVar

from kernel_sim.study.contract.rules.common import Tallies
from kernel_sim.zones import Range, Zone

Parts = dict[int, tuple[int, int]]
"""The two sizes that a size comes apart into, the low one first."""


class Tree:
    """A tile of `size` frames with everything it can come apart into."""

    def __init__(self, parts: Parts, size: int) -> None:
        self.parent: dict[Range, Range] = {}
        self.children: dict[Range, tuple[Range, Range]] = {}
        self.blocks = [(0, size)]
        for first, end in self.blocks:      # it grows as it is walked
            if end - first > 1:
                middle = first + parts[end - first][0]
                low, high = (first, middle), (middle, end)
                self.parent[low] = self.parent[high] = (first, end)
                self.children[first, end] = low, high
                self.blocks += [low, high]


@cache
def tree(parts: tuple[tuple[int, tuple[int, int]], ...]) -> Tree:
    return Tree(dict(parts), parts[-1][0])


class Subdivided(Tallies):
    """A list of free blocks for each size; the last of a list is the next to be taken."""

    parts: ClassVar[Parts]

    def __init__(self, zone: Zone, free_runs: Sequence[Range]) -> None:
        super().__init__()
        self.first = zone.first_pfn
        self.tree = tree(tuple(sorted(self.parts.items())))
        self.sizes = [1, *sorted(self.parts)]
        self.lists: dict[int, list[Range]] = {size: [] for size in self.sizes}
        for block in sorted((block for run in free_runs for block in self.largest_blocks(*run)), reverse=True):
            self.put(block)

    def put(self, block: Range) -> None:
        self.lists[block[1] - block[0]].append(block)

    def tile_of(self, pfn: int) -> int:
        return pfn - (pfn - self.first) % self.sizes[-1]

    def largest_blocks(self, first: int, end: int) -> list[Range]:
        """The blocks that lie in a range, but for those whose parent does, too; lowest first."""
        found = []
        for tile in range(self.tile_of(first), end, self.sizes[-1]):
            inside = {block for block in self.tree.blocks if first <= tile + block[0] and tile + block[1] <= end}
            found += [(tile + block[0], tile + block[1]) for block in inside if self.tree.parent.get(block) not in inside]
        return sorted(found)

    def granted(self, n_frames: int) -> int:
        return next((size for size in self.sizes if size >= n_frames), 0)

    def alloc(self, n_frames: int) -> int | None:
        wanted = self.granted(n_frames)
        for size in self.sizes[self.sizes.index(wanted):]:
            self.examined += 1
            if self.lists[size]:
                return self.split(self.lists[size].pop(), wanted)
        return None

    def split(self, block: Range, wanted: int) -> int:
        """The high part, the smaller one, if it is large enough; else the low one."""
        while block[1] - block[0] != wanted:
            self.splits += 1
            tile = self.tile_of(block[0])
            low, high = [(tile + first, tile + end) for first, end in self.tree.children[block[0] - tile, block[1] - tile]]
            block, other = (high, low) if high[1] - high[0] >= wanted else (low, high)
            self.put(other)
        return block[0]

    def free(self, pfn: int, n_frames: int) -> None:
        for block in self.largest_blocks(pfn, pfn + n_frames):
            tile = self.tile_of(block[0])
            here = (block[0] - tile, block[1] - tile)
            while here in self.tree.parent:
                parent = self.tree.parent[here]
                low, high = self.tree.children[parent]
                first, end = high if here == low else low
                if (tile + first, tile + end) not in self.lists[end - first]:
                    break
                self.lists[end - first].remove((tile + first, tile + end))
                self.merges += 1
                here = parent
            self.put((tile + here[0], tile + here[1]))
