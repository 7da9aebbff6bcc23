"""Linux: a buddy with lists by migratetype, whole pageblocks stolen when a type runs out, and per-processor lists in front of it.

Source: Linux 6.12, mm/page_alloc.c (`__rmqueue_smallest`, `__rmqueue_claim`, `__rmqueue_steal`, `__free_one_page`, `rmqueue_bulk`, `free_pcppages_bulk`,
`nr_pcp_alloc`, `nr_pcp_high`, `nr_pcp_free`); M. Gorman and A. Whitcroft, "The What, The Why and the Where To of Anti-Fragmentation", Ottawa Linux
Symposium, 2006, for the grouping by mobility.

Idea: what cannot be moved must not be strewn among what can. Each pageblock of 512 frames has a type, unmovable, movable or reclaimable, and a request
is served from blocks of its own type as long as there are any, as `buddy` does it. When there are none, the largest block of another type is
*claimed*: its whole pageblock changes its type if the block fills it, or if half of it is free; failing that the smallest block of another type
is *stolen* and its pageblock stays what it is. In front of the lists every processor has lists of its own, for orders 0 to 3 and 9. They are filled by
the batch and emptied, the coldest first, above a mark that follows the load; the more is asked for in a row, the larger the batches. A block whose
merging goes on one order above is put at the end of its list, so that it has time to.

Invariant: a free block below order 10 is on the list of its pageblock's type; two buddies on those lists are never both free, unless they are of the top
order (10); a processor never holds more than its high mark when a free is done.

Cost: as `buddy`, but most requests take one frame from a processor's list and look at nothing else; a claim looks through one pageblock.

Parameters: ``cpus`` is the number of processors that have lists; a request's processor is taken modulo it.

What is left out: reclaim and compaction, and with them the watermarks as limits (they only set the sizes of the processors' lists, and say when memory
is short enough to shrink them); the reserves of high-order atomic requests, CMA and isolation; what happens by the clock (the lists' slow decay); other
processors' locks; how many of a pageblock's frames in use are movable, when a claim is considered (the kernel counts them, here half must be free). A
request that would fail takes back what the processors' lists hold, as the kernel does before it gives up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from kernel_sim.allocators import linux_area
from kernel_sim.allocators.base import EXAMINED, MERGES, N_TALLIES, SPLITS, Policy, Request, Whole
from kernel_sim.allocators.buddy import granted, inner_range, largest_block, order_of
from kernel_sim.allocators.linux_area import (
    BATCH,
    BELOW_HIGH,
    BLOCK_FRAMES,
    BLOCK_ORDER,
    COSTLY_ORDER,
    COUNT,
    CPU_HIGH,
    FACTOR,
    FREED,
    FREED_LARGE,
    HIGH,
    HIGH_MAX,
    HIGH_MIN,
    LOW,
    MANAGED,
    MOVABLE,
    N_CPU_LISTS,
    N_FREE,
    N_TYPES,
    ON_CPU,
    RECLAIMABLE,
    TOP,
    UNMOVABLE,
    LinuxArea,
    append,
    block_type,
    clear,
    cpu_at,
    cpu_blocks,
    front,
    is_free,
    list_of,
    push,
    set_block_type,
    typed_blocks,
    unlink,
    words_of_lists,
    words_of_types,
)
from kernel_sim.allocators.linux_sizes import min_watermark, sizes_of
from kernel_sim.compiled import Array, bind, compiled, int64, interpreted, outlined, plain, trailing_zeros
from kernel_sim.errors import BrokenInvariant
from kernel_sim.frames import NIL, NO_FRAMES, frame, frames_at, words_at
from kernel_sim.units import N_ORDERS

PARAMETERS = {"cpus": Whole(1, 1, 64)}
N_CPUS = 1
BATCH_SCALE = 5             # how often a batch may double (CONFIG_PCP_BATCH_SCALE_MAX)

# -- the buddy, by type -------------------------------------------------------------------------------------------------------------------


@compiled
def take(area: LinuxArea, pfn: int, found: int, order: int, list_type: int, rest_type: int) -> int:
    """Take a block off its list, keep its low part and list the halves that are not needed."""
    unlink(area, list_of(list_type, found), pfn)
    area.tally[SPLITS] += found - order
    while found > order:
        found -= 1
        push(area, list_of(rest_type, found), pfn + (int64(1) << found), found + 1)
    area.words[N_FREE] -= int64(1) << order
    return int64(pfn)


@compiled
def smallest(area: LinuxArea, order: int, migratetype: int) -> int:
    """A block of the smallest order that has one, of this type, or NIL."""
    for found in range(order, TOP + 1):
        area.tally[EXAMINED] += 1
        pfn = front(area, migratetype, found)
        if pfn != NIL:
            return take(area, pfn, found, order, migratetype, migratetype)
    return int64(NIL)


@compiled
def fallback(area: LinuxArea, order: int, migratetype: int) -> int:
    """The type to fall back to that has a block of exactly this order, or -1: other types that cannot be moved come first."""
    area.tally[EXAMINED] += 1
    first = UNMOVABLE if migratetype == RECLAIMABLE else RECLAIMABLE
    second = UNMOVABLE if migratetype == MOVABLE else MOVABLE
    if front(area, first, order) != NIL:
        return int64(first)
    return int64(second) if front(area, second, order) != NIL else int64(-1)


@compiled
def claim(area: LinuxArea, order: int, migratetype: int) -> int:
    """A block out of another type's pageblock that becomes of this type, the largest blocks first, or NIL."""
    lowest = BLOCK_ORDER // 2 if migratetype == MOVABLE else 0
    for found in range(TOP, max(order, lowest) - 1, -1):
        other = fallback(area, found, migratetype)
        if other >= 0:
            pfn = claim_block(area, front(area, other, found), found, order, migratetype, other)
            if pfn != NIL:
                return pfn
    return int64(NIL)


