"""Guest memory: what is backed, where the firmware lies, and what it costs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kernel_sim.machine.abi import FIRMWARE_BYTES
from kernel_sim.machine.ram import Ram, place_outside
from kernel_sim.zones import Range, intersect, read_memory_map

FOUR_GIB = 1 << 20      # frames
RECORDED = sorted((Path(__file__).parent / "data/kernel").glob("*/iomem"))


@pytest.mark.parametrize(("frames", "base"), [
    ([(0, 1)], (4 << 30) - FIRMWARE_BYTES),
    ([(0, FOUR_GIB - 512)], (4 << 30) - FIRMWARE_BYTES),
    ([(0, FOUR_GIB - 511)], (4 << 30) + 0),                             # not even 2 MiB below 4 GiB: above
    ([(0, FOUR_GIB)], 4 << 30),
    ([(0, FOUR_GIB + 1)], (4 << 30) + FIRMWARE_BYTES),
    ([(0, FOUR_GIB - 1024), (FOUR_GIB, 2 * FOUR_GIB)], (4 << 30) - FIRMWARE_BYTES),
    ([(0, 1000), (FOUR_GIB - 512, FOUR_GIB + 5)], (4 << 30) - 2 * FIRMWARE_BYTES),
    ([(0, 512), (1024, FOUR_GIB)], FIRMWARE_BYTES),                     # the only hole that is large enough
    ([(0, 512), (1025, FOUR_GIB)], FIRMWARE_BYTES),
    ([(0, 513), (1024, FOUR_GIB + 512)], (4 << 30) + FIRMWARE_BYTES),   # the hole is not aligned
])
def test_where_the_firmware_lies(frames: list[Range], base: int) -> None:
    assert place_outside(frames, FIRMWARE_BYTES) == base
    assert not intersect([(base // 4096, (base + FIRMWARE_BYTES) // 4096)], frames)


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.parent.name)
def test_what_is_shown_to_the_engine(path: Path) -> None:
    """Each range of the memory map and the firmware, nothing twice, and the bytes are those of the host's arrays."""
    frames = read_memory_map(path)
    ram = Ram(frames)
    assert sorted((physical, physical + size) for physical, size, _ in ram.mappings()) == sorted(
        [(first * 4096, end * 4096) for first, end in frames] + [(ram.firmware_base, ram.firmware_base + FIRMWARE_BYTES)])
    for physical, _, host in ram.mappings()[:-1]:
        assert host == ram.bytes.ctypes.data + physical
    assert ram.mappings()[-1][2] == ram.firmware.ctypes.data


def test_shared_structures_are_views() -> None:
    ram = Ram([(0, 4)])
    ram.shared(64, np.dtype("<i8"), 2)[:] = 0x0102, -1
    assert ram.firmware[64:80].tobytes() == (0x0102).to_bytes(8, "little") + b"\xff" * 8
    assert not ram.firmware[80:].any()


def test_memory_costs_nothing_until_it_is_touched() -> None:
    """Sixteen terabytes, less one frame."""
    ram = Ram([(0, (1 << 32) - 1)])
    ram.bytes[-1] = 7
    assert ram.size == ((1 << 32) - 1) * 4096 and ram.bytes[-1] == 7 and ram.bytes[1 << 43] == 0


def test_physical_memory_is_read_wherever_it_is() -> None:
    ram = Ram([(0, 16)], 5000)
    ram.bytes[100:104], ram.firmware[0], ram.module_bytes[7] = (1, 2, 3, 4), 9, 8
    assert ram.read(100, 4) == b"\1\2\3\4" and ram.read(ram.firmware_base, 1) == b"\x09" and ram.read(ram.module_base + 7, 1) == b"\x08"
    assert ram.read(16 * 4096 - 2, 8) == b"\0\0" and ram.read(16 * 4096, 8) == b"" == ram.read(-8, 8)
