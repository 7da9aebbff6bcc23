"""The bitmaps of `buddy:order=address`: the lowest free block, the next above one, and whole ranges at once, against sorted lists."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel_sim.allocators import address_area
from kernel_sim.allocators.address_area import AddressArea
from kernel_sim.compiled import Array, address_of, bind, interpreted
from kernel_sim.frames import NIL
from kernel_sim.units import MAX_ORDER

open_area, clear, push, remove, front, behind, is_free = (
    interpreted(getattr(address_area, step)) for step in ("open_area", "clear", "push", "remove", "front", "behind", "is_free"))


def bitmaps(first: int, end: int) -> tuple[AddressArea, Array]:
    """The bitmaps of a zone, with nothing free, and the words they live in."""
    words = np.zeros(address_area.n_words(first, end, 1), np.int64)
    area = open_area(None, address_of(words), len(words), None, first, end)
    clear(area)
    return area, words


ZONES = st.tuples(st.integers(0, 3000), st.integers(2 << MAX_ORDER, 70_000)).map(lambda zone: (zone[0], zone[0] + zone[1]))


def numbers(zone: tuple[int, int], order: int) -> range:
    """The blocks of an order that lie in a zone, counted from frame 0. There is at least one."""
    return range(-(-zone[0] >> order), zone[1] >> order)


@given(zone=ZONES, order=st.integers(0, MAX_ORDER), data=st.data())
def test_blocks_are_found_in_order_of_address(zone: tuple[int, int], order: int, data: st.DataObject) -> None:
    """Some blocks are noted and some of them taken again: walking up from the lowest finds the rest, and each knows that it is free."""
    area, words = bitmaps(*zone)
    noted = data.draw(st.sets(st.sampled_from(numbers(zone, order)), max_size=30))
    taken = data.draw(st.sets(st.sampled_from(sorted(noted)))) if noted else set()
    for number in noted:
        push(area, number << order, order)
    for number in taken:
        remove(area, number << order, order)
    found, pfn = [], front(area, order, MAX_ORDER)
    while pfn != NIL:
        found.append(int(pfn))
        pfn = behind(area, pfn, order)
    assert found == [number << order for number in sorted(noted - taken)]
    assert list(address_area.linked_blocks(area, MAX_ORDER)) == [(pfn, order) for pfn in found]
    assert all(is_free(area, number << order, order) == (number not in taken) for number in noted)
    assert found or not words[address_area.N_ORDERS * 8:].any()


@pytest.mark.parametrize("top", [0, 3, MAX_ORDER])
@given(zone=ZONES, data=st.data())
def test_a_range_is_noted_like_its_blocks(top: int, zone: tuple[int, int], data: st.DataObject) -> None:
    """A range of blocks of the top order, word by word, leaves the same bits as its blocks one by one."""
    blocks = st.sampled_from(numbers(zone, top))
    low, high = sorted((data.draw(blocks), data.draw(blocks)))
    at_once, one_by_one = bitmaps(*zone), bitmaps(*zone)
    bind(interpreted(address_area.add_uncut), "test", TOP=top)(at_once[0], low << top, (high + 1) << top)
    for number in range(low, high + 1):
        push(one_by_one[0], number << top, top)
    assert np.array_equal(at_once[1], one_by_one[1])
