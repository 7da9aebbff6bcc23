"""What the policy `linux` keeps of a zone: lists of free blocks by migratetype and order, the processors' lists, the pageblocks' types.

A *pageblock* is an aligned run of 512 frames, what a huge page needs. Each has a migratetype, and the free blocks of a pageblock are on the lists
of its type. All lists are doubly linked through the frames' records and have a head and a tail. A frame's ``order`` is k + 1 when a free block of
order k begins there that is on a list of its type, and ON_CPU + k + 1 when one does that waits on a processor's list, where no buddy finds it.

At the start all pageblocks are movable, and the blocks of the top order stay *uncut* ranges (see `free_area`), as the last of their list.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from kernel_sim.allocators.base import Place
from kernel_sim.allocators.linked_lists import link_first, link_last, unlink_item
from kernel_sim.compiled import Array, compiled, int64, plain
from kernel_sim.errors import BrokenInvariant
from kernel_sim.frames import NIL, bytes_at, frame, words_at
from kernel_sim.units import MAX_ORDER, N_ORDERS

UNMOVABLE, MOVABLE, RECLAIMABLE = 0, 1, 2
N_TYPES = 3
_TYPE_NAMES = ("unmovable", "movable", "reclaimable")
TOP = MAX_ORDER
BLOCK_ORDER = 9
BLOCK_FRAMES = 1 << BLOCK_ORDER
ON_CPU = 64

COSTLY_ORDER = 3            # up to which order blocks wait on the processors' lists; those of a pageblock do, too
N_CPU_LISTS = N_TYPES * (COSTLY_ORDER + 1) + 2

# Words of the zone, the heads and tails of its lists, then for each processor heads and tails and words.
N_FREE, MANAGED, LOW, HIGH, BATCH, HIGH_MIN, HIGH_MAX, BELOW_HIGH = range(8)
_LISTS = 8
_CPUS = _LISTS + 2 * N_TYPES * N_ORDERS
COUNT, CPU_HIGH, FREED, FACTOR, FREED_LARGE = range(2 * N_CPU_LISTS, 2 * N_CPU_LISTS + 5)
_CPU_WORDS = 2 * N_CPU_LISTS + 5

N_CPUS = 1
"""How many processors have lists; `bind` gives it its value."""


class LinuxArea(NamedTuple):
    """One zone."""

    frames: Array
    words: Array        # int64: see above
    tails: Array        # int64: the same from the second on, for a list's tail is behind its head
    types: Array        # uint8: a pageblock's type, with MOVABLE as 0
    uncut: Array        # int64: [next range, number of ranges, first, end, …] of movable blocks of the top order
    tally: Array
    first: int
    end: int


@compiled
def words_of_lists(n_cpus: int) -> int:
    return int64(_CPUS + n_cpus * _CPU_WORDS)


@compiled
def words_of_types(first: int, end: int) -> int:
    return int64(((end >> BLOCK_ORDER) - (first >> BLOCK_ORDER) + 8) // 8)


@compiled
def open_area(frames: Array, words: int, n_words: int, tally: Array, first: int, end: int) -> LinuxArea:
    types = words_of_lists(N_CPUS)
    uncut = types + words_of_types(first, end)
    return LinuxArea(frames, words_at(words, n_words), words_at(words + 8, n_words - 1), bytes_at(words + 8 * types, 8 * (uncut - types)),
                     words_at(words + 8 * uncut, n_words - uncut), tally, first, end)


# -- pageblocks ---------------------------------------------------------------------------------------------------------------------------


@compiled
def block_type(area: LinuxArea, pfn: int) -> int:
    """The migratetype of a frame's pageblock."""
    return int64(area.types[(pfn >> BLOCK_ORDER) - (area.first >> BLOCK_ORDER)]) ^ MOVABLE


@compiled
def set_block_type(area: LinuxArea, pfn: int, migratetype: int) -> None:
    area.types[(pfn >> BLOCK_ORDER) - (area.first >> BLOCK_ORDER)] = migratetype ^ MOVABLE


# -- lists --------------------------------------------------------------------------------------------------------------------------------


@compiled
def list_of(migratetype: int, order: int) -> int:
    """Where a list of free blocks has its head; its tail is behind it."""
    return int64(_LISTS + 2 * (migratetype * N_ORDERS + order))


@compiled
def fallbacks(migratetype: int) -> tuple[int, int]:
    """The types to fall back to, in this order: other types that cannot be moved come first."""
    return int64(UNMOVABLE if migratetype == RECLAIMABLE else RECLAIMABLE), int64(UNMOVABLE if migratetype == MOVABLE else MOVABLE)


@compiled
def fallback_lists(migratetype: int, order: int) -> int:
    """What `examine` calls the lists of the types to fall back to; any other list is called by where it has its head."""
    return int64(-1 - (N_TYPES * order + migratetype))


@compiled
def cpu_at(cpu: int) -> int:
    """Where a processor's words are."""
    return int64(_CPUS + cpu * _CPU_WORDS)


@compiled
def push(area: LinuxArea, at: int, pfn: int, mark: int) -> None:
    """Put a block at the front of a list."""
    frame(area.frames, pfn)["order"] = mark
    link_first(area.frames, area.words, area.tails, at, pfn)


@compiled
def append(area: LinuxArea, at: int, pfn: int, mark: int) -> None:
    """Put a block at the end of a list."""
    frame(area.frames, pfn)["order"] = mark
    link_last(area.frames, area.words, area.tails, at, pfn)


