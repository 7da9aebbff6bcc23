"""What the two ways from a virtual to a physical address share: what is asked, what is found, and the faults.

Source: AMD64 Architecture Programmer's Manual, volume 2, sections 5.3 to 5.6 and 8.4.2.
"""

from __future__ import annotations

from typing import NamedTuple

from kernel_sim.compiled import Array, compiled, int64
from kernel_sim.frames import words_at
from kernel_sim.machine.abi import FIRMWARE_BYTES
from kernel_sim.machine.board import B_FIRMWARE, B_FIRMWARE_BASE, B_IN_MICROCODE, B_RAM, B_RAM_BYTES
from kernel_sim.machine.cpu import CR0, CR3, CS
from kernel_sim.machine.registers import CR0_WP, EFER_NXE, efer, register

PHYSICAL_BITS = 46                          # of an address: 64 TiB. Bits above are reserved, up to bit 51
ADDRESS = 0x000F_FFFF_FFFF_F000

# Bits of a page fault's error code.
ERROR_PRESENT, ERROR_WRITE, ERROR_USER, ERROR_RESERVED, ERROR_FETCH = 1, 2, 4, 8, 16

READ, WRITE, FETCH = 16, 17, 18             # the engine's kinds of access
CAN_READ, CAN_WRITE, CAN_EXECUTE = 1, 2, 4  # and of rights
NOWHERE = -1
PAGE_FAULT_VECTOR, GENERAL_PROTECTION = 14, 13


class Mode(NamedTuple):
    """What the processor's registers say about translation."""

    root: int               # CR3: the physical address of the top table
    is_user: bool           # whether it runs in ring 3
    write_protect: bool     # CR0.WP: whether ring 0, too, cannot write to what is not writable
    no_execute: bool        # EFER.NXE: whether bit 63 of an entry means that nothing can be executed there; it is reserved otherwise


class Found(NamedTuple):
    """The end of a walk: the physical address of the page frame (4 KiB) and what may be done there, or NOWHERE and a page fault's error code.

    `level` is that of the last entry, `entry` its physical address. Compiled code counts levels from 3 (PML4) down to 0 (PT), `walks` and the guest
    kernel from 4 to 1.
    """

    physical: int
    may: int
    error: int
    level: int
    entry: int


@compiled
def word_at(board: Array, physical: int) -> int:
    """The eight bytes of a table entry; 0, an entry that is not present, where there is no memory."""
    offset = physical - board[B_FIRMWARE_BASE]
    if 0 <= offset <= FIRMWARE_BYTES - 8:       # first: it lies in a hole of the memory, and may have memory above it
        return int64(words_at(board[B_FIRMWARE] + offset, 1)[0])
    if 0 <= physical <= board[B_RAM_BYTES] - 8:
        return int64(words_at(board[B_RAM] + physical, 1)[0])
    return int64(0)


@compiled
def set_word_at(board: Array, physical: int, value: int) -> bool:
    """Write eight bytes; False where there is no memory."""
    offset = physical - board[B_FIRMWARE_BASE]
    if 0 <= offset <= FIRMWARE_BYTES - 8:
        words_at(board[B_FIRMWARE] + offset, 1)[0] = value
        return True
    if 0 <= physical <= board[B_RAM_BYTES] - 8:
        words_at(board[B_RAM] + physical, 1)[0] = value
        return True
    return False


@compiled
def mode_of(board: Array) -> Mode:
    """What the registers say now."""
    is_user = register(board, CS) & 3 == 3 and board[B_IN_MICROCODE] == 0
    return Mode(register(board, CR3) & ADDRESS, is_user, register(board, CR0) & CR0_WP != 0, efer(board) & EFER_NXE != 0)


@compiled
def fault_code(access: int, mode: Mode, why: int) -> int:
    """A page fault's error code; `why` is 0 or ERROR_PRESENT, with ERROR_RESERVED if it was that."""
    code = int64(why)
    if access == WRITE:
        code |= ERROR_WRITE
    if mode.is_user:
        code |= ERROR_USER
    if access == FETCH and mode.no_execute:
        code |= ERROR_FETCH
    return code
