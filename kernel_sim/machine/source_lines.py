"""From an address of the guest's code to the line of its source: DWARF's line programs, as -g leaves them in an image.

Source: DWARF Debugging Information Format, version 4, section 6.2.
"""

from __future__ import annotations

from bisect import bisect_right
from functools import lru_cache
from typing import Any

from kernel_sim.machine.loader import debug_information


class SourceLines:
    """The line table of one image: rows of an address and what stands there, by address. An image without one knows no lines."""

    def __init__(self, rows: list[tuple[int, str | None]]) -> None:
        self._rows = sorted(rows, key=lambda row: (row[0], row[1] is not None))     # where one function ends and another begins, the beginning counts
        self._addresses = [address for address, _ in self._rows]

    def line_of(self, address: int) -> str | None:
        """`programs/bugs.c:31`, or None where nothing is known."""
        at = bisect_right(self._addresses, address) - 1
        return self._rows[at][1] if at >= 0 else None


@lru_cache(maxsize=8)
def source_lines(path: str) -> SourceLines:
    """The line table of an ELF file."""
    rows: list[tuple[int, str | None]] = []
    for program in debug_information(path):
        rows += _rows(program)
    return SourceLines(rows)


def _rows(program: Any) -> list[tuple[int, str | None]]:
    """The rows of one line program; (address, None) where a run of code ends. Code that the linker has left out is at 0 still."""
    names = [_name(program, entry) for entry in program["file_entry"]]
    rows: list[tuple[int, str | None]] = []
    sequence: list[tuple[int, str | None]] = []
    for entry in program.get_entries():
        state = entry.state
        if state is not None and (state.end_sequence or state.line):      # line 0 is the compiler's own: it belongs to what stands before it
            is_known = not state.end_sequence and 0 < state.file <= len(names)
            sequence.append((int(state.address), f"{names[state.file - 1]}:{state.line}" if is_known else None))
        if state is not None and state.end_sequence:
            rows += sequence if sequence[0][0] else []
            sequence = []
    return rows


def _name(program: Any, entry: Any) -> str:
    """A file's name in front of which stands its folder, as the compiler was told it."""
    name: str = entry.name.decode(errors="replace")
    if entry.dir_index == 0 or name.startswith("/"):
        return name
    folder: str = program["include_directory"][entry.dir_index - 1].decode(errors="replace")
    return f"{folder}/{name}".removeprefix("./")
