"""The shadow of the translation buffer against a dictionary, and the instructions that empty it as capstone and an assembler's bytes have them."""

from __future__ import annotations

import numpy as np
import pytest
from guest.raw import STACK, leave, machine_of
from hypothesis import given
from hypothesis import strategies as st

from kernel_sim.compiled import address_of, interpreted
from kernel_sim.machine import shadow_tlb
from kernel_sim.machine.abi import FIRMWARE
from kernel_sim.machine.listing import TranslationInstruction, translation_instructions
from kernel_sim.machine.notebook import N_EPOCH, N_SHADOW, NOTEBOOK_WORDS

SHIFTS = st.sampled_from(shadow_tlb.SIZES)


class Shadow:
    """The compiled functions, in the interpreter, on a table of their own."""

    def __init__(self) -> None:
        self.table = np.zeros(shadow_tlb.SHADOW_WORDS, np.int64)
        self.notes = np.zeros(NOTEBOOK_WORDS, np.int64)
        self.notes[N_SHADOW], self.notes[N_EPOCH] = address_of(self.table), 1

    def remember(self, virtual: int, shift: int, physical: int, rights: int) -> None:
        interpreted(shadow_tlb.remember)(self.notes, np.int64(virtual), np.int64(shift), np.int64(physical), np.int64(rights))

    def remembered(self, virtual: int) -> int:
        return int(interpreted(shadow_tlb.remembered)(self.notes, np.int64(virtual)))

    def forget(self, virtual: int) -> bool:
        return bool(interpreted(shadow_tlb.forget)(self.notes, np.int64(virtual)))

    def flush(self) -> None:
        self.notes[N_EPOCH] += 1


@given(st.lists(st.tuples(st.sampled_from(["fill", "fill", "fill", "drop", "flush"]), st.integers(0, 40), SHIFTS, st.integers(1, 99)), max_size=60))
def test_what_was_filled_in_is_known_until_it_is_dropped(steps: list[tuple[str, int, int, int]]) -> None:
    """Pages of three sizes, each in a gigabyte of its own, so that none lies inside another."""
    shadow, known = Shadow(), dict[int, tuple[int, int, int]]()
    for what, number, shift, frame in steps:
        gigabyte = (number * 3 + shadow_tlb.SIZES.index(shift)) << 30
        virtual, physical = gigabyte + 0x3000 % (1 << shift), (frame << shift) + 0x3000 % (1 << shift)
        if what == "fill":
            shadow.remember(virtual, shift, physical, number & 7)
            known[gigabyte] = (virtual, shift, physical | number & 7)
        elif what == "drop":
            inside = gigabyte + (0x5123 if shift > 12 else 0x123)       # any address of the page will do
            assert shadow.forget(inside) == (gigabyte in known and shift > 12)
            known.pop(gigabyte, None)
        else:
            shadow.flush()
            known.clear()
        for virtual_known, _, entry in known.values():
            assert shadow.remembered(virtual_known) == entry
    assert shadow.remembered(0x7FFF_0000_0000) == shadow_tlb.NO_ENTRY


def test_a_large_page_is_one_entry() -> None:
    """Each of its 4 KiB is known by it, and an invlpg anywhere in it drops all of them."""
    shadow = Shadow()
    shadow.remember(0x40_3000, 21, 0x80_3000, 3)
    assert [shadow.remembered(0x40_0000 + 4096 * i) for i in (0, 3, 511)] == [0x80_0003, 0x80_3003, 0x9F_F003]
    assert shadow.forget(0x5F_FFFF)
    assert shadow.remembered(0x40_3000) == shadow_tlb.NO_ENTRY


@pytest.mark.parametrize(("code", "expected"), [
    ("0f0138", ("rax", "", 1, 0)), ("0f013f", ("rdi", "", 1, 0)), ("410f0139", ("r9", "", 1, 0)), ("0f017b10", ("rbx", "", 1, 16)),
    ("0f01bc8b00100000", ("rbx", "rcx", 4, 4096)), ("430f013c3e", ("r14", "r15", 1, 0)),
    ("0f013d10000000", ("rip", "", 1, 16 + 7)),
])
def test_every_invlpg_is_found_with_its_address(code: str, expected: tuple[str, str, int, int]) -> None:
    """AMD64 manual, volume 3: 0F 01 /7, with any address."""
    machine = machine_of(b"\x90" + bytes.fromhex(code) + leave(0))
    found = list(translation_instructions(machine.ram, machine.image))
    assert found == [TranslationInstruction(FIRMWARE + 1, False, *expected)]


def test_every_load_of_cr3_and_cr4_is_found() -> None:
    """0F 22 /3 and /4 (`mov rax, cr3`'s other direction, 0F 20, and the other control registers are none)."""
    machine = machine_of(STACK + bytes.fromhex("0f22d8" "0f20d8" "410f22da" "0f22c0" "0f22e1") + leave(0))
    found = [(instruction.address - FIRMWARE, instruction.drops_all) for instruction in translation_instructions(machine.ram, machine.image)]
    assert found == [(10, True), (16, True), (23, True)]
