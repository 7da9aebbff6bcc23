"""Linux: a buddy with lists by migratetype, pageblocks claimed when a type runs out, and per-processor lists in front of it.

Source: Linux 6.12, mm/page_alloc.c (`__rmqueue_smallest`, `__rmqueue_claim`, `__rmqueue_steal`, `__free_one_page`, `rmqueue_bulk`,
`free_pcppages_bulk`, `nr_pcp_alloc`, `nr_pcp_high`, `nr_pcp_free`); M. Gorman and A. Whitcroft, "The What, The Why and the Where To of
Anti-Fragmentation", Ottawa Linux Symposium, 2006, for the grouping by mobility.

Idea: what cannot be moved must not be strewn among what can. Each pageblock of 512 frames has a type, unmovable, movable or reclaimable, and a
request is served from blocks of its own type as long as there are any, as `buddy` does it. When there are none, the largest block of another type
is *claimed*: its whole pageblock changes its type if the block fills it, or if half of it is free; failing that the smallest block of another
type is *stolen* and its pageblock stays what it is. In front of the lists every processor has lists of its own, for orders 0 to 3 and 9. They are
filled by the batch and emptied, the coldest first, above a mark that follows the load; the more is asked for in a row, the larger the batches. A
block whose merging goes on one order above is put at the end of its list, so that it has time to.

Invariant: a free block below order 10 is on the list of its pageblock's type; two buddies on those lists are never both free, unless they are of
the top order (10); what a processor is counted to hold is on its lists.

Cost: as `buddy`, but most requests take one frame from a processor's list and look at nothing else; a claim looks through one pageblock.

Use: to compare with what a real kernel does, and for traces that tell movable from unmovable memory.

Parameters: ``cpus`` is the number of processors that have lists; a request's processor is taken modulo it.

What is left out: reclaim and compaction, and with them the watermarks as limits (they only set the sizes of the processors' lists, and say when
memory is short enough to shrink them); the reserves of high-order atomic requests, CMA and isolation; what happens by the clock
(`linux_cpus.decay`, which lowers the processors' marks once a second, is there for who has a clock); locks; how many of a pageblock's frames in
use are movable, when a claim is considered (the kernel counts them, here half must be free). A request that would fail takes back what the
processors' lists hold, as the kernel does before it gives up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from kernel_sim.allocators import linux_area
from kernel_sim.allocators.base import N_TALLIES, Place, Policy, Request, Whole, examine
from kernel_sim.allocators.buddy import granted, inner_range, largest_block, order_of
from kernel_sim.allocators.linux_area import (
    BATCH,
    BELOW_HIGH,
    BLOCK_ORDER,
    COUNT,
    CPU_HIGH,
    FREED,
    HIGH,
    HIGH_MAX,
    HIGH_MIN,
    LOW,
    MANAGED,
    MOVABLE,
    N_FREE,
    N_TYPES,
    UNMOVABLE,
    LinuxArea,
    append,
    block_type,
    clear,
    cpu_at,
    cpu_blocks,
    list_of,
    lists_in_order,
    open_area,
    place,
    set_block_type,
    typed_blocks,
    words_of_lists,
    words_of_types,
)
from kernel_sim.allocators.linux_buddy import check_lists, free_block, from_lists
from kernel_sim.allocators.linux_cpus import check_cpu, clamp, give_back, number_of, put, refill, take_waiting, trim_mark, trim_size, waits
from kernel_sim.allocators.linux_sizes import min_watermark, sizes_of
from kernel_sim.compiled import Array, bind, compiled, int64, interpreted, outlined, plain
from kernel_sim.frames import NIL, NO_FRAMES, frames_at, words_at
from kernel_sim.units import N_ORDERS

PARAMETERS = {"cpus": Whole(1, 1, 64)}
N_CPUS = 1

# -- far steps: rare, or large ------------------------------------------------------------------------------------------------------------


@compiled
def near(frames: int, n_frames: int, words: int, n_words: int, tally: int, first: int, end: int) -> LinuxArea:
    """The area again, from the numbers that a far step was called with."""
    return open_area(frames_at(frames, n_frames), words, n_words, words_at(tally, N_TALLIES), first, end)


@outlined
def far_alloc(frames: int, n_frames: int, words: int, n_words: int, tally: int, first: int, end: int, cpu: int, order: int, migratetype: int) -> int:
    """A block past the processor's list, which is refilled if it could hold such blocks; NO_FRAMES when even the other lists have none."""
    area = near(frames, n_frames, words, n_words, tally, first, end)
    if waits(order):
        refill(area, cpu, order, migratetype)
        pfn = area.words[cpu + 2 * number_of(order, migratetype)]
        if pfn != NIL:
            return take_waiting(area, cpu, pfn, order, migratetype)
    for attempt in range(2):
        pfn = from_lists(area, order, migratetype)
        if pfn != NIL:
            return int64(pfn)
        if attempt == 0:
            for other in range(N_CPUS):
                give_back(area, cpu_at(other), area.words[cpu_at(other) + COUNT], int64(0))
    return int64(NO_FRAMES)


