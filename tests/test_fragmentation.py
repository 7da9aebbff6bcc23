"""Blocks and fragmentation indices against models that share no code with them."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from kernel_sim.fragmentation import count_blocks, cut_aligned, extfrag_index, free_frames, suitable_frames, unusable_index
from kernel_sim.units import MAX_ORDER, N_ORDERS

RUN = st.tuples(st.integers(0, 5000), st.integers(1, 5000)).map(lambda pair: (pair[0], pair[0] + pair[1]))
COUNTS = st.lists(st.integers(0, 3000), min_size=N_ORDERS, max_size=N_ORDERS)


def merged(free: set[int]) -> set[tuple[int, int]]:
    """The blocks (pfn, order) that are left when every pair of free buddies has merged, from single frames up."""
    blocks: set[tuple[int, int]] = set()
    heads = free
    for order in range(MAX_ORDER):
        paired = {pfn for pfn in heads if pfn ^ 1 << order in heads}
        blocks |= {(pfn, order) for pfn in heads - paired}
        heads = {pfn for pfn in paired if not pfn >> order & 1}
    return blocks | {(pfn, MAX_ORDER) for pfn in heads}


@settings(deadline=None)
@given(RUN)
def test_cutting_a_run_gives_the_blocks_that_merging_its_frames_gives(run: tuple[int, int]) -> None:
    blocks = list(cut_aligned(*run))
    assert blocks == sorted(blocks)
    assert set(blocks) == merged(set(range(*run)))


@settings(deadline=None)
@given(st.lists(RUN, max_size=5))
def test_compiled_count_agrees_with_the_blocks(runs: list[tuple[int, int]]) -> None:
    orders = [order for run in runs for _, order in cut_aligned(*run)]
    counts = count_blocks(np.array(runs, np.int64).reshape(-1, 2))
    assert counts.tolist() == [orders.count(order) for order in range(N_ORDERS)]


def test_a_terabyte_is_cut_at_once() -> None:
    counts = count_blocks(np.array([[1, 1 << 28]], np.int64))
    assert counts.tolist() == [1] * MAX_ORDER + [(1 << 18) - 1]


def test_an_empty_run_has_no_blocks() -> None:
    assert list(cut_aligned(7, 7)) == []
    assert count_blocks(np.zeros((0, 2), np.int64)).sum() == 0


@settings(deadline=None)
@given(COUNTS, st.integers(0, MAX_ORDER))
def test_indices_against_exact_fractions(counts: list[int], order: int) -> None:
    blocks = [1 << at for at, n in enumerate(counts) for _ in range(n)]
    free, suitable = sum(blocks), sum(size for size in blocks if size >= 1 << order)
    assert (free_frames(counts), suitable_frames(counts, order)) == (free, suitable)
    unusable = unusable_index(counts, order)
    assert unusable == 1000 if not free else unusable <= 1000 * (free - suitable) / free < unusable + 1
    extfrag = extfrag_index(counts, order)
    if not blocks:
        assert extfrag == 0
    elif suitable:
        assert extfrag == -1000
    else:
        exact = 1000 - (1000 + 1000 * free / (1 << order)) / len(blocks)
        assert exact <= extfrag < exact + 2  # two divisions, each cut


def test_a_failure_for_lack_of_memory_is_near_0_and_one_for_scatter_near_1000() -> None:
    assert extfrag_index([1] + [0] * 10, 10) == 0
    assert extfrag_index([100_000] + [0] * 10, 10) == 1000
    assert extfrag_index([100_000] + [0] * 10, 1) == 500
