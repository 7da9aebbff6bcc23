"""Guests that nobody would write, drawn from a seed: any bytes as code, any page tables, the guest kernel and its programs with bytes changed.

    python hostile_guests.py ANYTHING.elf FIRST END

plays the seeds from FIRST up to END, where ANYTHING.elf is `hostile/anything.c` as it was built, and says each before it begins: a guest that brings
down the process is the last one that was named. It is an error when a guest ends the machine with an exception, or leaves the books wrong.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from guest.raw import EXECUTE, READ, STACK, WRITE, Part, elf, mov, store

from kernel_sim import FrameManager
from kernel_sim.errors import BadInput
from kernel_sim.machine.abi import BATCH, CALL_BOX, DIRECT_MAP, FIRMWARE, PAGE_TABLES
from kernel_sim.machine.loader import find_guest
from kernel_sim.machine.machine import TRANSLATIONS, Machine
from kernel_sim.machine.modules import Program, find_program
from kernel_sim.zones import Zone

_RARE = """
    0f01f8 0f22d8 0f22c0 0f22e0 0f30 0f32 0f00d8 0f00d0 0f011c24 0f011424 48cf cf 48cb cb e6e0 e7e2 e7e9 e6e1 f4 cc cdff cd0e fb fa 9d 0f05 0f34
    0f07 0f35 48ff1c24 48ff2c24 ff1c24 f348ab f3a4 f348a5 0f0138 8ed0 8ed8 8ee0 0fa2 0f23f8 0f23c0 6a10 50 58 5c 0f01d9 0f01d8 0f01da 0f01db 0fae00
    0fae08 f00fc70e 480fc70e 0f0b e5f4 ec ed 6c 6e f36f c8ffff01 c9 c3 e800000000 ebfe 31ed 0f20c0 0f20d8 0f20e0"""
PIECES = [bytes.fromhex(code) for code in _RARE.split()]
"""What has to do with tables, rings, ports and stacks, and what is rare."""

SMALL, BUDGETS = 4096, (20_000, 200_000)
_FIRST_CODE, _LAST_CODE = 0x1000, 0x9000      # of the kernel's image, in bytes


def any_code(draw: random.Random) -> bytes:
    """Code made of pieces, registers with likely values, stores to what host and guest share, and any bytes."""
    code = STACK if draw.random() < 0.7 else b""
    for _ in range(draw.randint(1, 60)):
        kind = draw.random()
        if kind < 0.35:
            code += draw.choice(PIECES)
        elif kind < 0.6:
            likely = [0, 0x38, 1 << 31, 0xC000_0080, DIRECT_MAP + draw.getrandbits(24), FIRMWARE + draw.getrandbits(21), CALL_BOX + FIRMWARE]
            code += mov(draw.randrange(9), draw.choice([*likely, draw.getrandbits(64), draw.getrandbits(16)]))
        elif kind < 0.75:
            places = (CALL_BOX + 8 * draw.randint(0, 8), BATCH + 8 * draw.randint(0, 64), PAGE_TABLES + 8 * draw.getrandbits(12))
            where = draw.choice([*(FIRMWARE + place for place in places), DIRECT_MAP + 8 * draw.getrandbits(12)])
            code += store(draw.choice([draw.getrandbits(64), draw.randint(1, 13), draw.getrandbits(13)]), where)
        else:
            code += draw.randbytes(draw.randint(1, 12))
    return code


def changed(draw: random.Random, image: bytes, first: int, end: int, n_changes: int) -> bytes:
    """An image with some of its bytes changed."""
    data = bytearray(image)
    for _ in range(n_changes):
        at = draw.randrange(first, end)
        data[at] = draw.choice([draw.getrandbits(8), data[at] ^ 1 << draw.randrange(8), 0x90])
    return bytes(data)


def code_machine(draw: random.Random, folder: Path, options: dict[str, Any]) -> Machine:
    """Any code, without a kernel around it."""
    code = draw.randbytes(draw.randint(1, 3000)) if draw.random() < 0.3 else any_code(draw)
    path = folder / "code.elf"
    path.write_bytes(elf(Part(code, flags=READ | EXECUTE | draw.choice([0, WRITE]))))
    holes = [Zone("Low", ((0, 64),)), Zone("High", ((256, 1320),))]
    return Machine(FrameManager(holes if draw.random() < 0.3 else SMALL), path, **options)


def kernel_machine(draw: random.Random, folder: Path, options: dict[str, Any]) -> Machine:
    """The guest kernel with two programs; one of the three has been changed."""
    kernel = find_guest("kernel")
    programs = [find_program(draw.choice(["malloc", "forktree", "generated"]), str(draw.randint(1, 9))) for _ in range(2)]
    if draw.random() < 0.6:
        image = kernel.read_bytes()
        kernel = folder / "kernel.elf"
        kernel.write_bytes(changed(draw, image, _FIRST_CODE, min(len(image), _LAST_CODE), draw.choice([1, 2, 5, 20])))
    else:
        image = programs[0].path.read_bytes()
        (folder / "program.elf").write_bytes(changed(draw, image, 0, len(image), draw.choice([1, 3, 30, 300])))
        programs[0] = Program("program", folder / "program.elf", "3")
    return Machine(FrameManager(draw.choice([300, 2048])), kernel, programs=programs, quantum=draw.choice([0, 20, 300]), **options)


def machine_of(seed: int, folder: Path, anything: Path) -> Machine:
    """The machine of a seed. BadInput when its image is refused."""
    draw = random.Random(seed)
    options: dict[str, Any] = {"sanitize": draw.random() < 0.5, "uninitialised": draw.random() < 0.1, "journal": draw.random() < 0.3,
                               "budget": draw.choice(BUDGETS), "translation": draw.choice(TRANSLATIONS)}
    kind = draw.choice(("code", "code", "kernel", "tables"))
    if kind == "code":
        return code_machine(draw, folder, options)
    if kind == "kernel":
        return kernel_machine(draw, folder, options)
    return Machine(FrameManager(SMALL), anything, arguments=[seed], **options)


def play(seed: int, anything: Path) -> None:
    """Run the guest of a seed to its end, whatever that is."""
    with TemporaryDirectory() as folder:
        try:
            machine = machine_of(seed, Path(folder), anything)
        except BadInput:
            return
    run = machine.run()
    assert run.blocks <= max(BUDGETS)
    machine.manager.check()


def main() -> None:
    for seed in range(int(sys.argv[2]), int(sys.argv[3])):
        print(seed, flush=True)
        play(seed, Path(sys.argv[1]))
    print("all", flush=True)


if __name__ == "__main__":
    main()
