"""Walks in words: against the compiled walk on random tables, and what they say of every way that an address can end."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from kernel_sim import FrameManager
from kernel_sim.allocators.plain import load_policy
from kernel_sim.compiled import address_of, interpreted
from kernel_sim.machine import abi, board, paging, translation, walks
from kernel_sim.machine.ram import Ram
from kernel_sim.machine.walks import in_words, walk_of
from kernel_sim.units import FRAME_BYTES

N_FRAMES = 1024
P, W, U, PS, NX = 1, 2, 4, 1 << 7, 1 << 63


class Stopped(SimpleNamespace):
    """A machine that nobody runs: memory, books, registers."""

    def __init__(self, translation: str = "paging") -> None:
        manager = FrameManager(N_FRAMES, load_policy("first-fit", uncompiled=True))
        ram = Ram([(0, N_FRAMES)])
        top = paging.build_page_tables(ram, ())
        super().__init__(manager=manager, ram=ram, translation=translation, boot_root=top, cpu=SimpleNamespace(page_table=top))

    def put(self, physical: int, *words: int) -> None:
        self.ram.bytes[physical:physical + 8 * len(words)] = np.array(words, "<u8").view(np.uint8)

    def process(self, pid: int, name: bytes, root: int) -> None:
        entry = self.ram.shared(abi.PROCESS_TABLE, abi.dtype(abi.Process), abi.MAX_PROCESSES)[pid]
        entry["pid"], entry["is_live"], entry["root"] = pid, 1, root
        entry["name"][:len(name)] = np.frombuffer(name, np.uint8)

    @property
    def board(self) -> Any:
        words = np.zeros(board.BOARD_WORDS, np.int64)
        words[[board.B_RAM, board.B_RAM_BYTES, board.B_FIRMWARE, board.B_FIRMWARE_BASE]] = (
            address_of(self.ram.bytes), self.ram.size, address_of(self.ram.firmware), self.ram.firmware_base)
        return words


def text(walk: walks.Walk) -> str:
    return "\n".join(in_words(walk))


def paged() -> tuple[Stopped, dict[str, int]]:
    """Process 7 with a page at 0x1000, a large page at 2 MiB, a gigabyte at 1 GiB, and entries that are wrong."""
    machine = Stopped()
    frames = {name: machine.manager.alloc(n, owner=7) for name, n in (("root", 1), ("pdpt", 1), ("pd", 1), ("pt", 1), ("page", 1))}
    frames["free"] = machine.manager.alloc(1)
    machine.manager.free(frames["free"])
    at = {name: pfn * FRAME_BYTES for name, pfn in frames.items()}
    machine.put(at["root"], at["pdpt"] | P | W | U, at["pdpt"] | P | PS, N_FRAMES * FRAME_BYTES | P)
    machine.put(at["pdpt"], at["pd"] | P | W | U, 0 << 30 | P | U | PS, 1 << 13 | P | PS)
    machine.put(at["pd"], at["pt"] | P | W | U, 0x20_0000 | P | W | PS | NX, 1 << 46 | P)
    machine.put(at["pt"], 0, at["page"] | P | W | U | NX, at["free"] | P | U)
    machine.process(7, b"matrix", at["root"])
    machine.cpu.page_table = at["root"]
    return machine, at


def test_a_page() -> None:
    machine, at = paged()
    walk = walk_of(machine, 0x1234)
    assert (walk.outcome, walk.physical, walk.page_bytes) == ("found", at["page"] + 0x234, 4096)
    assert walk.rights.user == walk.rights.supervisor == ("read", "write")
    assert [entry.index for entry in walk.entries] == [0, 0, 0, 1] and {entry.table_owner for entry in walk.entries} == {"7 matrix"}
    said = text(walk).splitlines()
    assert said[0] == f"address 0x0000000000001234 in the address space of process 7 matrix (CR3 {at['root']:#x})"
    assert said[1] == f"  PML4  frame 0x0 (7 matrix), entry   0  {at['pdpt'] | 7:#018x}  present writable user  -> PDPT in frame 0x1"
    assert said[4].endswith(f"present writable user no-execute  -> page of 4 KiB at {at['page']:#x}")
    assert said[5] == f"  physical address {at['page'] + 0x234:#x} in a page of 4 KiB, frame 0x4 (7 matrix)"
    assert said[6] == "  user may read, write; supervisor may read, write"


@pytest.mark.parametrize("virtual, outcome, words", [
    (0x0, "not present", "page fault: not present at level 1 (PT)"),
    (1 << 45, "not present", "page fault: not present at level 4 (PML4)"),
    (0x8000_0000_0000, "not canonical", "not canonical: bits 63 to 47 differ"),
    (1 << 39, "reserved bits", "page fault: reserved bits are set at level 4 (PML4)"),
    (2 << 30, "reserved bits", "page fault: reserved bits are set at level 3 (PDPT)"),
    (4 << 20, "reserved bits", "page fault: reserved bits are set at level 2 (PD)"),
    (2 << 39, "no memory", "no memory where the next table should be"),
])
def test_addresses_that_lead_nowhere(virtual: int, outcome: str, words: str) -> None:
    walk = walk_of(paged()[0], virtual)
    assert (walk.outcome, walk.physical) == (outcome, None) and words in text(walk)


def test_large_pages_rights_and_owners() -> None:
    machine, _ = paged()
    large, huge, dangling = walk_of(machine, (2 << 20) + 0x12345), walk_of(machine, (1 << 30) + 5), walk_of(machine, 0x2000)
    assert (large.page_bytes, large.physical, large.rights) == (2 << 20, (2 << 20) + 0x12345, walks.Rights((), ("read", "write")))
    assert "user may do nothing; supervisor may read, write" in text(large)
    assert (huge.page_bytes, huge.physical, huge.rights.user) == (1 << 30, 5, ("read", "execute"))
    assert dangling.owner == "free" and "(free)" in text(dangling)
    kernel = walk_of(machine, abi.FIRMWARE + abi.BOOT_INFO, machine.boot_root)
    assert kernel.owner == "firmware" and kernel.whose == "the kernel" and kernel.entries[0].table_owner == "firmware"
    assert walk_of(machine, 0, 0x5000).whose == "no live process"


def segmented() -> tuple[Stopped, int]:
    machine = Stopped("segmentation")
    root = machine.manager.alloc(1, owner=3) * FRAME_BYTES
    base = machine.manager.alloc(4, owner=3) * FRAME_BYTES
    there = abi.SEGMENT_PRESENT | abi.SEGMENT_WRITABLE
    for number, flags in ((1, abi.SEGMENT_PRESENT | abi.SEGMENT_EXECUTABLE), (2, there), (4, there | abi.SEGMENT_GROWS_DOWN)):
        machine.put(root + 32 * number, base, 4 * FRAME_BYTES, flags | 9 << 32, 0)
    machine.cpu.page_table = root
    return machine, base


@pytest.mark.parametrize("virtual, outcome, offset, words", [
    ((1 << 43) + 0x2345, "found", 0x2345, "offset 0x2345, bound 0x4000: base + 0x2345"),
    ((1 << 43) + 0x4000, "beyond the bound", None, "page fault: beyond the segment's bound"),
    ((2 << 43) + 0x3FFF, "found", 0x3FFF, "user may read, write"),
    ((3 << 43) + 1, "no segment", None, "page fault: there is no such segment"),
    ((5 << 43) - 8, "found", 0x3FF8, "0x8 below the segment's end, bound 0x4000: base + bound - 0x8"),
    ((5 << 43) - 0x4000, "found", 0, "segment 4: id 9, base 0x1000, bound 0x4000 (16 KiB)  present writable grows down"),
    ((5 << 43) - 0x4001, "beyond the bound", None, "page fault"),
])
def test_segments(virtual: int, outcome: str, offset: int | None, words: str) -> None:
    machine, base = segmented()
    walk = walk_of(machine, virtual)
    assert (walk.outcome, walk.physical) == (outcome, None if offset is None else base + offset)
    assert words in text(walk) and not walk.entries
    if offset is not None:
        assert walk.owner == "3"


@pytest.mark.parametrize("seed", range(4))
def test_against_the_compiled_walk(seed: int) -> None:
    """Random tables in eight frames, which lead to each other and to nowhere: the two walks end alike everywhere."""
    chance, machine = random.Random(seed), Stopped()
    for frame in range(8):
        for index in [0, *chance.sample(range(512), 400)]:
            target = chance.choice([chance.randrange(8) * FRAME_BYTES] * 8 + [chance.randrange(1 << 21) << 21, chance.randrange(1 << 40) << 12])
            bits = chance.choice([P | W | U, P | W | U, P | U, P | W, P]) | chance.choice([0, 0, 0, 0, PS, NX, 1 << 5, 0x60])
            machine.put(frame * FRAME_BYTES + 8 * index, (target | bits) & (1 << 64) - 1 if chance.random() < 0.95 else chance.getrandbits(64))
    walked, outcomes = interpreted(paging.walk), set()
    for _ in range(400):
        indices = [chance.choice([chance.randrange(512), 0]) for _ in range(4)]
        virtual = sum(index << 39 - 9 * i for i, index in enumerate(indices)) + chance.randrange(4096)
        virtual |= 0xFFFF << 48 if virtual >> 47 & 1 else 0
        mine = walk_of(machine, virtual, 0)
        for user, access, right in ((True, translation.READ, "read"), (False, translation.WRITE, "write"), (True, translation.FETCH, "execute")):
            signed = virtual - (1 << 64) if virtual >> 63 else virtual
            found = walked(machine.board, np.int64(signed), access, translation.Mode(np.int64(0), user, True, True))
            allowed = mine.rights.user if user else mine.rights.supervisor
            assert (int(found.physical) != translation.NOWHERE) == (right in allowed), (text(mine), found)
            if right in allowed:
                assert mine.physical is not None and int(found.physical) == mine.physical & ~0xFFF
            elif mine.outcome != "no memory":
                assert bool(int(found.error) & translation.ERROR_RESERVED) == (mine.outcome == "reserved bits")
        outcomes.add(mine.outcome)
    assert outcomes >= {"found", "not present", "reserved bits"}
