"""glibc's mtrace: the log that a program writes to the file in MALLOC_TRACE after it has called mtrace().

    = Start
    @ cc1:(xcalloc+25)[0x15db5e5] + 0x2a7c64e0 0xd0         malloc, calloc or memalign of 0xd0 bytes
    @ ./a.out:[0x401156] - 0x2a7c64e0                       free
    @ ./a.out:[0x401162] < 0x2a7c65c0                       realloc: the old block,
    @ ./a.out:[0x401162] > 0x2a7c6600 0x138                 and what became of it
    ! 0x2a7c6600 0x7fffffffffff                             realloc failed, and the block is as it was
    = End

The caller, from ``@`` on, is not always there. Formats as in glibc's malloc/mtrace-impl.c and its mtrace.pl, which reads them. A log may
begin in the middle of a program's life: what is freed and was never seen allocated is dropped and counted, as is a failed malloc. An address
that is allocated again while it is live was freed unseen, and is freed first.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from kernel_sim.errors import BadInput
from kernel_sim.study.heap_trace import ALLOC, FREE, REALLOC, HeapOperation, HeapTrace, shown

_LINE = re.compile(r"(?:@ .* )?([-+<>!]) (0x[0-9a-fA-F]+|\(nil\))(?: (0x[0-9a-fA-F]+|0))?\s*")
_MARK = re.compile(r"= .*")
_WITH_SIZE = "+>!"


def begins(line: str) -> bool:
    """Whether this may be the first line of such a log."""
    return _LINE.fullmatch(line) is not None or _MARK.fullmatch(line) is not None or line.startswith("@ ")


def parse(lines: Sequence[str], path: str | Path = "mtrace") -> HeapTrace:
    """The operations of a log. BadInput, with file and line, for a line that is none, or a realloc of which one half is missing."""
    log = _Log(path)
    for number, line in enumerate(lines, 1):
        match = _LINE.fullmatch(line)
        if match is not None and (match[3] is not None) == (match[1] in _WITH_SIZE):
            log.enter(number, match[1], match[2], int(match[3] or "0", 16))
        elif line.strip() and not _MARK.fullmatch(line):
            raise BadInput(f"{path}:{number}: not a line of mtrace: {shown(line)}")
    log.expect_no_half()
    if not log.operations:
        raise BadInput(f"{path}: a log of mtrace with no allocation in it")
    return HeapTrace(Path(path).name, "mtrace", log.operations, log.dropped)


class _Log:
    """A log as it is read: which slot is live at which address, and the half of a realloc that waits for the other."""

    def __init__(self, path: str | Path) -> None:
        self.path = path
        self.operations: list[HeapOperation] = []
        self.dropped = {"frees_unknown": 0, "failed_in_log": 0}
        self.slots: dict[str, int] = {}
        self.n_slots = 0
        self.half: tuple[int, str] | None = None        # the line of a `<`, and its address

    def enter(self, number: int, sign: str, address: str, size: int) -> None:
        """One line."""
        if sign == ">":
            if self.half is None:
                raise BadInput(f"{self.path}:{number}: the new block of a realloc, '>', without the line before it that says which block it was")
            old, self.half = self.half[1], None
            self.resize(old, address, size)
            return
        self.expect_no_half()
        if sign == "<":
            self.half = number, address
        elif sign == "!" or (sign == "+" and address == "(nil)"):
            self.dropped["failed_in_log"] += 1
        elif sign == "+":
            self.alloc(address, size)
        elif address in self.slots:
            self.operations.append(HeapOperation(FREE, self.slots.pop(address), 0))
        else:
            self.dropped["frees_unknown"] += 1

    def alloc(self, address: str, size: int) -> None:
        self.vacate(address)
        self.operations.append(HeapOperation(ALLOC, self.n_slots, size))
        self.slots[address] = self.n_slots
        self.n_slots += 1

    def resize(self, old: str, new: str, size: int) -> None:
        if old not in self.slots:
            self.alloc(new, size)
            return
        slot = self.slots.pop(old)
        self.vacate(new)
        self.operations.append(HeapOperation(REALLOC, slot, size))
        self.slots[new] = slot

    def vacate(self, address: str) -> None:
        """What was live at an address that is given out again was freed, unseen."""
        if address in self.slots:
            self.operations.append(HeapOperation(FREE, self.slots.pop(address), 0))

    def expect_no_half(self) -> None:
        if self.half is not None:
            raise BadInput(f"{self.path}:{self.half[0]}: the old block of a realloc, '<', without the line after it that says what became of it")
