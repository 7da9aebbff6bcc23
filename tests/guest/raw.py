"""Guests of a few bytes: machine code wrapped into the smallest ELF image there is, for what no compiler would write."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from kernel_sim.machine.abi import CALL_BOX, DOORBELL_PORT, EXIT_PORT, FIRMWARE, STACK_TOP
from kernel_sim.machine.machine import Machine, Run
from kernel_sim.manager import FrameManager

READ, WRITE, EXECUTE = 4, 2, 1
RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8 = range(9)
MASK = 0xFFFF_FFFF_FFFF_FFFF


@dataclass(frozen=True)
class Part:
    """One PT_LOAD of an image."""

    data: bytes
    address: int = FIRMWARE
    flags: int = READ | EXECUTE
    memory_bytes: int | None = None
    kind: int = 1


def elf(*parts: Part, entry: int | None = None, machine: int = 62, bits: int = 2, order: int = 1, kind: int = 2) -> bytes:
    """An ELF64 file of these parts, with no sections; it begins at the first part."""
    n, entry = len(parts), parts[0].address if entry is None and parts else entry or 0
    ident = b"\x7fELF" + bytes((bits, order, 1)) + bytes(9)
    header = ident + struct.pack("<HHIQQQIHHHHHH", kind, machine, 1, entry, 64, 0, 0, 64, 56, n, 64, 0, 0)
    table, bodies, at = b"", b"", 64 + 56 * n
    for part in parts:
        size = len(part.data) if part.memory_bytes is None else part.memory_bytes
        table += struct.pack("<IIQQQQQQ", part.kind, part.flags, at + len(bodies), part.address, part.address, len(part.data), size, 4096)
        bodies += part.data
    return header + table + bodies


def machine_of(code: bytes, manager: FrameManager | None = None, **options: object) -> Machine:
    """A machine whose guest is this code, at the beginning of the firmware; without the sanitizer: it writes to frames that it never asked for."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "raw.elf"
        path.write_bytes(elf(Part(code)))
        return Machine(manager or FrameManager(256), path, **{"budget": 100_000, "sanitize": False, **options})  # type: ignore[arg-type]


def run(code: bytes, manager: FrameManager | None = None, **options: object) -> Run:
    return machine_of(code, manager, **options).run()


def mov(register: int, value: int) -> bytes:
    """movabs"""
    return bytes((0x48 | register >> 3, 0xB8 | register & 7)) + struct.pack("<Q", value & MASK)


def store(value: int, address: int) -> bytes:
    """movabs rax, value; movabs [address], rax"""
    return mov(RAX, value) + b"\x48\xa3" + struct.pack("<Q", address & MASK)


def ask(call: int, n_frames: int = 1) -> bytes:
    """Write a call for frames, from frame 0 on, of no owner, to the call box, and ring."""
    return store(call, FIRMWARE + CALL_BOX) + store(n_frames, FIRMWARE + CALL_BOX + 8) + store(0, FIRMWARE + CALL_BOX + 16) + RING


def leave(status: int) -> bytes:
    """mov eax, status; out EXIT_PORT, eax; jmp to itself"""
    return b"\xb8" + struct.pack("<I", status) + bytes((0xE7, EXIT_PORT)) + FOREVER


STACK = mov(RSP, FIRMWARE + STACK_TOP)
RING = bytes((0xE6, DOORBELL_PORT, 0xEB, 0x00))     # out DOORBELL_PORT, al; jmp to the next, which ends the block
FOREVER = b"\xeb\xfe"
HALT = b"\xf4"
UD2 = b"\x0f\x0b"
