"""ELF images that are cut off, for somebody else, out of place or damaged: one line that names the file, or an image that can be loaded."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from guest.raw import HALT, READ, WRITE, Part, elf
from kernel_sim.firmware import build

from kernel_sim import BadInput, FrameManager
from kernel_sim.machine.abi import FIRMWARE, IMAGE_BYTES
from kernel_sim.machine.loader import Image, find_guest, read_image
from kernel_sim.machine.machine import Machine
from kernel_sim.machine.ram import Ram

CODE, DATA = Part(HALT * 8), Part(b"data", FIRMWARE + 4096, READ | WRITE, 100)
HELLO = find_guest("hello").read_bytes()
PROGRAM_HEADER = 64


def read(data: bytes, folder: Path) -> Image:
    path = folder / "guest.elf"
    path.write_bytes(data)
    return read_image(path)


def refusal(data: bytes, folder: Path) -> str:
    """What is said of a file that is refused: one line, which begins with its name."""
    with pytest.raises(BadInput) as refused:
        read(data, folder)
    text = str(refused.value)
    assert text.startswith(str(folder / "guest.elf")) and "\n" not in text and len(text) < 400
    return text


def read_or_refuse(data: bytes, folder: Path) -> bool:
    """Whether it can be loaded; if so, it keeps to its place."""
    (folder / "guest.elf").write_bytes(data)
    try:
        image = read_image(folder / "guest.elf")
    except BadInput:
        refusal(data, folder)
        return False
    assert image.parts and any(first <= image.entry < end for first, end in image.code)
    for address, content, size in image.parts:
        assert address >= FIRMWARE and len(content) <= size and address + size <= FIRMWARE + IMAGE_BYTES
    image.load(Ram([(0, 1)]))
    return True


def patched(data: bytes, offset: int, form: str, value: int) -> bytes:
    return data[:offset] + struct.pack(form, value) + data[offset + struct.calcsize(form):]


def test_a_smallest_image(tmp_path: Path) -> None:
    image = read(elf(CODE, DATA), tmp_path)
    assert image.entry == FIRMWARE and image.symbols == ()
    assert image.parts == ((FIRMWARE, HALT * 8, 8), (FIRMWARE + 4096, b"data", 100))
    assert image.code == ((FIRMWARE, FIRMWARE + 8),)


def test_loading_clears_what_the_file_does_not_fill(tmp_path: Path) -> None:
    ram = Ram([(0, 1)])
    ram.firmware[:] = 0xAA
    read(elf(CODE, DATA), tmp_path).load(ram)
    assert ram.firmware[:9].tobytes() == HALT * 8 + b"\xaa"
    assert ram.firmware[4096:4197].tobytes() == b"data" + bytes(96) + b"\xaa"


def test_the_sdks_programs_name_their_functions() -> None:
    image = read_image(find_guest("replay"))
    names = {symbol.name for symbol in image.symbols}
    assert {"_start", "main", "ring", "frame_alloc_for", "put_number"} <= names
    main = next(symbol for symbol in image.symbols if symbol.name == "main")
    assert main.size > 0 and image.symbol_at(main.address) == image.symbol_at(main.address + main.size - 1) == main
    assert image.symbol_at(FIRMWARE - 1) is None
    addresses = [symbol.address for symbol in image.symbols]
    assert addresses == sorted(addresses)


@pytest.mark.parametrize("program", [path.stem for path in build.programs()])
def test_every_program_is_found_by_its_name(program: str) -> None:
    assert read_image(find_guest(program)).entry == FIRMWARE


def test_a_guest_that_is_nowhere(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"no guest 'nobody': neither a file nor one of bugs, doorbell, exhaust, hello"):
        find_guest("nobody")
    with pytest.raises(BadInput, match="no guest"):
        Machine(FrameManager(1), tmp_path)
    with pytest.raises(BadInput, match=r"gone.elf: No such file"):
        read_image(tmp_path / "gone.elf")


@pytest.mark.parametrize("data", [elf(CODE, DATA), HELLO], ids=["smallest", "hello"])
def test_cut_off_at_any_length(data: bytes, tmp_path: Path) -> None:
    """Where only section headers are missing it is refused, too: they would name the functions."""
    end = len(data) if data != HELLO else len(data) - 1
    for length in {*range(min(end, 300)), *range(0, end, 211), end - 1}:
        refusal(data[:length], tmp_path)


@pytest.mark.parametrize(("data", "words"), [
    (b"", "not an ELF file"),
    (b"#!/bin/sh\n", "not an ELF file"),
    (b"\x7fELF", "not a usable ELF file"),
    (elf(CODE, machine=183), "for another processor (EM_AARCH64, 64 bits)"),
    (elf(CODE, machine=3), "for another processor (EM_386, 64 bits)"),
    (elf(CODE, machine=0xFFFF), "for another processor (65535, 64 bits)"),
    (elf(CODE, bits=1), "32 bits"),
    (elf(CODE, order=2), "for another processor"),
    (elf(CODE, bits=0), "not a usable ELF file"),
    (elf(CODE, kind=3), "not a linked executable (ET_DYN)"),
    (elf(CODE, kind=1), "not a linked executable (ET_REL)"),
    (elf(CODE, kind=4), "not a linked executable (ET_CORE)"),
    (elf(), "nothing in it to load"),
    (elf(Part(HALT, kind=4)), "nothing in it to load"),
    (elf(Part(b"", memory_bytes=0)), "nothing in it to load"),
    (elf(CODE, Part(b"12345678", FIRMWARE + 7)), f"two parts overlap at {FIRMWARE + 7:#x}"),
    (elf(CODE, Part(b"", FIRMWARE + 2, WRITE, 3)), f"two parts overlap at {FIRMWARE + 2:#x}"),
    (elf(CODE, CODE), "two parts overlap"),
    (elf(Part(b"", FIRMWARE + 8192, WRITE, 5000), Part(HALT), Part(b"x", FIRMWARE + 12288), entry=FIRMWARE), "two parts overlap"),
    (elf(CODE, entry=FIRMWARE + 8), f"the entry {FIRMWARE + 8:#x} lies outside its code"),
    (elf(CODE, entry=0), "the entry 0x0 lies outside its code"),
    (elf(CODE, entry=FIRMWARE - 1), "outside its code"),
    (elf(CODE, DATA, entry=DATA.address), "outside its code"),
    (elf(Part(HALT, flags=READ | WRITE)), "outside its code"),
    (elf(Part(b"", memory_bytes=64)), "outside its code"),
    (elf(Part(HALT, 0x40_0000)), "a part at 0x400000 to 0x400001 lies outside the guest's place"),
    (elf(Part(HALT, FIRMWARE - 1)), "lies outside the guest's place"),
    (elf(Part(HALT, FIRMWARE + IMAGE_BYTES)), "lies outside the guest's place"),
    (elf(Part(HALT, memory_bytes=IMAGE_BYTES + 1)), "lies outside the guest's place"),
    (elf(Part(HALT, memory_bytes=(1 << 64) - 1)), "lies outside the guest's place"),
    (elf(Part(HALT, (1 << 64) - 1)), "lies outside the guest's place"),
    (elf(CODE, Part(b"four", FIRMWARE + 4096, memory_bytes=3)), "a part has 4 bytes in the file and only 3 in memory"),
    (patched(elf(CODE), PROGRAM_HEADER + 8, "<Q", 1 << 40), "cut off: a part of 8 bytes at 1099511627776 in a file of 128"),
    (patched(patched(elf(CODE), PROGRAM_HEADER + 32, "<Q", 9), PROGRAM_HEADER + 40, "<Q", 9), "cut off: a part of 9 bytes at 120 in a file of 128"),
])
def test_refused(data: bytes, words: str, tmp_path: Path) -> None:
    assert words in refusal(data, tmp_path)


def test_the_whole_place_may_be_used(tmp_path: Path) -> None:
    assert read(elf(Part(HALT, memory_bytes=IMAGE_BYTES)), tmp_path).parts[0][2] == IMAGE_BYTES
    assert read(elf(Part(HALT, FIRMWARE + IMAGE_BYTES - 1)), tmp_path).entry == FIRMWARE + IMAGE_BYTES - 1


def test_more_than_a_guest_ever_is(tmp_path: Path) -> None:
    path = tmp_path / "guest.elf"
    with path.open("wb") as file:
        file.truncate((64 << 20) + 1)
    with pytest.raises(BadInput, match=r"guest.elf: a guest of 67108865 bytes is too large"):
        read_image(path)
    with pytest.raises(BadInput, match=r"Is a directory"):
        read_image(tmp_path)


@pytest.mark.parametrize(("field", "form", "value"), [
    (54, "<H", 0), (54, "<H", 1), (54, "<H", 0xFFFF), (56, "<H", 0xFFFF), (32, "<Q", 0), (32, "<Q", (1 << 64) - 1), (40, "<Q", (1 << 64) - 8),
    (58, "<H", 0), (58, "<H", 1), (60, "<H", 0xFFFF), (60, "<H", 0), (62, "<H", 0xFFFF), (62, "<H", 0),
])
def test_headers_that_would_take_for_ever_or_lead_nowhere(field: int, form: str, value: int, tmp_path: Path) -> None:
    """The numbers, sizes and places of the two tables of headers."""
    read_or_refuse(patched(HELLO, field, form, value), tmp_path)
    read_or_refuse(patched(elf(CODE, DATA), field, form, value), tmp_path)


@pytest.mark.parametrize("field", [0, 4, 16, 24, 32, 40, 44, 56])
@pytest.mark.parametrize("value", [0, 1, 0xFFFF_FFFF])
def test_section_headers_that_lie(field: int, value: int, tmp_path: Path) -> None:
    """Names, kinds, places, sizes, links: of every section, one field."""
    table, n = struct.unpack_from("<Q", HELLO, 40)[0], struct.unpack_from("<H", HELLO, 60)[0]
    for section in range(n):
        read_or_refuse(patched(HELLO, table + 64 * section + field, "<I", value), tmp_path)


def test_every_bit_of_the_headers(tmp_path: Path) -> None:
    """Of the smallest image each bit flipped, one at a time. Some are loaded all the same, and none raises anything else."""
    good = elf(CODE, DATA)
    outcomes = []
    for bit in range(8 * (64 + 2 * 56)):
        data = bytearray(good)
        data[bit // 8] ^= 1 << bit % 8
        outcomes.append(read_or_refuse(bytes(data), tmp_path))
    assert 300 < sum(outcomes) < len(outcomes) - 300


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow), pytest.param(3, marks=pytest.mark.slow)])
def test_random_damage(seed: int, tmp_path: Path) -> None:
    """A few bytes of a real image changed, mostly where the headers and the tables of symbols are."""
    rng = np.random.default_rng(seed)
    for _ in range(1500 if seed == 1 else 5000):
        data = bytearray(HELLO)
        for _ in range(rng.integers(1, 6)):
            data[int(rng.choice([rng.integers(120), rng.integers(len(data) - 2000, len(data)), rng.integers(len(data))]))] = rng.integers(256)
        read_or_refuse(bytes(data), tmp_path)
