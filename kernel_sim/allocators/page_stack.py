"""Page stack: single frames, the last freed is the first taken.

Source: the free list of xv6 (kernel/kalloc.c) and of every first kernel.

Idea: when all requests are for one frame, no search, no split and no merge is needed: a list of free frames, used as a stack.

Invariant: the stack holds every free frame once.

Cost: constant. No request for more than one frame is ever served.

Use: for single frames, where nothing can be faster; and as the measure of what contiguity costs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kernel_sim.allocators.base import Place, Policy, Request, examine
from kernel_sim.allocators.free_area import (
    FreeArea,
    add_uncut,
    clear,
    front,
    linked_blocks,
    n_words,
    open_area,
    push,
    remove,
    uncut_ranges,
)
from kernel_sim.compiled import Array, compiled
from kernel_sim.frames import NIL, NO_FRAMES

PARAMETERS: dict[str, tuple[str, ...]] = {}


@compiled
def alloc(area: FreeArea, request: Request) -> int:
    """Pop."""
    if request.n_frames != 1:
        return NO_FRAMES
    examine(area, 0)
    pfn = front(area, 0, 0)
    if pfn == NIL:
        return NO_FRAMES
    remove(area, pfn, 0)
    return pfn


@compiled
def free(area: FreeArea, pfn: int, request: Request) -> None:
    """Push each, the lowest first."""
    for frame in range(pfn, pfn + request.n_frames):
        push(area, frame, 0)


@compiled
def granted(area: FreeArea, n_frames: int) -> int:
    return 1 if n_frames == 1 else 0


@compiled
def setup(area: FreeArea, firsts: Array, ends: Array) -> None:
    """The lowest frame on top; the frames themselves are linked when their turn comes."""
    clear(area)
    for i in range(len(firsts)):
        add_uncut(area, firsts[i], ends[i])


def build(name: str) -> Policy:
    def blocks(area: Any) -> Iterator[tuple[int, int]]:
        yield from ((pfn, 1) for pfn, _ in linked_blocks(area, 0))
        yield from ((first, end - first) for first, end in uncut_ranges(area))      # of a terabyte one range, and not 268 million frames

    def check(area: Any) -> None:
        for _ in blocks(area):      # walks every link, and says where one is torn
            pass

    def stack(area: Any) -> Place:
        return Place("stack", tuple((frame, 1) for pfn, n in blocks(area) for frame in range(pfn, pfn + n)))

    return Policy(name, open_area=open_area, setup=setup, alloc=alloc, free=free, granted=granted, n_words=n_words, blocks=blocks, check=check,
                  search_order=lambda area, request: [stack(area)], place=lambda area, number: stack(area))
