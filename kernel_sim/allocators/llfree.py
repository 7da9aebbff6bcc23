"""LLFree: bit fields of 512 frames under counters under trees; a processor reserves a tree, partly filled ones first, and fills it up.

Source: L. Wrenger, F. Rommel, A. Halbuer, C. Dietrich, D. Lohmann, "LLFree: Scalable and Optionally-Persistent Page-Frame Allocation", USENIX
Annual Technical Conference, 2023.

Idea: no lists. A bit says whether a frame is in use, a counter how many are in a huge frame of 2 MiB, another how many are in a tree of 64 MiB:
to find a frame is to read a few counters and one cache line, and to merge is nothing, for a huge frame is free when its counter says so. Each
processor reserves one tree and is served from it, from the place where it was served last, until it has nothing that fits. Then the trees around
are looked at, the nearest first: one that is partly filled is reserved if there is one, else one that is free as a whole, else any. So small
requests gather in few trees, and free trees and huge frames stay whole: fragmentation is avoided, not repaired. Four frees in a row into a tree
reserve that one: what frees much there will soon find room.

Invariant: a counter is the number of bits that are set, a tree's is the sum of its children's; what is free of a reserved tree is in the
processor's own counter, and in the tree's what others have freed since.

Cost: 64 bytes for 512 frames, 2 for their counter and 2 for a tree's, and nothing a frame; a request reads at most the counters of all trees,
mostly one counter and one cache line.

Use: when free huge frames are what counts, or where a frame's record must not be written: all of its state is counters and bits.

Parameters: ``cpus`` is the number of processors that reserve trees; a request's processor is taken modulo it. ``children`` is how many huge
frames a tree has.

What is left out: atomic operations (everything here happens one after the other, so nothing is ever tried twice), and the recovery of a memory that
lost its power; a block of order 10 is two huge frames side by side, as in LLFree. Where a tree cannot serve, it is not reserved in vain first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from kernel_sim.allocators import llfree_area
from kernel_sim.allocators.base import N_TALLIES, Place, Policy, Request, Whole, examine
from kernel_sim.allocators.buddy import granted, largest_block, order_of
from kernel_sim.allocators.llfree_area import (
    CHILD_FRAMES,
    CPU_WORDS,
    HUGE_ORDER,
    IN_TREE,
    LAST,
    LOCAL,
    RESERVED,
    ROW,
    ROWS,
    START,
    TREE,
    LLFreeArea,
    check_children,
    children_from,
    free_ranges,
    look_at,
    n_children_of,
    open_area,
    place,
    put_in_child,
    set_aside,
    take_in_tree,
)
from kernel_sim.compiled import Array, bind, compiled, int64, outlined, plain
from kernel_sim.errors import BrokenInvariant
from kernel_sim.frames import NO_FRAMES, frames_at, words_at

PARAMETERS = {"cpus": Whole(1, 1, 64), "children": ("32", "8")}
N_CPUS, TREE_CHILDREN = 1, 32

PARTIAL, FREE, ANY = 0, 1, 2
FREES_IN_A_ROW = 4
FULL_PART = 16              # a tree with less than a sixteenth free counts as full, and is not looked for


@compiled
def tree_frames() -> int:
    return int64(TREE_CHILDREN * CHILD_FRAMES)


@compiled
def free_in_tree(area: LLFreeArea, tree: int) -> int:
    """How many frames of a tree are free for all."""
    return int64(tree_frames() - (int64(area.trees[tree]) & ~RESERVED))


@compiled
def reserve(area: LLFreeArea, cpu: int, tree: int) -> None:
    """A processor gives back the tree it has, and has this one for itself; -1 for none."""
    mine = area.cpus[cpu + TREE] - 1
    if mine >= 0:
        area.trees[mine] = (int64(area.trees[mine]) & ~RESERVED) - area.cpus[cpu + LOCAL]
    area.cpus[cpu + TREE] = tree + 1
    area.cpus[cpu + LOCAL] = 0
    if tree >= 0:
        area.cpus[cpu + LOCAL] = free_in_tree(area, tree)
        area.trees[tree] = RESERVED | tree_frames()


@compiled
def wanted(area: LLFreeArea, tree: int, kind: int, size: int) -> bool:
    """Whether a tree is nobody's, has room, and is partly filled, free as a whole, or anything, as asked."""
    free = free_in_tree(area, tree)
    if area.trees[tree] & RESERVED != 0 or free < size:
        return False
    if kind == PARTIAL:
        return bool(tree_frames() // FULL_PART <= free < tree_frames())
    return bool(kind == ANY or free == tree_frames())


@compiled
def near(at: int, i: int, n: int) -> int:
    """The trees around a place, the nearest first: at, at - 1, at + 1, and so on, each of n once."""
    step = (i + 1) >> 1
    return int64((at + (step if i & 1 == 0 else n - step)) % n)


@compiled
def from_tree(area: LLFreeArea, cpu: int, order: int) -> int:
    """A block of the tree the processor has, or NO_FRAMES. What others have freed there is counted in when it is needed."""
    tree, size = area.cpus[cpu + TREE] - 1, int64(1) << order
    if area.cpus[cpu + LOCAL] < size:
        area.cpus[cpu + LOCAL] += free_in_tree(area, tree)
        area.trees[tree] = RESERVED | tree_frames()
        if area.cpus[cpu + LOCAL] < size:
            return int64(NO_FRAMES)
    found = take_in_tree(area, tree, order, area.cpus[cpu + START])
    if found != NO_FRAMES:
        area.cpus[cpu + LOCAL] -= size
        area.cpus[cpu + START] = found
    return found


@compiled
def from_others(area: LLFreeArea, cpu: int, order: int, at: int) -> int:
    """Reserve the tree that can serve and is wanted most, and take a block of it; or NO_FRAMES."""
    size, n_trees = int64(1) << order, len(area.trees)
    for kind in range(PARTIAL, ANY + 1):
        for i in range(n_trees):
            tree = near(at, i, n_trees)
            examine(area, look_at(IN_TREE + kind, tree))
            if not wanted(area, tree, kind, size):
                continue
            found = take_in_tree(area, tree, order, int64(-1))
            if found != NO_FRAMES:
                reserve(area, cpu, tree)
                area.cpus[cpu + LOCAL] -= size
                area.cpus[cpu + START] = found
                return found
    return int64(NO_FRAMES)


@outlined
def far_alloc(frames: int, n_frames: int, cpus: int, n_words: int, tally: int, first: int, end: int, number: int, order: int) -> int:
    """Look at the other trees; in the end at those, too, that other processors have."""
    area = open_area(frames_at(frames, n_frames), cpus, n_words, words_at(tally, N_TALLIES), first, end)
    cpu = number * CPU_WORDS
    at = area.cpus[cpu + TREE] - 1
    if at < 0:
        at = int64(number * len(area.trees) // N_CPUS)
    found = from_others(area, cpu, order, at)
    if found == NO_FRAMES:
        for other in range(N_CPUS):
            reserve(area, other * CPU_WORDS, int64(-1))
        found = from_others(area, cpu, order, at)
    return found


@compiled
def alloc(area: LLFreeArea, request: Request) -> int:
    """From the processor's own tree, else from another that becomes its own."""
    order, number = order_of(request.n_frames), request.cpu % N_CPUS
    cpu, found = number * CPU_WORDS, int64(NO_FRAMES)
    if area.cpus[cpu + TREE] != 0:
        found = from_tree(area, cpu, order)
    if found == NO_FRAMES:
        found = far_alloc(area.frames.ctypes.data, len(area.frames), area.cpus.ctypes.data, int64(0), area.tally.ctypes.data, area.first, area.end,
                          number, order)
    return int64(found + area.base) if found != NO_FRAMES else int64(NO_FRAMES)


@compiled
def free(area: LLFreeArea, pfn: int, request: Request) -> None:
    """Cut the range into aligned blocks, lowest first, and free each."""
    at, end = pfn, pfn + request.n_frames
    while at < end:
        size = int64(1) << largest_block(at, end)
        free_block(area, request.cpu % N_CPUS * CPU_WORDS, at - area.base, size)
        at += size


@compiled
def free_block(area: LLFreeArea, cpu: int, first: int, size: int) -> None:
    """Clear the bits, or the counter of a huge frame, and count. A block of order 10 is two huge frames."""
    low = first & (CHILD_FRAMES - 1)
    put_in_child(area, first >> HUGE_ORDER, low, min(low + size, int64(CHILD_FRAMES)))
    if size > CHILD_FRAMES:
        put_in_child(area, (first >> HUGE_ORDER) + 1, int64(0), int64(CHILD_FRAMES))
    count_freed(area, cpu, (first >> HUGE_ORDER) // TREE_CHILDREN, size)


@compiled
def count_freed(area: LLFreeArea, cpu: int, tree: int, size: int) -> None:
    """Enter freed frames into the processor's counter or the tree's; the tree where all frees of late were is reserved."""
    if area.cpus[cpu + TREE] == tree + 1:
        area.cpus[cpu + LOCAL] += size
    else:
        area.trees[tree] -= size
    if area.cpus[cpu + LAST] != tree:
        area.cpus[cpu + LAST], area.cpus[cpu + ROW] = tree, 0
    area.cpus[cpu + ROW] = min(area.cpus[cpu + ROW] + 1, FREES_IN_A_ROW)
    if area.cpus[cpu + ROW] == FREES_IN_A_ROW and wanted(area, tree, ANY, tree_frames() // FULL_PART):
        reserve(area, cpu, tree)
        area.cpus[cpu + START] = tree * tree_frames()


@compiled
def setup(area: LLFreeArea, firsts: Array, ends: Array) -> None:
    """Mark what is not free, between the runs and around them."""
    before = area.base
    for i in range(len(firsts)):
        set_aside(area, before - area.base, firsts[i] - area.base)
        before = ends[i]
    set_aside(area, before - area.base, len(area.children) * CHILD_FRAMES)
    missing = len(area.trees) * TREE_CHILDREN - len(area.children)
    area.trees[len(area.trees) - 1] += missing * CHILD_FRAMES


def build(name: str, cpus: str = "1", children: str = "32") -> Policy:
    sizes = {"N_CPUS": int(cpus), "TREE_CHILDREN": int(children)}

    def made(function: Callable[..., Any], **names: Any) -> Any:
        return compiled(bind(function, name, **sizes, **names))

    open_here, take, aside, whole = made(llfree_area.open_area), made(take_in_tree), made(set_aside), made(tree_frames)
    own: dict[str, Any] = {"open_area": open_here, "take_in_tree": take, "set_aside": aside, "tree_frames": whole}
    for function in (free_in_tree, wanted, reserve, from_tree, from_others, count_freed, free_block):
        own[function.__name__] = made(function, **own)
    far = outlined(bind(far_alloc, name, **sizes, **own))

    def n_words(first: int, end: int, n_runs: int) -> int:
        n_children = int(plain(n_children_of)(first, end))
        n_trees = -(-n_children // int(children))
        return int(cpus) * CPU_WORDS + -(-n_trees // 4) + -(-n_children // 4) + ROWS * n_children

    def check(area: LLFreeArea) -> None:
        check_children(area)
        check_trees(area, int(children))

    def search_order(area: LLFreeArea, request: Request) -> list[Place]:
        return children_from(area, request.cpu % int(cpus), int(children))

    return Policy(name, open_area=open_here, setup=made(setup, **own), alloc=made(alloc, **own, far_alloc=far), free=made(free, **own),
                  granted=granted, n_words=n_words, blocks=free_ranges, check=check, aligned=True,
                  search_order=search_order, place=lambda area, number: place(area, number, int(children)))


def check_trees(area: LLFreeArea, n_children: int) -> None:
    """What is free of a tree is free in its children; a tree is reserved when one processor has it."""
    in_use = np.append(area.children & np.uint16(RESERVED - 1), np.full(-len(area.children) % n_children, CHILD_FRAMES))
    counted = in_use.reshape(-1, n_children).sum(axis=1, dtype=np.int64)
    held = area.cpus.reshape(-1, CPU_WORDS)
    own = np.zeros(len(area.trees), np.int64)
    np.add.at(own, held[held[:, TREE] > 0, TREE] - 1, held[held[:, TREE] > 0, LOCAL])
    wrong = np.flatnonzero((area.trees & np.uint16(RESERVED - 1)) - own != counted)
    if len(wrong):
        raise BrokenInvariant(f"tree {wrong[0]} does not count what its children do")
    reserved = np.bincount(held[held[:, TREE] > 0, TREE] - 1, minlength=len(area.trees))
    if not np.array_equal(reserved, (area.trees & RESERVED != 0).astype(np.int64)):
        raise BrokenInvariant("the trees that are reserved are not those that the processors have")
