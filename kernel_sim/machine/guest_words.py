"""The guest's memory by its virtual addresses, as ring 0 sees it: for what the processor itself reads and writes there."""

from __future__ import annotations

from kernel_sim.compiled import Array, compiled, int64, outlined
from kernel_sim.frames import words_at
from kernel_sim.machine.board import B_ADDRESS, BOARD_WORDS
from kernel_sim.machine.initialised import note_written
from kernel_sim.machine.paging import find
from kernel_sim.machine.translation import NOWHERE, READ, WRITE, Mode, mode_of, set_word_at, word_at


@compiled
def place_of(board: Array, virtual: int, access: int) -> int:
    """The physical address of a guest's word for ring 0, or NOWHERE; also for a word in two pages: such a stack or table is not aligned."""
    if (virtual >> 47) not in (0, -1) or virtual & 4095 > 4088:
        return int64(NOWHERE)
    now = mode_of(board)
    found = find(board, virtual, access, Mode(now.root, False, now.write_protect, now.no_execute))
    return int64(NOWHERE) if found.physical == NOWHERE else int64(found.physical + (virtual & 4095))


@outlined
def word_of(board_address: int, virtual: int) -> tuple[bool, int]:
    """(whether it is there, a word of the guest's memory)."""
    board = words_at(board_address, BOARD_WORDS)
    physical = place_of(board, virtual, READ)
    return (False, int64(0)) if physical == NOWHERE else (True, word_at(board, physical))


@outlined
def set_word_of(board_address: int, virtual: int, value: int) -> bool:
    """Write a word of the guest's memory; False where it cannot be written."""
    board = words_at(board_address, BOARD_WORDS)
    physical = place_of(board, virtual, WRITE)
    if physical == NOWHERE or not set_word_at(board, physical, value):
        return False
    note_written(board, physical)
    return True


@compiled
def peek(board: Array, virtual: int) -> tuple[bool, int]:
    """`word_of`, by the board."""
    return word_of(board[B_ADDRESS], int64(virtual))


@compiled
def poke(board: Array, virtual: int, value: int) -> bool:
    """`set_word_of`, by the board."""
    return set_word_of(board[B_ADDRESS], int64(virtual), int64(value))


@compiled
def byte_at(board: Array, virtual: int) -> int:
    """A byte of the guest's memory; 0 where there is none."""
    _, word = peek(board, virtual & ~int64(7))
    return int64((word >> ((virtual & 7) * 8)) & 255)
