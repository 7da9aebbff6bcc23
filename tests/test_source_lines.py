"""Lines of source against what the compiler's own tools say of the same image, and images that know none."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

from kernel_sim.machine.loader import find_guest, read_image, read_symbols
from kernel_sim.machine.source_lines import source_lines

FIRMWARE_SOURCES = Path(str(files("kernel_sim.firmware")))


def test_a_function_begins_where_its_source_does() -> None:
    """Every function of the SDK's calls.c and of a program, by its first address: the line is that of its definition, or of its brace."""
    for program, source in (("misuse", "lib/calls.c"), ("hello", "programs/hello.c"), ("bugs", "programs/bugs.c")):
        image = read_image(find_guest(program))
        text = (FIRMWARE_SOURCES / source).read_text(encoding="utf-8").splitlines()
        defined = {found[1]: number for number, line in enumerate(text, 1)
                   if (found := re.match(r"(?!return|typedef)[a-z][\w \*]*?[ \*](\w+)\([^;]*$", line)) and line[0] != " "}
        seen = 0
        for symbol in image.symbols:
            line = source_lines(image.path).line_of(symbol.address)
            if symbol.name in defined and line and line.startswith(source):
                assert defined[symbol.name] <= int(line.rpartition(":")[2]) <= defined[symbol.name] + 2, symbol
                seen += 1
        assert seen >= 1


def test_where_nothing_is_known(tmp_path: Path) -> None:
    image = read_image(find_guest("hello"))
    assert source_lines(image.path).line_of(image.entry - 1) is None
    for path in Path(image.path).parent.rglob("*.elf"):     # what a linker has left out stays at address 0
        assert source_lines(str(path)).line_of(0) is None, path
    assert source_lines(image.path).line_of(max(symbol.address + symbol.size for symbol in image.symbols) + (1 << 19)) is None
    torn, noise = Path(image.path).read_bytes()[:3000], b"\x7fELF" + bytes(range(256)) * 9
    for name, data in (("absent", None), ("empty", b""), ("torn", torn), ("noise", noise)):
        path = tmp_path / name
        if data is not None:
            path.write_bytes(data)
        assert source_lines(str(path)).line_of(image.entry) is None
        assert read_symbols(str(path)) == ()
