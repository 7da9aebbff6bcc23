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
MAX_RANGES = 128
N_ARGUMENTS = 4

# Ports. The console and the exit port are those of QEMU's debugcon and isa-debug-exit.
DOORBELL_PORT = 0xE0
CONSOLE_PORT = 0xE9
EXIT_PORT = 0xF4

# Calls: written to the call box, then the doorbell is rung.
FRAME_ALLOC, FRAME_FREE, SEGMENT_ALLOC, SEGMENT_FREE, SEGMENT_LOOKUP, MEMORY_INFO, BATCH_CALL, STREAM_NEXT = range(1, 9)
CALLS = {
    FRAME_ALLOC: ("FRAME_ALLOC", "n_frames, owner, cpu, mobility -> pfn"),
    FRAME_FREE: ("FRAME_FREE", "pfn, n_frames (0: the whole allocation)"),
    SEGMENT_ALLOC: ("SEGMENT_ALLOC", "bound (bytes), owner -> segment, base, bound"),
    SEGMENT_FREE: ("SEGMENT_FREE", "segment"),
    SEGMENT_LOOKUP: ("SEGMENT_LOOKUP", "segment -> base, bound"),
    MEMORY_INFO: ("MEMORY_INFO", "-> n_frames (all), bound (free), base (used)"),
    BATCH_CALL: ("BATCH_CALL", "n_frames: how many calls stand in the batch; each gets its own status"),
    STREAM_NEXT: ("STREAM_NEXT", "-> n_frames: operations in the window, 0 at the end; all allocations of the last window have been made"),
}

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

BootInfo = Struct(
    "magic" / Int64ul, "direct_map" / Int64ul,
    "n_frames" / Int64sl,                   # the frames that exist
    "seed" / Int64ul,
    "arguments" / Array(N_ARGUMENTS, Int64sl),
    "n_ranges" / Int64sl,                   # the memory map, its first MAX_RANGES ranges
    "ranges" / Array(MAX_RANGES, FrameRange),
)
"""What the guest is told when it starts. The first argument of its main."""

GuestReport = Struct("frames_written" / Int64sl, "frames_verified" / Int64sl, "corrupted" / Int64sl, "refused" / Int64sl)
"""What the guest counts; it is read when it has stopped."""

Operation = Struct(
    "kind" / Int8ul, "flags" / Int8ul, "cpu" / Int16ul, "owner" / Int16ul, "mobility" / Int16ul,
    "n_frames" / Int32ul, "offset" / Int32ul, "slot" / Int64sl,
)
"""`kernel_sim.operations.OPERATION`. In the window, ``slot`` is the pfn of the slot's first frame, or -1 - i when the window's operation i
allocates it."""

STRUCTURES = {"call_box": CallBox, "frame_range": FrameRange, "boot_info": BootInfo, "guest_report": GuestReport, "operation": Operation}

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
        "CALL_BOX": FIRMWARE + CALL_BOX, "GUEST_REPORT": FIRMWARE + GUEST_REPORT, "BATCH": FIRMWARE + BATCH, "WINDOW": FIRMWARE + WINDOW,
    }
    parts = [
        "/* Generated by: python -m kernel_sim.machine.abi. Do not edit. */", "#ifndef KERNEL_SIM_ABI_H", "#define KERNEL_SIM_ABI_H", "",
        f"#define FRAME_BYTES {FRAME_BYTES}", "",
        "/* Virtual addresses. */", *(f"#define {name} {value:#x}" for name, value in addresses.items()),
        f"#define IMAGE_BYTES {IMAGE_BYTES:#x}", f"#define BATCH_CALLS {BATCH_CALLS}", f"#define WINDOW_OPERATIONS {WINDOW_OPERATIONS}", "",
        "/* Ports. */", f"#define DOORBELL_PORT {DOORBELL_PORT:#x}",
        f"#define CONSOLE_PORT {CONSOLE_PORT:#x}", f"#define EXIT_PORT {EXIT_PORT:#x}", "",
        "/* Calls: what the call box takes and gives. */", *(f"#define {name} {number} /* {about} */" for number, (name, about) in CALLS.items()), "",
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
