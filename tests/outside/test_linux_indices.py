"""Linux' fragmentation indices: figures that mm/vmstat.c's arithmetic gives, worked out outside this project.

Sources: `unusable_free_index` and `__fragmentation_index` in Linux' mm/vmstat.c, read through debugfs as
/sys/kernel/debug/extfrag/unusable_index and extfrag_index.
"""

from __future__ import annotations

from kernel_sim.fragmentation import extfrag_index, free_frames, unusable_index
from kernel_sim.study.formats import buddyinfo
from kernel_sim.units import N_ORDERS


def test_unusable_index_of_a_buddyinfo_line() -> None:
    [line] = buddyinfo.parse("Node 0, zone      DMA 1 1 1 0 2 1 1 0 1 1 3")
    assert free_frames(line.counts) == 3975
    assert [unusable_index(line.counts, order) for order in range(N_ORDERS)] == [0, 0, 0, 1, 1, 9, 17, 33, 33, 98, 227]
    assert [extfrag_index(line.counts, order) for order in range(N_ORDERS)] == [-1000] * N_ORDERS


def test_lone_frames_are_all_fragmentation() -> None:
    """1024 free frames of which no two are buddies."""
    lone = [1024] + [0] * (N_ORDERS - 1)
    assert [extfrag_index(lone, order) for order in range(1, 10)] == [500, 750, 875, 937, 968, 984, 992, 996, 998]
    assert {unusable_index(lone, order) for order in range(1, N_ORDERS)} == {1000}
    assert unusable_index(lone, 0) == 0


def test_nothing_free() -> None:
    assert [unusable_index([0] * N_ORDERS, order) for order in range(N_ORDERS)] == [1000] * N_ORDERS
    assert [extfrag_index([0] * N_ORDERS, order) for order in range(N_ORDERS)] == [0] * N_ORDERS
