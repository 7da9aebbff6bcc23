"""The best allocator there can be, exactly: the game in which the placing, too, is a choice, solved backwards.

A layout is *lost* for every allocator, with 1 operation to go, when some request that may be made has no place in it; with d + 1 to go when

    freeing one of its allocations leads to a layout that is lost with d, or
    some request leads to a layout that is lost with at most d, wherever it is put (with d at least once).

Starting from those lost with 1, each layout's predecessors are looked at once it is known to be lost. The requester wins if that reaches the empty
memory, against any allocator whatever, one that knows the future moves' rules as well as he does; if not, there is an allocator that never fails:
the one that never enters a lost layout.
"""

from __future__ import annotations

import numpy as np

from kernel_sim.compiled import Array, compiled, entry, int64, trailing_zeros
from kernel_sim.errors import OutOfFrames
from kernel_sim.manager import FrameManager
from kernel_sim.study.worst_case.game import Alloc, Free, Game, Operation, Progress, too_many_states
from kernel_sim.study.worst_case.layouts import Layouts, add, find, fitting, new_layouts, ones, size_at

NOT_LOST = 0
_STRIDE = 1 << 15       # layouts between two looks at the keyboard


class Solved:
    """One memory's game, solved: `lost[i]` operations are the most that the requester needs from layout i, NOT_LOST if he never wins from there."""

    def __init__(self, layouts: Layouts, lost: Array, n_frames: int, game: Game) -> None:
        self.layouts, self.lost, self.n_frames, self.game = layouts, lost, n_frames, game

    @property
    def n_operations(self) -> int | None:
        """How many operations the requester needs at most, from the empty memory and against the best allocator; None if he does not win."""
        return int(self.lost[0]) or None

    def lost_at(self, starts: int, used: int) -> int:
        """How many operations the requester needs at most from a layout, or NOT_LOST."""
        return int(self.lost[_number_of(*self.layouts, starts, used)])


def count_layouts(n_frames: int, game: Game) -> int:
    """How many layouts a memory has: the sum, over its frames from the low end, of a free one or an allocation of each size."""
    ways = [[0] * (game.live + 1) for _ in range(n_frames + 1)]
    ways[0][0] = 1
    for frame in range(n_frames):
        for live, n in enumerate(ways[frame]):
            ways[frame + 1][live] += n
            for size in game.sizes:
                if frame + size <= n_frames and live + size <= game.live:
                    ways[frame + size][live + size] += n
    return sum(ways[n_frames])


def solve(n_frames: int, game: Game, max_states: int, progress: Progress | None = None) -> Solved:
    """Solve the game in a memory of so many frames. Unsettled beyond `max_states`."""
    n_layouts = count_layouts(n_frames, game)
    if n_layouts > max_states:
        raise too_many_states(max_states, n_frames)
    layouts = new_layouts(n_layouts)
    sizes = np.array(game.sizes, np.int64)
    lost, queue = np.zeros(n_layouts, np.int16), np.zeros(n_layouts, np.int32)
    noted = np.zeros(3, np.int64)
    while noted[SPREAD] < layouts.n[0]:
        _spread(*layouts, noted, lost, queue, sizes, n_frames, game.live, _STRIDE)
        if progress:
            progress(n_frames, int(layouts.n[0]))
    assert layouts.n[0] == n_layouts
    while noted[DONE] < noted[QUEUED] and lost[0] == NOT_LOST:
        _retreat(*layouts, noted, lost, queue, sizes, n_frames, game.live, _STRIDE)
        if progress:
            progress(n_frames, n_layouts)
    return Solved(layouts, lost, n_frames, game)


SPREAD, QUEUED, DONE = range(3)     # what is noted: layouts extended, found lost, and looked at


@compiled
def live_frames(used: int) -> int:
    """How many frames are used."""
    live, rest = int64(0), used
    while rest != 0:
        live += 1
        rest &= rest - 1
    return live


@entry
def _spread(starts: Array, used: Array, memory: Array, table: Array, n: Array, noted: Array, lost: Array, queue: Array, sizes: Array, n_frames: int,
            live: int, stride: int) -> None:
    """Make every layout once, by adding allocations above all others, and queue those that are lost with 1 operation to go."""
    layouts = Layouts(starts, used, memory, table, n)
    while stride > 0 and noted[SPREAD] < n[0]:
        stride -= 1
        number = noted[SPREAD]
        noted[SPREAD] += 1
        here, taken = starts[number], used[number]
        free, room = ones(n_frames) & ~taken, live - live_frames(taken)
        above = int64(0)
        while taken >> above != 0:
            above += 1
        for i in range(len(sizes)):
            size = sizes[i]
            if size > room:
                continue
            if fitting(free, size) == 0 and lost[number] == NOT_LOST:
                lost[number] = 1
                queue[noted[QUEUED]] = number
                noted[QUEUED] += 1
            for first in range(above, n_frames - size + 1):
                add(layouts, here | int64(1) << first, taken | ones(size) << first, int64(0))


