"""The tables of an x86-64 processor, as construct structures: page-table entries, descriptors, gates, the TSS, and what an exception pushes.

Source: AMD64 Architecture Programmer's Manual, volume 2, sections 4.8 (descriptors), 5.3 (page tables), 8.9 (what an exception pushes), 12.2.5
(the TSS); the same in Intel's SDM, volume 3A, sections 3.4, 4.5, 6.12, 6.14 and 7.7. Fields have the manual's names, in words. Layouts of bits are
written from the highest bit to the lowest, as the manual draws them; an integer in memory has its lowest byte first, whence `ByteSwapped`.

    structure.parse(bytes)                  what is in it, by name
    bits_of(structure, present=True, …)     the integer with these fields, the others zero
"""

from __future__ import annotations

from typing import Any

from construct import Array, BitsInteger, BitStruct, ByteSwapped, Flag, Int16ul, Int64ul, Struct
from construct import Bytes as Reserved

from kernel_sim.units import FRAME_BYTES

ENTRIES_A_TABLE = 512
LEVEL_NAMES = {4: "PML4", 3: "PDPT", 2: "PD", 1: "PT"}
"""The tables of a walk, by level: page-map level 4, page-directory pointers, page directory, page table."""
PAGE_BYTES = {3: 1 << 30, 2: 2 << 20, 1: FRAME_BYTES}
"""The size of the page that an entry maps at each level where it can map one."""

# -- page tables ----------------------------------------------------------------------------------------------------------------------------------

_RIGHTS = ("cache_disable" / Flag, "write_through" / Flag, "user" / Flag, "writable" / Flag, "present" / Flag)

TableEntry = ByteSwapped(BitStruct(
    "no_execute" / Flag, "available_high" / BitsInteger(11), "frame" / BitsInteger(40), "available" / BitsInteger(3),
    "ignored_8" / BitsInteger(1), "large" / Flag, "ignored_6" / BitsInteger(1), "accessed" / Flag, *_RIGHTS))
"""An entry that leads to a table: in a PML4, a PDPT or a PD. `large` must be zero in a PML4; below it, one makes the entry one of the next two.
`ignored_8` is to be zero in a PML4 by AMD's manual, and is ignored by Intel's and here."""

GigabytePage = ByteSwapped(BitStruct(
    "no_execute" / Flag, "protection_key" / BitsInteger(4), "available_high" / BitsInteger(7), "page" / BitsInteger(22), "reserved" / BitsInteger(17),
    "attribute_table" / Flag, "available" / BitsInteger(3), "is_global" / Flag, "large" / Flag, "dirty" / Flag, "accessed" / Flag, *_RIGHTS))
"""An entry of a PDPT that maps a page of 1 GiB: `page` counts gigabytes, `reserved` must be zero."""

LargePage = ByteSwapped(BitStruct(
    "no_execute" / Flag, "protection_key" / BitsInteger(4), "available_high" / BitsInteger(7), "page" / BitsInteger(31), "reserved" / BitsInteger(8),
    "attribute_table" / Flag, "available" / BitsInteger(3), "is_global" / Flag, "large" / Flag, "dirty" / Flag, "accessed" / Flag, *_RIGHTS))
"""An entry of a PD that maps a page of 2 MiB: `page` counts units of 2 MiB, `reserved` must be zero."""

PageEntry = ByteSwapped(BitStruct(
    "no_execute" / Flag, "protection_key" / BitsInteger(4), "available_high" / BitsInteger(7), "page" / BitsInteger(40), "available" / BitsInteger(3),
    "is_global" / Flag, "attribute_table" / Flag, "dirty" / Flag, "accessed" / Flag, *_RIGHTS))
"""An entry of a PT, which maps a page of 4 KiB: `page` counts frames."""

_PAGES = {3: GigabytePage, 2: LargePage, 1: PageEntry}
_LARGE = 1 << 7


def entry_structure(level: int, entry: int) -> Any:
    """How an entry of a table of that level (4: PML4 … 1: PT) is to be read: the size bit decides."""
    return _PAGES[level] if maps_page(level, entry) else TableEntry


def maps_page(level: int, entry: int) -> bool:
    """Whether an entry of that level maps a page and does not lead to a table."""
    return level == 1 or (level < 4 and bool(entry & _LARGE))


def entry_fields(level: int, entry: int) -> Any:
    """An entry's fields, by name."""
    return entry_structure(level, entry).parse(entry.to_bytes(8, "little"))


