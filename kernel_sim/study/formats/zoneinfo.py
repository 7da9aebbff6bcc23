"""/proc/zoneinfo: each zone's frames, watermarks and per-processor lists (zoneinfo_show_print in mm/vmstat.c).

    Node 0, zone    DMA32
      pages free     4496
            min      150
            low      187
            high     224
            …
            managed  10376
      pagesets
        cpu: 0
                  count: 134
                  high:  1033
                  batch: 1

Only these lines are read; the kernel adds others with every version.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from kernel_sim.errors import BadInput

_ZONE = re.compile(r"Node\s+(\d+), zone\s+(\S+)\s*")
_NUMBER = re.compile(r"\s+(pages free|min|low|high|managed)\s+(\d+)\s*")
_CPU = re.compile(r"\s+cpu: \d+\s*")
_OF_CPU = re.compile(r"\s+(count|high|batch):\s+(\d+)\s*")


@dataclass
class ZoneInfo:
    """One zone of one node, in frames: ``numbers`` by the file's names, ``cpus`` with count, high and batch of each processor's lists."""

    node: int
    zone: str
    numbers: dict[str, int] = field(default_factory=dict)
    cpus: list[dict[str, int]] = field(default_factory=list)


def parse(text: str, path: str | Path = "zoneinfo") -> list[ZoneInfo]:
    """The zones of such a text. BadInput, naming the file, when there are none, or when one lacks a number."""
    zones: list[ZoneInfo] = []
    for row in text.splitlines():
        if match := _ZONE.fullmatch(row):
            zones.append(ZoneInfo(int(match[1]), match[2]))
        elif zones and (match := _NUMBER.fullmatch(row)):
            zones[-1].numbers[match[1]] = int(match[2])
        elif zones and _CPU.fullmatch(row):
            zones[-1].cpus.append({})
        elif zones and zones[-1].cpus and (match := _OF_CPU.fullmatch(row)):
            zones[-1].cpus[-1][match[1]] = int(match[2])
    if not zones:
        raise BadInput(f"{path}: not a zoneinfo: no line 'Node 0, zone      DMA'")
    for zone in zones:
        missing = {"pages free", "min", "low", "high", "managed"} - zone.numbers.keys()
        if missing or any(cpu.keys() != {"count", "high", "batch"} for cpu in zone.cpus):
            raise BadInput(f"{path}: zone {zone.zone} is not whole: {', '.join(sorted(missing)) or 'count, high and batch of a processor'}")
    return zones
