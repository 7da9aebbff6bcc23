"""Random guests: noise, and instructions that a kernel would use, on registers that point to memory, page tables and what is shared with the host.

    python -m guest.random_programs FIRST N [N_FRAMES [HOLE]]

runs programs number FIRST to FIRST + N in one process, which must survive, and prints how many ended in which way. The number of the program that
runs is printed on standard error, so that after a crash it is the last line there.
"""

from __future__ import annotations

import random
import re
import struct
import sys
from collections import Counter

from guest.raw import FOREVER, RBX, RCX, RING, RSP, machine_of, mov

from kernel_sim import FrameManager
from kernel_sim.machine.abi import (
    BATCH,
    CALL_BOX,
    CONSOLE_PORT,
    DIRECT_MAP,
    DOORBELL_PORT,
    EXIT_PORT,
    FIRMWARE,
    FIRMWARE_BYTES,
    PAGE_TABLES,
    PAGE_TABLES_END,
    STACK_BOTTOM,
    STACK_TOP,
    WINDOW,
)
from kernel_sim.machine.machine import Run
from kernel_sim.zones import Zone

BUDGET = 2000
OUTCOMES = {"exit", "fault", "halt", "budget"}
REGISTERS = [register for register in range(16) if register != RSP]
EDGES = (0, 1, -1, 1 << 63, (1 << 63) - 1, 1 << 47, (1 << 47) - 1, -(1 << 47), (1 << 52) - 4096)

# What changes the machine under the engine's feet: modes, control registers, descriptors, interrupts, far jumps, saved states, strings, ports.
_PRIVILEGED = """
    f4 fa fb 9c 9d cc f1 cd80 cd00 cdff cf 48cf cb 48cb ca0800 0f05 0f07 0f34 0f35 0faa 0f06 0f08 0f09 0f0b 0fff 0fb9c0 0f20c0 0f22c0 0f20d8
    0f22d8 0f20e0 0f22e0 440f20c0 440f22c0 0f22c8 0f21f8 0f23f8 0f23c0 0f30 0f32 0f33 0fa2 0f0d08 0f18c8 0f00c8 0f00d0 0f00d8 0f00e0 0f0108
    0f0100 0f0110 0f0118 0f0130 0f0120 0f0138 0f01c1 0f01c8 0f01c9 0f01d0 0f01d1 0f01d8 0f01d9 0f01da 0f01db 0f01dc 0f01dd 0f01de 0f01df 0f01ee
    0f01ef 0f01f8 0f01f9 0f01fa 0f02c0 0f03c0 8ed0 8ed8 8ec0 8ee0 8ee8 8cd0 8cc8 0fa0 0fa1 0fa8 0fa9 0fb208 0fb408 0fb508 ff28 48ff28 ff18
    48ff18 ff10 ff20 0fae00 0fae08 0fae10 0fae18 0fae20 0fae28 0fae30 480fae00 480fae08 480fae20 480fae28 0fae38 0faee8 0faef0 0faef8 f30faec0
    f30faed0 480fc708 0fc708 f0480fc708 0fc7f0 0fc730 660fc730 f30fc730 660f388200 660f388000 d9f0 dbe3 dfe0 9b dd00 dd20 dd30 d920 d930 0f77
    0f6e00 0f2900 660f2900 f20f1000 c5f877 c5fc2900 62f17c482900 f3ab f348ab f3a4 f348a5 f3ae f2ae f3a6 6c 6d 6e 6f f36c f36e f36d f36f ec ed ee
    ef e460 e580 d7 c8000000 c800001f c8ffff1f c9 67e300 e300 f0480fc108 f0480fb108 0fc8 480fc8 0fbcc0 f3480fb8c0 6690 f390 64488b08 65488b08
    65480308 36488b08 0f3804c1 660f3a6300ff 660f73f0ff 0f01f0 0f23c8 0f22e0 0f3f 0f0f00b4 8f00 8f4008 ff30 ff7008 6aff 68ffffff7f 0f80ffffff7f
"""
PRIVILEGED = [bytes.fromhex(code) for code in re.split(r"\s+", _PRIVILEGED.strip())]


