"""Disassembly for people: known bytes, functions' names, arrows, and places where there is no code."""

from __future__ import annotations

import pytest
from guest.raw import HALT, RAX, UD2, machine_of, mov

from kernel_sim.machine.abi import FIRMWARE, FIRMWARE_BYTES
from kernel_sim.machine.listing import addresses_of, code_at, disassemble, instruction_at, listing_around, place
from kernel_sim.machine.loader import Image, Symbol
from kernel_sim.machine.ram import Ram

#            xor eax, eax   mov rbx, [rsp+8]          inc rax          jne -10      hlt
CODE = bytes.fromhex("31c0" "488b5c2408" "48ffc0" "75f4" "f4")
AT = [FIRMWARE + offset for offset in (0, 2, 7, 10, 12)]
TEXTS = ["xor eax, eax", "mov rbx, qword ptr [rsp + 8]", "inc rax", f"jne {FIRMWARE:#x}", "hlt"]
IMAGE = Image("loop.elf", FIRMWARE, ((FIRMWARE, CODE, len(CODE)),), ((FIRMWARE, FIRMWARE + len(CODE)),), (
    Symbol("begin", FIRMWARE, 2), Symbol("loop", FIRMWARE + 2, 10), Symbol("end", FIRMWARE + 12, 0)))
BARE = Image("loop.elf", FIRMWARE, IMAGE.parts, IMAGE.code, ())
RAM = Ram([(0, 1)])
IMAGE.load(RAM)


def test_disassembly() -> None:
    assert disassemble(RAM, FIRMWARE, len(CODE)) == list(zip(AT, TEXTS, strict=True))
    assert disassemble(RAM, AT[2], 3) == [(AT[2], "inc rax")]


@pytest.mark.parametrize("address", [0, FIRMWARE - 1, FIRMWARE + FIRMWARE_BYTES, (1 << 64) - 1, 1 << 63])
def test_no_code(address: int) -> None:
    assert code_at(RAM, address, 15) == b""
    assert disassemble(RAM, address, 15) == []
    assert instruction_at(RAM, address) == "(no code here)"
    assert listing_around(RAM, IMAGE, address) == [f"-> {address:#x}  (no code here)"]
    assert addresses_of(RAM, address, {}) == []


def test_the_last_bytes() -> None:
    assert code_at(RAM, FIRMWARE + FIRMWARE_BYTES - 3, 15) == bytes(3)
    assert len(disassemble(RAM, FIRMWARE + FIRMWARE_BYTES - 3, 15)) == 1


def test_places() -> None:
    assert place(IMAGE, AT[3]) == f"{AT[3]:#x} (loop+0x8)"
    assert place(IMAGE, AT[4]) == f"{AT[4]:#x} (end+0x0)"
    assert place(IMAGE, 0) == "0x0"
    assert place(BARE, AT[3]) == f"{AT[3]:#x}"


def test_around_an_instruction() -> None:
    """From the beginning of its function, to some behind it."""
    assert listing_around(RAM, IMAGE, AT[3], n_after=1) == [
        f"   {AT[1]:#x} (loop+0x0)  mov rbx, qword ptr [rsp + 8]",
        f"   {AT[2]:#x} (loop+0x5)  inc rax",
        f"-> {AT[3]:#x} (loop+0x8)  jne {FIRMWARE:#x}",
        f"   {AT[4]:#x} (end+0x0)  hlt",
    ]
    assert listing_around(RAM, IMAGE, AT[3], n_before=1, n_after=0) == [
        f"   {AT[2]:#x} (loop+0x5)  inc rax",
        f"-> {AT[3]:#x} (loop+0x8)  jne {FIRMWARE:#x}",
    ]


def test_without_names_from_the_instruction_on() -> None:
    assert listing_around(RAM, BARE, AT[2], n_after=1) == [f"-> {AT[2]:#x}  inc rax", f"   {AT[3]:#x}  jne {FIRMWARE:#x}"]


def test_in_the_middle_of_an_instruction() -> None:
    """A jump into an instruction is shown as what it is."""
    listing = listing_around(RAM, IMAGE, AT[1] + 1, n_after=0)
    assert listing == [f"-> {AT[1] + 1:#x} (loop+0x1)  mov ebx, dword ptr [rsp + 8]"]


def test_what_cannot_be_decoded() -> None:
    ram = Ram([(0, 1)])
    ram.firmware[:2] = 0x06, 0x06
    assert listing_around(ram, BARE, FIRMWARE) == [f"-> {FIRMWARE:#x}  (no code here)"]


@pytest.mark.parametrize(("code", "addresses"), [
    ("488b5c2408", [0x7008]), ("488b04cd00000080", [(8 * 5 - (1 << 31)) % (1 << 64)]), ("488b0510000000", [FIRMWARE + 7 + 16]), ("a4", [0x10, 0x20]),
    ("ff7008", [0x1008]), ("90", []), ("8d4304", [4]), ("67 8b03", [0]),
])
def test_the_addresses_of_operands(code: str, addresses: list[int]) -> None:
    ram = Ram([(0, 1)])
    data = bytes.fromhex(code)
    ram.firmware[:len(data)] = memoryview(data)
    registers = {"rax": 0x1000, "rbx": 0, "rcx": 5, "rsp": 0x7000, "rsi": 0x20, "rdi": 0x10, "rip": 0}
    assert sorted(addresses_of(ram, FIRMWARE, registers)) == sorted(addresses)


def test_watching_a_run() -> None:
    """Every instruction before its block runs, with its place."""
    seen: list[str] = []
    machine_of(mov(RAX, 5) + b"\xeb\x00" + HALT).run(watch=seen.append)
    assert seen == [f"{FIRMWARE:#x}  movabs rax, 5", f"{FIRMWARE + 10:#x}  jmp {FIRMWARE + 12:#x}", f"{FIRMWARE + 12:#x}  hlt"]
    again: list[str] = []
    machine_of(b"\xff\xc8" * 2 + UD2).run(watch=again.append)
    assert again == [f"{FIRMWARE:#x}  dec eax", f"{FIRMWARE + 2:#x}  dec eax", f"{FIRMWARE + 4:#x}  ud2"]
