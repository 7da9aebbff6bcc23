"""What `run`, `walk` and `spaces` have in common: which guest runs on which machine, and what its processes came to."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kernel_sim.errors import BadInput

if TYPE_CHECKING:
    from kernel_sim.machine.machine import Machine
    from kernel_sim.machine.modules import Program
    from kernel_sim.machine.processes import ProcessRecord
    from kernel_sim.manager import FrameManager
    from kernel_sim.study.ownership import Moves, OwnedMap

DEFAULT_QUANTUM = 10_000
TRANSLATIONS = ("paging", "segmentation")
KERNEL = "kernel"


def add_arguments(parser: argparse.ArgumentParser, default_guest: str) -> None:
    """The arguments that say what runs."""
    parser.add_argument("--guest", metavar="PROGRAM|ELF",
                        help=f"what runs: a program of the SDK by its name, or an ELF image (default: {default_guest}, and kernel with --programs)")
    parser.add_argument("--programs", metavar="LIST",
                        help="what the guest kernel runs, with commas between: NAME[:ARGUMENT][*COPIES], such as malloc:best-fit,forktree,matrix*3")
    parser.add_argument("--translation", choices=TRANSLATIONS, default=TRANSLATIONS[0], help="of the programs' addresses (default: paging)")
    parser.add_argument("--quantum", type=int, default=DEFAULT_QUANTUM, metavar="BLOCKS",
                        help=f"a program's turn, in blocks of code; 0: until it gives up the processor (default: {DEFAULT_QUANTUM})")
    parser.add_argument("--seed", type=int, default=0, help="handed to the guest (default: 0)")


def settle(args: argparse.Namespace, default_guest: str) -> dict[str, Any]:
    """What a Machine is told, by the arguments; `args.guest` is the guest's name from now on. BadInput for arguments that do not go together."""
    from kernel_sim.machine.loader import find_guest

    args.guest = args.guest or (KERNEL if args.programs is not None else default_guest)
    if args.quantum < 0:
        raise BadInput(f"--quantum {args.quantum}: a turn is a number of blocks, or 0 for no end")
    if args.programs is None and args.guest == KERNEL:
        raise BadInput("--guest kernel: say what it is to run, with --programs (see `kernel-sim run --help`)")
    programs = parse_programs(args.programs) if args.programs is not None else []
    if find_guest(args.guest) != Path(args.guest) and args.programs is not None and args.guest != KERNEL:
        raise BadInput(f"--programs: guest {args.guest} runs none; guest {KERNEL} does, or a kernel of your own, by its path")
    return {"seed": args.seed, "programs": programs, "translation": args.translation, "quantum": args.quantum}


def parse_programs(text: str) -> list[Program]:
    """The programs of a list, with commas between."""
    from kernel_sim.machine.modules import program_of

    return [program_of(part.strip()) for part in text.split(",")]


def root_of(machine: Machine, pid: int) -> int:
    """The root of a process's address space. BadInput for one that there is not, or that has ended."""
    live = {process.pid: process.root for process in live_processes(machine)}
    if pid not in live:
        there = f"those that live are {', '.join(map(str, live))}" if live else "none lives when the guest stops; stop it earlier"
        raise BadInput(f"--pid {pid}: no such process; {there}")
    return live[pid]


def live_processes(machine: Machine) -> list[ProcessRecord]:
    """The processes that have not ended."""
    return [process for process in machine.processes if process.ended is None]


# -- what happened when ----------------------------------------------------------------------------------------------------------------------

def keeps_journal(args: argparse.Namespace) -> bool:
    """Whether the machine is to keep a journal: for a timeline, and for a map of a moment before the end."""
    return bool(args.timeline) or args.programs is not None


class Start:
    """A memory before the run: what `owned_map` and the timeline begin with."""

    def __init__(self, manager: FrameManager) -> None:
        from kernel_sim.study.report import framemap_of

        stats = manager.stats()
        self.framemap, self.n_free, self.n_used = framemap_of(manager), stats.n_free, stats.n_used


def owned_map(args: argparse.Namespace, machine: Machine, start: Start) -> OwnedMap | None:
    """The memory at the moment that was asked for, or at its fullest, with the owners of frames; None when no programs ran."""
    from kernel_sim.study import ownership

    if args.programs is None:
        return None
    moves = moves_of(machine)
    n_moves = moves.until_most() if args.map_at is None else moves.before(args.map_at)
    return ownership.owned_map(start.framemap, moves, n_moves, _names(machine), args.map_at)


def moves_of(machine: Machine) -> Moves:
    """The journal's records of frames taken and given back."""
    from kernel_sim.machine.journal import FRAMES_GIVEN_BACK, FRAMES_TAKEN
    from kernel_sim.study.ownership import Moves

    journal = machine.journal
    records = journal[(journal["kind"] == FRAMES_TAKEN) | (journal["kind"] == FRAMES_GIVEN_BACK)]
    signs = 1 - 2 * (records["kind"] == FRAMES_GIVEN_BACK)
    return Moves(records["time"], records["a"], signs * records["b"], records["pid"].astype("i8"))


