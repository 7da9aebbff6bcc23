"""The page walk against an oracle of its own, the tables the machine starts with, and tables that a guest has written."""

from __future__ import annotations

import ctypes
import random

import numpy as np
import pytest
import unicorn.x86_const as x86
from guest.raw import HALT, R8, RAX, RBX, leave, machine_of, mov, store

from kernel_sim import FrameManager
from kernel_sim.compiled import address_of, interpreted
from kernel_sim.machine import board
from kernel_sim.machine.abi import CALL_BOX, DIRECT_MAP, FIRMWARE, FIRMWARE_BYTES, IMAGE_BYTES, MICROCODE, MICROCODE_END, PAGE_TABLES, STACK_BOTTOM
from kernel_sim.machine.cpu import Cpu
from kernel_sim.machine.hooks import device_hooks
from kernel_sim.machine.paging import build_page_tables, walk
from kernel_sim.machine.ram import Ram
from kernel_sim.machine.translation import FETCH, READ, WRITE, Mode

HOOK = ctypes.CFUNCTYPE(ctypes.c_bool, ctypes.c_int64, ctypes.c_int64, ctypes.c_int32, ctypes.c_int64, ctypes.c_int64)
P, W, U, A, D, PS, NX = 1, 2, 4, 1 << 5, 1 << 6, 1 << 7, 1 << 63
READABLE, WRITABLE, EXECUTABLE = 1, 2, 4
FOUR_GIB = 1 << 20      # frames

SMALL, TALL = [(0, 1024)], [(0, 700), (FOUR_GIB, FOUR_GIB + 64)]      # in the second the firmware lies below other memory


