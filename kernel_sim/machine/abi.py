"""Everything that guest and host share: addresses, ports, calls, statuses and structures. The SDK's header is generated from this file.

    python -m kernel_sim.machine.abi > firmware/include/abi.h

Structures are construct's; `dtype` gives the host's view of one, and `header` the guest's.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from construct import Array, Int8ul, Int16ul, Int32ul, Int64sl, Int64ul, Struct

from kernel_sim import events, operations
from kernel_sim.units import FRAME_BYTES

# Where things are. Physical memory begins at frame 0; the firmware lives in 2 MiB of its own, outside the managed memory.
DIRECT_MAP = 0xFFFF_8000_0000_0000      # virtual address of physical address 0
FIRMWARE = 0xFFFF_FFFF_8000_0000        # virtual address of the firmware's memory
FIRMWARE_BYTES = 2 << 20
IMAGE_BYTES = 1 << 20                   # code and data, from the beginning of the firmware's memory
STACK_BOTTOM, STACK_TOP = 0x11_0000, 0x14_0000      # offsets from here on. Nothing is mapped below the stack: one that grows too large faults
PAGE_TABLES, PAGE_TABLES_END = 0x14_0000, 0x1A_0000
BOOT_INFO = 0x1A_0000
CALL_BOX = 0x1A_2000
GUEST_REPORT = 0x1A_2800
BATCH = 0x1A_3000
BATCH_CALLS = 1024
WINDOW = 0x1B_3000
WINDOW_OPERATIONS = 4096
MICROCODE, MICROCODE_END = 0x1C_C000, 0x1C_F000     # how the machine enters ring 0 (kernel_sim.machine.traps); mapped in every address space
PROCESS_TABLE = 0x1D_0000
MAX_PROCESSES = 1024
MAX_RANGES = 128
MAX_MODULES = 64
N_ARGUMENTS = 4
MODULES = 0xFFFF_FFFF_C000_0000         # virtual address of the programs that came with the machine, read-only

# The user's half of an address space: 16 segments of 2^43 bytes, with pages, too. Segment 0 is never there, so that 0 is no address.
SEGMENT_SHIFT = 43
N_SEGMENTS = 16
CODE_SEGMENT, DATA_SEGMENT, HEAP_SEGMENT, STACK_SEGMENT, FIRST_FREE_SEGMENT = range(1, 6)
PAGING, SEGMENTATION = 0, 1

# Ports. The console and the exit port are those of QEMU's debugcon and isa-debug-exit.
DOORBELL_PORT = 0xE0
TRAP_PORT = 0xE1            # the microcode's
TIMER_PORT = 0xE2           # a double word: an interrupt every so many blocks of guest code; 0 turns it off
CONSOLE_PORT = 0xE9
EXIT_PORT = 0xF4

# Calls: written to the call box, then the doorbell is rung.
FRAME_ALLOC, FRAME_FREE, SEGMENT_ALLOC, SEGMENT_FREE, SEGMENT_LOOKUP, MEMORY_INFO, BATCH_CALL, STREAM_NEXT = range(1, 9)
FRAME_SHARE, SEGMENT_GROW, SEGMENT_SHARE, SEGMENT_COMPACT, NOTE = range(9, 14)
CALLS = {
    FRAME_ALLOC: ("FRAME_ALLOC", "n_frames, owner, cpu, mobility -> pfn"),
    FRAME_FREE: ("FRAME_FREE", "pfn, n_frames (0: the whole allocation), owner (0: nobody in particular)"),
    SEGMENT_ALLOC: ("SEGMENT_ALLOC", "bound (bytes), owner -> segment, base, bound"),
    SEGMENT_FREE: ("SEGMENT_FREE", "segment"),
    SEGMENT_LOOKUP: ("SEGMENT_LOOKUP", "segment -> base, bound"),
    MEMORY_INFO: ("MEMORY_INFO", "-> n_frames (all), bound (free), base (used)"),
    BATCH_CALL: ("BATCH_CALL", "n_frames: how many calls stand in the batch; each gets its own status"),
    STREAM_NEXT: ("STREAM_NEXT", "-> n_frames: operations in the window, 0 at the end; all allocations of the last window have been made"),
    FRAME_SHARE: ("FRAME_SHARE", "pfn, owner -> n_frames: users of that allocation now; each frees it once"),
    SEGMENT_GROW: ("SEGMENT_GROW", "segment, bound -> base, bound, n_frames: copied, 0 when it grew in place"),
    SEGMENT_SHARE: ("SEGMENT_SHARE", "segment, owner -> n_frames: users of the segment now; each frees it once"),
    SEGMENT_COMPACT: ("SEGMENT_COMPACT", "-> n_frames: copied; segment: how many were moved; look their bases up"),
    NOTE: ("NOTE", "segment: what (NOTE_...), owner: which process, base, bound -> nothing; for the timeline"),
}

NOTE_STARTED, NOTE_ENDED, NOTE_RUNS, NOTE_CALL, NOTE_FAULT = range(1, 6)
NOTES = {
    NOTE_STARTED: ("NOTE_STARTED", "base: the parent's pid"),
    NOTE_ENDED: ("NOTE_ENDED", "base: the exit status, bound: why (ENDED_...)"),
    NOTE_RUNS: ("NOTE_RUNS", "from now on; owner 0: the kernel, with nobody to run"),
    NOTE_CALL: ("NOTE_CALL", "base: the system call, bound: its answer"),
    NOTE_FAULT: ("NOTE_FAULT", "base: the address, bound: what it was (FAULT_...)"),
}
ENDED_EXIT, ENDED_KILLED, ENDED_OUT_OF_MEMORY = range(3)
FAULT_DEMAND_ZERO, FAULT_COPY, FAULT_GROW, FAULT_FATAL = range(4)
N_FAULTS = 4
EXIT, WRITE, BRK, MMAP, MUNMAP, FORK, YIELD, GETPID = range(8)
SYSTEM_CALLS = ("exit", "write", "brk", "mmap", "munmap", "fork", "yield", "getpid")

DROPPED = 0
"""In the window: an operation that the guest passes over, a free of frames that were never served."""

BOOT_MAGIC = 0x6D69_735F_6C6E_726B      # "krnl_sim", as memory holds it

CallBox = Struct(
    "call" / Int32ul, "status" / Int32ul,
    "n_frames" / Int64sl, "pfn" / Int64sl,
    "owner" / Int16ul, "cpu" / Int16ul, "mobility" / Int16ul, "spare" / Int16ul,
    "segment" / Int64sl, "base" / Int64sl, "bound" / Int64sl, "reserved" / Int64sl,
)
"""One call: its arguments, its status and its answer. 64 bytes, a cache line."""

FrameRange = Struct("first_pfn" / Int64sl, "end_pfn" / Int64sl)

Module = Struct("name" / Array(24, Int8ul), "argument" / Array(32, Int8ul), "address" / Int64ul, "size" / Int64sl, "copies" / Int64sl)
"""A user program: its ELF image, at a virtual address, and how many processes of it to start, with which argument. Texts end with a zero."""

BootInfo = Struct(
    "magic" / Int64ul, "direct_map" / Int64ul,
    "n_frames" / Int64sl,                   # the frames that exist
    "seed" / Int64ul,
    "arguments" / Array(N_ARGUMENTS, Int64sl),
    "n_ranges" / Int64sl,                   # the memory map, its first MAX_RANGES ranges
    "ranges" / Array(MAX_RANGES, FrameRange),
    "translation" / Int64sl,                # of the user's half: PAGING or SEGMENTATION
    "quantum" / Int64sl,                    # a process's turn, in blocks of code; 0: no timer
    "n_modules" / Int64sl,
    "modules" / Array(MAX_MODULES, Module),
)
"""What the guest is told when it starts. The first argument of its main."""

GuestReport = Struct("frames_written" / Int64sl, "frames_verified" / Int64sl, "corrupted" / Int64sl, "refused" / Int64sl)
"""What the guest counts; it is read when it has stopped."""

Process = Struct(
    "pid" / Int16ul, "parent" / Int16ul,
    "is_live" / Int8ul, "ended" / Int8ul,           # ENDED_..., when it is not live
    "spare" / Int16ul,
    "exit_status" / Int64sl,
    "root" / Int64ul,                               # what CR3 is while it runs: a physical address; 0 when it is not live
    "n_frames" / Int64sl, "most_frames" / Int64sl,  # held, page tables included: now, and at most
    "faults" / Array(N_FAULTS, Int32ul),
    "calls" / Array(len(SYSTEM_CALLS), Int32ul),
    "ticks" / Int32ul, "large_pages" / Int32ul,
    "fatal_rip" / Int64ul,                          # the instruction that it was killed at; 0 for none
    "name" / Array(24, Int8ul),
)
"""What the guest kernel tells of a process, for the report: entry `pid` of the process table; entry 0 is the kernel itself."""

SegmentDescriptor = Struct("base" / Int64ul, "bound" / Int64ul, "flags" / Int32ul, "segment" / Int32ul, "spare" / Int64ul)
"""A segment of an address space: where CR3 points, 16 of them stand in the place of the lower entries of the top page table. Bytes, in whole frames;
``flags`` are SEGMENT_...; ``segment`` is its id."""
SEGMENT_PRESENT, SEGMENT_WRITABLE, SEGMENT_EXECUTABLE, SEGMENT_GROWS_DOWN = 1, 2, 4, 8

Operation = Struct(
    "kind" / Int8ul, "flags" / Int8ul, "cpu" / Int16ul, "owner" / Int16ul, "mobility" / Int16ul,
    "n_frames" / Int32ul, "offset" / Int32ul, "slot" / Int64sl,
)
"""`kernel_sim.operations.OPERATION`. In the window, ``slot`` is the pfn of the slot's first frame, or -1 - i when the window's operation i
allocates it."""

STRUCTURES = {"call_box": CallBox, "frame_range": FrameRange, "module": Module, "boot_info": BootInfo, "guest_report": GuestReport,
              "process": Process, "segment_descriptor": SegmentDescriptor, "operation": Operation}

_C_NAMES = {1: "uint8_t", 2: "uint16_t", 4: "uint32_t", 8: "uint64_t"}


def dtype(structure: Any) -> np.dtype[Any]:
    """The host's view of a structure. Signed where it is 64 bits wide: compiled code makes a float of a mixture of signs."""
    return np.dtype([(field.name, *_numpy_type(field.subcon)) for field in structure.subcons])


