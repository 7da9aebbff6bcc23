"""The processor's registers, for compiled code: read and written through the engine's own functions, at a few nanoseconds each.

Source for the bits: AMD64 Architecture Programmer's Manual, volume 2, chapter 3.
"""

from __future__ import annotations

from kernel_sim.compiled import Array, call_address_3, compiled, int64
from kernel_sim.machine.board import B_ADDRESS, B_ENGINE, B_READ_FUNCTION, B_REGISTER, B_WRITE_FUNCTION
from kernel_sim.machine.cpu import MSR, TR

CR0_WP = 1 << 16
EFER, EFER_NXE = 0xC000_0080, 1 << 11
TASK_STATE_PRESENT, _TASK_STATE_BUSY = 1 << 15, 11 << 8       # in a descriptor's upper word
RFLAGS_TF, RFLAGS_IF, RFLAGS_NT, RFLAGS_RF = 1 << 8, 1 << 9, 1 << 14, 1 << 16


@compiled
def read_into_board(board: Array, number: int) -> None:
    """Let the engine write a register where B_REGISTER and the words behind it are."""
    call_address_3(board[B_READ_FUNCTION], board[B_ENGINE], int64(number), board[B_ADDRESS] + 8 * B_REGISTER)


@compiled
def write_from_board(board: Array, number: int) -> None:
    """The other way."""
    call_address_3(board[B_WRITE_FUNCTION], board[B_ENGINE], int64(number), board[B_ADDRESS] + 8 * B_REGISTER)


@compiled
def register(board: Array, number: int) -> int:
    """A register of up to 64 bits, by its number in `kernel_sim.machine.cpu`."""
    board[B_REGISTER] = 0       # a shorter one is written without what is above it
    read_into_board(board, number)
    return int64(board[B_REGISTER])


@compiled
def set_register(board: Array, number: int, value: int) -> None:
    """Write a register of up to 64 bits."""
    board[B_REGISTER] = value
    write_from_board(board, number)


@compiled
def table_register(board: Array, number: int) -> tuple[int, int]:
    """GDTR, IDTR or TR: (base, limit). The engine's structure is selector, base, limit and flags, in 24 bytes."""
    read_into_board(board, number)
    return int64(board[B_REGISTER + 1]), int64(board[B_REGISTER + 2] & 0xFFFF_FFFF)


@compiled
def set_table_register(board: Array, number: int, base: int, limit: int) -> None:
    """Write GDTR or IDTR."""
    board[B_REGISTER] = 0
    board[B_REGISTER + 1] = base
    board[B_REGISTER + 2] = limit
    write_from_board(board, number)


@compiled
def set_task_register(board: Array, base: int, limit: int) -> None:
    """Write TR: a task state segment that is there, and busy."""
    board[B_REGISTER] = 0
    board[B_REGISTER + 1] = base
    board[B_REGISTER + 2] = limit | (TASK_STATE_PRESENT | _TASK_STATE_BUSY) << 32
    write_from_board(board, int64(TR))


@compiled
def efer(board: Array) -> int:
    """The extended-feature register. The engine's structure is the register's number and its value, in 16 bytes."""
    board[B_REGISTER] = EFER
    board[B_REGISTER + 1] = 0
    read_into_board(board, MSR)
    return int64(board[B_REGISTER + 1])
