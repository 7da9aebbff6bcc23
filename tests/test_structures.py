"""The processor's tables: layouts against values that real kernels load, the manual's bit numbers, and the compiled walk's constants."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel_sim.compiled import interpreted
from kernel_sim.machine import paging, structures, translation, traps
from kernel_sim.machine.structures import bits_of, entry_fields, page_fault_in_words, reserved_bits, target_of

# Bit numbers of APM volume 2, figures 5-20 to 5-29, written down a second time.
LOW_BITS = {"present": 0, "writable": 1, "user": 2, "write_through": 3, "cache_disable": 4, "accessed": 5, "no_execute": 63}
FIELDS = {
    structures.TableEntry: {**LOW_BITS, "ignored_6": 6, "large": 7, "ignored_8": 8, "available": 9, "frame": 12, "available_high": 52},
    structures.GigabytePage: {**LOW_BITS, "dirty": 6, "large": 7, "is_global": 8, "available": 9, "attribute_table": 12, "reserved": 13, "page": 30,
                              "available_high": 52, "protection_key": 59},
    structures.LargePage: {**LOW_BITS, "dirty": 6, "large": 7, "is_global": 8, "available": 9, "attribute_table": 12, "reserved": 13, "page": 21,
                           "available_high": 52, "protection_key": 59},
    structures.PageEntry: {**LOW_BITS, "dirty": 6, "attribute_table": 7, "is_global": 8, "available": 9, "page": 12, "available_high": 52,
                           "protection_key": 59},
}


@pytest.mark.parametrize("structure", FIELDS)
def test_every_bit_of_an_entry(structure: object) -> None:
    assert {name: bits_of(structure, **{name: 1}).bit_length() - 1 for name in FIELDS[structure]} == FIELDS[structure]
    everything = structure.parse(b"\xff" * 8)       # type: ignore[attr-defined]
    assert sum(bits_of(structure, **{name: value}) for name, value in everything.items() if name in FIELDS[structure]) == 2**64 - 1


def test_the_walks_own_constants() -> None:
    for name, bit in (("PRESENT", "present"), ("WRITABLE", "writable"), ("USER", "user"), ("ACCESSED", "accessed"), ("DIRTY", "dirty")):
        assert getattr(paging, name) == bits_of(structures.PageEntry, **{bit: 1})
    assert bits_of(structures.LargePage, large=1) == paging.LARGE
    assert bits_of(structures.PageEntry, page=(1 << 40) - 1) == translation.ADDRESS
    assert bits_of(structures.PageEntry, no_execute=1) == paging.NO_EXECUTE & (1 << 64) - 1
    for name, bit in (("PRESENT", "present"), ("WRITE", "write"), ("USER", "user"), ("RESERVED", "reserved_bit"), ("FETCH", "fetch")):
        assert getattr(translation, f"ERROR_{name}") == bits_of(structures.PageFaultError, **{bit: 1})


def test_the_traps_own_constants() -> None:
    tss = structures.Tss.parse(bytes(range(104)))
    assert tss.rsp[0].to_bytes(8, "little")[0] == traps._TSS_RSP0 and tss.ist[0].to_bytes(8, "little")[0] == traps._TSS_IST + 8
    kinds = structures.CALL_GATE, structures.INTERRUPT_GATE, structures.TRAP_GATE
    assert kinds == (traps._GATE_TYPE_CALL, traps._GATE_TYPE_INTERRUPT, traps._GATE_TYPE_TRAP)
    code = {"present": 1, "not_system": 1, "is_code": 1, "readable": 1, "accessed": 1, "long_mode": 1, "granularity": 1, "limit_high": 0xF,
            "limit_low": 0xFFFF}
    assert bits_of(structures.CodeDescriptor, **code) == traps._CODE_DESCRIPTOR
    assert {vector for vector in range(32) if interpreted(traps.has_error_code)(vector)} == structures.WITH_ERROR_CODE


@given(st.integers(0, 2**64 - 1))
def test_targets_and_reserved_bits(entry: int) -> None:
    """By masks, as a kernel would."""
    address = entry & 0x000F_FFFF_FFFF_F000
    is_large = bool(entry & 0x80)
    assert target_of(4, entry) == target_of(1, entry) == address
    assert target_of(3, entry) == (address & ~0x3FFF_FFFF if is_large else address)
    assert target_of(2, entry) == (address & ~0x1F_FFFF if is_large else address)
    assert reserved_bits(3, entry) == (is_large and bool(entry & 0x3FFF_E000))
    assert reserved_bits(2, entry) == (is_large and bool(entry & 0x1F_E000))
    assert reserved_bits(4, entry) == bool(entry & 0x80) and not reserved_bits(1, entry)
    assert reserved_bits(1, entry, 46) == bool(entry & 0x000F_C000_0000_0000)
    assert all(entry_fields(level, entry).present == bool(entry & 1) for level in (1, 2, 3, 4))


@pytest.mark.parametrize("descriptor, value", [
    # Linux 6.1, arch/x86/kernel/cpu/common.c, gdt_page: kernel CS, kernel DS, user DS, user CS, with flat limits of 4 GiB.
    ("code", 0x00AF_9B00_0000_FFFF), ("data", 0x00CF_9300_0000_FFFF), ("data", 0x00CF_F300_0000_FFFF), ("code", 0x00AF_FB00_0000_FFFF),
])
def test_linuxs_flat_segments(descriptor: str, value: int) -> None:
    kind = structures.CodeDescriptor if descriptor == "code" else structures.DataDescriptor
    fields = kind.parse(value.to_bytes(8, "little"))
    assert fields.present and fields.not_system and fields.accessed and fields.granularity
    assert fields.is_code == (descriptor == "code") and fields.long_mode == (descriptor == "code")
    assert fields.privilege == (3 if value >> 44 & 0xF == 0xF else 0)
    assert structures.base_of(fields) == 0 and structures.limit_of(fields) == 0xFFFF_FFFF


def test_a_tss_and_its_descriptor() -> None:
    """A descriptor put together as Linux's set_tssldt_descriptor does, by shifts."""
    base, limit = 0xFFFF_8123_4567_89AB, 103
    low = limit | (base & 0xFFFF) << 16 | (base >> 16 & 0xFF) << 32 | 0x89 << 40 | (base >> 24 & 0xFF) << 56
    fields = structures.TssDescriptor.parse(struct.pack("<QQ", low, base >> 32))
    assert (structures.base_of(fields), structures.limit_of(fields), fields.type, fields.present) == (base, limit, structures.TSS_AVAILABLE, True)
    tss = structures.Tss.parse(struct.pack("<I3QQ7QQHH", 0, 10, 11, 12, 0, 1, 2, 3, 4, 5, 6, 7, 0, 0, 104))
    assert list(tss.rsp) == [10, 11, 12] and list(tss.ist) == [1, 2, 3, 4, 5, 6, 7] and tss.io_map == structures.Tss.sizeof() == 104


