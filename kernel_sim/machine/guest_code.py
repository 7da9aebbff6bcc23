"""The guest's code for people, in both rings: the instruction at an address, its function and its line.

The kernel's code lies in the firmware. A user program's is found through the address space that CR3 points to, and named by the image of the
program that runs there, as the kernel tells in its process table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from kernel_sim.compiled import Array, interpreted
from kernel_sim.machine.board import B_RAM, B_RAM_BYTES
from kernel_sim.machine.listing import NO_CODE, addresses_in, code_at, decode_bytes, place
from kernel_sim.machine.loader import Image, Symbol, read_symbols
from kernel_sim.machine.modules import Program
from kernel_sim.machine.paging import find
from kernel_sim.machine.processes import processes_of
from kernel_sim.machine.ram import Ram
from kernel_sim.machine.source_lines import source_lines
from kernel_sim.machine.translation import FETCH, Mode, mode_of
from kernel_sim.units import FRAME_BYTES

_LONGEST = 15       # bytes of an x86 instruction
_HALF = 1 << 47     # addresses below it are the user's


class GuestCode:
    """The code of a machine that has stopped."""

    def __init__(self, board: Array, ram: Ram, image: Image, programs: Sequence[Program]) -> None:
        self.ram, self.image, self._board = ram, image, board
        self._mode = interpreted(mode_of)(board)
        process = next((process for process in processes_of(ram) if process.ended is None and process.root == self._mode.root), None)
        self._program = next((str(program.path) for program in programs if process and program.name == process.name), None)

    def bytes_at(self, address: int) -> bytes:
        """The longest instruction's bytes from there on, fewer at a page's end; none where there is no code."""
        if address >= _HALF:
            return code_at(self.ram, address, _LONGEST)
        as_supervisor = Mode(self._mode.root, False, True, True)
        physical = int(interpreted(find)(self._board, address, FETCH, as_supervisor).physical) + address % FRAME_BYTES
        if not 0 <= physical < int(self._board[B_RAM_BYTES]) or not self._board[B_RAM]:
            return b""
        return self.ram.bytes[physical:physical + min(_LONGEST, FRAME_BYTES - address % FRAME_BYTES)].tobytes()

    def instruction_at(self, address: int) -> str:
        """The text of an instruction."""
        found = decode_bytes(self.bytes_at(address), address)
        return f"{found[0].mnemonic} {found[0].op_str}".strip() if found else NO_CODE

    def operands_at(self, address: int, registers: Mapping[str, int]) -> list[int]:
        """The virtual addresses that the instruction there names."""
        return addresses_in(decode_bytes(self.bytes_at(address), address)[:1], registers)

    def line_at(self, address: int) -> str:
        """`0xffffffff80000123 (sign+0x12) programs/bugs.c:31`, as far as it is known."""
        if address >= _HALF:
            return _with_line(place(self.image, address), self.image.path, address)
        return f"{address:#x}" if self._program is None else line_in(self._program, address)

    def file_of(self, address: int) -> str:
        """The source that an address of the kernel comes from; "" when that is not known."""
        return (source_lines(self.image.path).line_of(address) or "").rpartition(":")[0]


def line_in(path: str, address: int) -> str:
    """`0x800000004c2 (wild: touch+0x12) user/programs/wild.c:31`, as far as the image of a user program tells."""
    symbol = next((symbol for symbol in _symbols(path) if symbol.address <= address < symbol.address + max(symbol.size, 1)), None)
    named = f"{address:#x} ({Path(path).stem}: {symbol.name}+{address - symbol.address:#x})" if symbol else f"{address:#x}"
    return _with_line(named, path, address)


def _with_line(text: str, path: str, address: int) -> str:
    line = source_lines(path).line_of(address)
    return f"{text} {line}" if line else text


@lru_cache(maxsize=8)
def _symbols(path: str) -> tuple[Symbol, ...]:
    return read_symbols(path)