def write_timeline(path: str, machine: Machine, start: Start, ended: str) -> None:
    """The journal as a file for Perfetto; `ended` says how the guest did."""
    from kernel_sim.machine import abi, faults, journal, processes
    from kernel_sim.machine.traps import TIMER
    from kernel_sim.study import trace_events as events

    kinds = {
        abi.NOTE_STARTED: events.STARTED, abi.NOTE_ENDED: events.ENDED, abi.NOTE_RUNS: events.RUNS, abi.NOTE_CALL: events.CALL,
        abi.NOTE_FAULT: events.FAULT, journal.FRAMES_TAKEN: events.TAKEN, journal.FRAMES_GIVEN_BACK: events.GIVEN_BACK,
        journal.TRAPPED: events.TRAPPED, journal.COMPACTED: events.COMPACTED,
    }
    words = events.Words(kinds, abi.SYSTEM_CALLS, processes.FAULT_NAMES, processes.ENDED_NAMES, {TIMER: "timer", **faults.VECTORS}, TIMER)
    course = events.Course(start.n_free, start.n_used, machine.blocks, ended, machine.journal_dropped)
    events.write_timeline(path, machine.journal, words, _names(machine), course)


def _names(machine: Machine) -> dict[int, str]:
    return {0: "kernel"} | {process.pid: process.name for process in machine.processes}


# -- what the processes came to ---------------------------------------------------------------------------------------------------------------------

def report(machine: Machine) -> dict[str, Any]:
    """How addresses were translated, the process table in numbers, and what it adds up to; nothing when there was no process."""
    processes = machine.processes
    if not processes:
        return {}
    copied = {"growing": machine.segments.frames_copied_growing, "compacting": machine.segments.frames_copied_compacting}
    return {"translation": machine.translation, **_processes_report(processes, machine), "machine": machine.counts, "frames_copied": copied,
            "journal_dropped": machine.journal_dropped}


def _processes_report(processes: list[ProcessRecord], machine: Machine) -> dict[str, Any]:
    listed = [asdict(process) | {"misses": machine.misses_of(process.pid), "killed_at": _killed_at(process, machine),
                                 "fatal_rip": None if process.fatal_rip is None else f"{process.fatal_rip:#x}"} for process in processes]
    totals = {name: sum(record[name] for record in listed) for name in ("misses", "ticks", "large_pages", "n_frames")}
    for group in ("faults", "calls"):
        totals[group] = {name: sum(record[group][name] for record in listed) for name in listed[0][group]}
    return {"processes": listed, "totals": {"processes": len(listed), **totals}}


def _killed_at(process: ProcessRecord, machine: Machine) -> str | None:
    """The function and the line of source at which a process was killed, as far as its image tells."""
    from kernel_sim.machine.guest_code import line_in

    path = next((str(program.path) for program in machine.programs if program.name == process.name), None)
    return line_in(path, process.fatal_rip) if path and process.fatal_rip is not None else None


_COLUMNS = ("pid", "name", "ppid", "most", "now", "zero", "copy", "grow", "fatal", "misses", "calls", "ticks", "large", "ended")
_LEFT = {"name", "ended"}


def in_words(report: dict[str, Any]) -> Iterator[str]:
    """The processes for people: a line each under a line of headings, and the totals."""
    if "processes" not in report:
        return
    rows = [_COLUMNS, *map(_row, report["processes"]), _totals(report["totals"])]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    yield f"processes, by {report['translation']} (frames at most and now; faults: demand zero, copy on write, growing stack, fatal)"
    for row in rows:
        cells = (cell.ljust(width) if name in _LEFT else cell.rjust(width) for cell, width, name in zip(row, widths, _COLUMNS, strict=True))
        yield " " + " ".join(cells).rstrip()       # 80 columns do
    for record in report["processes"]:
        if record["killed_at"]:
            yield f"  pid {record['pid']} was killed at {record['killed_at']}"
    counts, copied = report["machine"], report["frames_copied"]
    small = "segments or pages of 4 KiB" if report["translation"] == "segmentation" else "pages of 4 KiB"
    yield (f"  {counts['misses']:,} TLB misses: {counts['pages_4k']:,} found {small}, {counts['pages_2m']:,} of 2 MiB, "
           f"{counts['pages_1g']:,} of 1 GiB; {counts['page_faults']:,} became page faults")
    if report["translation"] == "paging":
        yield "  (the faults by kind count, too, what the kernel itself touched first; and a stack that grows as grow and as zero)"
    if report["journal_dropped"]:
        yield f"  the journal was full: map and timeline know nothing of the {report['journal_dropped']:,} records that came later"
    if report["translation"] == "segmentation":
        yield f"  frames copied: {copied['growing']:,} because segments grew, {copied['compacting']:,} to move them together"


def _row(record: dict[str, Any]) -> tuple[str, ...]:
    ended = "runs" if record["ended"] is None else f"exit {record['exit_status']}" if record["ended"] == "exited" else record["ended"]
    return (str(record["pid"]), record["name"], str(record["parent"]), f"{record['most_frames']:,}", f"{record['n_frames']:,}", *_faults(record),
            f"{record['misses']:,}", f"{sum(record['calls'].values()):,}", f"{record['ticks']:,}", f"{record['large_pages']:,}", ended)


def _totals(totals: dict[str, Any]) -> tuple[str, ...]:
    n = totals["processes"]
    return ("", "all", "", "", f"{totals['n_frames']:,}", *_faults(totals), f"{totals['misses']:,}", f"{sum(totals['calls'].values()):,}",
            f"{totals['ticks']:,}", f"{totals['large_pages']:,}", f"{n} process{'es' if n > 1 else ''}")


def _faults(record: dict[str, Any]) -> tuple[str, ...]:
    return tuple(f"{n:,}" for n in record["faults"].values())

