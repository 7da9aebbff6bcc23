"""Fibonacci buddies by the two bits of Cranston and Thomas, against ours, which find a buddy by arithmetic.

Source: B. Cranston and R. Thomas, "A simplified recombination scheme for the Fibonacci buddy system", CACM 18(6), 1975. Every block, free or not,
carries the index k of its Fibonacci number and two bits, B and M. B says whether it is the left (0) or the right (1) of its pair; M is where the
two keep the bits of the block that they were split from: its B with the left one, its M with the right one.

    split a block of F(k)                           left: F(k-1), B = 0, M = B of the whole; right: F(k-2), B = 1, M = M of the whole
    the buddy of a block of F(k)                    B = 0: it begins F(k) behind and has index k-1; B = 1: F(k+1) before, index k+1
    merge                                           B of the whole = M of the left, M of the whole = M of the right

F(1) and F(2) are both 1, and told apart by their index. The lists, and which part serves a request, are as our policy has them: the source is about
how a buddy is found.
"""

from __future__ import annotations

from random import Random
from typing import NamedTuple

import pytest

from kernel_sim import FrameManager, OutOfFrames, Zone, load_policy

FIBONACCI = [0, 1, 1]
while FIBONACCI[-1] < 1597:
    FIBONACCI.append(FIBONACCI[-2] + FIBONACCI[-1])
TOP = len(FIBONACCI) - 1


class Block(NamedTuple):
    """Where it begins, the index of its size, and its bits."""

    first: int
    k: int
    b: int
    m: int

    @property
    def size(self) -> int:
        return FIBONACCI[self.k]


class TwoBits:
    """The system of the source, over whole tiles. The last of a list is taken first."""

    def __init__(self, tiles: list[int]) -> None:
        self.lists: dict[int, list[Block]] = {size: [] for size in FIBONACCI[1:]}
        self.free_at: dict[int, Block] = {}
        self.taken: dict[int, Block] = {}
        for first in reversed(tiles):
            self.put(Block(first, TOP, 0, 0))

    def put(self, block: Block) -> None:
        self.lists[block.size].append(block)
        self.free_at[block.first] = block

    def remove(self, block: Block) -> None:
        self.lists[block.size].remove(block)
        del self.free_at[block.first]

    def alloc(self, n_frames: int) -> int | None:
        wanted = min(size for size in FIBONACCI if size >= n_frames)
        found = next((blocks[-1] for size, blocks in sorted(self.lists.items()) if size >= wanted and blocks), None)
        if found is None:
            return None
        self.remove(found)
        while found.size != wanted:
            left = Block(found.first, found.k - 1, 0, found.b)
            right = Block(found.first + left.size, found.k - 2, 1, found.m)
            found, other = (right, left) if right.size >= wanted else (left, right)
            self.put(other)
        self.taken[found.first] = found
        return found.first

    def free(self, pfn: int) -> None:
        block = self.taken.pop(pfn)
        while block.k < TOP:
            first, k = (block.first - FIBONACCI[block.k + 1], block.k + 1) if block.b else (block.first + block.size, block.k - 1)
            buddy = self.free_at.get(first)
            if buddy is None or buddy.k != k:
                break
            self.remove(buddy)
            left, right = (buddy, block) if block.b else (block, buddy)
            block = Block(left.first, left.k + 1, left.m, right.m)
        self.put(block)


def free_blocks(manager: FrameManager) -> list[tuple[int, int]]:
    """(first, size), ascending; tiles that were never taken, which are listed as one run, one by one."""
    found = []
    for first, n_frames in manager.policy.blocks(manager.area(0)):
        found += [(first, n_frames)] if n_frames <= 1597 else [(pfn, 1597) for pfn in range(first, first + n_frames, 1597)]
    return sorted(found)


@pytest.mark.parametrize("seed", range(4))
def test_every_block_finds_the_same_buddy(seed: int) -> None:
    """Requests and frees of all sizes, in three tiles that begin anywhere: every placement is the same, and so are the free blocks."""
    random, first = Random(seed), 1 + seed * 777
    tiles = [first + number * FIBONACCI[TOP] for number in range(3)]
    model = TwoBits(tiles)
    manager = FrameManager([Zone("Tiles", ((first, tiles[-1] + FIBONACCI[TOP]),))], load_policy("fibonacci-buddy", uncompiled=True))
    live: list[int] = []
    for step in range(1500):
        if step % 50 == 0:
            assert free_blocks(manager) == sorted((block.first, block.size) for block in model.free_at.values())
        if live and random.random() < (0.3, 0.7)[step // 150 % 2]:    # the memory fills up and empties, again and again
            pfn = live.pop(random.randrange(len(live)))
            manager.free(pfn)
            model.free(pfn)
            continue
        n_frames = random.choice((1, 1, 1, 2, 2, 3, 4, 5, 8, 11, 21, 40, 144, 300))
        try:
            placed: int | None = int(manager.alloc(n_frames))
        except OutOfFrames:
            placed = None
        assert placed == model.alloc(n_frames)
        live += [placed] if placed is not None else []
    assert manager.stats().merges > 200
    for pfn in live:
        manager.free(pfn)
        model.free(pfn)
    assert free_blocks(manager) == [(tile, 1597) for tile in tiles]
    assert sorted(block.first for block in model.lists[1597]) == tiles