@compiled
def claim_block(area: LinuxArea, pfn: int, found: int, order: int, migratetype: int, other: int) -> int:
    """Change the type of the block's pageblocks if it fills them, or if half of its pageblock is free; a block of that, or NIL."""
    if found >= BLOCK_ORDER:
        for part in range(pfn, pfn + (int64(1) << found), BLOCK_FRAMES):
            set_block_type(area, part, migratetype)
        return take(area, pfn, found, order, other, migratetype)
    begin = pfn & ~int64(BLOCK_FRAMES - 1)
    if begin < area.first or begin + BLOCK_FRAMES > area.end or 2 * free_in(area, begin) < BLOCK_FRAMES:
        return int64(NIL)
    move_block(area, begin, other, migratetype)
    return smallest(area, order, migratetype)


@compiled
def free_in(area: LinuxArea, begin: int) -> int:
    """How many frames of a pageblock are on the lists."""
    n_free, pfn = int64(0), begin
    while pfn < begin + BLOCK_FRAMES:
        size = listed_size(area, pfn)
        n_free += size
        pfn += max(size, 1)
    return n_free


@compiled
def move_block(area: LinuxArea, begin: int, before: int, after: int) -> None:
    """Change the type of a pageblock and put its free blocks at the end of the lists of that type."""
    pfn = begin
    while pfn < begin + BLOCK_FRAMES:
        size = listed_size(area, pfn)
        if size:
            order = trailing_zeros(size)
            unlink(area, list_of(before, order), pfn)
            append(area, list_of(after, order), pfn, order + 1)
        pfn += max(size, 1)
    set_block_type(area, begin, after)


@compiled
def listed_size(area: LinuxArea, pfn: int) -> int:
    """The frames of the free block that begins here, 0 for none."""
    mark = int64(frame(area.frames, pfn)["order"])
    return int64(1) << (mark - 1) if 0 < mark <= TOP + 1 else int64(0)


@compiled
def steal(area: LinuxArea, order: int, migratetype: int) -> int:
    """The smallest block of another type, or NIL; its pageblock stays what it is."""
    for found in range(order, TOP + 1):
        other = fallback(area, found, migratetype)
        if other >= 0:
            return take(area, front(area, other, found), found, order, other, other)
    return int64(NIL)


