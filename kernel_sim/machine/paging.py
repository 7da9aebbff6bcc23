"""From a virtual to a physical address: the four-level walk, called by the engine on every miss of its translation buffer.

Source: AMD64 Architecture Programmer's Manual, volume 2, section 5.3; Intel SDM, volume 3A, section 4.5. A table is a frame of 512 entries; nine
bits of the address choose the entry at each level; an entry with the size bit ends the walk early, with a page of 2 MiB or 1 GiB.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kernel_sim.compiled import Array, compiled, int64
from kernel_sim.frames import words_at
from kernel_sim.machine.abi import DIRECT_MAP, FIRMWARE, FIRMWARE_BYTES, IMAGE_BYTES, PAGE_TABLES, PAGE_TABLES_END, STACK_BOTTOM
from kernel_sim.machine.board import (
    B_FIRMWARE,
    B_FIRMWARE_BASE,
    B_MISS_ACCESS,
    B_MISS_ADDRESS,
    B_PAGE_TABLE,
    B_RAM,
    B_RAM_BYTES,
    B_WHY,
    BOARD_WORDS,
    PAGE_FAULT,
)
from kernel_sim.machine.devices import has_ended
from kernel_sim.machine.ram import Ram
from kernel_sim.units import FRAME_BYTES

PRESENT, WRITABLE, LARGE, NO_EXECUTE = 1, 2, 1 << 7, -(1 << 63)     # bits of an entry; bit 63 is the sign
_ADDRESS = 0x000F_FFFF_FFFF_F000
WRITE, FETCH = 17, 18                       # the engine's kinds of access; 16 is a read
_CAN_READ, _CAN_WRITE, _CAN_EXECUTE = 1, 2, 4
_NOWHERE = -1


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
def walk(board: Array, virtual: int) -> tuple[int, int]:
    """The physical address of a virtual one's page frame (4 KiB), and what may be done there; (-1, 0) for a page fault."""
    if (virtual >> 47) not in (0, -1):      # not canonical
        return int64(_NOWHERE), int64(0)
    table = board[B_PAGE_TABLE]
    may = int64(_CAN_READ | _CAN_WRITE | _CAN_EXECUTE)
    for level in range(3, -1, -1):
        shift = int64(12 + 9 * level)
        entry = word_at(board, table + ((virtual >> shift) & 511) * 8)
        if entry & PRESENT == 0:
            return int64(_NOWHERE), int64(0)
        if entry & WRITABLE == 0:
            may &= ~int64(_CAN_WRITE)
        if entry & NO_EXECUTE:
            may &= ~int64(_CAN_EXECUTE)
        base = entry & _ADDRESS
        if level == 0 or (level < 3 and entry & LARGE):
            inside = virtual & ((int64(1) << shift) - 1)
            return (base & ~((int64(1) << shift) - 1)) + (inside & ~int64(4095)), may
        table = base
    return int64(_NOWHERE), int64(0)


def on_miss(engine: int, virtual: int, access: int, result: int, board_address: int) -> bool:
    """The engine's hook: fill in the answer (physical address, rights), or return False for a page fault."""
    board = words_at(board_address, BOARD_WORDS)
    if not has_ended(board):
        board[B_MISS_ADDRESS] = virtual
        board[B_MISS_ACCESS] = access
    physical, may = walk(board, virtual)
    needed = _CAN_WRITE if access == WRITE else _CAN_EXECUTE if access == FETCH else _CAN_READ
    if physical == _NOWHERE or may & needed == 0:
        if not has_ended(board):
            board[B_WHY] = PAGE_FAULT
        return False
    answer = words_at(result, 2)
    answer[0] = physical
    answer[1] = may
    return True


def build_page_tables(ram: Ram, code: Sequence[tuple[int, int]]) -> int:
    """Write the tables the machine starts with into the firmware's memory; the physical address of the top one.

    The direct map shows all physical memory from DIRECT_MAP on, in pages of 1 GiB. The firmware stands at FIRMWARE, in pages of 4 KiB, with
    a gap below the stack. Only `code`, (first, end) virtual addresses, can be executed, and it cannot be written. (The engine is slow, too, at
    writing to what may be executed.)
    """
    tables = ram.shared(PAGE_TABLES, np.dtype("<u8"), (PAGE_TABLES_END - PAGE_TABLES) // 8).reshape(-1, 512)
    base, never_execute = ram.firmware_base + PAGE_TABLES, NO_EXECUTE & (1 << 64) - 1
    path = (39, 30, 21)
    for table, shift in enumerate(path):
        tables[table, FIRMWARE >> shift & 511] = base + (table + 1) * FRAME_BYTES | PRESENT | WRITABLE
    for page in range(FIRMWARE_BYTES // FRAME_BYTES):
        if IMAGE_BYTES <= page * FRAME_BYTES < STACK_BOTTOM:
            continue
        address = FIRMWARE + page * FRAME_BYTES
        is_code = any(first < address + FRAME_BYTES and address < end for first, end in code)
        tables[len(path), page] = ram.firmware_base + page * FRAME_BYTES | PRESENT | (0 if is_code else WRITABLE | never_execute)
    used = len(path) + 1
    for first in range(0, ram.size, 512 << 30):
        tables[0, DIRECT_MAP + first >> 39 & 511] = base + used * FRAME_BYTES | PRESENT | WRITABLE
        for address in range(first, min(first + (512 << 30), ram.size), 1 << 30):
            tables[used, address >> 30 & 511] = address | PRESENT | WRITABLE | LARGE | never_execute
        used += 1
    return base
