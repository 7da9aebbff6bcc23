"""A walk in words: how a virtual address becomes a physical one, entry by entry, on a machine that has stopped or is between two steps.

This is a second reading of the same tables as `kernel_sim.machine.paging`, through `kernel_sim.machine.structures`: it changes nothing, no accessed
bit either, goes on past what the processor would refuse for lack of rights, and can walk tables that no CR3 points to.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kernel_sim.frames import FREE, HEAD, RESERVED, STATE_NAMES, TAIL
from kernel_sim.machine import abi, structures
from kernel_sim.machine.processes import processes_of
from kernel_sim.machine.structures import ENTRIES_A_TABLE, LEVEL_NAMES, PAGE_BYTES
from kernel_sim.machine.translation import ADDRESS, PHYSICAL_BITS
from kernel_sim.units import FRAME_BYTES, format_size

if TYPE_CHECKING:
    from kernel_sim.machine.machine import Machine

_WORD = (1 << 64) - 1
_TOP_LEVEL = 4
_FLAGS = ("present", "writable", "user", "write_through", "cache_disable", "accessed", "dirty", "large", "is_global", "no_execute")
_FLAG_WORDS = {"write_through": "write-through", "cache_disable": "uncached", "is_global": "global", "no_execute": "no-execute"}

FOUND, NOT_CANONICAL, NOT_PRESENT, RESERVED_BITS, NO_MEMORY, NO_SEGMENT, BEYOND_BOUND = (
    "found", "not canonical", "not present", "reserved bits", "no memory", "no segment", "beyond the bound")


@dataclass(frozen=True)
class Rights:
    """What may be done at an address: by the user (ring 3), and by the supervisor (ring 0 with CR0.WP set)."""

    user: tuple[str, ...]
    supervisor: tuple[str, ...]


@dataclass(frozen=True)
class Entry:
    """One entry of a walk: of the table of that level (4: PML4 … 1: PT) in frame `table_pfn`, the one at `index`. `target` is a physical address."""

    level: int
    table_pfn: int
    table_owner: str
    index: int
    raw: int
    flags: tuple[str, ...]
    target: int

    @property
    def name(self) -> str:
        """The table's name."""
        return LEVEL_NAMES[self.level]

    @property
    def maps_page(self) -> bool:
        """Whether it maps a page, and does not lead to a table."""
        return structures.maps_page(self.level, self.raw)


@dataclass(frozen=True)
class SegmentUse:
    """The descriptor an address chooses under segmentation; `offset` counts from the segment's beginning, or back from its end when it grows down."""

    number: int
    segment: int
    base: int
    bound: int
    flags: tuple[str, ...]
    offset: int

    @property
    def grows_down(self) -> bool:
        return "grows down" in self.flags


@dataclass(frozen=True)
class Walk:
    """What became of an address. `outcome` is FOUND or why not; `page_bytes` is the size of the page, 0 with a segment; `owner` is the frame's."""

    virtual: int
    root: int
    whose: str
    outcome: str
    entries: tuple[Entry, ...] = ()
    segment: SegmentUse | None = None
    physical: int | None = None
    page_bytes: int = 0
    rights: Rights = Rights((), ())
    owner: str = ""


def walk_of(machine: Machine, virtual: int, root: int | None = None) -> Walk:
    """Walk an address in the address space whose top table, or segments, are at the physical address `root`; CR3's if that is None."""
    return _Walker(machine, machine.cpu.page_table if root is None else root).walk(virtual & _WORD)


