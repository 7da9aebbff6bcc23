"""Translation by base and bound against a model in plain Python, with descriptors of every kind, and what a fault is called."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kernel_sim.compiled import Array, address_of, entry, interpreted
from kernel_sim.machine import abi, board
from kernel_sim.machine.ram import Ram
from kernel_sim.machine.segmentation import explain, segment_name, translate
from kernel_sim.machine.translation import FETCH, READ, WRITE, Mode

PAGE, TOP = 4096, 1 << 43
ACCESSES = (READ, WRITE, FETCH)
KIND = abi.dtype(abi.SegmentDescriptor)
RAM = Ram([(0, 64), (128, 160)])
BOARD = np.zeros(board.BOARD_WORDS, np.int64)
BOARD[[board.B_RAM, board.B_RAM_BYTES, board.B_FIRMWARE, board.B_FIRMWARE_BASE]] = (
    address_of(RAM.bytes), RAM.size, address_of(RAM.firmware), RAM.firmware_base)


@entry
def compiled_translate(board: Array, virtual: int, access: int, root: int, is_user: bool, write_protect: bool,
                       nxe: bool) -> tuple[int, int, int, int]:
    found = translate(board, virtual, access, Mode(root, is_user, write_protect, nxe))
    return found.physical, found.may, found.error, found.entry


def model(table: list[tuple[int, int, int]], virtual: int, access: int, is_user: bool, write_protect: bool, nxe: bool) -> tuple[int, int, int]:
    """(physical page, rights, error code) by the words of the design: -1 and no rights for a fault."""
    number, offset = divmod(virtual, TOP)
    base, bound, flags = table[number]
    code = (2 if access == WRITE else 0) + (4 if is_user else 0) + (16 if access == FETCH and nxe else 0)
    if number == 0 or flags % 2 == 0:
        return -1, 0, code
    if base % PAGE or bound % PAGE or base >= 1 << 46 or bound > TOP:
        return -1, 0, code + 1 + 8
    legal = TOP - offset <= bound if flags & 8 else offset < bound
    if not legal:
        return -1, 0, code
    rights = {READ} | ({WRITE} if flags & 2 or (not is_user and not write_protect) else set()) | ({FETCH} if flags & 4 else set())
    if access not in rights:
        return -1, 0, code + 1
    physical = base + bound - (TOP - offset) if flags & 8 else base + offset
    return physical // PAGE * PAGE, sum({READ: 1, WRITE: 2, FETCH: 4}[right] for right in rights), 0


def write_table(root: int, table: list[tuple[int, int, int]]) -> None:
    """Descriptors in the memory of the machine; the id and the spare word are noise."""
    packed = b"".join(struct.pack("<QQIIQ", *record, 0xFFFF_FFFF, (1 << 64) - 1) for record in table)
    RAM.bytes[root:root + 512] = np.frombuffer(packed, np.uint8)


def descriptor(base: int, bound: int, flags: int) -> Any:
    """The host's view of one."""
    return np.frombuffer(struct.pack("<QQIIQ", base, bound, flags, 7, 0), KIND)[0]


EDGES = (TOP, TOP - PAGE, TOP + PAGE, 1 << 46, (1 << 46) - PAGE, 1 << 63, (1 << 64) - PAGE, (1 << 64) - 1, 1, 4095, 100)
sizes = st.one_of(st.integers(0, 40).map(lambda n: n * PAGE), st.sampled_from(EDGES), st.integers(0, (1 << 64) - 1))
descriptors = st.tuples(sizes, sizes, st.one_of(st.integers(0, 15), st.integers(0, (1 << 32) - 1)))
offsets = st.one_of(st.integers(-41 * PAGE, 41 * PAGE).map(lambda offset: offset % TOP), st.integers(0, TOP - 1))


@given(st.lists(descriptors, min_size=16, max_size=16), st.integers(0, 15), offsets, st.sampled_from(ACCESSES), st.booleans(), st.booleans(),
       st.booleans())