@compiled
def unlink(area: LinuxArea, at: int, pfn: int) -> None:
    """Take a block out of a list, wherever it stands in it."""
    frame(area.frames, pfn)["order"] = 0
    unlink_item(area.frames, area.words, area.tails, at, pfn)


@compiled
def is_free(area: LinuxArea, pfn: int, order: int) -> bool:
    """Whether a free block of exactly that order begins there."""
    return bool(pfn >= area.first and pfn + (int64(1) << order) <= area.end and frame(area.frames, pfn)["order"] == order + 1)


@compiled
def front(area: LinuxArea, migratetype: int, order: int) -> int:
    """The block that would be taken next from a list, or NIL. The lowest uncut block is linked when its turn comes."""
    at = list_of(migratetype, order)
    if area.words[at] == NIL and order == TOP and migratetype == MOVABLE and area.uncut[0] < area.uncut[1]:
        range_at = 2 + 2 * area.uncut[0]
        pfn = area.uncut[range_at]
        area.uncut[range_at] += int64(1) << TOP
        if area.uncut[range_at] == area.uncut[range_at + 1]:
            area.uncut[0] += 1
        push(area, at, pfn, TOP + 1)
    return int64(area.words[at])


@compiled
def clear(area: LinuxArea, n_cpus: int) -> None:
    """No free blocks at all."""
    for at in range(_LISTS, _CPUS):
        area.words[at] = NIL
    for cpu in range(n_cpus):
        for at in range(cpu_at(cpu), cpu_at(cpu) + 2 * N_CPU_LISTS):
            area.words[at] = NIL


# -- looking, in the interpreter ----------------------------------------------------------------------------------------------------------


def listed(area: LinuxArea, at: int, offset: int = 0) -> Iterator[tuple[int, int]]:
    """The blocks of a list as (pfn, order), first to last. BrokenInvariant where the links are not those of a list."""
    before, pfn, n_seen = NIL, int(area.words[at]), 0
    while pfn != NIL:
        record = area.frames[pfn]
        if int(record["prev"]) != before or int(record["order"]) <= offset or n_seen > area.end - area.first:
            raise BrokenInvariant(f"the list at word {at} is torn at frame {pfn:#x}")
        yield pfn, int(record["order"]) - offset - 1
        before, pfn, n_seen = pfn, int(record["next"]), n_seen + 1
    if int(area.words[at + 1]) != before:
        raise BrokenInvariant(f"the list at word {at} does not end at its tail")


def typed_blocks(area: LinuxArea) -> Iterator[tuple[int, int, int]]:
    """Every free block that is on a list of its type, as (pfn, order, migratetype)."""
    for migratetype in range(N_TYPES):
        for order in range(N_ORDERS):
            for pfn, found in listed(area, int(list_of(migratetype, order))):
                if found != order:
                    raise BrokenInvariant(f"a block of order {found} at {pfn:#x} is on a list of order {order}")
                yield pfn, order, migratetype
    for at in range(int(area.uncut[0]), int(area.uncut[1])):
        yield from ((pfn, TOP, MOVABLE) for pfn in range(int(area.uncut[2 + 2 * at]), int(area.uncut[3 + 2 * at]), 1 << TOP))


def cpu_blocks(area: LinuxArea, cpu: int) -> Iterator[tuple[int, int]]:
    """Every block that waits on a processor's lists, as (pfn, order)."""
    for number in range(N_CPU_LISTS):
        yield from listed(area, int(cpu_at(cpu)) + 2 * number, ON_CPU)


# -- as places to look at -----------------------------------------------------------------------------------------------------------------


def place(area: LinuxArea, number: int) -> Place:
    """What `examine` calls by a number."""
    if number >= _CPUS:
        cpu, word = divmod(number - _CPUS, _CPU_WORDS)
        order, migratetype = divmod(word // 2, N_TYPES)
        if order > COSTLY_ORDER:
            order, migratetype = BLOCK_ORDER, MOVABLE if migratetype else UNMOVABLE
        return Place(f"cpu {cpu} {_TYPE_NAMES[migratetype]} order {order}", tuple((pfn, 1 << order) for pfn, order in listed(area, number, ON_CPU)))
    if number < 0:
        order, migratetype = divmod(-1 - number, N_TYPES)
        types = tuple(map(int, plain(fallbacks)(migratetype)))
    else:
        migratetype, order = divmod((number - _LISTS) // 2, N_ORDERS)
        types = (migratetype,)
    blocks = ((pfn, 1 << order) for wanted in types for pfn, at, of_type in typed_blocks(area) if (at, of_type) == (order, wanted))
    return Place(f"{' or '.join(_TYPE_NAMES[it] for it in types)} order {order}", tuple(blocks))


def lists_in_order(area: LinuxArea, cpu: int, migratetype: int, n_cpus: int) -> list[Place]:
    """All lists in the order in which a request of a processor and a type looks at them: its processor's, its type's, those of other types."""
    cpus = [int(plain(cpu_at)(it)) for it in (cpu, *(other for other in range(n_cpus) if other != cpu))]
    on_cpus = [[at + 2 * number for number in range(N_CPU_LISTS)] for at in cpus]
    by_type = [int(plain(list_of)(it, order)) for it in (migratetype, *plain(fallbacks)(migratetype)) for order in range(N_ORDERS)]
    return [place(area, number) for number in (*on_cpus[0], *by_type, *(number for lists in on_cpus[1:] for number in lists))]