@outlined
def far_trim(frames: int, n_frames: int, words: int, n_words: int, tally: int, first: int, end: int, cpu: int, number: int, emptying: bool) -> None:
    """Give back what a processor holds too much."""
    area = near(frames, n_frames, words, n_words, tally, first, end)
    high = trim_mark(area, cpu, emptying)
    if area.words[cpu + COUNT] >= high:
        give_back(area, cpu, trim_size(area, cpu, high, emptying), number)
        if area.words[N_FREE] > area.words[HIGH]:
            area.words[BELOW_HIGH] = 0


@outlined
def far_free(frames: int, n_frames: int, words: int, n_words: int, tally: int, first: int, end: int, pfn: int, order: int) -> None:
    """Free a block straight to the lists, pageblock by pageblock."""
    area = near(frames, n_frames, words, n_words, tally, first, end)
    size = int64(1) << min(order, BLOCK_ORDER)
    for part in range(pfn, pfn + (int64(1) << order), size):
        free_block(area, int64(part), int64(min(order, BLOCK_ORDER)))


# -- the policy ---------------------------------------------------------------------------------------------------------------------------


@compiled
def type_of(request: Request) -> int:
    """The migratetype of a request."""
    return int64(request.mobility if request.mobility < N_TYPES else UNMOVABLE)


@compiled
def alloc(area: LinuxArea, request: Request) -> int:
    """From the processor's own list, if there is one for the order and something on it."""
    order = order_of(request.n_frames)
    migratetype = type_of(request)
    cpu = cpu_at(request.cpu % N_CPUS)
    if area.words[N_FREE] - (int64(1) << order) < area.words[HIGH]:
        area.words[BELOW_HIGH] = 1
    if waits(order):
        area.words[cpu + FREED] >>= 1
        examine(area, cpu + 2 * number_of(order, migratetype))
        pfn = area.words[cpu + 2 * number_of(order, migratetype)]
        if pfn != NIL:
            return take_waiting(area, cpu, pfn, order, migratetype)
    return int64(far_alloc(area.frames.ctypes.data, len(area.frames), area.words.ctypes.data, len(area.words), area.tally.ctypes.data,
                           area.first, area.end, cpu, order, migratetype))


@compiled
def free(area: LinuxArea, pfn: int, request: Request) -> None:
    """Cut the range into aligned blocks, lowest first; each goes to the processor's list, or straight to the others."""
    cpu = cpu_at(request.cpu % N_CPUS)
    end = pfn + request.n_frames
    while pfn < end:
        order = largest_block(pfn, end)
        if waits(order):
            emptying = put(area, cpu, pfn, order)
            if emptying or area.words[cpu + COUNT] >= area.words[cpu + CPU_HIGH] or area.words[BELOW_HIGH]:
                far_trim(area.frames.ctypes.data, len(area.frames), area.words.ctypes.data, len(area.words), area.tally.ctypes.data,
                         area.first, area.end, cpu, number_of(order, block_type(area, pfn)), emptying)
        else:
            far_free(area.frames.ctypes.data, len(area.frames), area.words.ctypes.data, len(area.words), area.tally.ctypes.data,
                     area.first, area.end, pfn, order)
        pfn += int64(1) << order


