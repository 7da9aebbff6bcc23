"""/proc/buddyinfo: one line a zone, the number of free blocks of order 0 to 10.

    Node 0, zone      DMA      0      0      0      0      0      1      1      1      0      1      3

with a blank at the end of every line, as the kernel prints it (frag_show_print in mm/vmstat.c).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from kernel_sim.errors import BadInput
from kernel_sim.units import N_ORDERS

_LINE = re.compile(r"Node\s+(\d+),\s+zone\s+(\S+)((?:\s+\d+)+)\s*")


class Line(NamedTuple):
    """One zone of one node: ``counts[order]`` free blocks of 2^order frames."""

    node: int
    zone: str
    counts: tuple[int, ...]


def lines_of(counts_by_zone: Mapping[str, Iterable[int]]) -> list[Line]:
    """The lines of a machine with one node."""
    return [Line(0, zone, tuple(counts)) for zone, counts in counts_by_zone.items()]


def to_text(lines: Iterable[Line]) -> str:
    """The kernel's text, byte for byte."""
    return "".join(f"Node {node}, zone {zone:>8} {''.join(f'{count:6d} ' for count in counts)}\n" for node, zone, counts in lines)


def parse(text: str, path: str | Path = "buddyinfo") -> list[Line]:
    """The lines of such a text. BadInput, naming file and line, for a line that is something else."""
    lines = []
    for number, row in enumerate(text.splitlines(), 1):
        if not row.strip():
            continue
        match = _LINE.fullmatch(row)
        if match is None:
            raise BadInput(f"{path}:{number}: not a line of buddyinfo: {row.strip()[:60]!r}")
        counts = tuple(int(word) for word in match[3].split())
        if len(counts) != N_ORDERS:
            raise BadInput(f"{path}:{number}: {len(counts)} orders; this program knows {N_ORDERS}, 0 to {N_ORDERS - 1}")
        lines.append(Line(int(match[1]), match[2], counts))
    return lines
