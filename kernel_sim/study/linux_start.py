"""A manager with the policy `linux` in the state that a kernel was in: its pageblocks' types, its sizes, what waits on its processor's lists.

Three things are told only in part, and this is what is made of them:

**Pageblocks.** The kernel tells how many are of each type, and how many free blocks of each order are on the lists of each type, but not which.
Since the free blocks of a pageblock are on the lists of its type, few choices agree with the counts. `block_types` looks for one: reclaimable
first, then unmovable, trying those pageblocks first whose frames look least movable. What is left is movable; of pageblocks without free blocks
the least movable are of the types that are still wanted. The order within the lists is not told; it is that of the addresses.

**Sizes.** The kernel computes them while it boots, before it frees the memory that only booting needed: `managed_at_boot` finds, from the
watermarks, how much it managed then.

**Waiting frames.** Those on a processor's lists are not free in the map. But a frame that is in use at the start, and is allocated by the trace
without having been freed, was waiting there: `waiting` finds them. The first to be allocated is the first on its list.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from kernel_sim.allocators import linux
from kernel_sim.allocators.linux_area import (
    BATCH,
    BLOCK_ORDER,
    CPU_HIGH,
    FACTOR,
    FREED,
    FREED_LARGE,
    HIGH_MAX,
    HIGH_MIN,
    MOVABLE,
    RECLAIMABLE,
    TOP,
    UNMOVABLE,
    LinuxArea,
    cpu_at,
    typed_blocks,
)
from kernel_sim.compiled import interpreted
from kernel_sim.errors import BadInput
from kernel_sim.manager import FrameManager
from kernel_sim.operations import ALLOC, FREE_PREEXISTING, IMPLIED
from kernel_sim.study.formats.pagetypeinfo import PageTypes, ZoneTypes
from kernel_sim.study.formats.zoneinfo import ZoneInfo
from kernel_sim.units import N_ORDERS

Array = np.ndarray[Any, Any]

TYPES = {UNMOVABLE: "Unmovable", MOVABLE: "Movable", RECLAIMABLE: "Reclaimable"}
_NO_LIMIT = 1 << 40


class Waiting(NamedTuple):
    """Frames that were on a processor's list, and the mobility they were asked for with."""

    pfn: int
    n_frames: int
    mobility: int


def waiting(operations: Array) -> tuple[list[Waiting], Array]:
    """What waited on the processors' lists at the start, in the order it was asked for in, and the operations without the frees that imply it."""
    implied = (operations["kind"] == FREE_PREEXISTING) & (operations["flags"] & IMPLIED != 0)
    allocs = np.flatnonzero(operations["kind"] == ALLOC)
    found = []
    for at in np.flatnonzero(implied).tolist():
        request = operations[allocs[np.searchsorted(allocs, at)]]
        found.append(Waiting(int(operations[at]["slot"]), int(operations[at]["n_frames"]), int(request["mobility"])))
    return found, operations[~implied]


def start_like(manager: FrameManager, types: PageTypes, zones: Sequence[ZoneInfo], movable: Array, waited: Sequence[Waiting] = ()) -> None:
    """Bring a manager that has just been made into the state that was recorded.

    `movable` says of each frame how movable it looks (`kernel_sim.study.formats.kpageflags.mobility`). BadInput when a zone of the manager is not in
    the files, or when its free blocks are not those that were counted.
    """
    if types.block_order != BLOCK_ORDER:
        raise BadInput(f"pageblocks of order {types.block_order}; the policy linux knows those of order {BLOCK_ORDER}")
    looks = movable.copy()
    for pfn, n_frames, mobility in waited:
        looks[pfn:pfn + n_frames] = 1 if mobility == MOVABLE else -1
    for number, zone in enumerate(manager.zones):
        area = manager.area(number)
        found = block_types([(pfn, order) for pfn, order, _ in typed_blocks(area)], _named(types.zones, zone.name),
                            (zone.first_pfn, zone.end_pfn), looks)
        linux.set_block_types(area, {max(block << BLOCK_ORDER, zone.first_pfn): kind for block, kind in found.items()})
        area.words[[BATCH, HIGH_MIN, HIGH_MAX, int(interpreted(cpu_at)(0)) + CPU_HIGH]] = _NO_LIMIT
    for pfn, n_frames, _ in reversed(waited):
        manager.free(pfn, n_frames)
    managed = managed_at_boot(zones)
    for number, zone in enumerate(manager.zones):
        _set_sizes(manager.area(number), _named(zones, zone.name), managed[zone.name])


