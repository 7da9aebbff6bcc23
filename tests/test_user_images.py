"""The user programs' images: what a loader, a processor without vector registers and a debugger find in them; and the programs' own words."""

from __future__ import annotations

import re
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from capstone import CS_ARCH_X86, CS_MODE_64, Cs
from elftools.elf.elffile import ELFFile
from kernel_sim.firmware import build

from kernel_sim.machine.abi import CODE_SEGMENT, DATA_SEGMENT, SEGMENT_SHIFT

COMPILERS = ["zig", *(name for name in ("gcc", "clang") if shutil.which(name))]
LIBRARY = sorted(path for pattern in ("user/*/*.[ch]", "common/*.c", "include/format.h", "include/random.h") for path in build.HERE.glob(pattern))


@cache
def image_of(program: str, cc: str, folder: Path) -> Path:
    return build.build(build.HERE / "user" / "programs" / f"{program}.c", folder, build.USER)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("images")


@pytest.fixture(params=COMPILERS)
def elf(request: pytest.FixtureRequest, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """One of the larger programs, by each compiler there is."""
    path = build.HERE / "images" / "user" / "malloc.elf"
    if request.param != "zig":
        monkeypatch.setenv("CC", request.param)
        path = image_of("malloc", request.param, folder)
    with path.open("rb") as file:
        yield ELFFile(file)


def test_two_parts_on_pages_of_their_own(elf: Any) -> None:
    """Code and constants in segment 1, read and executed; the rest in segment 2, read and written; nothing but what is loaded has a header."""
    code, data = elf.iter_segments()
    assert elf.header["e_type"] == "ET_EXEC" and elf.header["e_entry"] == CODE_SEGMENT << SEGMENT_SHIFT
    for part, number, flags in ((code, CODE_SEGMENT, 5), (data, DATA_SEGMENT, 6)):
        assert part["p_type"] == "PT_LOAD" and part["p_flags"] == flags
        assert part["p_vaddr"] == number << SEGMENT_SHIFT and part["p_offset"] % 4096 == 0
    assert data["p_memsz"] > data["p_filesz"]


def test_symbols_and_lines_are_there(elf: Any) -> None:
    assert elf.get_section_by_name(".symtab").get_symbol_by_name("heap_check") and elf.has_dwarf_info()


def test_general_registers_only(elf: Any) -> None:
    """The kernel saves no others."""
    functions = [symbol for symbol in elf.get_section_by_name(".symtab").iter_symbols() if symbol["st_info"]["type"] == "STT_FUNC"]
    text, decoder = elf.get_section_by_name(".text"), Cs(CS_ARCH_X86, CS_MODE_64)
    found = 0
    for symbol in functions:
        start = symbol["st_value"] - text["sh_addr"]
        for instruction in decoder.disasm(text.data()[start:start + symbol["st_size"]], symbol["st_value"]):
            found += 1
            assert not re.search(r"[xyz]?mm\d|\bst\(", instruction.op_str) and not instruction.mnemonic.startswith("f"), (symbol.name, instruction)
    assert found > 500


@pytest.mark.parametrize("program", build.USER.programs(), ids=lambda path: path.stem)
def test_a_program_says_what_it_shows(program: Path) -> None:
    assert program.read_text(encoding="utf-8").startswith(f"/* {program.stem}: ")


@pytest.mark.parametrize("path", LIBRARY, ids=lambda path: path.name)
def test_files_can_be_read_in_one_sitting(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 300 and max(map(len, lines)) <= 150 and lines[0].startswith("/* ")