def reserved_bits(level: int, entry: int, physical_bits: int = 52) -> bool:
    """Whether bits are set that must be zero, which is a page fault of its own kind (the error code's bit RSV) when the entry is present.

    `physical_bits` is how many bits this processor's physical addresses have.
    """
    fields = entry_fields(level, entry)
    if target_of(level, entry) >> physical_bits:
        return True
    if level == 4:
        return bool(fields.large)
    return level > 1 and bool(fields.large) and fields.reserved != 0


def target_of(level: int, entry: int) -> int:
    """The physical address an entry leads to: of a table, or of a page's first byte."""
    fields = entry_fields(level, entry)
    return int(fields.page) * PAGE_BYTES[level] if maps_page(level, entry) else int(fields.frame) * FRAME_BYTES


# -- descriptors and gates --------------------------------------------------------------------------------------------------------------------------

CODE_OR_DATA, SYSTEM = 1, 0     # a descriptor's bit S
TSS_AVAILABLE, TSS_BUSY, CALL_GATE, INTERRUPT_GATE, TRAP_GATE = 0x9, 0xB, 0xC, 0xE, 0xF

_LIMIT = ("base_high" / BitsInteger(8), "granularity" / Flag)

CodeDescriptor = ByteSwapped(BitStruct(
    *_LIMIT, "default_32_bits" / Flag, "long_mode" / Flag, "available" / Flag, "limit_high" / BitsInteger(4), "present" / Flag,
    "privilege" / BitsInteger(2), "not_system" / Flag, "is_code" / Flag, "conforming" / Flag, "readable" / Flag, "accessed" / Flag,
    "base_low" / BitsInteger(24), "limit_low" / BitsInteger(16)))
"""A code segment. In long mode only `long_mode`, `default_32_bits`, `present`, `privilege` and `conforming` mean anything."""

DataDescriptor = ByteSwapped(BitStruct(
    *_LIMIT, "big" / Flag, "long_mode" / Flag, "available" / Flag, "limit_high" / BitsInteger(4), "present" / Flag,
    "privilege" / BitsInteger(2), "not_system" / Flag, "is_code" / Flag, "expand_down" / Flag, "writable" / Flag, "accessed" / Flag,
    "base_low" / BitsInteger(24), "limit_low" / BitsInteger(16)))
"""A data or stack segment."""

TssDescriptor = ByteSwapped(BitStruct(
    "reserved" / BitsInteger(32), "base_top" / BitsInteger(32), *_LIMIT, "zero" / BitsInteger(2), "available" / Flag,
    "limit_high" / BitsInteger(4), "present" / Flag, "privilege" / BitsInteger(2), "not_system" / Flag, "type" / BitsInteger(4),
    "base_low" / BitsInteger(24), "limit_low" / BitsInteger(16)))
"""Where the TSS is: two entries of the GDT. `type` is TSS_AVAILABLE, or TSS_BUSY once `ltr` has loaded it."""

CallGate = ByteSwapped(BitStruct(
    "reserved_top" / BitsInteger(32), "offset_top" / BitsInteger(32), "offset_high" / BitsInteger(16), "present" / Flag,
    "privilege" / BitsInteger(2), "not_system" / Flag, "type" / BitsInteger(4), "reserved" / BitsInteger(8), "selector" / BitsInteger(16),
    "offset_low" / BitsInteger(16)))
"""A way into another ring by a far call: two entries of the GDT, `type` CALL_GATE, `privilege` the least that may call."""

InterruptGate = ByteSwapped(BitStruct(
    "reserved_top" / BitsInteger(32), "offset_top" / BitsInteger(32), "offset_high" / BitsInteger(16), "present" / Flag,
    "privilege" / BitsInteger(2), "not_system" / Flag, "type" / BitsInteger(4), "reserved" / BitsInteger(5), "stack_table" / BitsInteger(3),
    "selector" / BitsInteger(16), "offset_low" / BitsInteger(16)))
"""An entry of the IDT: `type` INTERRUPT_GATE, which clears IF, or TRAP_GATE, which does not. `stack_table` (IST) names a stack of
the TSS's, 0 none."""

TableRegister = Struct("limit" / Int16ul, "base" / Int64ul)
"""What `lgdt` and `lidt` read: the last byte's offset, and where the table is."""

Selector = ByteSwapped(BitStruct("index" / BitsInteger(13), "local" / Flag, "privilege" / BitsInteger(2)))


