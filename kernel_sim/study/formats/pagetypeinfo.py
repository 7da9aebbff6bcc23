"""/proc/pagetypeinfo: the free blocks of each migratetype by order, and how many pageblocks are of each type (pagetypeinfo_show in mm/vmstat.c).

    Page block order: 9
    Pages per block:  512

    Free pages count per migrate type at order       0      1      2      3      4      5      6      7      8      9     10
    Node    0, zone      DMA, type    Unmovable      0      0      0      0      0      1      1      1      0      0      0
    …
    Number of blocks type     Unmovable      Movable  Reclaimable   HighAtomic      Isolate
    Node 0, zone      DMA            1            7            0            0            0
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from kernel_sim.errors import BadInput
from kernel_sim.units import N_ORDERS

_HEAD = re.compile(r"Page block order: (\d+)\s*|Pages per block:\s+\d+\s*|Free pages count per migrate type at order(?:\s+\d+)+\s*")
_TYPES = re.compile(r"Number of blocks type((?:\s+[A-Za-z]+)+)\s*")
_FREE = re.compile(r"Node\s+(\d+), zone\s+(\S+), type\s+(\S+)((?:\s+>?\d+)+)\s*")
_BLOCKS = re.compile(r"Node\s+(\d+), zone\s+(\S+)((?:\s+\d+)+)\s*")


@dataclass
class ZoneTypes:
    """One zone of one node, by the kernel's names of the types: ``free[type][order]`` free blocks, ``blocks[type]`` pageblocks."""

    node: int
    zone: str
    free: dict[str, tuple[int, ...]] = field(default_factory=dict)
    blocks: dict[str, int] = field(default_factory=dict)


@dataclass
class PageTypes:
    """The whole file: a pageblock is 2^`block_order` frames."""

    block_order: int = -1
    zones: list[ZoneTypes] = field(default_factory=list)

    def zone(self, node: int, name: str) -> ZoneTypes:
        """The zone of that name, made if it has not been met."""
        for zone in self.zones:
            if (zone.node, zone.zone) == (node, name):
                return zone
        self.zones.append(ZoneTypes(node, name))
        return self.zones[-1]


def parse(text: str, path: str | Path = "pagetypeinfo") -> PageTypes:
    """Such a text. BadInput, naming file and line, for a line that is something else, and for a text that is not whole."""
    found, types = PageTypes(), list[str]()
    for number, row in enumerate(text.splitlines(), 1):
        try:
            types = _take(found, types, row)
        except BadInput as error:
            raise BadInput(f"{path}:{number}: {error}") from None
    if found.block_order < 0 or not found.zones or not all(zone.free and zone.blocks for zone in found.zones):
        raise BadInput(f"{path}: not a whole pagetypeinfo: the order of pageblocks, free blocks and pageblocks by type are wanted of each zone")
    return found


def _take(found: PageTypes, types: list[str], row: str) -> list[str]:
    """Enter a line. The names of the types for the lines that follow."""
    if match := _HEAD.fullmatch(row):
        found.block_order = int(match[1]) if match[1] else found.block_order
    elif match := _TYPES.fullmatch(row):
        return match[1].split()
    elif match := _FREE.fullmatch(row):
        found.zone(int(match[1]), match[2]).free[match[3]] = _numbers(match[4], N_ORDERS)
    elif (match := _BLOCKS.fullmatch(row)) and types:
        found.zone(int(match[1]), match[2]).blocks = dict(zip(types, _numbers(match[3], len(types)), strict=True))
    elif row.strip():
        raise BadInput(f"not a line of pagetypeinfo: {row.strip()[:60]!r}")
    return types


def _numbers(text: str, n: int) -> tuple[int, ...]:
    """So many whole numbers."""
    words = text.split()
    if len(words) != n:
        raise BadInput(f"{len(words)} numbers where {n} should stand")
    if any(word.startswith(">") for word in words):
        raise BadInput("the kernel stopped counting, at '>100000': such a line says too little")
    return tuple(int(word) for word in words)
