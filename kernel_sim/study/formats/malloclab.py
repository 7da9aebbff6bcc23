"""The traces of the malloc lab of CS:APP (``*.rep``): a header of four numbers, then one request a line.

    20000       at first the suggested heap size, in later editions the trace's weight. Neither means anything here
    2           how many ids there are
    4           how many requests
    1           the weight; later whether to leave out a check, or the peak of the payload
    a 0 500     p[0] = malloc(500)
    a 1 100     p[1] = malloc(100)
    r 0 600     p[0] = realloc(p[0], 600); of size 0 it frees, of an id never allocated it allocates
    f 1         free(p[1]); an id of -1 is NULL, and so is what was freed by a realloc

As the lab's driver, mdriver.c, reads them; lines may end with CR LF. It stops after as many requests as the header says, and so does this; but
that more follow is refused here, and so are ids beyond the header's number, frees of what is not live, and ids allocated while they live.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from kernel_sim.errors import BadInput
from kernel_sim.study.heap_trace import ALLOC, FREE, REALLOC, HeapOperation, HeapTrace, shown

_HEADER = ("suggested heap size or weight", "number of ids", "number of requests", "weight or flag")
_REQUEST = re.compile(r"([ar])\s+(\d+)\s+(\d+)|(f)\s+(-1|\d+)", re.ASCII)
_MOST = 1 << 40


class _Line(NamedTuple):
    number: int
    text: str


def begins(line: str) -> bool:
    """Whether this may be the first line of such a trace."""
    return re.fullmatch(r"[\d\s]+", line, re.ASCII) is not None


def parse(lines: Sequence[str], path: str | Path = "malloc lab") -> HeapTrace:
    """The operations of a trace. BadInput, with file and line, for what it must not hold."""
    rest = (_Line(number, line.strip()) for number, line in enumerate(lines, 1) if line.strip())
    header = _header(rest, path)
    trace = _Requests(path, n_ids=header[1])
    for _ in range(header[2]):
        line = next(rest, None)
        if line is None:
            raise BadInput(f"{path}: it ends after {trace.n_requests} of the requests that its header tells of, {header[2]}")
        trace.enter(line)
    more = next((line for line in rest if _REQUEST.fullmatch(line.text)), None)
    if more is not None:
        raise BadInput(f"{path}:{more.number}: more requests than the header tells of, {header[2]}")
    if not trace.operations:
        raise BadInput(f"{path}: a trace of the malloc lab with no allocation in it")
    return HeapTrace(Path(path).name, "malloc lab", trace.operations, {"frees_of_null": trace.n_null})


def _header(lines: Iterator[_Line], path: str | Path) -> list[int]:
    """The four numbers. Some write them on four lines, some on fewer."""
    numbers: list[int] = []
    while len(numbers) < len(_HEADER):
        line = next(lines, None)
        if line is None:
            raise BadInput(f"{path}: it ends within its header, before the {_HEADER[len(numbers)]}")
        for word in line.text.split():
            if not (word.isascii() and word.isdigit()) or len(numbers) == len(_HEADER):
                raise BadInput(f"{path}:{line.number}: not a header of four numbers ({', '.join(_HEADER)}): {shown(line.text)}")
            numbers.append(int(word))
    return numbers


class _Requests:
    """A trace as it is read: which slot each id has now, None where its pointer is NULL."""

    def __init__(self, path: str | Path, n_ids: int) -> None:
        self.path, self.n_ids = path, n_ids
        self.operations: list[HeapOperation] = []
        self.slots: dict[int, int | None] = {}
        self.n_slots = self.n_null = self.n_requests = 0

    def enter(self, line: _Line) -> None:
        """One request."""
        match = _REQUEST.fullmatch(line.text)
        if match is None:
            raise BadInput(f"{self.path}:{line.number}: not a request (a ID SIZE, r ID SIZE, f ID): {shown(line.text)}")
        self.n_requests += 1
        kind, number, size = match[1] or match[4], int(match[2] or match[5]), int(match[3] or 0)
        if number >= self.n_ids:
            raise BadInput(f"{self.path}:{line.number}: id {number} is beyond what the header tells of, {self.n_ids} ids from 0 on")
        if size > _MOST:
            raise BadInput(f"{self.path}:{line.number}: {size} bytes are more than any heap has")
        if kind == "f":
            self.free(line, number)
        elif kind == "a" and self.slots.get(number) is not None:
            raise BadInput(f"{self.path}:{line.number}: id {number} is allocated, and is live already")
        elif kind == "a" or self.slots.get(number) is None:
            self.operations.append(HeapOperation(ALLOC, self.n_slots, size))
            self.slots[number] = self.n_slots
            self.n_slots += 1
        else:
            self.resize(number, size)

    def free(self, line: _Line, number: int) -> None:
        slot = self.slots.get(number)
        if slot is not None:
            self.operations.append(HeapOperation(FREE, slot, 0))
            del self.slots[number]
        elif number == -1 or number in self.slots:
            self.n_null += 1
        else:
            raise BadInput(f"{self.path}:{line.number}: id {number} is freed, and is not live")

    def resize(self, number: int, size: int) -> None:
        slot = self.slots[number]
        assert slot is not None
        self.operations.append(HeapOperation(REALLOC, slot, size))
        if size == 0:
            self.slots[number] = None