@compiled
def set_sizes(area: LinuxArea, managed: int, minimum: int) -> None:
    """The sizes of a zone of so many managed frames, whose lowest watermark is `minimum`."""
    sizes = sizes_of(managed, minimum, N_CPUS)
    area.words[MANAGED], area.words[LOW], area.words[HIGH] = managed, sizes.low, sizes.high
    area.words[BATCH], area.words[HIGH_MIN], area.words[HIGH_MAX] = sizes.batch, sizes.high_min, sizes.high_max
    for cpu in range(N_CPUS):
        area.words[cpu_at(cpu) + CPU_HIGH] = clamp(area.words[cpu_at(cpu) + CPU_HIGH], sizes.high_min, sizes.high_max)


@compiled
def setup(area: LinuxArea, firsts: Array, ends: Array) -> None:
    """All movable, in ascending order, as after boot; the zone's sizes as if it were the whole memory."""
    clear(area, N_CPUS)
    area.uncut[0] = 0
    area.uncut[1] = 0
    set_sizes(area, area.end - area.first, min_watermark(area.end - area.first))
    for i in range(len(firsts)):
        low, high = inner_range(area, firsts[i], ends[i])
        if low < high:
            area.uncut[2 + 2 * area.uncut[1]] = low
            area.uncut[3 + 2 * area.uncut[1]] = high
            area.uncut[1] += 1
            list_upwards(area, firsts[i], low)
            list_upwards(area, high, ends[i])
        else:
            list_upwards(area, firsts[i], ends[i])
        area.words[N_FREE] += ends[i] - firsts[i]


@compiled
def list_upwards(area: LinuxArea, first: int, end: int) -> None:
    """Append the largest aligned blocks of a range, the lowest first."""
    while first < end:
        order = largest_block(first, end)
        append(area, list_of(MOVABLE, order), first, order + 1)
        first += int64(1) << order


def free_blocks_by_order(area: LinuxArea) -> tuple[int, ...]:
    """Free blocks of order 0 to 10 that are on the lists, as /proc/buddyinfo counts them: what waits on the processors' lists is not among them."""
    counts = [0] * N_ORDERS
    for _, order, _ in typed_blocks(area):
        counts[order] += 1
    return tuple(counts)


def set_block_types(area: LinuxArea, types: Mapping[int, int]) -> None:
    """Give pageblocks their types, by a frame of each, where nothing has been allocated yet. The lists are made anew, ascending by address."""
    blocks = sorted((pfn, order) for pfn, order, _ in typed_blocks(area))
    plain(clear)(area, 0)
    area.uncut[0] = area.uncut[1] = 0
    for pfn, migratetype in types.items():
        interpreted(set_block_type)(area, pfn, migratetype)
    for pfn, order in blocks:
        interpreted(append)(area, int(plain(list_of)(int(interpreted(block_type)(area, pfn)), order)), pfn, order + 1)


def build(name: str, cpus: str = "1") -> Policy:
    n_cpus = int(cpus)

    def made(function: Callable[..., Any], make: Callable[..., Any] = compiled, **names: Any) -> Any:
        return make(bind(function, name, N_CPUS=n_cpus, **names))

    open_here = made(linux_area.open_area)
    near_here = made(near, open_area=open_here)
    far = {function.__name__: made(function, outlined, near=near_here) for function in (far_alloc, far_trim, far_free)}

    def n_words(first: int, end: int, n_runs: int) -> int:
        return int(plain(words_of_lists)(n_cpus)) + int(plain(words_of_types)(first, end)) + 2 + 2 * n_runs

    def blocks(area: LinuxArea) -> Iterator[tuple[int, int]]:
        yield from ((pfn, 1 << order) for pfn, order, _ in typed_blocks(area))
        for cpu in range(n_cpus):
            yield from ((pfn, 1 << order) for pfn, order in cpu_blocks(area, cpu))

    def search_order(area: LinuxArea, request: Request) -> list[Place]:
        return lists_in_order(area, request.cpu % n_cpus, int(plain(type_of)(request)), n_cpus)

    def check(area: LinuxArea) -> None:
        check_lists(area)
        for cpu in range(n_cpus):
            check_cpu(area, cpu)

    return Policy(name, open_area=open_here, setup=made(setup, set_sizes=made(set_sizes)), alloc=made(alloc, **far), free=made(free, **far),
                  granted=granted, n_words=n_words, blocks=blocks, check=check, aligned=True,
                  search_order=search_order, place=place)
