"""ELF images: read, checked in every number, and laid into the firmware's memory."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any

from kernel_sim.errors import BadInput
from kernel_sim.machine.abi import FIRMWARE, IMAGE_BYTES
from kernel_sim.machine.ram import Ram

_MAX_FILE_BYTES = 64 << 20


@dataclass(frozen=True)
class Symbol:
    """A function of the guest: virtual address and size in bytes."""

    name: str
    address: int
    size: int


@dataclass(frozen=True)
class Image:
    """A guest that can be loaded: `parts` are (virtual address, bytes, size in memory), `code` the (first, end) addresses that are executable."""

    path: str
    entry: int
    parts: tuple[tuple[int, bytes, int], ...]
    code: tuple[tuple[int, int], ...]
    symbols: tuple[Symbol, ...]

    def load(self, ram: Ram) -> None:
        """Lay the image into the firmware's memory."""
        for address, data, size in self.parts:
            offset = address - FIRMWARE
            ram.firmware[offset:offset + size] = 0
            ram.firmware[offset:offset + len(data)] = memoryview(data)

    def page_flushes(self) -> list[int]:
        """Where an `invlpg` may begin: 0F 01 /7 with an operand in memory, and perhaps a REX prefix. Bytes that only look like one do no harm."""
        found = []
        for address, data, _ in self.parts:
            at = data.find(b"\x0f\x01")
            while 0 <= at < len(data) - 2:
                if data[at + 2] >> 3 & 7 == 7 and data[at + 2] < 0xC0:
                    has_prefix = at > 0 and data[at - 1] & 0xF0 == 0x40
                    found += [address + at - 1, address + at] if has_prefix else [address + at]
                at = data.find(b"\x0f\x01", at + 1)
        return found

    def symbol_at(self, address: int) -> Symbol | None:
        """The function that an address lies in."""
        return next((symbol for symbol in self.symbols if symbol.address <= address < symbol.address + max(symbol.size, 1)), None)


def find_guest(program: str) -> Path:
    """The image of a program of the SDK by its name, or a file. BadInput when there is neither."""
    images = Path(str(files("kernel_sim.firmware"))) / "images"
    if (images / f"{program}.elf").is_file():
        return images / f"{program}.elf"
    if Path(program).is_file():
        return Path(program)
    names = ", ".join(sorted(path.stem for path in images.glob("*.elf")))
    raise BadInput(f"no guest {program!r}: neither a file nor one of {names}")


def read_image(path: str | Path) -> Image:
    """Read an ELF file. BadInput, in one line, for one that is cut off, for another processor, or does not fit its place."""
    from elftools.common.exceptions import ELFError

    try:
        size = Path(path).stat().st_size
        if size > _MAX_FILE_BYTES:
            raise BadInput(f"{path}: a guest of {size} bytes is too large")
        data = Path(path).read_bytes()
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror or error}") from None
    try:
        return _parse(str(path), data)
    except BadInput:
        raise
    except (ELFError, OverflowError, ValueError, KeyError, IndexError, AttributeError, TypeError, UnicodeError, MemoryError, AssertionError,
            RecursionError) as error:   # what pyelftools raises on broken files
        raise BadInput(f"{path}: not a usable ELF file ({str(error).splitlines()[0] if str(error) else type(error).__name__})") from None


def _parse(path: str, data: bytes) -> Image:
    from elftools.elf.elffile import ELFFile

    if not data.startswith(b"\x7fELF"):
        raise BadInput(f"{path}: not an ELF file")
    elf = ELFFile(BytesIO(data))
    machine = elf.header["e_machine"]
    if elf.elfclass != 64 or not elf.little_endian or machine != "EM_X86_64":
        raise BadInput(f"{path}: for another processor ({machine}, {elf.elfclass} bits); a guest is x86-64")
    if elf.header["e_type"] != "ET_EXEC":
        raise BadInput(f"{path}: not a linked executable ({elf.header['e_type']}); link a guest with -static -no-pie and the SDK's guest.ld")
    headers = [segment.header for segment in elf.iter_segments() if segment.header["p_type"] == "PT_LOAD" and segment.header["p_memsz"]]
    parts = tuple(_part(path, data, header) for header in headers)
    if not parts:
        raise BadInput(f"{path}: nothing in it to load")
    ordered = sorted((address, address + size) for address, _, size in parts)
    for (_, end), (first, _) in pairwise(ordered):
        if first < end:
            raise BadInput(f"{path}: two parts overlap at {first:#x}")
    entry = int(elf.header["e_entry"])
    code = tuple((int(header["p_vaddr"]), int(header["p_vaddr"] + header["p_filesz"])) for header in headers if header["p_flags"] & 1)
    if not any(first <= entry < end for first, end in code):
        raise BadInput(f"{path}: the entry {entry:#x} lies outside its code")
    return Image(path, entry, parts, code, _symbols(elf))


def _part(path: str, data: bytes, header: Any) -> tuple[int, bytes, int]:
    address, size, in_file, offset = (int(header[key]) for key in ("p_vaddr", "p_memsz", "p_filesz", "p_offset"))
    if offset + in_file > len(data):
        raise BadInput(f"{path}: cut off: a part of {in_file} bytes at {offset} in a file of {len(data)}")
    if in_file > size:
        raise BadInput(f"{path}: a part has {in_file} bytes in the file and only {size} in memory")
    if address < FIRMWARE or address + size > FIRMWARE + IMAGE_BYTES:
        raise BadInput(f"{path}: a part at {address:#x} to {address + size:#x} lies outside the guest's place, "
                       f"{FIRMWARE:#x} to {FIRMWARE + IMAGE_BYTES:#x}")
    return address, data[offset:offset + in_file], size


def read_symbols(path: str) -> tuple[Symbol, ...]:
    """The functions of any ELF file, by address; none of one that is broken or has none."""
    from elftools.common.exceptions import ELFError
    from elftools.elf.elffile import ELFFile

    try:
        return _symbols(ELFFile(BytesIO(Path(path).read_bytes())))
    except (OSError, ELFError, ValueError, KeyError, IndexError, AttributeError, TypeError, OverflowError):
        return ()


def debug_information(path: str) -> list[Any]:
    """The line programs (pyelftools') of an ELF file: which source each address comes from. None where they are missing or broken."""
    from elftools.common.exceptions import DWARFError, ELFError
    from elftools.elf.elffile import ELFFile

    try:
        elf = ELFFile(BytesIO(Path(path).read_bytes()))
        if not elf.has_dwarf_info():
            return []
        dwarf = elf.get_dwarf_info()
        found = (dwarf.line_program_for_CU(unit) for unit in dwarf.iter_CUs())
        return [program for program in found if program is not None]
    except (OSError, ELFError, DWARFError, ValueError, KeyError, IndexError, AttributeError, TypeError, OverflowError, AssertionError):
        return []


def _symbols(elf: Any) -> tuple[Symbol, ...]:
    """The functions, by address. A file without symbols has none."""
    table = elf.get_section_by_name(".symtab")
    if table is None:
        return ()
    found = (Symbol(symbol.name, int(symbol["st_value"]), int(symbol["st_size"])) for symbol in table.iter_symbols()
             if symbol.name and symbol["st_info"]["type"] in ("STT_FUNC", "STT_NOTYPE") and symbol["st_shndx"] != "SHN_ABS")
    ordered = sorted(found, key=lambda symbol: (symbol.address, symbol.name))
    ends = [symbol.address for symbol in ordered[1:]] + [0]
    return tuple(Symbol(symbol.name, symbol.address, symbol.size or max(end - symbol.address, 0)) for symbol, end in zip(ordered, ends, strict=True))
