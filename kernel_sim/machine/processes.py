"""What the guest kernel tells of its processes: the process table, read from the host."""

from __future__ import annotations

from dataclasses import dataclass

from kernel_sim.compiled import Array
from kernel_sim.machine import abi
from kernel_sim.machine.ram import Ram

FAULT_NAMES = ("demand zero", "copy", "grow", "fatal")
"""By FAULT_...: a first touch, a write to a shared page, a growing stack, and what ends the process."""
ENDED_NAMES = ("exited", "killed", "out of memory")
"""By ENDED_...."""


@dataclass(frozen=True)
class ProcessRecord:
    """One process, as the kernel counted: frames (page tables included), faults by kind, system calls by name, timer ticks, large pages.

    `root` is the physical address of the top page table, or of the segments: of a live process only, which may be in frame 0. `ended` is None while
    it lives, `exit_status` None unless it has "exited"; `fatal_rip` is the address of the instruction that it was killed at, None if it was not.
    """

    pid: int
    parent: int
    name: str
    ended: str | None
    exit_status: int | None
    root: int
    n_frames: int
    most_frames: int
    faults: dict[str, int]
    calls: dict[str, int]
    ticks: int
    large_pages: int
    fatal_rip: int | None


def processes_of(ram: Ram) -> list[ProcessRecord]:
    """All processes the kernel has told of, by pid; the kernel itself, entry 0, is none of them."""
    table = ram.shared(abi.PROCESS_TABLE, abi.dtype(abi.Process), abi.MAX_PROCESSES)
    return [_record(table[pid]) for pid in range(1, abi.MAX_PROCESSES) if table[pid]["pid"]]


def _record(entry: Array) -> ProcessRecord:
    ended = None if entry["is_live"] else _name(ENDED_NAMES, int(entry["ended"]))
    numbers = {name: int(entry[name]) for name in ("pid", "parent", "root", "n_frames", "most_frames", "ticks", "large_pages")}
    return ProcessRecord(
        name=text_of(entry["name"]), ended=ended, exit_status=int(entry["exit_status"]) if ended == ENDED_NAMES[abi.ENDED_EXIT] else None,
        fatal_rip=int(entry["fatal_rip"]) or None, faults=dict(zip(FAULT_NAMES, entry["faults"].tolist(), strict=True)),
        calls=dict(zip(abi.SYSTEM_CALLS, entry["calls"].tolist(), strict=True)), **numbers)


def text_of(field: Array) -> str:
    """A text that ends with a zero."""
    return field.tobytes().split(b"\0", 1)[0].decode("utf-8", errors="replace")


def _name(names: tuple[str, ...], number: int) -> str:
    return names[number] if number < len(names) else f"ended ({number})"
