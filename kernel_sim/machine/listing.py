"""Disassembly for people: the instructions around a fault, or those of a block as it runs (capstone)."""

from __future__ import annotations

from kernel_sim.machine.abi import FIRMWARE, FIRMWARE_BYTES
from kernel_sim.machine.loader import Image
from kernel_sim.machine.ram import Ram

_LONGEST = 15       # bytes of an x86 instruction


def disassemble(ram: Ram, address: int, size: int) -> list[tuple[int, str, str]]:
    """(address, bytes in hexadecimal, text) of the instructions in `size` bytes of the guest's code."""
    from capstone import CS_ARCH_X86, CS_MODE_64, Cs

    offset = address - FIRMWARE
    if not 0 <= offset < FIRMWARE_BYTES:
        return []
    code = ram.firmware[offset:min(offset + size, FIRMWARE_BYTES)].tobytes()
    return [(found.address, found.bytes.hex(), f"{found.mnemonic} {found.op_str}".strip()) for found in Cs(CS_ARCH_X86, CS_MODE_64).disasm(code, address)]


def instruction_at(ram: Ram, address: int) -> str:
    """The text of one instruction; "(no code here)" where there is none."""
    found = disassemble(ram, address, _LONGEST)
    return found[0][2] if found else "(no code here)"


def place(image: Image, address: int) -> str:
    """`0xffffffff80000123 (sign+0x12)`."""
    symbol = image.symbol_at(address)
    return f"{address:#x} ({symbol.name}+{address - symbol.address:#x})" if symbol else f"{address:#x}"


def listing_around(ram: Ram, image: Image, address: int, n_after: int = 4) -> list[str]:
    """The instructions from the function's beginning, or from the address where it has none, the one at the address marked."""
    symbol = image.symbol_at(address)
    begin = symbol.address if symbol and address - symbol.address < 4096 else address
    found = disassemble(ram, begin, address - begin + (n_after + 1) * _LONGEST)
    if all(at != address for at, _, _ in found):        # the function was entered in the middle of an instruction
        found = disassemble(ram, address, (n_after + 1) * _LONGEST)
    here = next((i for i, (at, _, _) in enumerate(found) if at == address), 0)
    shown = found[max(0, here - 4):here + n_after + 1]
    return [f"{'->' if at == address else '  '} {place(image, at)}  {text}" for at, _, text in shown]