@compiled
def from_lists(area: LinuxArea, order: int, migratetype: int) -> int:
    """A block of the type; else one that is claimed; else one that is stolen; or NIL."""
    pfn = smallest(area, order, migratetype)
    if pfn == NIL:
        pfn = claim(area, order, migratetype)
    if pfn == NIL:
        pfn = steal(area, order, migratetype)
    return pfn


@compiled
def free_block(area: LinuxArea, pfn: int, order: int) -> None:
    """Merge a block with its buddy as long as that is free and whole, and list it. Merged pageblocks become of one type."""
    migratetype = block_type(area, pfn)
    area.words[N_FREE] += int64(1) << order
    area.tally[MERGES] -= order
    while order < TOP and is_free(area, pfn ^ (int64(1) << order), order):
        buddy = pfn ^ (int64(1) << order)
        unlink(area, list_of(block_type(area, buddy), order), buddy)
        if order == BLOCK_ORDER:
            set_block_type(area, buddy, migratetype)
        pfn &= ~(int64(1) << order)
        order += 1
    area.tally[MERGES] += order
    if order < TOP - 1 and is_free(area, (pfn & ~(int64(1) << order)) ^ (int64(2) << order), order + 1):
        append(area, list_of(migratetype, order), pfn, order + 1)      # its buddy, once free, would merge on
    else:
        push(area, list_of(migratetype, order), pfn, order + 1)


# -- the processors' lists ----------------------------------------------------------------------------------------------------------------


@compiled
def waits(order: int) -> bool:
    """Whether blocks of an order wait on the processors' lists."""
    return bool(order <= COSTLY_ORDER or order == BLOCK_ORDER)


@compiled
def number_of(order: int, migratetype: int) -> int:
    """Which of a processor's lists it is; huge pages are only movable or not."""
    if order == BLOCK_ORDER:
        return int64(N_TYPES * (COSTLY_ORDER + 1) + (1 if migratetype == MOVABLE else 0))
    return int64(N_TYPES * order + migratetype)


@compiled
def clamp(value: int, low: int, high: int) -> int:
    return int64(min(max(value, low), high))


@compiled
def refill_size(area: LinuxArea, cpu: int, order: int) -> int:
    """How many blocks to fetch. The batch doubles with each refill in a row, and the high mark rises while memory is plenty."""
    words = area.words
    batch, high_max = words[BATCH], words[HIGH_MAX]
    high = clamp(words[cpu + CPU_HIGH], words[HIGH_MIN], high_max)
    wanted = batch if order else batch << words[cpu + FACTOR]
    if words[HIGH_MIN] != high_max and not words[BELOW_HIGH]:
        high = int64(min(high + wanted, high_max))
    words[cpu + CPU_HIGH] = high
    if order == 0:
        room = max(high - words[cpu + COUNT] - batch, batch)
        if wanted <= room and words[cpu + FACTOR] < BATCH_SCALE:
            words[cpu + FACTOR] += 1
        wanted = min(wanted, room)
    return int64(max(wanted >> order, 2)) if wanted > 1 else int64(wanted)


@compiled
def refill(area: LinuxArea, cpu: int, order: int, migratetype: int) -> None:
    """Fetch blocks for an empty list of a processor."""
    at = cpu + 2 * number_of(order, migratetype)
    for _ in range(refill_size(area, cpu, order)):
        pfn = from_lists(area, order, migratetype)
        if pfn == NIL:
            break
        append(area, at, pfn, ON_CPU + order + 1)
        area.words[cpu + COUNT] += int64(1) << order