@given(st.integers(0, 2**64 - 1), st.integers(0, 0xFFFF), st.integers(0, 7))
def test_gates(address: int, selector: int, stack: int) -> None:
    """Put together as xv6's SETGATE and the 64-bit manual do: offset 15:0, selector, IST and type, offset 31:16, offset 63:32."""
    for structure, kind, extra in ((structures.CallGate, structures.CALL_GATE, 0), (structures.InterruptGate, structures.TRAP_GATE, stack)):
        raw = struct.pack("<HHBBHII", address & 0xFFFF, selector, extra, 0x80 | 3 << 5 | kind, address >> 16 & 0xFFFF, address >> 32, 0)
        gate = structure.parse(raw)
        assert (structures.address_of_gate(gate), gate.selector, gate.type, gate.privilege, gate.present) == (address, selector, kind, 3, True)
        more = {"stack_table": stack} if extra else {}
        assert bits_of(structure, **structures.gate_offset(address), selector=selector, type=kind, privilege=3, present=1,
                       **more).to_bytes(16, "little") == raw


def test_frames_of_exceptions() -> None:
    frame = structures.ExceptionFrame.parse(struct.pack("<5Q", 1, 2, 3, 4, 5))
    assert (frame.rip, frame.cs, frame.rflags, frame.rsp, frame.ss) == (1, 2, 3, 4, 5)
    with_error = structures.ExceptionFrameWithError.parse(struct.pack("<6Q", 6, 1, 2, 3, 4, 5))
    assert (with_error.error_code, with_error.rip, with_error.ss) == (6, 1, 5)
    selector = structures.Selector.parse(struct.pack("<H", 0x3B))
    assert (selector.index, selector.local, selector.privilege) == (7, False, 3)


@pytest.mark.parametrize("code, words", [
    # SDM volume 3A, figure 4-12: bit 0 present, 1 write, 2 user, 3 reserved, 4 fetch, 5 protection key.
    (0b000000, "read by supervisor from a page that is not present"), (0b000110, "write by user to a page that is not present"),
    (0b000111, "write by user to a page that forbids it"), (0b000101, "read by user from a page that forbids it"),
    (0b010101, "fetch by user from a page that forbids it"), (0b010000, "fetch by supervisor from a page that is not present"),
    (0b001011, "write by supervisor to a page whose entry has reserved bits set"),
    (0b100101, "read by user from a page whose protection key forbids it"),
])
def test_page_faults_in_words(code: int, words: str) -> None:
    assert page_fault_in_words(code) == words


def test_an_unknown_field_is_refused() -> None:
    with pytest.raises(ValueError, match="no such field: colour"):
        bits_of(structures.PageEntry, colour=1)
