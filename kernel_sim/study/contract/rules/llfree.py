"""LLFree: where it must place. Sets of frames instead of bit fields; what a counter would say is counted anew each time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kernel_sim.study.contract.rules.common import TOP, Tallies, aligned_blocks
from kernel_sim.zones import Range, Zone

CHILD, ROW, ROWS = 512, 64, 8
FREES = 4


class LLFree(Tallies):
    """One processor. `visible` is what the tree's counter says is free: what was freed while it was not the processor's own is in it."""

    n_children = 32

    def __init__(self, zone: Zone, free_runs: Sequence[Range]) -> None:
        super().__init__()
        self.base = zone.first_pfn // 1024 * 1024
        self.last_child = -(-(zone.end_pfn - self.base) // CHILD)
        self.size = CHILD * self.n_children
        self.free_frames = {pfn - self.base for run in free_runs for pfn in range(*run)}
        self.n_trees = -(-self.last_child // self.n_children)
        in_whole = {child for child in range(self.last_child) if not self.free_frames & set(self.frames_of(child))}
        self.whole = in_whole               # children that are in use as one
        self.own: int | None = None
        self.start = 0
        self.row_of_frees = (0, 0)          # the tree, and how many frees in a row

    def frames_of(self, child: int) -> range:
        return range(child * CHILD, (child + 1) * CHILD)

    def free_in_child(self, child: int) -> int:
        return sum(pfn in self.free_frames for pfn in self.frames_of(child))

    def free_in_tree(self, tree: int) -> int:
        return sum(self.free_in_child(child) for child in self.children_of(tree))

    def children_of(self, tree: int) -> range:
        return range(tree * self.n_children, min((tree + 1) * self.n_children, self.last_child))

    def granted(self, n_frames: int) -> int:
        return next((2**order for order in range(TOP + 1) if 2**order >= n_frames), 0)

    def alloc(self, n_frames: int) -> int | None:
        size = self.granted(n_frames)
        if self.own is not None and self.free_in_tree(self.own) >= size:
            found = self.take(self.own, size, self.start)
            if found is not None:
                self.start = found
                return found + self.base
        at = self.own if self.own is not None else 0
        for attempt in range(2):
            found = self.reserve_another(size, at)
            if found is not None:
                return found + self.base
            if attempt == 0:
                self.own = None
        return None

    def reserve_another(self, size: int, at: int) -> int | None:
        """Partly filled trees, then free ones, then any, the nearest first."""
        for suits in (lambda free: self.size / 16 <= free < self.size, lambda free: free == self.size, lambda free: True):
            for tree in self.around(at):
                self.examined += 1
                free = self.free_in_tree(tree)
                if tree == self.own or free < size or not suits(free):
                    continue
                found = self.take(tree, size, None)
                if found is not None:
                    self.own, self.start = tree, found
                    return found
        return None

    def around(self, at: int) -> Iterator[int]:
        steps = [0] + [sign * step for step in range(1, self.n_trees) for sign in (-1, 1)]
        yield from ((at + step) % self.n_trees for step in steps[:self.n_trees])

    def take(self, tree: int, size: int, start: int | None) -> int | None:
        """From a place on and round, child by child; within the first child from a row on and round."""
        children = list(self.children_of(tree))
        first = start // CHILD if start is not None and start // CHILD in children else children[0]
        row = start % CHILD // ROW if start is not None and start // CHILD in children else 0
        turn = children.index(first)
        for child in children[turn:] + children[:turn]:
            self.examined += 1
            found = self.take_whole(child, size) if size >= CHILD else self.take_part(child, size, row if child == first else 0)
            if found is not None:
                self.free_frames -= set(range(found, found + size))
                return found
        return None

    def take_whole(self, child: int, size: int) -> int | None:
        wanted = range(child, child + size // CHILD)
        if child * CHILD % size or wanted.stop > self.last_child or any(self.free_in_child(part) < CHILD for part in wanted):
            return None
        self.whole |= set(wanted)
        return child * CHILD

    def take_part(self, child: int, size: int, row: int) -> int | None:
        if self.free_in_child(child) < size:
            return None
        rows = max(size // ROW, 1)
        order = [at for at in range(0, ROWS, rows) if at + rows > row] + [at for at in range(0, ROWS, rows) if at + rows <= row]
        for at in order:
            self.examined += 1
            first = child * CHILD + at * ROW
            for pfn in range(first, first + rows * ROW, size):
                if all(frame in self.free_frames for frame in range(pfn, pfn + size)):
                    return pfn
        return None

    def free(self, pfn: int, n_frames: int) -> None:
        for block, order in aligned_blocks(pfn, pfn + n_frames):
            self.free_block(block - self.base, 2**order)

    def free_block(self, first: int, size: int) -> None:
        for child in range(first // CHILD, (first + size - 1) // CHILD + 1):
            if child in self.whole and size < CHILD:
                self.splits += 1
            self.whole.discard(child)
        self.free_frames |= set(range(first, first + size))
        tree, (last, n) = first // self.size, self.row_of_frees
        self.row_of_frees = (tree, min(n + 1, FREES) if tree == last else 1)
        if self.row_of_frees[1] == FREES and tree != self.own and self.free_in_tree(tree) >= self.size / 16:
            self.own, self.start = tree, tree * self.size


class SmallTrees(LLFree):
    """Trees of 16 MiB."""

    n_children = 8


def rule(cpus: str, children: str) -> type | None:
    """The manager's own calls come from processor 0: others would only change where it begins to look."""
    return {"32": LLFree, "8": SmallTrees}[children]