def managed_at_boot(zones: Sequence[ZoneInfo]) -> dict[str, int]:
    """How many frames each zone had when its watermarks were computed: the highest zone fewer than now, as many as its watermarks say.

    The lowest watermark of all is the square root of 16 times the KiB of all zones, and each zone has its share. Of the sizes that give the
    recorded watermarks the one in the middle is taken; today's where none does, as when somebody has set min_free_kbytes.
    """
    sizes = {zone.zone: zone.numbers["managed"] for zone in zones if zone.numbers["managed"]}
    least = {zone.zone: zone.numbers["min"] for zone in zones}
    *_, last = sizes
    others = sum(sizes.values()) - sizes[last]

    def share(zone: str, n_frames: int) -> int:
        """The lowest watermark of a zone, if the highest has so many frames."""
        size = n_frames if zone == last else sizes[zone]
        return math.isqrt(64 * (others + n_frames)) // 4 * size // (others + n_frames)

    candidates = range(sizes[last] // 2, sizes[last] + 1)       # the more frames, the more of the whole is the highest zone's
    begin, end = (bisect(candidates, least[last], key=lambda n: share(last, n)) for bisect in (bisect_left, bisect_right))
    possible = [n for n in candidates[begin:end] if all(share(zone, n) == least[zone] for zone in sizes)]
    return {**sizes, last: possible[len(possible) // 2] if possible else sizes[last]}


def _named(zones: Sequence[Any], name: str) -> Any:
    for zone in zones:
        if zone.zone == name:
            return zone
    raise BadInput(f"zone {name} is not among the recorded ones: {', '.join(zone.zone for zone in zones)}")


def _set_sizes(area: LinuxArea, zone: ZoneInfo, managed: int) -> None:
    """The zone's sizes, and what its processor may hold by now; nothing has been asked for or freed of late."""
    cpu = int(interpreted(cpu_at)(0))
    area.words[[cpu + FACTOR, cpu + FREED, cpu + FREED_LARGE]] = 0
    area.words[cpu + CPU_HIGH] = zone.cpus[0]["high"] if zone.cpus else 0
    interpreted(linux.set_sizes)(area, managed, zone.numbers["min"])


def block_types(blocks: Sequence[tuple[int, int]], typed: ZoneTypes, span: tuple[int, int], movable: Array) -> dict[int, int]:
    """A type for each pageblock of a zone, by its number, such that the free blocks (pfn, order) on each type's lists are those that were counted."""
    counts: dict[int, Counter[int]] = {}
    for pfn, order in blocks:
        counts.setdefault(pfn >> BLOCK_ORDER, Counter())[order] += 1

    def looks(block: int) -> tuple[int, int]:
        return int(movable[block << BLOCK_ORDER:(block + 1) << BLOCK_ORDER].sum()), block

    found: dict[int, int] = {}
    for kind in (RECLAIMABLE, UNMOVABLE):
        need = Counter({order: n for order, n in enumerate(typed.free[TYPES[kind]]) if n})
        left = sorted((block for block in counts if block not in found), key=looks)
        chosen = _choose(left, counts, need, typed.blocks[TYPES[kind]])
        if chosen is None:
            raise BadInput(f"zone {typed.zone}: no pageblocks have the free blocks of type {TYPES[kind]} that were counted")
        found.update({part: kind for block in chosen for part in _parts(block, counts)})
    _check_movable(typed, counts, found)
    found.update({part: MOVABLE for block in counts for part in _parts(block, counts) if block not in found})
    return _with_full_blocks(found, typed, span, looks)


def _parts(block: int, counts: dict[int, Counter[int]]) -> list[int]:
    """The pageblocks that are of one type with this one: two under a free block of the top order."""
    return [block, block + 1] if counts[block][TOP] else [block]


def _choose(candidates: list[int], counts: dict[int, Counter[int]], need: Counter[int], n_blocks: int) -> list[int] | None:
    """The first of the candidates that together have exactly these free blocks and are not too many, or None."""
    if not need:
        return []
    for at, block in enumerate(candidates):
        size = len(_parts(block, counts))
        if size <= n_blocks and all(need[order] >= n for order, n in counts[block].items()):
            rest = _choose(candidates[at + 1:], counts, need - counts[block], n_blocks - size)
            if rest is not None:
                return [block, *rest]
    return None


def _check_movable(typed: ZoneTypes, counts: dict[int, Counter[int]], found: dict[int, int]) -> None:
    """What is left must be what the movable lists had."""
    left = sum((n for block, n in counts.items() if block not in found), Counter[int]())
    if tuple(left[order] for order in range(N_ORDERS)) != typed.free[TYPES[MOVABLE]]:
        raise BadInput(f"zone {typed.zone}: the free blocks are not those that were counted")


def _with_full_blocks(found: dict[int, int], typed: ZoneTypes, span: tuple[int, int], looks: Callable[[int], tuple[int, int]]) -> dict[int, int]:
    """The pageblocks without free blocks, too: the least movable of them are unmovable and reclaimable, as many as were counted."""
    full = sorted((block for block in range(span[0] >> BLOCK_ORDER, (span[1] - 1 >> BLOCK_ORDER) + 1) if block not in found), key=looks)
    for kind in (UNMOVABLE, RECLAIMABLE):
        n_missing = max(typed.blocks[TYPES[kind]] - sum(1 for other in found.values() if other == kind), 0)
        found.update(dict.fromkeys(full[:n_missing], kind))
        full = full[n_missing:]
    return {**found, **dict.fromkeys(full, MOVABLE)}
