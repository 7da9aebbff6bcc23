"""Disassembly for people: the instructions around a fault, or those of a block as it runs (capstone)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from kernel_sim.machine.abi import FIRMWARE, FIRMWARE_BYTES
from kernel_sim.machine.loader import Image
from kernel_sim.machine.ram import Ram

_LONGEST = 15       # bytes of an x86 instruction
NO_CODE = "(no code here)"


def code_at(ram: Ram, address: int, size: int) -> bytes:
    """The bytes of the guest's code at an address, fewer at its end, and none elsewhere."""
    offset = address - FIRMWARE
    return ram.firmware[offset:min(offset + size, FIRMWARE_BYTES)].tobytes() if 0 <= offset < FIRMWARE_BYTES else b""


def decode(ram: Ram, address: int, size: int) -> list[Any]:
    """capstone's instructions in `size` bytes of the guest's code."""
    return decode_bytes(code_at(ram, address, size), address)


def decode_bytes(code: bytes, address: int) -> list[Any]:
    """capstone's instructions in some bytes that stand at an address."""
    from capstone import CS_ARCH_X86, CS_MODE_64, Cs

    decoder = Cs(CS_ARCH_X86, CS_MODE_64)
    decoder.detail = True
    return list(decoder.disasm(code, address))


def disassemble(ram: Ram, address: int, size: int) -> list[tuple[int, str]]:
    """(address, text) of the instructions in `size` bytes of the guest's code."""
    return [(found.address, f"{found.mnemonic} {found.op_str}".strip()) for found in decode(ram, address, size)]


def instruction_at(ram: Ram, address: int) -> str:
    """The text of one instruction; "(no code here)" where there is none."""
    found = disassemble(ram, address, _LONGEST)
    return found[0][1] if found else NO_CODE


def addresses_of(ram: Ram, address: int, registers: Mapping[str, int]) -> list[int]:
    """The virtual addresses that the instruction there names: its operands in memory."""
    return addresses_in(decode(ram, address, _LONGEST)[:1], registers)


def addresses_in(instructions: Sequence[Any], registers: Mapping[str, int]) -> list[int]:
    """The virtual addresses that instructions name."""
    from capstone.x86 import X86_OP_MEM

    found = []
    for instruction in instructions:
        known = {**registers, "rip": instruction.address + instruction.size}
        for operand in instruction.operands:
            if operand.type == X86_OP_MEM:
                base, index = (known.get(instruction.reg_name(register) or "", 0) for register in (operand.mem.base, operand.mem.index))
                found.append((base + index * operand.mem.scale + operand.mem.disp) & 0xFFFF_FFFF_FFFF_FFFF)
    return found


class TranslationInstruction(NamedTuple):
    """An instruction with which a kernel drops translations: all of them, with `mov cr3` or `mov cr4`; with `invlpg` those of an address made of
    registers (by name, "" for none)."""

    address: int
    drops_all: bool
    base: str = ""
    scaled: str = ""
    scale: int = 1
    displacement: int = 0


_INVLPG, _MOV_ROOT = re.compile(rb"\x0f\x01[\x38-\x3f\x78-\x7f\xb8-\xbf]"), re.compile(rb"\x0f\x22[\xd8-\xe7]")


def translation_instructions(ram: Ram, image: Image) -> Iterator[TranslationInstruction]:
    """Every `mov cr3`, `mov cr4` and `invlpg` in the image's functions; in all of its code, when it names none."""
    parts = [(symbol.address, symbol.size) for symbol in image.symbols] or [(first, end - first) for first, end in image.code]
    for address, size in parts:
        code = code_at(ram, address, size)
        if _INVLPG.search(code) or _MOV_ROOT.search(code):
            yield from _translation_instructions_in(ram, address, size)


def _translation_instructions_in(ram: Ram, address: int, size: int) -> Iterator[TranslationInstruction]:
    for found in decode(ram, address, size):
        if found.mnemonic == "mov" and found.op_str.startswith(("cr3", "cr4")):
            yield TranslationInstruction(found.address, drops_all=True)
        elif found.mnemonic == "invlpg":
            at = found.operands[0].mem
            base, index = (found.reg_name(register) or "" for register in (at.base, at.index))
            behind = found.size if base == "rip" else 0         # an address relative to RIP counts from the next instruction
            yield TranslationInstruction(found.address, False, base, index, at.scale, at.disp + behind)


def place(image: Image, address: int) -> str:
    """`0xffffffff80000123 (sign+0x12)`."""
    symbol = image.symbol_at(address)
    return f"{address:#x} ({symbol.name}+{address - symbol.address:#x})" if symbol else f"{address:#x}"


def listing_around(ram: Ram, image: Image, address: int, n_before: int = 4, n_after: int = 4) -> list[str]:
    """The instructions around an address, the one there marked with an arrow. Those before it are known where the image names the function."""
    symbol = image.symbol_at(address)
    begin = symbol.address if symbol and address - symbol.address < 4096 else address
    found = disassemble(ram, begin, address - begin + (n_after + 1) * _LONGEST)
    here = next((i for i, (at, _) in enumerate(found) if at == address), None)
    if here is None:        # no instruction begins there, counted from the function's beginning
        found, here = disassemble(ram, address, (n_after + 1) * _LONGEST) or [(address, NO_CODE)], 0
    shown = found[max(0, here - n_before):here + n_after + 1]
    return [f"{'->' if at == address else '  '} {place(image, at)}  {text}" for at, text in shown]
