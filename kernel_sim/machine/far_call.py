"""Far calls from ring 3: which of their misses are the processor's own, in the guest's tables and on its new stack.

The processor looks there with the rights of ring 0, and the engine's hook is not told who looks. So the first try ends in a page fault; if that was
the processor's, the page is granted, and the instruction runs again (`traps.enter_trap`).
"""

from __future__ import annotations

from kernel_sim.compiled import Array, compiled, int64, outlined
from kernel_sim.frames import words_at
from kernel_sim.machine.board import BOARD_WORDS
from kernel_sim.machine.cpu import GDTR, GENERAL_REGISTERS, TR
from kernel_sim.machine.guest_words import byte_at, peek
from kernel_sim.machine.registers import register, table_register
from kernel_sim.machine.translation import NOWHERE

TSS_RSP0 = 4
_TSS_BYTES = 0x68
_LAST = 9           # of an operand's bytes: an offset of 64 bits and a selector
_FAR_CALL, _FAR_JUMP = 3, 5


@outlined
def is_of_far_call(board_address: int, rip: int, address: int) -> bool:
    """Whether a page that ring 3 may not see was missed by a far call or jump, in the guest's own tables or its new stack.

    What the instruction itself names, the place of the far pointer, is read with the rights of ring 3: no page that holds a part of that is the
    processor's to grant, for the engine would show it to ring 3 from then on.
    """
    board = words_at(board_address, BOARD_WORDS)
    table, limit = table_register(board, GDTR)
    tss, _ = table_register(board, TR)
    _, stack = peek(board, tss + TSS_RSP0)
    if not (table <= address <= table + limit or tss <= address < tss + _TSS_BYTES or stack - 64 <= address < stack):
        return False
    at = rip
    prefix = byte_at(board, at)
    if prefix & 0xF0 == 0x40:       # REX
        at += 1
    else:
        prefix = int64(0)
    kind = (byte_at(board, at + 1) >> 3) & 7
    if byte_at(board, at) != 0xFF or not (kind == _FAR_CALL or kind == _FAR_JUMP):
        return False
    pointer = operand_address(board, at + 1, prefix)
    return bool(pointer != NOWHERE and pointer >> 12 != address >> 12 and (pointer + _LAST) >> 12 != address >> 12)


@compiled
def operand_address(board: Array, at: int, prefix: int) -> int:
    """The address of the operand in memory that the ModRM byte at `at` begins, under a REX prefix or 0; NOWHERE for a register. The instruction ends
    behind the operand. Source: AMD64 Architecture Programmer's Manual, volume 3, section 1.4."""
    mod_rm = byte_at(board, at)
    mod, base = mod_rm >> 6, mod_rm & 7
    at += 1
    address = int64(0)
    if mod == 3:
        return int64(NOWHERE)
    if base == 4:
        scaled = byte_at(board, at)
        at += 1
        base = scaled & 7
        index = ((scaled >> 3) & 7) | ((prefix & 2) << 2)
        if index != 4:
            address += general(board, index) << (scaled >> 6)
        if base != 5 or mod != 0:
            address += general(board, base | ((prefix & 1) << 3))
    elif base == 5 and mod == 0:
        address += at + 4       # relative to the next instruction
    else:
        address += general(board, base | ((prefix & 1) << 3))
    if mod == 1:
        return int64(address + signed(byte_at(board, at), int64(8)))
    if mod == 2 or base == 5:
        low = byte_at(board, at) | byte_at(board, at + 1) << 8 | byte_at(board, at + 2) << 16 | byte_at(board, at + 3) << 24
        return int64(address + signed(low, int64(32)))
    return int64(address)


@compiled
def signed(value: int, bits: int) -> int:
    """A number of so many bits with its sign."""
    return int64((value << (64 - bits)) >> (64 - bits))


@compiled
def general(board: Array, number: int) -> int:
    """A general register by its number in instructions."""
    return register(board, GENERAL_REGISTERS[number])
