"""From a virtual to a physical address: the four-level walk, called by the engine on every miss of its translation buffer.

Source: AMD64 Architecture Programmer's Manual, volume 2, section 5.3; Intel SDM, volume 3A, section 4.5. A table is a frame of 512 entries; nine
bits of the address choose the entry at each level; an entry with the size bit ends the walk early, with a page of 2 MiB or 1 GiB.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kernel_sim.compiled import Array, call_address_3, compiled, int64
from kernel_sim.frames import words_at
from kernel_sim.machine.abi import (
    DIRECT_MAP,
    FIRMWARE,
    FIRMWARE_BYTES,
    IMAGE_BYTES,
    MAX_PROCESSES,
    MICROCODE,
    MICROCODE_END,
    MODULES,
    PAGE_TABLES,
    PAGE_TABLES_END,
    SEGMENTATION,
    STACK_BOTTOM,
)
from kernel_sim.machine.board import (
    B_CONTROL_FUNCTION,
    B_ENGINE,
    B_ERROR_CODE,
    B_FIRMWARE_BASE,
    B_GRANTS,
    B_IN_MICROCODE,
    B_LARGE_CACHED,
    B_MISS_ACCESS,
    B_MISS_ADDRESS,
    B_MISSES,
    B_MISSES_OF,
    B_N_GRANTS,
    B_PAGES,
    B_REGISTER,
    B_RUNS,
    B_TRANSLATION,
    B_VECTOR,
    B_WHY,
    BOARD_WORDS,
    PAGE_FAULT,
)
from kernel_sim.machine.cpu import CS, FLUSH_TRANSLATIONS, TR
from kernel_sim.machine.devices import has_ended
from kernel_sim.machine.ram import Ram
from kernel_sim.machine.registers import TASK_STATE_PRESENT, register, set_task_register, table_register
from kernel_sim.machine.segmentation import translate
from kernel_sim.machine.translation import (
    ADDRESS,
    CAN_EXECUTE,
    CAN_READ,
    CAN_WRITE,
    ERROR_PRESENT,
    ERROR_RESERVED,
    FETCH,
    GENERAL_PROTECTION,
    NOWHERE,
    PAGE_FAULT_VECTOR,
    PHYSICAL_BITS,
    WRITE,
    Found,
    Mode,
    fault_code,
    mode_of,
    set_word_at,
    word_at,
)
from kernel_sim.units import FRAME_BYTES

# Bits of an entry, by the manual's names; bit 63 is the sign.
PRESENT, WRITABLE, USER, ACCESSED, DIRTY, LARGE, NO_EXECUTE = 1, 1 << 1, 1 << 2, 1 << 5, 1 << 6, 1 << 7, -(1 << 63)
_FIRMWARE = FIRMWARE - (1 << 64)            # as a signed number, which addresses are here
_TOO_HIGH = ADDRESS & ~((1 << PHYSICAL_BITS) - 1)

MISS_TYPES = ("bool", "int64", "int64", "int32", "int64", "int64")
"""Of `on_miss`, for `callback`."""


@compiled
def is_reserved(entry: int, level: int, no_execute: bool) -> bool:
    """Whether an entry that is present sets a bit that it must not set at its level."""
    if entry & _TOO_HIGH or (entry < 0 and not no_execute):
        return True
    if entry & LARGE == 0 or level == 0:
        return False
    inside = (int64(1) << (12 + 9 * level)) - 1
    return bool(level == 3 or entry & ADDRESS & inside & ~int64(1 << 12))       # bit 12 of a large page's entry belongs to its memory type


@compiled
def rights(entry_bits: int, denies: int, mode: Mode) -> int:
    """What may be done, given the bits that all entries of the walk share and those (bit 63) that one of them sets."""
    if mode.is_user and entry_bits & USER == 0:
        return int64(0)
    may = int64(CAN_READ)
    if entry_bits & WRITABLE or not (mode.is_user or mode.write_protect):
        may |= CAN_WRITE
    if denies >= 0:
        may |= CAN_EXECUTE
    return may


@compiled
def walk(board: Array, virtual: int, access: int, mode: Mode) -> Found:
    """Walk the four levels as the processor does, and note accessed and dirty pages in the entries. `virtual` is canonical."""
    needed = int64(CAN_WRITE if access == WRITE else CAN_EXECUTE if access == FETCH else CAN_READ)
    table, shared, denies = mode.root, int64(USER | WRITABLE), int64(0)
    for level in range(3, -1, -1):
        shift = int64(12 + 9 * level)
        where = table + ((virtual >> shift) & 511) * 8
        entry = word_at(board, where)
        if entry & PRESENT == 0:
            return Found(int64(NOWHERE), int64(0), fault_code(access, mode, 0), int64(level), where)
        if is_reserved(entry, level, mode.no_execute):
            return Found(int64(NOWHERE), int64(0), fault_code(access, mode, ERROR_PRESENT | ERROR_RESERVED), int64(level), where)
        shared &= entry
        denies |= entry
        table = entry & ADDRESS
        if level == 0 or entry & LARGE:
            may = rights(shared, denies, mode)
            if may & needed == 0:
                return Found(int64(NOWHERE), int64(0), fault_code(access, mode, ERROR_PRESENT), int64(level), where)
            mark(board, mode.root, virtual, int64(level), access == WRITE)
            if access != WRITE and entry & DIRTY == 0:
                may &= ~int64(CAN_WRITE)        # the first write comes here again, to be noted
            page = (int64(1) << shift) - 1
            return Found((table & ~page) + (virtual & page & ~int64(4095)), may, int64(0), int64(level), where)
    return Found(int64(NOWHERE), int64(0), int64(0), int64(0), int64(0))


@compiled
def mark(board: Array, root: int, virtual: int, last: int, is_write: bool) -> None:
    """Set the accessed bit in the entries of a walk that ended well, and the dirty bit in the last one for a write."""
    table = root
    for level in range(3, last - 1, -1):
        where = table + ((virtual >> (12 + 9 * level)) & 511) * 8
        entry = word_at(board, where)
        marked = entry | ACCESSED | (DIRTY if is_write and level == last else 0)
        if marked != entry:
            set_word_at(board, where, marked)
        table = entry & ADDRESS


@compiled
def microcode_page(board: Array, virtual: int) -> tuple[int, int]:
    """Where the machine's own pages are, which every address space has, and the rights; NOWHERE for other addresses. The first holds the code, which
    begins in ring 3: the engine goes on to show it to ring 3, so nobody may write there."""
    offset = virtual - _FIRMWARE
    if not MICROCODE <= offset < MICROCODE_END:
        return int64(NOWHERE), int64(0)
    is_code = offset < MICROCODE + FRAME_BYTES
    return int64(board[B_FIRMWARE_BASE] + offset), int64(CAN_READ | CAN_EXECUTE if is_code else CAN_READ | CAN_WRITE)


@compiled
def note_fault(board: Array, virtual: int, access: int, vector: int, error: int) -> None:
    """Leave word of a fault; the first one counts, for the engine may run on to the end of its block."""
    if not has_ended(board):
        board[B_WHY] = PAGE_FAULT
        board[B_MISS_ADDRESS] = virtual
        board[B_MISS_ACCESS] = access
        board[B_VECTOR] = vector
        board[B_ERROR_CODE] = error


@compiled
def count_miss(board: Array) -> None:
    """One more miss that a processor would have had, too: it found a page, or became a page fault of the guest's.

    Not counted are the microcode's pages, and misses that the guest never hears of, because the engine looked further ahead than it ran, or
    will ask again (`far_call.is_of_far_call`). So the misses are as many as pages found and page faults together.
    """
    board[B_MISSES] += 1
    if board[B_MISSES_OF] != 0:
        words_at(board[B_MISSES_OF], MAX_PROCESSES)[board[B_RUNS]] += 1


@compiled
def take_grant(board: Array, virtual: int) -> bool:
    """Whether a far call from ring 3 waits for this page. It gets it once: what ring 3 asks for after the call is not granted."""
    for i in range(board[B_N_GRANTS]):
        if board[B_GRANTS + i] == virtual:
            board[B_N_GRANTS] -= 1
            board[B_GRANTS + i] = board[B_GRANTS + board[B_N_GRANTS]]
            return True
    return False


@compiled
def need_task_state(board: Array) -> None:
    """Ring 3 is about to run: see to it that there is a task state segment. The engine lets `ltr` take the null selector, which a processor refuses,
    and ends the host's process at the next way into ring 0. What it gets is a segment of no length, with which that way is an invalid TSS."""
    base, _ = table_register(board, TR)
    if board[B_REGISTER + 2] >> 32 & TASK_STATE_PRESENT == 0:
        set_task_register(board, base, 0)