@compiled
def trim_mark(area: LinuxArea, cpu: int, emptying: bool) -> int:
    """How much a processor may hold now. The mark falls while memory is short, and rises when many are freed in a row."""
    words = area.words
    batch, high_min = words[BATCH], words[HIGH_MIN]
    high = clamp(words[cpu + CPU_HIGH], high_min, words[HIGH_MAX])
    words[cpu + CPU_HIGH] = high
    if emptying:
        words[cpu + CPU_HIGH] = max(high - (batch << BATCH_SCALE), high_min)
        return int64(0)
    if high_min == words[HIGH_MAX]:
        return high
    if words[BELOW_HIGH]:
        words[cpu + CPU_HIGH] = max(high - max(words[cpu + FREED], batch), high_min)
        return int64(max(words[cpu + COUNT], high_min))
    if words[cpu + COUNT] >= high:
        words[cpu + CPU_HIGH] = clamp(max(words[cpu + FREED] + batch, high), high_min, words[HIGH_MAX])
    return high


@compiled
def trim_size(area: LinuxArea, cpu: int, high: int, emptying: bool) -> int:
    """How many frames to give back: as many as were freed in a row, but a batch at least, and a batch stays."""
    batch = area.words[BATCH]
    if emptying:
        return int64(batch << BATCH_SCALE)
    return int64(1) if high < batch else clamp(area.words[cpu + FREED], batch, high - batch)


@compiled
def give_back(area: LinuxArea, cpu: int, n_frames: int, number: int) -> None:
    """Free frames of a processor's lists, the coldest first, list by list from this one on."""
    left = min(n_frames, area.words[cpu + COUNT])
    while left > 0:
        at = cpu + 2 * number
        while left > 0 and area.words[at] != NIL:
            pfn = area.words[at + 1]
            order = int64(frame(area.frames, pfn)["order"]) - ON_CPU - 1
            unlink(area, at, pfn)
            area.words[cpu + COUNT] -= int64(1) << order
            left -= int64(1) << order
            free_block(area, pfn, order)
        number = (number + 1) % N_CPU_LISTS


@compiled
def put(area: LinuxArea, cpu: int, pfn: int, order: int) -> bool:
    """Lay a freed block on a processor's list. Whether blocks of orders 1 to 3 are coming in a row, which are not kept."""
    words = area.words
    words[cpu + FACTOR] >>= 1
    push(area, cpu + 2 * number_of(order, block_type(area, pfn)), pfn, ON_CPU + order + 1)
    words[cpu + COUNT] += int64(1) << order
    large = 0 < order <= COSTLY_ORDER
    emptying = large and words[cpu + FREED_LARGE] != 0 and words[cpu + FREED] >= words[BATCH] and words[cpu + COUNT] >= words[BATCH]
    words[cpu + FREED_LARGE] = 1 if large else 0
    if words[cpu + FREED] < words[BATCH] << BATCH_SCALE:
        words[cpu + FREED] += int64(1) << order
    return bool(emptying)


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
def take_waiting(area: LinuxArea, cpu: int, pfn: int, order: int, migratetype: int) -> int:
    """Take the first block off a processor's list."""
    unlink(area, cpu + 2 * number_of(order, migratetype), pfn)
    area.words[cpu + COUNT] -= int64(1) << order
    return int64(pfn)


@compiled
def alloc(area: LinuxArea, request: Request) -> int:
    """From the processor's own list, if there is one for the order and something on it."""
    order = order_of(request.n_frames)
    migratetype = request.mobility if request.mobility < N_TYPES else int64(UNMOVABLE)
    cpu = cpu_at(request.cpu % N_CPUS)
    if area.words[N_FREE] - (int64(1) << order) < area.words[HIGH]:
        area.words[BELOW_HIGH] = 1
    if waits(order):
        area.words[cpu + FREED] >>= 1
        area.tally[EXAMINED] += 1
        pfn = area.words[cpu + 2 * number_of(order, migratetype)]
        if pfn != NIL:
            return take_waiting(area, cpu, pfn, order, migratetype)
    return int64(far_alloc(area.frames.ctypes.data, len(area.frames), area.words.ctypes.data, len(area.words), area.tally.ctypes.data, area.first, area.end,
                           cpu, order, migratetype))


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
                far_trim(area.frames.ctypes.data, len(area.frames), area.words.ctypes.data, len(area.words), area.tally.ctypes.data, area.first, area.end,
                         cpu, number_of(order, block_type(area, pfn)), emptying)
        else:
            far_free(area.frames.ctypes.data, len(area.frames), area.words.ctypes.data, len(area.words), area.tally.ctypes.data, area.first, area.end,
                     pfn, order)
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