class Generator:
    """Programs for a memory of so many frames; the same number, the same program."""

    def __init__(self, number: int, n_frames: int) -> None:
        self.random = random.Random(number)
        self.noise_only = number % 5 == 0
        self.memory_bytes = n_frames * 4096

    def program(self) -> bytes:
        begin = mov(RSP, FIRMWARE + STACK_TOP - 512) + b"".join(mov(register, self.address()) for register in REGISTERS)
        if self.noise_only:
            return begin + self.random.randbytes(400)
        return begin + b"".join(self.instruction() for _ in range(self.random.randrange(5, 120))) + FOREVER

    def address(self) -> int:
        """Mostly something that is mapped; at times an edge, or anything."""
        below = self.random.randrange
        return self.pick((
            (8, lambda: DIRECT_MAP + below(self.memory_bytes)),
            (3, lambda: FIRMWARE + STACK_BOTTOM + below(STACK_TOP - STACK_BOTTOM)),
            (2, lambda: FIRMWARE + PAGE_TABLES + 8 * below(5 * 512)),
            (1, lambda: FIRMWARE + PAGE_TABLES + 8 * below((PAGE_TABLES_END - PAGE_TABLES) // 8)),
            (3, lambda: FIRMWARE + below(CALL_BOX, WINDOW + 4096)),
            (1, lambda: FIRMWARE + below(FIRMWARE_BYTES)),
            (1, lambda: DIRECT_MAP + (1 << 32) - FIRMWARE_BYTES + below(FIRMWARE_BYTES)),   # the firmware, where memory lies above it
            (1, lambda: DIRECT_MAP + below(1 << 46)),
            (1, lambda: below(64)),
            (1, self.number),
        ))

    def number(self) -> int:
        """A value of any kind: an entry of a page table, a register's or a port's number, an edge, noise."""
        below, bits = self.random.randrange, self.random.getrandbits
        return self.pick((
            (2, lambda: bits(52) & ~0xFFF | self.random.choice((0, 1, 3, 7, 0x81, 0x83, 0x87)) | bits(1) << 63),
            (2, lambda: (below(self.memory_bytes) & ~0xFFF) | self.random.choice((1, 3, 7, 0x83, 0xE3))),
            (1, lambda: self.random.choice((0xC000_0080, 0xC000_0081, 0xC000_0082, 0xC000_0100, 0x1B, 0x277, 0x8000_0011, 0x8000_0000, 0x6F0))),
            (1, lambda: self.random.choice((DOORBELL_PORT, CONSOLE_PORT, EXIT_PORT, 0x60, 0x3F8, below(1 << 16)))),
            (2, lambda: self.random.choice(EDGES)),
            (1, lambda: bits(32)),
            (1, lambda: bits(64)),
        ))

    def instruction(self) -> bytes:
        below, choice, noise = self.random.randrange, self.random.choice, self.random.randbytes
        return self.pick((
            (8, lambda: bytes((choice((0x48, 0x49, 0x4C, 0x4D, 0x66, 0x40)), choice((0x89, 0x89, 0x89, 0x01, 0x31, 0x88, 0x8B)),
                               below(8) << 3 | choice((0, 1, 2, 3, 6, 7))))),
            (4, lambda: mov(choice(REGISTERS), self.address())),
            (2, lambda: choice(PRIVILEGED)),
            (2, lambda: bytes((choice((0x50, 0x58)) + below(8),))),
            (2, lambda: bytes((choice((0xE6, 0xE7)), choice((DOORBELL_PORT, DOORBELL_PORT, CONSOLE_PORT, EXIT_PORT, below(256)))))),
            (2, lambda: bytes((choice((0xEB, *range(0x70, 0x80))), choice((0, 2, 5, 0xF0, 0xE0, below(256)))))),
            (3, self.call),
            (3, self.map),
            (1, lambda: bytes((0x48, 0xFF, choice((0xC0, 0xD0, 0xE0)) + below(8)))),
            (1, lambda: noise(below(1, 8))),
        ))

    def call(self) -> bytes:
        """A call through the box, or one of a batch; numbers of all kinds."""
        box = FIRMWARE + self.random.choice((CALL_BOX, CALL_BOX, CALL_BOX, BATCH, BATCH + 64))
        words = (self.random.randrange(10), self.random.choice((0, 1, 2, 4, -1, 1024, 1 << 30)), self.random.choice((0, 1, 2, 4, -1, 4095, 4096)))
        number, n_frames, pfn = (struct.pack("<i", word) for word in words)
        return mov(RBX, box) + b"\xc7\x03" + number + b"\x48\xc7\x43\x08" + n_frames + b"\x48\xc7\x43\x10" + pfn + RING

    def map(self) -> bytes:
        """An entry of the page tables overwritten; at times CR3, too, which forgets all translations."""
        entry = self.random.choice((0, 256, 511, 512 + 510, 1024, 1536 + self.random.randrange(512), 2048 + self.random.randrange(4)))
        flush = self.random.choice((b"", b"\x0f\x20\xd9\x0f\x22\xd9", b"\x0f\x01\x38"))
        return mov(RBX, FIRMWARE + PAGE_TABLES + 8 * entry) + mov(RCX, self.number()) + b"\x48\x89\x0b" + flush

    def pick(self, choices):  # type: ignore[no-untyped-def]
        """One of (weight, function), called."""
        return self.random.choices([make for _, make in choices], [weight for weight, _ in choices])[0]()


def run_one(number: int, manager: FrameManager) -> Run:
    return machine_of(Generator(number, manager.n_table_frames).program(), manager, budget=BUDGET, seed=number).run()


def main(first: int, n: int, n_frames: int = 4096, hole: int = 0) -> None:
    """Run them; every fiftieth time the manager is audited and made anew."""
    zones = [Zone("Low", ((0, n_frames - hole),)), Zone("High", ((n_frames, n_frames + 4096),))] if hole else [Zone("Memory", ((0, n_frames),))]
    ended: Counter[str] = Counter()
    for number in range(first, first + n):
        print(number, file=sys.stderr, flush=True)
        if number % 50 == 0 or number == first:
            manager = FrameManager(zones)
        run = run_one(number, manager)
        assert run.stopped in OUTCOMES and (run.stopped == "fault") == (run.fault is not None) == bool(run.listing), run
        assert run.blocks <= BUDGET and "\n" not in str(run.fault)
        ended[run.stopped] += 1
        if number % 50 == 49:
            manager.check()
    print(dict(sorted(ended.items())))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
