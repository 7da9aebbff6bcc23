"""The different byte strings that a pass over a text meets, numbered in order of appearance.

They are kept as *spans* of the text; nothing is copied until the pass is over.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from kernel_sim.compiled import address_of, array_view, compiled
from kernel_sim.study.formats._text import (
    Text,
    byte,
    eight_bytes,
    same,
    signed,
    unsigned,
    word,
)

SPAN = np.dtype([("first", "<i8"), ("end", "<i8"), ("met", "<i8")])
"""A byte string: where it stands in the text, and how often it was met."""

spans_at = array_view(SPAN)
_slots_at, _numbers_at = array_view("<i4"), array_view("<i8")
_3, _8, _32 = eight_bytes(3), eight_bytes(8), eight_bytes(32)
_31_BITS, _32_BITS = eight_bytes(0x7FFFFFFF), eight_bytes(0xFFFFFFFF)
_ODD, _ODDER = eight_bytes(0x9E3779B1), eight_bytes(0x85EBCA77)


class Names(NamedTuple):
    """Different byte strings of a text, at most `limit`; all later ones have the number `limit`.

    ``spans`` is the address of `limit` + 1 spans, ``slots`` of an open hash of `n_slots` numbers + 1, ``n`` of how many there
    are.
    """

    spans: int
    slots: int
    n: int
    limit: int
    n_slots: int


class NamesMemory:
    """The memory of `Names`."""

    def __init__(self, limit: int) -> None:
        n_slots = 1 << (2 * limit).bit_length()
        self.spans, self.slots, self.n = np.zeros(limit + 1, SPAN), np.zeros(n_slots, "<i4"), np.zeros(1, "<i8")
        self.names = Names(address_of(self.spans), address_of(self.slots), address_of(self.n), limit, n_slots)

    def texts(self, data: bytes) -> list[bytes]:
        """The strings, by number."""
        return [data[first:end] for first, end, _ in self.spans[:int(self.n[0])].tolist()]


@compiled
def hash_of(text: Text, first: int, end: int) -> int:
    """Of the first and the last eight bytes: names differ there."""
    code = unsigned(end - first)
    if end - first >= 8:
        code ^= word(text, first) ^ (word(text, end - 8) >> _3)
    else:
        for i in range(first, end):
            code = (code << _8) ^ unsigned(byte(text, i))
    mixed = (code & _32_BITS) * _ODD ^ (code >> _32) * _ODDER           # products of 32 bits each: nothing overflows
    return signed((mixed >> _32 ^ mixed) & _31_BITS)


@compiled
def intern(text: Text, names: Names, first: int, end: int) -> int:
    """The number of a string of the text: that of its first appearance, or the limit when there is no room for more."""
    spans, slots = spans_at(names.spans, names.limit + 1), _slots_at(names.slots, names.n_slots)
    slot = hash_of(text, first, end) & (names.n_slots - 1)
    while slots[slot] != 0:
        known = signed(slots[slot]) - 1
        if spans[known]["end"] - spans[known]["first"] == end - first and same(text, first, spans[known]["first"], end - first):
            return known
        slot = (slot + 1) & (names.n_slots - 1)
    count = _numbers_at(names.n, 1)
    n = signed(count[0])
    if n < names.limit:
        slots[slot] = n + 1
        spans[n]["first"], spans[n]["end"] = first, end
        count[0] = n + 1
    return n