@compiled
def find(board: Array, virtual: int, access: int, mode: Mode) -> Found:
    """Translate a canonical address, as the machine is made to: the user's half may consist of segments."""
    if virtual >= 0 and board[B_TRANSLATION] == SEGMENTATION:
        return translate(board, virtual, access, mode)
    return walk(board, virtual, access, mode)


@compiled
def watch(board: Array, virtual: int, access: int, mode: Mode, found: Found) -> int:
    """What the sanitizer (`access_watch.watch_access`, in the hook that is made with it) leaves of the rights, or -1. Here: all of them."""
    return found.may


@compiled
def found_page(board: Array, virtual: int, access: int) -> Found:
    """Translate an address, as the registers say; a fault is noted."""
    mode = mode_of(board)
    if (virtual >> 47) not in (0, -1):
        note_fault(board, virtual, access, GENERAL_PROTECTION, 0)
        return Found(int64(NOWHERE), int64(0), int64(0), int64(3), int64(0))
    if board[B_N_GRANTS] and (not mode.is_user or take_grant(board, virtual)):
        if not mode.is_user:
            board[B_N_GRANTS] = 0
        mode = Mode(mode.root, False, mode.write_protect, mode.no_execute)
    found = find(board, virtual, access, mode)
    may = watch(board, virtual, int64(access), mode, found)
    if may < 0:
        return Found(int64(NOWHERE), int64(0), int64(0), found.level, found.entry)
    if found.physical == NOWHERE:
        note_fault(board, virtual, access, PAGE_FAULT_VECTOR, found.error)
    else:
        count_miss(board)
        board[B_PAGES + min(found.level, 2)] += 1
        if found.level > 0 and virtual >= 0:
            board[B_LARGE_CACHED] = 1
    return Found(found.physical, may, found.error, found.level, found.entry)