@example([(0, TOP, 15)] * 16, 0, 0, READ, True, True, True)
@example([(PAGE, TOP, 9)] * 16, 4, 0, READ, True, True, True)
def test_against_a_model(table: list[tuple[int, int, int]], number: int, offset: int, access: int, is_user: bool, write_protect: bool,
                         nxe: bool) -> None:
    write_table(3 * PAGE, table)
    mode = (is_user, write_protect, nxe)
    for virtual in (number * TOP + offset, number * TOP + table[number][1] % TOP, number * TOP + (table[number][1] - 1) % TOP,
                    number * TOP + (-table[number][1]) % TOP, number * TOP + (-table[number][1] - 1) % TOP):
        expected = model(table, virtual, access, *mode)
        physical, may, error, where = compiled_translate(BOARD, virtual, access, 3 * PAGE, *mode)
        assert (physical, may, error) == expected, hex(virtual)
        assert where == 3 * PAGE + 32 * number
        found = interpreted(translate)(BOARD, np.int64(virtual), access, Mode(3 * PAGE, *mode))
        assert (int(found.physical), int(found.may), int(found.error)) == expected


@pytest.mark.parametrize("root", [RAM.size, RAM.size - 512, RAM.size - 32, 1 << 45, (1 << 52) - PAGE, RAM.firmware_base - 16])
def test_no_descriptors_where_there_is_no_memory(root: int) -> None:
    """A root that a guest made up finds no segments, and reads nothing that is not the machine's."""
    for number in range(16):
        found = compiled_translate(BOARD, number * TOP, WRITE, root, True, True, True)
        assert found[:3] == (-1, 0, 2 | 4)


def test_every_byte_of_a_segment_has_a_place_of_its_own() -> None:
    """Upwards and downwards: the bound's first and last page, and not one more."""
    table = [(0, 0, 0)] * 16
    table[3], table[4] = (5 * PAGE, 3 * PAGE, 3), (20 * PAGE, 3 * PAGE, 3 | 8)
    write_table(0, table)
    for number, pages in ((3, range(-1, 4)), (4, range(-4, 1))):
        virtual = [(number * TOP if number == 3 else 5 * TOP) + page * PAGE for page in pages]
        found = [compiled_translate(BOARD, address, WRITE, 0, True, True, True)[0] for address in virtual]
        inside = found[1:4]
        assert inside == [table[number][0] + i * PAGE for i in range(3)]
        assert (found[0], found[4]) == (-1, -1)


@pytest.mark.parametrize(("number", "offset", "flags", "access", "text"), [
    (3, 0x5000, 3, READ, "segment 3 (heap): offset 0x5000 beyond its bound of 0x4000"),
    (3, 0x4000, 3, READ, "segment 3 (heap): offset 0x4000 beyond its bound of 0x4000"),
    (4, TOP - 0x4001, 11, WRITE, "segment 4 (stack): 0x4001 below its top, beyond its bound of 0x4000"),
    (1, 0x10, 5, WRITE, "segment 1 (code): offset 0x10, within its bound of 0x4000, cannot be written"),
    (2, 0x10, 3, FETCH, "segment 2 (data): offset 0x10, within its bound of 0x4000, cannot be executed"),
    (4, TOP - 8, 11, FETCH, "segment 4 (stack): 0x8 below its top, within its bound of 0x4000, cannot be executed"),
    (9, 0x10, 2, READ, "segment 9 (mapped): there is no such segment; offset 0x10"),
    (0, 0x10, 3, READ, "segment 0: there is never such a segment, so that 0 is no address; offset 0x10"),
    (3, 0x3FFF, 3, WRITE, "segment 3 (heap): offset 0x3fff is legal, within its bound of 0x4000"),
])
def test_in_words(number: int, offset: int, flags: int, access: int, text: str) -> None:
    assert explain(descriptor(0x8000, 0x4000, flags), number * TOP + offset, access) == text
    assert text.startswith(segment_name(number * TOP + offset))


def test_a_malformed_descriptor_in_words() -> None:
    assert explain(descriptor(0x8001, 100, 1), 3 * TOP, READ) == "segment 3 (heap): its descriptor is malformed: base 0x8001, bound 0x64"


@given(st.lists(descriptors, min_size=16, max_size=16), st.integers(0, 15), offsets, st.sampled_from(ACCESSES))
def test_words_and_numbers_agree(table: list[tuple[int, int, int]], number: int, offset: int, access: int) -> None:
    """The words say "legal" exactly where a process of ring 3 has no fault."""
    virtual = number * TOP + offset
    assert ("is legal" in explain(descriptor(*table[number]), virtual, access)) == (model(table, virtual, access, True, True, True)[0] >= 0)