def address_of_gate(gate: Any) -> int:
    """Where a call gate or an entry of the IDT leads."""
    return int(gate.offset_top) << 32 | int(gate.offset_high) << 16 | int(gate.offset_low)


def gate_offset(address: int) -> dict[str, int]:
    """A gate's three fields for the address it leads to."""
    return {"offset_top": address >> 32, "offset_high": address >> 16 & 0xFFFF, "offset_low": address & 0xFFFF}


def base_of(descriptor: Any) -> int:
    """Where the segment of a descriptor begins."""
    return int(descriptor.get("base_top", 0)) << 32 | int(descriptor.base_high) << 24 | int(descriptor.base_low)


def limit_of(descriptor: Any) -> int:
    """The last offset in the segment of a descriptor; granularity makes it one of 4 KiB units."""
    limit = int(descriptor.limit_high) << 16 | int(descriptor.limit_low)
    return limit << 12 | 0xFFF if descriptor.granularity else limit


Tss = Struct(
    "reserved_0" / Reserved(4),
    "rsp" / Array(3, Int64ul),          # the stacks of ring 0, 1 and 2
    "reserved_1" / Reserved(8),
    "ist" / Array(7, Int64ul),          # the stacks that gates name, from 1 on
    "reserved_2" / Reserved(10),
    "io_map" / Int16ul,                 # where the map of ports begins; beyond the TSS's limit: no port for ring 3
)
"""The task-state segment of long mode, 104 bytes."""

# -- exceptions -------------------------------------------------------------------------------------------------------------------------------------

_FRAME = ("rip" / Int64ul, "cs" / Int64ul, "rflags" / Int64ul, "rsp" / Int64ul, "ss" / Int64ul)

ExceptionFrame = Struct(*_FRAME)
"""What an exception or interrupt pushes, lowest address first, and what `iretq` takes back."""

ExceptionFrameWithError = Struct("error_code" / Int64ul, *_FRAME)
"""The same for the exceptions in `WITH_ERROR_CODE`; the handler drops the error code before `iretq`."""

DOUBLE_FAULT, INVALID_TSS, SEGMENT_NOT_PRESENT, STACK_FAULT, GENERAL_PROTECTION, PAGE_FAULT, ALIGNMENT_CHECK = 8, 10, 11, 12, 13, 14, 17
WITH_ERROR_CODE = frozenset({DOUBLE_FAULT, INVALID_TSS, SEGMENT_NOT_PRESENT, STACK_FAULT, GENERAL_PROTECTION, PAGE_FAULT, ALIGNMENT_CHECK})

PageFaultError = ByteSwapped(BitStruct(
    "reserved_high" / BitsInteger(25), "shadow_stack" / Flag, "protection_key" / Flag, "fetch" / Flag, "reserved_bit" / Flag, "user" / Flag,
    "write" / Flag, "present" / Flag))
"""The error code of a page fault: what was tried, by whom, and whether the page was there (else it was not present)."""

SelectorError = ByteSwapped(BitStruct(
    "reserved" / BitsInteger(16), "index" / BitsInteger(13), "local" / Flag, "interrupt_table" / Flag, "external" / Flag))
"""The error code of the exceptions that blame a selector: 10 to 13."""


def page_fault_in_words(error_code: int) -> str:
    """``write by user to a page that is not present``."""
    error = PageFaultError.parse((error_code & 0xFFFF_FFFF).to_bytes(4, "little"))
    access, to = ("fetch", "from") if error.fetch else ("write", "to") if error.write else ("read", "from")
    if error.reserved_bit:
        page = "a page whose entry has reserved bits set"
    elif error.protection_key:
        page = "a page whose protection key forbids it"
    elif error.present:
        page = "a page that forbids it"
    else:
        page = "a page that is not present"
    return f"{access} by {'user' if error.user else 'supervisor'} {to} {page}"


def bits_of(structure: Any, **fields: int) -> int:
    """The integer that has these fields in the layout of a `structure`, and zero everywhere else. ValueError for a field that it does not have."""
    known = structure.parse(bytes(structure.sizeof()))
    if unknown := sorted(fields.keys() - known.keys()):
        raise ValueError(f"no such field: {', '.join(unknown)}")
    values = {name: fields.get(name, value) for name, value in known.items() if not name.startswith("_")}
    return int.from_bytes(structure.build(values), "little")