def on_miss(engine: int, virtual: int, access: int, result: int, board_address: int) -> bool:
    """The engine's hook: fill in the answer (physical address, rights), or return False for a fault."""
    board, answer = words_at(board_address, BOARD_WORDS), words_at(result, 2)
    if not has_ended(board):
        board[B_MISS_ADDRESS] = virtual
        board[B_MISS_ACCESS] = access
    is_ring_3 = register(board, CS) & 3 == 3
    if is_ring_3 and access == FETCH:
        need_task_state(board)
    own, rights_there = microcode_page(board, virtual)
    if own != NOWHERE and (board[B_IN_MICROCODE] or not is_ring_3):
        answer[0] = own
        answer[1] = rights_there
        return True
    found = found_page(board, virtual, access)
    answer[0] = found.physical
    answer[1] = found.may
    return found.physical != NOWHERE


def on_page_dropped(engine: int, address: int, size: int, board_address: int) -> None:
    """The engine's hook before an `invlpg`. The engine drops 4 KiB, a processor all of a large page: where there may be one, everything goes."""
    board = words_at(board_address, BOARD_WORDS)
    if board[B_LARGE_CACHED]:
        board[B_LARGE_CACHED] = 0
        call_address_3(board[B_CONTROL_FUNCTION], board[B_ENGINE], int64(FLUSH_TRANSLATIONS), int64(0))


def build_page_tables(ram: Ram, code: Sequence[tuple[int, int]]) -> int:
    """Write the tables the machine starts with into the firmware's memory; the physical address of the top one.

    The direct map shows all physical memory from DIRECT_MAP on, in pages of 1 GiB. The firmware stands at FIRMWARE, in pages of 4 KiB, with
    a gap below the stack; the user programs that came with the machine at MODULES, in pages of 2 MiB that cannot be written. Only `code`,
    (first, end) virtual addresses, can be executed, and it cannot be written. (The engine is slow, too, at writing to what may be executed.)
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
    if ram.module_bytes.size:
        tables[1, MODULES >> 30 & 511] = base + used * FRAME_BYTES | PRESENT | WRITABLE
        for offset in range(0, ram.module_bytes.size, 2 << 20):
            tables[used, offset >> 21] = ram.module_base + offset | PRESENT | LARGE | never_execute
        used += 1
    for first in range(0, ram.size, 512 << 30):
        tables[0, DIRECT_MAP + first >> 39 & 511] = base + used * FRAME_BYTES | PRESENT | WRITABLE
        for address in range(first, min(first + (512 << 30), ram.size), 1 << 30):
            tables[used, address >> 30 & 511] = address | PRESENT | WRITABLE | LARGE | never_execute
        used += 1
    return base