class Walker:
    """A memory with page tables, and a processor that does not run: only its registers count."""

    def __init__(self, frames: list[tuple[int, int]], code: tuple[tuple[int, int], ...] = ((FIRMWARE, FIRMWARE + 1),)) -> None:
        self.ram = Ram(frames)
        self.top = build_page_tables(self.ram, code)
        self.board = np.zeros(board.BOARD_WORDS, np.int64)
        self.cpu = Cpu()
        self.cpu.set_page_table(self.top)
        _, read, write, _ = self.cpu.functions
        self.board[[board.B_RAM, board.B_RAM_BYTES, board.B_FIRMWARE, board.B_FIRMWARE_BASE, board.B_ENGINE, board.B_READ_FUNCTION,
                    board.B_WRITE_FUNCTION, board.B_ADDRESS]] = (address_of(self.ram.bytes), self.ram.size, address_of(self.ram.firmware),
                                                                 self.ram.firmware_base, self.cpu.engine, read, write, address_of(self.board))
        self.tables = self.ram.shared(PAGE_TABLES, np.dtype("<u8"), 96 * 512).reshape(-1, 512)
        self.mode(False, True, True)

    def mode(self, user: bool, write_protect: bool, no_execute: bool) -> None:
        """Set the registers that a walk looks at."""
        self.user, self.write_protect, self.no_execute = user, write_protect, no_execute
        self.cpu.uc.reg_write(x86.UC_X86_REG_CS, 0x23 if user else 0x08)
        self.cpu.uc.reg_write(x86.UC_X86_REG_CR0, 1 << 31 | 1 | write_protect << 16)
        self.cpu.uc.msr_write(0xC000_0080, 0x500 | no_execute << 11)

    def top_at(self, physical: int) -> None:
        self.top = physical
        self.cpu.uc.reg_write(x86.UC_X86_REG_CR3, physical)

    def walk(self, virtual: int, access: int) -> tuple[int, ...]:
        """Physical frame, rights and error code, as the interpreter finds them."""
        mode = Mode(self.top, self.user, self.write_protect, self.no_execute)
        found = interpreted(walk)(self.board, np.uint64(virtual & (1 << 64) - 1).astype(np.int64), access, mode)
        return int(found.physical), int(found.may), int(found.error)

    def miss(self, virtual: int, access: int) -> tuple[int, ...]:
        """The same from the engine's hook, compiled."""
        hook = HOOK(device_hooks().miss.address)
        answer = np.full(2, -7, np.int64)
        self.board[board.B_WHY] = board.RUNNING
        served = hook(0, ctypes.c_int64(virtual).value, access, address_of(answer), address_of(self.board))
        assert served == (self.board[board.B_WHY] == board.RUNNING)
        if not served and self.board[board.B_VECTOR] == 13:
            return -1, 0, -13
        return (int(answer[0]), int(answer[1]), 0) if served else (-1, 0, int(self.board[board.B_ERROR_CODE]))

    def expected(self, virtual: int, access: int) -> tuple[tuple[int, ...], list[tuple[int, int]]]:
        """The same by the book (AMD64 APM 2, 5.3 to 5.6 and 8.4.2), and the entries that are then to be found in memory, as (address, entry).

        Bits 47:39, 38:30, 29:21 and 20:12 choose; what is not canonical is a general protection fault, marked -13.
        """
        bits = f"{virtual & (1 << 64) - 1:064b}"
        if len(set(bits[:17])) > 1:
            return (-1, 0, -13), []
        basic = (2 if access == WRITE else 0) + 4 * self.user + (16 if access == FETCH and self.no_execute else 0)
        entries: list[tuple[int, int]] = []
        table = self.top
        for level in range(4):
            where = table + 8 * int(bits[16 + 9 * level:25 + 9 * level], 2)
            entry = self.read(where)
            if not entry & P:
                return (-1, 0, basic), []
            entries.append((where, entry))
            is_leaf = level == 3 or bool(entry & PS)
            size = 1 << (39, 30, 21, 12)[level]
            must_be_zero = 0x000F_C000_0000_0000 | (0 if self.no_execute else NX)
            if level == 0:
                must_be_zero |= PS
            elif is_leaf:
                must_be_zero |= size - 1 & ~0x1FFF
            if entry & must_be_zero:
                return (-1, 0, basic | 9), []
            table = entry & 0x000F_FFFF_FFFF_F000
            if is_leaf:
                break
        may = self.rights([entry for _, entry in entries])
        if not may & {READ: READABLE, WRITE: WRITABLE, FETCH: EXECUTABLE}[access]:
            return (-1, 0, basic | 1), []
        last = len(entries) - 1
        marked = [(where, entry | A | (D if access == WRITE and level == last else 0)) for level, (where, entry) in enumerate(entries)]
        if access != WRITE and not entry & D:
            may &= ~WRITABLE
        return (table // size * size + virtual % size // 4096 * 4096, may, 0), marked

    def rights(self, entries: list[int]) -> int:
        if self.user and not all(entry & U for entry in entries):
            return 0
        writable = all(entry & W for entry in entries) or not (self.user or self.write_protect)
        return READABLE | (WRITABLE if writable else 0) | (0 if any(entry & NX for entry in entries) else EXECUTABLE)

    def read(self, physical: int) -> int:
        """A word of the memory, 0 where there is none."""
        for first, size, memory in ((self.ram.firmware_base, FIRMWARE_BYTES, self.ram.firmware), (0, self.ram.size, self.ram.bytes)):
            if first <= physical <= first + size - 8:
                return int.from_bytes(memory[physical - first:physical - first + 8].tobytes(), "little")
        return 0

    def agree(self, virtual: int) -> tuple[int, int]:
        """Oracle, interpreter and compiled hook say the same of reading, writing and fetching. Where it is, and the union of what may be done."""
        where, rights = -1, 0
        for access in (READ, FETCH, WRITE, READ):
            found, marked = self.expected(virtual, access)
            if found[2] != -13:
                before = self.ram.firmware.copy()
                assert self.walk(virtual, access) == found, (hex(virtual), access)
                assert all(self.read(address) == entry for address, entry in dict(marked).items() if [at for at, _ in marked].count(address) == 1)
                self.ram.firmware[:] = before
            assert self.miss(virtual, access) == found, (hex(virtual), access)
            where, rights = max(where, found[0]), rights | found[1]
        return where, rights


@pytest.mark.parametrize("frames", [SMALL, TALL, [(0, 1 << 28)], [(5, (1 << 32) - 1)]], ids=["small", "tall", "1 TiB", "16 TiB"])
def test_the_direct_map(frames: list[tuple[int, int]]) -> None:
    """Physical memory, all of it, to be read and written and never executed."""
    walker = Walker(frames)
    for pfn in {0, *(pfn for first, end in frames for pfn in (first, end - 1, (first + end) // 2))}:
        assert walker.agree(DIRECT_MAP + pfn * 4096 + 0xABC) == (pfn * 4096, READABLE | WRITABLE)
    beyond = -(-walker.ram.size // (1 << 30)) << 30
    for virtual in (DIRECT_MAP + beyond, DIRECT_MAP - 1, 0, 0x1000, FIRMWARE - 1, FIRMWARE + FIRMWARE_BYTES, (1 << 64) - 1, 1 << 63, 1 << 47):
        assert walker.agree(virtual) == (-1, 0)


@pytest.mark.parametrize("frames", [SMALL, TALL])
def test_the_firmware(frames: list[tuple[int, int]]) -> None:
    """Code is executed and not written; all else the other way round; there is a gap below the stack."""
    walker = Walker(frames, ((FIRMWARE, FIRMWARE + 5000), (FIRMWARE + 0x9FFF, FIRMWARE + 0xA001)))
    code = {0, 1, 9, 10}
    for page in range(FIRMWARE_BYTES // 4096):
        if MICROCODE <= page * 4096 < MICROCODE_END:
            continue        # the machine's own, which ring 0 always has
        physical, rights = walker.agree(FIRMWARE + page * 4096 + 123)
        if IMAGE_BYTES <= page * 4096 < STACK_BOTTOM:
            assert (physical, rights) == (-1, 0)
        else:
            assert physical == walker.ram.firmware_base + page * 4096
            assert rights == (READABLE | EXECUTABLE if page in code else READABLE | WRITABLE)


@pytest.mark.parametrize("frames", [SMALL, TALL])
@pytest.mark.parametrize("seed", range(4))
def test_random_tables(frames: list[tuple[int, int]], seed: int) -> None:
    """Tables full of entries of every kind, in every mode: present or not, large or not, the user's or not, to the next table, to themselves."""
    rng, walker = random.Random(seed), Walker(frames)

    def entry() -> int:
        table = walker.top + 4096 * rng.randrange(8)
        anywhere = rng.choice((table, table, table, rng.getrandbits(52) & ~0xFFF, 4096 * rng.randrange(1024), walker.ram.size - 4096, 0))
        return anywhere | rng.choice((0, 1, 1, 3, 3, 7, 7, 7, 0x67, 0x87, 0x83, 0xFFF)) | rng.choice((0, 0, 0, NX, 0x7FF << 52))

    for _ in range(30):
        walker.mode(rng.random() < 0.5, rng.random() < 0.7, rng.random() < 0.7)
        walker.tables[:8] = [[entry() for _ in range(512)] for _ in range(8)]
        walker.ram.bytes[:8192] = np.frombuffer(rng.randbytes(8192), np.uint8)
        for _ in range(30):
            walker.agree(rng.choice((rng.getrandbits(64), rng.getrandbits(47), -rng.getrandbits(47) - 1 & (1 << 64) - 1)))


def test_addresses_at_every_edge() -> None:
    """A table at the last bytes of memory, and just beyond; an entry with every bit set."""
    walker = Walker(SMALL)
    for table in (walker.ram.size - 4096, walker.ram.size, walker.ram.size + 4096, walker.ram.firmware_base + FIRMWARE_BYTES, (1 << 52) - 4096):
        walker.tables[0, 0] = table | P | W
        for index in (0, 511):
            walker.agree(index << 30)
    walker.tables[0, 0] = (1 << 64) - 1
    walker.agree(0)
    walker.top_at(walker.ram.firmware_base + FIRMWARE_BYTES - 4096)
    walker.agree(0x7FFF_FFFF_F000)


# -- in the machine -----------------------------------------------------------------------------------------------------------------------

PML4, AT_FIRMWARE, FLUSH = FIRMWARE + PAGE_TABLES, FIRMWARE + PAGE_TABLES + 4 * 4096, b"\x0f\x20\xd9\x0f\x22\xd9"      # mov rcx, cr3; mov cr3, rcx
LOW = 0x40_0000


def page_at(physical: int, *entries: int) -> bytes:
    """Code that maps LOW, through tables of its own in frames 1 to 3, as deep as there are entries; the last leads to `physical`."""
    indices = [LOW >> shift & 511 for shift in (39, 30, 21, 12)]
    code, table = b"", PML4
    for level, (index, bits) in enumerate(zip(indices, entries, strict=False)):
        last = level == len(entries) - 1
        code += store((physical if last else (level + 1) * 4096) | bits, table + 8 * index)
        table = DIRECT_MAP + (level + 1) * 4096
    return code


@pytest.mark.parametrize(("entries", "physical"), [
    ((P | W, P | W, P | W, P | W), 9 * 4096), ((P | W, P | W, P | W | PS), 2 << 20), ((P | W, P | W | PS), 0),
])
def test_a_page_that_the_guest_maps(entries: tuple[int, ...], physical: int) -> None:
    """4 KiB, 2 MiB and 1 GiB: what is written there is in the frame behind it."""
    machine = machine_of(page_at(physical, *entries) + store(0x1122_3344_5566_7788, LOW + 0x18) + HALT, FrameManager(2048))
    assert machine.run().stopped == "halt"
    at = physical + (LOW % (1 << 30) if len(entries) == 2 else 0) + 0x18
    assert machine.ram.bytes[at:at + 8].tobytes() == (0x1122_3344_5566_7788).to_bytes(8, "little")


@pytest.mark.parametrize("level", range(4))
def test_a_page_that_the_guest_may_not_write(level: int) -> None:
    """One level without the bit is enough; reading works."""
    entries = [P | W] * 4
    entries[level] = P
    code = page_at(9 * 4096, *entries)
    read = mov(RAX, LOW) + b"\x48\x8b\x08"
    done = machine_of(code + read + store(1, LOW), FrameManager(2048)).run()
    assert str(done.fault).startswith(f"page fault: write to {LOW:#x}, by `movabs qword ptr")


def test_code_in_a_page_that_the_guest_maps() -> None:
    """It runs, and with the bit that forbids it, it does not."""
    code = store(int.from_bytes(leave(9)[:8], "little"), DIRECT_MAP + 9 * 4096) + mov(RBX, LOW)
    assert machine_of(page_at(9 * 4096, P | W, P | W, P | W, P | W) + code + b"\xff\xe3", FrameManager(2048)).run().exit_status == 9
    done = machine_of(page_at(9 * 4096, P | W, P | W, P | W, P | W | NX) + code + b"\xff\xe3", FrameManager(2048)).run()
    assert str(done.fault).startswith(f"page fault: jump to {LOW:#x}, by `jmp rbx`")


@pytest.mark.parametrize("physical", [1 << 40, (1 << 46) - 4096, 2048 * 4096])
def test_a_page_where_there_is_no_memory(physical: int) -> None:
    """To read it is a fault, to jump there, too."""
    code = page_at(physical, P | W, P | W, P | W, P | W) + mov(RBX, LOW)
    read = machine_of(code + b"\x48\x8b\x0b", FrameManager(2048)).run()
    assert str(read.fault).startswith(f"read of {LOW:#x}, where there is no memory, by `mov rcx, qword ptr [rbx]`")
    jumped = machine_of(code + b"\xff\xe3", FrameManager(2048)).run()
    assert jumped.stopped == "fault" and "where there is no memory" in str(jumped.fault)


def test_page_0_is_a_page() -> None:
    """A jump to 0 is no end of the run when the guest has mapped it."""
    code = store(int.from_bytes(leave(9)[:8], "little"), DIRECT_MAP)
    zero = store(1 * 4096 | P | W, PML4) + store(2 * 4096 | P | W, DIRECT_MAP + 4096) + store(3 * 4096 | P | W, DIRECT_MAP + 8192)
    done = machine_of(code + zero + store(P | W, DIRECT_MAP + 3 * 4096) + mov(RBX, 0) + b"\xff\xe3", FrameManager(2048)).run()
    assert done.exit_status == 9


def test_a_translation_is_kept_until_it_is_flushed() -> None:
    """As on hardware, the page can still be written after its entry is gone, and no more after CR3 was written."""
    touch, unmap = store(7, FIRMWARE + CALL_BOX), store(0, AT_FIRMWARE - 4096 + 8 * (CALL_BOX // 4096))
    assert machine_of(touch + unmap + touch + HALT).run().stopped == "halt"
    assert machine_of(touch + unmap + FLUSH + touch + HALT).run().stopped == "fault"


def test_a_large_page_is_dropped_whole() -> None:
    """One `invlpg` anywhere in it, as on hardware, although it was looked up by parts of 4 KiB; without one it can still be read."""
    read = [mov(RAX, LOW + offset) + b"\x48\x8b\x08" for offset in (0x1000, 0x5000)]         # mov rcx, [rax]
    unmap = store(0, DIRECT_MAP + 2 * 4096 + 8 * (LOW >> 21 & 511))
    code = page_at(2 << 20, P | W, P | W, P | W | PS) + read[0] + read[1] + unmap
    assert machine_of(code + read[1] + HALT, FrameManager(2048)).run().stopped == "halt"
    for drop in (b"\x0f\x01\x3b", b"\x41\x0f\x01\x38"):           # invlpg [rbx], invlpg [r8]
        done = machine_of(code + mov(RBX, LOW) + mov(R8, LOW) + drop + read[1] + HALT, FrameManager(2048)).run()
        assert str(done.fault).startswith(f"page fault: read of {LOW + 0x5000:#x}")


def test_a_guest_that_unmaps_itself() -> None:
    """The next instruction cannot be fetched."""
    done = machine_of(store(0, PML4 + 8 * 511) + FLUSH + HALT).run()
    assert done.stopped == "fault" and str(done.fault).startswith(f"page fault: jump to {FIRMWARE + 26:#x}")