class _Walker:
    """One address space of a machine."""

    def __init__(self, machine: Machine, root: int) -> None:
        self.machine, self.root = machine, root & ADDRESS
        self.processes = {process.pid: process for process in processes_of(machine.ram)}

    def walk(self, virtual: int) -> Walk:
        if virtual >> 47 not in (0, (1 << 17) - 1):
            return self.made(virtual, NOT_CANONICAL)
        if self.machine.translation == "segmentation" and virtual >> 47 == 0:
            return self.through_segment(virtual)
        return self.through_tables(virtual)

    def made(self, virtual: int, outcome: str, entries: tuple[Entry, ...] = (), segment: SegmentUse | None = None) -> Walk:
        """A walk that ended so, without a physical address."""
        whose = next((f"process {self.told(process.pid)}" for process in self.processes.values()
                      if process.ended is None and process.root == self.root),
                     "the kernel" if self.root == self.machine.boot_root else "no live process")
        return Walk(virtual, self.root, whose, outcome, entries, segment)

    def through_tables(self, virtual: int) -> Walk:
        """The four levels."""
        table, entries = self.root, list[Entry]()
        for level in range(_TOP_LEVEL, 0, -1):
            index = virtual >> (3 + 9 * level) & (ENTRIES_A_TABLE - 1)
            raw = self.word_at(table + 8 * index)
            if raw is None:
                return self.made(virtual, NO_MEMORY, tuple(entries))
            entry = self.entry(level, table, index, raw)
            entries.append(entry)
            if "present" not in entry.flags:
                return self.made(virtual, NOT_PRESENT, tuple(entries))
            if structures.reserved_bits(level, raw, PHYSICAL_BITS):
                return self.made(virtual, RESERVED_BITS, tuple(entries))
            if entry.maps_page:
                physical = entry.target + virtual % PAGE_BYTES[level]
                return self.arrived(self.made(virtual, FOUND, tuple(entries)), physical, PAGE_BYTES[level], _rights_of_pages(entries))
            table = entry.target
        raise AssertionError("a PT's entry maps a page")

    def entry(self, level: int, table: int, index: int, raw: int) -> Entry:
        fields = structures.entry_fields(level, raw)
        flags = tuple(_FLAG_WORDS.get(name, name) for name in _FLAGS if fields.get(name))
        return Entry(level, table // FRAME_BYTES, self.owner_of(table), index, raw, flags, structures.target_of(level, raw))

    def through_segment(self, virtual: int) -> Walk:
        """The descriptor: base and bound."""
        number, inside = virtual >> abi.SEGMENT_SHIFT, virtual & ((1 << abi.SEGMENT_SHIFT) - 1)
        words = [self.word_at(self.root + number * abi.SegmentDescriptor.sizeof() + 8 * i) for i in range(4)]
        if None in words:
            return self.made(virtual, NO_MEMORY)
        descriptor = abi.SegmentDescriptor.parse(b"".join((word or 0).to_bytes(8, "little") for word in words))
        flags = tuple(word for bit, word in _SEGMENT_FLAGS if descriptor.flags & bit)
        grows_down = bool(descriptor.flags & abi.SEGMENT_GROWS_DOWN)
        offset = (1 << abi.SEGMENT_SHIFT) - inside if grows_down else inside
        segment = SegmentUse(number, descriptor.segment, descriptor.base, descriptor.bound, flags, offset)
        if "present" not in flags:
            return self.made(virtual, NO_SEGMENT, segment=segment)
        if offset > descriptor.bound if grows_down else offset >= descriptor.bound:
            return self.made(virtual, BEYOND_BOUND, segment=segment)
        physical = descriptor.base + (descriptor.bound - offset if grows_down else offset)
        return self.arrived(self.made(virtual, FOUND, segment=segment), physical, 0, _rights_of_segment(flags))

    def arrived(self, walk: Walk, physical: int, page_bytes: int, rights: Rights) -> Walk:
        return Walk(walk.virtual, walk.root, walk.whose, FOUND, walk.entries, walk.segment, physical, page_bytes, rights, self.owner_of(physical))

    def word_at(self, physical: int) -> int | None:
        """Eight bytes of physical memory; None where there is none."""
        data = self.machine.ram.read(physical, 8)
        return int.from_bytes(data, "little") if len(data) == 8 else None

    def owner_of(self, physical: int) -> str:
        """Who has the frame of a physical address, by the frame table."""
        ram, table = self.machine.ram, self.machine.manager.table.frames
        pfn = physical // FRAME_BYTES
        if ram.firmware_base <= physical < ram.firmware_base + abi.FIRMWARE_BYTES:
            return "firmware"
        if ram.module_base <= physical < ram.module_base + ram.module_bytes.size:
            return "modules"
        if not 0 <= pfn < len(table):
            return "no memory"
        state = int(table[pfn]["state"])
        if state in (HEAD, TAIL):
            return self.told(int(table[pfn]["owner"]))
        return STATE_NAMES[state] if state in (FREE, RESERVED) else STATE_NAMES[state].removeprefix("a ")

    def told(self, pid: int) -> str:
        """A process by number and name; 0 is the kernel."""
        return "kernel" if pid == 0 else f"{pid} {self.processes[pid].name}" if pid in self.processes else str(pid)


_SEGMENT_FLAGS = ((abi.SEGMENT_PRESENT, "present"), (abi.SEGMENT_WRITABLE, "writable"), (abi.SEGMENT_EXECUTABLE, "executable"),
                  (abi.SEGMENT_GROWS_DOWN, "grows down"))


def _rights_of_pages(entries: list[Entry]) -> Rights:
    """Every entry of the walk must allow it; one no-execute forbids."""
    shared = set.intersection(*(set(entry.flags) for entry in entries))
    may = ("read", *(("write",) if "writable" in shared else ()),
           *(("execute",) if not any("no-execute" in entry.flags for entry in entries) else ()))
    return Rights(may if "user" in shared else (), may)


def _rights_of_segment(flags: tuple[str, ...]) -> Rights:
    may = ("read", *(("write",) if "writable" in flags else ()), *(("execute",) if "executable" in flags else ()))
    return Rights(may, may)


def in_words(walk: Walk) -> Iterator[str]:
    """The walk for people, a line a step."""
    yield f"address {walk.virtual:#018x} in the address space of {walk.whose} (CR3 {walk.root:#x})"
    if walk.segment is not None:
        yield from _segment_in_words(walk.segment)
    for entry in walk.entries:
        leads = "" if "present" not in entry.flags else f"  -> {_target(entry)}"
        yield (f"  {entry.name:4}  frame {entry.table_pfn:#x} ({entry.table_owner}), entry {entry.index:3}  {entry.raw:#018x}  "
               f"{' '.join(entry.flags) or 'not present'}{leads}")
    yield f"  {_end(walk)}"
    if walk.physical is not None:
        yield f"  user may {_list(walk.rights.user)}; supervisor may {_list(walk.rights.supervisor)}"


def _target(entry: Entry) -> str:
    if entry.maps_page:
        return f"page of {format_size(PAGE_BYTES[entry.level])} at {entry.target:#x}"
    return f"{LEVEL_NAMES[entry.level - 1]} in frame {entry.target // FRAME_BYTES:#x}"


def _segment_in_words(segment: SegmentUse) -> Iterator[str]:
    yield (f"  segment {segment.number}: id {segment.segment}, base {segment.base:#x}, bound {segment.bound:#x} ({format_size(segment.bound)})  "
           f"{' '.join(segment.flags) or 'not present'}")
    if "present" not in segment.flags:
        return
    if segment.grows_down:
        yield f"  {segment.offset:#x} below the segment's end, bound {segment.bound:#x}: base + bound - {segment.offset:#x}"
    else:
        yield f"  offset {segment.offset:#x}, bound {segment.bound:#x}: base + {segment.offset:#x}"


def _end(walk: Walk) -> str:
    if walk.physical is not None:
        page = f" in a page of {format_size(walk.page_bytes)}" if walk.page_bytes else ""
        return f"physical address {walk.physical:#x}{page}, frame {walk.physical // FRAME_BYTES:#x} ({walk.owner})"
    level = f" at level {walk.entries[-1].level} ({walk.entries[-1].name})" if walk.entries else ""
    return {
        NOT_CANONICAL: "not canonical: bits 63 to 47 differ, which is a general protection fault",
        NOT_PRESENT: f"page fault: not present{level}",
        RESERVED_BITS: f"page fault: reserved bits are set{level}",
        NO_MEMORY: f"no memory where the next table should be, which the processor reads as not present{level}",
        NO_SEGMENT: "page fault: there is no such segment",
        BEYOND_BOUND: "page fault: beyond the segment's bound",
    }[walk.outcome]


def _list(words: tuple[str, ...]) -> str:
    return ", ".join(words) or "do nothing"