def _numpy_type(kind: Any) -> tuple[Any, ...]:
    if hasattr(kind, "count"):
        return (*_numpy_type(kind.subcon), (kind.count,))
    if hasattr(kind, "subcons"):
        return (dtype(kind),)
    return ("<i8" if kind.length == 8 else f"<u{kind.length}",)


def _c_type(kind: Any) -> str:
    if hasattr(kind, "subcons"):
        return next(f"struct {name}" for name, structure in STRUCTURES.items() if structure is kind)
    return "int64_t" if kind is Int64sl else _C_NAMES[kind.length]


def _c_structure(name: str, structure: Any) -> str:
    lines = [f"struct {name} {{"]
    for field in structure.subcons:
        if hasattr(field.subcon, "count"):
            lines.append(f"    {_c_type(field.subcon.subcon)} {field.name}[{field.subcon.count}];")
        else:
            lines.append(f"    {_c_type(field.subcon)} {field.name};")
    return "\n".join([*lines, "};", f'_Static_assert(sizeof(struct {name}) == {structure.sizeof()}, "struct {name}");'])


def header() -> str:
    """The C header of everything above."""
    addresses = {
        "DIRECT_MAP": DIRECT_MAP, "FIRMWARE": FIRMWARE, "STACK_TOP": FIRMWARE + STACK_TOP, "BOOT_INFO": FIRMWARE + BOOT_INFO,
        "PAGE_TABLES": FIRMWARE + PAGE_TABLES, "CALL_BOX": FIRMWARE + CALL_BOX, "GUEST_REPORT": FIRMWARE + GUEST_REPORT,
        "BATCH": FIRMWARE + BATCH, "WINDOW": FIRMWARE + WINDOW, "PROCESS_TABLE": FIRMWARE + PROCESS_TABLE, "MODULES": MODULES,
    }
    numbers = ("MAX_PROCESSES", "MAX_MODULES", "SEGMENT_SHIFT", "N_SEGMENTS", "CODE_SEGMENT", "DATA_SEGMENT", "HEAP_SEGMENT", "STACK_SEGMENT",
               "FIRST_FREE_SEGMENT", "PAGING", "SEGMENTATION", "SEGMENT_PRESENT", "SEGMENT_WRITABLE", "SEGMENT_EXECUTABLE", "SEGMENT_GROWS_DOWN",
               "ENDED_EXIT", "ENDED_KILLED", "ENDED_OUT_OF_MEMORY", "FAULT_DEMAND_ZERO", "FAULT_COPY", "FAULT_GROW", "FAULT_FATAL", "N_FAULTS")
    parts = [
        "/* Generated by: python -m kernel_sim.machine.abi. Do not edit. */", "#ifndef KERNEL_SIM_ABI_H", "#define KERNEL_SIM_ABI_H", "",
        f"#define FRAME_BYTES {FRAME_BYTES}", "",
        "/* Virtual addresses. */", *(f"#define {name} {value:#x}" for name, value in addresses.items()),
        f"#define IMAGE_BYTES {IMAGE_BYTES:#x}", f"#define BATCH_CALLS {BATCH_CALLS}", f"#define WINDOW_OPERATIONS {WINDOW_OPERATIONS}", "",
        "/* Ports. */", f"#define DOORBELL_PORT {DOORBELL_PORT:#x}",
        f"#define TRAP_PORT {TRAP_PORT:#x}", f"#define TIMER_PORT {TIMER_PORT:#x}", f"#define CONSOLE_PORT {CONSOLE_PORT:#x}",
        f"#define EXIT_PORT {EXIT_PORT:#x}", "",
        "/* Calls: what the call box takes and gives. */", *(f"#define {name} {number} /* {about} */" for number, (name, about) in CALLS.items()), "",
        "/* Notes. */", *(f"#define {name} {number} /* {about} */" for number, (name, about) in NOTES.items()), "",
        "/* System calls. */", *(f"#define SYS_{name} {number}" for number, name in enumerate(SYSTEM_CALLS)), "",
        "/* Virtual memory and processes. */", *(f"#define {name} {globals()[name]}" for name in numbers), "",
        "/* Statuses. */", *(f"#define STATUS_{name.upper().replace(' ', '_')} {number}" for number, name in events.STATUS_NAMES.items()), "",
        "/* Kinds of operations, as a trace is made of. */",
        f"#define OPERATION_DROPPED {DROPPED}",
        *(f"#define OPERATION_{name} {getattr(operations, name)}" for name in ("ALLOC", "FREE", "FREE_PREEXISTING")), "",
        f"#define BOOT_MAGIC {BOOT_MAGIC:#x}", "", "#ifndef __ASSEMBLER__", "#include <stdint.h>", "",
        *(_c_structure(name, structure) + "\n" for name, structure in STRUCTURES.items()), "#endif", "#endif",
    ]
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    print(header(), end="")