@entry
def _retreat(starts: Array, used: Array, memory: Array, table: Array, n: Array, noted: Array, lost: Array, queue: Array, sizes: Array, n_frames: int,
             live: int, stride: int) -> None:
    """Go on from layouts that are lost to those before them, in the order in which they were found: by operations to go."""
    layouts = Layouts(starts, used, memory, table, n)
    while stride > 0 and noted[DONE] < noted[QUEUED]:
        stride -= 1
        number = queue[noted[DONE]]
        noted[DONE] += 1
        here, taken, to_go = starts[number], used[number], int64(lost[number])
        free, room = ones(n_frames) & ~taken, live - live_frames(taken)
        for i in range(len(sizes)):         # before a free: one allocation more
            places = fitting(free, sizes[i]) if sizes[i] <= room else int64(0)
            while places != 0:
                first = int64(trailing_zeros(places))
                enqueue(layouts, noted, lost, queue, find(layouts, here | int64(1) << first, taken | ones(sizes[i]) << first, int64(0)), to_go + 1)
                places &= places - 1
        rest = here
        while rest != 0:                    # before a request: one allocation less
            first = int64(trailing_zeros(rest))
            size = size_at(here, taken, first)
            before, had = here & ~(int64(1) << first), taken & ~(ones(size) << first)
            number = find(layouts, before, had, int64(0))
            if lost[number] == NOT_LOST and everywhere(layouts, lost, before, had, n_frames, size, to_go):
                enqueue(layouts, noted, lost, queue, number, to_go + 1)
            rest &= rest - 1


@compiled
def enqueue(layouts: Layouts, noted: Array, lost: Array, queue: Array, number: int, to_go: int) -> None:
    """Note a layout as lost, unless it is known to be."""
    if lost[number] == NOT_LOST:
        lost[number] = to_go
        queue[noted[QUEUED]] = number
        noted[QUEUED] += 1


@compiled
def everywhere(layouts: Layouts, lost: Array, starts: int, used: int, n_frames: int, size: int, to_go: int) -> bool:
    """Whether a request leads to a layout that is lost with so many operations at most, wherever it is put."""
    places = fitting(ones(n_frames) & ~used, size)
    while places != 0:
        first = int64(trailing_zeros(places))
        number = find(layouts, starts | int64(1) << first, used | ones(size) << first, int64(0))
        if lost[number] == NOT_LOST or lost[number] > to_go:
            return False
        places &= places - 1
    return True


@entry
def _number_of(starts: Array, used: Array, memory: Array, table: Array, n: Array, here: int, taken: int) -> int:
    return find(Layouts(starts, used, memory, table, n), here, taken, int64(0))


def defeat(manager: FrameManager, solved: Solved) -> list[Operation]:
    """Play the winning strategy against a policy in the memory that was solved: the operations, the last of which it cannot serve."""
    operations: list[Operation] = []
    slots: list[int] = []
    sizes: dict[int, int] = {}      # of the live slots
    while True:
        here = {slot: (slots[slot], size) for slot, size in sizes.items()}
        operation = strategy(solved, here)
        operations.append(operation)
        if isinstance(operation, Free):
            manager.free(slots[operation.slot])
            del sizes[operation.slot]
            continue
        try:
            slots.append(manager.alloc(operation.n_frames))
        except OutOfFrames:
            return operations
        sizes[len(slots) - 1] = operation.n_frames


def strategy(solved: Solved, live: dict[int, tuple[int, int]]) -> Operation:
    """What the requester does where these slots are live, each (pfn, frames): whatever brings him closer to his win for certain."""
    starts = sum(1 << pfn for pfn, _ in live.values())
    used = sum(((1 << size) - 1) << pfn for pfn, size in live.values())
    to_go = solved.lost_at(starts, used)
    for slot, (pfn, size) in live.items():
        if 0 < solved.lost_at(starts & ~(1 << pfn), used & ~(((1 << size) - 1) << pfn)) < to_go:
            return Free(slot)
    for size in solved.game.sizes:
        run = (1 << size) - 1
        places = [pfn for pfn in range(solved.n_frames - size + 1) if not used & run << pfn]
        if used.bit_count() + size <= solved.game.live and all(0 < solved.lost_at(starts | 1 << pfn, used | run << pfn) < to_go for pfn in places):
            return Alloc(size)
    raise AssertionError("a layout that is lost has a move that leads on")
