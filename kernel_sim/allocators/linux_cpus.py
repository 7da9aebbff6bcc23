"""Linux' per-processor lists, which stand between the requests and the buddy.

Source: Linux 6.12, mm/page_alloc.c (`rmqueue_bulk`, `nr_pcp_alloc`, `free_unref_page_commit`, `nr_pcp_high`, `nr_pcp_free`, `free_pcppages_bulk`,
`decay_pcp_high`). See `linux`. A processor is known here by the place of its words, `linux_area.cpu_at`.
"""

from __future__ import annotations

from kernel_sim.allocators.linux_area import (
    BATCH,
    BELOW_HIGH,
    BLOCK_ORDER,
    COSTLY_ORDER,
    COUNT,
    CPU_HIGH,
    FACTOR,
    FREED,
    FREED_LARGE,
    HIGH_MAX,
    HIGH_MIN,
    MOVABLE,
    N_CPU_LISTS,
    N_TYPES,
    ON_CPU,
    LinuxArea,
    append,
    block_type,
    cpu_at,
    cpu_blocks,
    push,
    unlink,
)
from kernel_sim.allocators.linux_buddy import free_block, from_lists
from kernel_sim.compiled import compiled, int64, plain
from kernel_sim.errors import BrokenInvariant
from kernel_sim.frames import NIL, frame

BATCH_SCALE = 5             # how often a batch may double (CONFIG_PCP_BATCH_SCALE_MAX)


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
def take_waiting(area: LinuxArea, cpu: int, pfn: int, order: int, migratetype: int) -> int:
    """Take the first block off a processor's list."""
    unlink(area, cpu + 2 * number_of(order, migratetype), pfn)
    area.words[cpu + COUNT] -= int64(1) << order
    return int64(pfn)


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
def decay(area: LinuxArea, cpu: int) -> None:
    """What the kernel does once a second: lower what a processor may hold by an eighth, and give back what is too much."""
    words = area.words
    high = max(words[cpu + COUNT] - (words[BATCH] << BATCH_SCALE), words[cpu + CPU_HIGH] - (words[cpu + CPU_HIGH] >> 3), words[HIGH_MIN])
    words[cpu + CPU_HIGH] = min(high, words[cpu + CPU_HIGH])
    give_back(area, cpu, max(words[cpu + COUNT] - words[cpu + CPU_HIGH], 0), int64(0))


def check_cpu(area: LinuxArea, cpu: int) -> None:
    """What waits on a processor's lists is what is counted."""
    counted = int(area.words[int(plain(cpu_at)(cpu)) + COUNT])
    if sum(1 << order for _, order in cpu_blocks(area, cpu)) != counted:
        raise BrokenInvariant(f"the lists of processor {cpu} do not hold the {counted} frames that are counted")