@compiled
def decay(area: LinuxArea, cpu: int) -> None:
    """What the kernel does once a second: lower what a processor may hold by an eighth, and give back what is too much."""
    words = area.words
    high = max(words[cpu + COUNT] - (words[BATCH] << BATCH_SCALE), words[cpu + CPU_HIGH] - (words[cpu + CPU_HIGH] >> 3), words[HIGH_MIN])
    words[cpu + CPU_HIGH] = min(high, words[cpu + CPU_HIGH])
    give_back(area, cpu, max(words[cpu + COUNT] - words[cpu + CPU_HIGH], 0), int64(0))


def free_blocks_by_order(area: LinuxArea) -> tuple[int, ...]:
    """Free blocks of order 0 to 10 that are on the lists, as /proc/buddyinfo counts them: what waits on the processors' lists is not among them."""
    counts = [0] * N_ORDERS
    for _, order, _ in typed_blocks(area):
        counts[order] += 1
    return tuple(counts)


def set_block_types(area: LinuxArea, types: Mapping[int, int]) -> None:
    """Give pageblocks their types, by a frame of each, in a zone where nothing has been allocated yet. Its lists are made anew, ascending by address."""
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
    far = {function.__name__: made(function, outlined, near=near_here) for function in (plain(far_alloc), plain(far_trim), plain(far_free))}
    sized = made(set_sizes)

    def n_words(first: int, end: int, n_runs: int) -> int:
        return int(plain(words_of_lists)(n_cpus)) + int(plain(words_of_types)(first, end)) + 2 + 2 * n_runs

    def blocks(area: LinuxArea) -> Iterator[tuple[int, int]]:
        yield from ((pfn, 1 << order) for pfn, order, _ in typed_blocks(area))
        for cpu in range(n_cpus):
            yield from ((pfn, 1 << order) for pfn, order in cpu_blocks(area, cpu))

    def check(area: LinuxArea) -> None:
        check_lists(area)
        for cpu in range(n_cpus):
            check_cpu(area, cpu)

    return Policy(name, open_area=open_here, setup=made(setup, set_sizes=sized), alloc=made(alloc, **far), free=made(free, **far), granted=granted,
                  n_words=n_words, blocks=blocks, check=check)


def check_lists(area: LinuxArea) -> None:
    """Blocks are aligned, on the list of their type, and not beside a free buddy; their frames add up."""
    free_blocks = list(typed_blocks(area))
    places = {(pfn, order) for pfn, order, _ in free_blocks}
    for pfn, order, migratetype in free_blocks:
        if pfn & ((1 << order) - 1):
            raise BrokenInvariant(f"the free block at {pfn:#x} is not aligned to its order {order}")
        if migratetype != int(interpreted(block_type)(area, pfn)):
            raise BrokenInvariant(f"the free block at {pfn:#x} is on the list of type {migratetype}, which its pageblock is not")
        if order < TOP and (pfn ^ (1 << order), order) in places:
            raise BrokenInvariant(f"two free buddies of order {order}, {pfn:#x} and {pfn ^ (1 << order):#x}, were not merged")
    if sum(1 << order for _, order in places) != int(area.words[N_FREE]):
        raise BrokenInvariant(f"the lists do not hold the {int(area.words[N_FREE])} frames that are counted")


def check_cpu(area: LinuxArea, cpu: int) -> None:
    """What waits on a processor's lists is what is counted."""
    counted = int(area.words[int(plain(cpu_at)(cpu)) + COUNT])
    if sum(1 << order for _, order in cpu_blocks(area, cpu)) != counted:
        raise BrokenInvariant(f"the lists of processor {cpu} do not hold the {counted} frames that are counted")
