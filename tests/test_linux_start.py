"""A kernel's state put into the policy `linux`: types that agree with the counts, sizes that agree with the watermarks, frames that waited."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel_sim import FrameManager, load_policy
from kernel_sim.errors import BadInput
from kernel_sim.operations import ALLOC, FREE_PREEXISTING, IMPLIED, OPERATION
from kernel_sim.study.formats.pagetypeinfo import PageTypes, ZoneTypes
from kernel_sim.study.formats.zoneinfo import ZoneInfo
from kernel_sim.study.linux_start import TYPES, block_types, managed_at_boot, start_like, waiting

NOTHING_KNOWN = np.zeros(1 << 14, np.int8)


def counted(blocks: list[tuple[int, int]], types: dict[int, int], n_pageblocks: int) -> ZoneTypes:
    """What the kernel would print."""
    free = Counter((types[pfn // 512], order) for pfn, order in blocks)
    return ZoneTypes(0, "Memory", {name: tuple(free[kind, order] for order in range(11)) for kind, name in TYPES.items()},
                     {name: sum(types[block] == kind for block in range(n_pageblocks)) for kind, name in TYPES.items()})


@given(st.lists(st.tuples(st.sampled_from([0, 1, 1, 1, 2]), st.sets(st.integers(0, 8), max_size=4)), min_size=1, max_size=12))
def test_the_types_found_are_those_that_were_counted(pageblocks: list[tuple[int, set[int]]]) -> None:
    """Each pageblock of a type, with free blocks of some orders: whatever is found prints the same."""
    types = {number: kind for number, (kind, _) in enumerate(pageblocks)}
    blocks = [(512 * number + (1 << order), order) for number, (_, orders) in enumerate(pageblocks) for order in sorted(orders)]
    said = counted(blocks, types, len(types))
    found = block_types(blocks, said, (0, 512 * len(types)), NOTHING_KNOWN)
    assert counted(blocks, found, len(types)).free == said.free
    assert found.keys() == types.keys()


def test_flags_decide_where_the_counts_do_not() -> None:
    """Two pageblocks alike, one unmovable: the one that looks so."""
    blocks = [(64, 6), (512 + 64, 6)]
    said = counted(blocks, {0: 1, 1: 0}, 2)
    looks = NOTHING_KNOWN.copy()
    looks[600:700] = -1
    assert block_types(blocks, said, (0, 1024), looks) == {0: 1, 1: 0}
    looks[:] = 0
    looks[:100] = -1
    assert block_types(blocks, said, (0, 1024), looks) == {0: 0, 1: 1}


@given(st.integers(20_000, 2_000_000))
def test_the_frames_at_boot_give_the_watermarks(now: int) -> None:
    """Computed forwards as the kernel does, from nine tenths of today's frames, and found again to one part in a hundred."""
    others, boot = 3840, now * 9 // 10
    lowest = math.isqrt(16 * 4 * (others + boot)) // 4
    zones = [ZoneInfo(0, "DMA", {"managed": others, "min": lowest * others // (others + boot)}),
             ZoneInfo(0, "DMA32", {"managed": now, "min": lowest * boot // (others + boot)}), ZoneInfo(0, "Normal", {"managed": 0, "min": 0})]
    found = managed_at_boot(zones)
    assert found["DMA"] == others
    assert abs(found["DMA32"] - boot) < max(boot // 50, 200)


def test_watermarks_that_somebody_has_set() -> None:
    assert managed_at_boot([ZoneInfo(0, "DMA32", {"managed": 10_000, "min": 5})]) == {"DMA32": 10_000}


def test_what_waited_is_what_is_freed_by_implication() -> None:
    rows = [(FREE_PREEXISTING, IMPLIED, 0, 0, 0, 1, 0, 40), (ALLOC, 0, 0, 0, 1, 1, 0, 0), (FREE_PREEXISTING, 0, 0, 0, 0, 3, 0, 50),
            (FREE_PREEXISTING, IMPLIED, 0, 0, 0, 2, 0, 60), (FREE_PREEXISTING, IMPLIED, 0, 0, 0, 2, 0, 64), (ALLOC, 0, 0, 0, 2, 8, 0, 1)]
    found, rest = waiting(np.array(rows, OPERATION))
    assert found == [(40, 1, 1), (60, 2, 2), (64, 2, 2)]
    assert rest["kind"].tolist() == [ALLOC, FREE_PREEXISTING, ALLOC]


@pytest.mark.parametrize(("types", "complaint"), [
    (PageTypes(10, []), "pageblocks of order 10; the policy linux knows those of order 9"),
    (PageTypes(9, [ZoneTypes(0, "DMA")]), "zone Memory is not among the recorded ones: DMA"),
    (PageTypes(9, [counted([(0, 9)], {0: 0}, 1)]), "zone Memory: the free blocks are not those that were counted"),
    (PageTypes(9, [counted([(0, 3)], {0: 2}, 1)]), "zone Memory: no pageblocks have the free blocks of type Reclaimable that were counted"),
])
def test_files_of_another_machine(types: PageTypes, complaint: str) -> None:
    manager = FrameManager(1 << 10, load_policy("linux", uncompiled=True), in_use=[(512, 600)])
    with pytest.raises(BadInput) as error:
        start_like(manager, types, [], NOTHING_KNOWN)
    assert str(error.value) == complaint
