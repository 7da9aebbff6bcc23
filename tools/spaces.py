"""Draw two address spaces over one memory, as SVG: what each process maps, and the frames that it lies in.

The guest kernel runs the programs until --at: a moment in blocks of code, ``fullest`` (the most frames are in use for the first time, and the last of
them has been mapped), or ``before-compaction`` and ``after-compaction`` (of the one that copied the most frames). Then the two processes with
the most frames are drawn, or those of --pid.

    kernel-sim spaces --programs segments*2 --at fullest -o paged.svg
    kernel-sim spaces --programs segments*2 --translation segmentation --at before-compaction -o segmented.svg
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kernel_sim.tools import _guest, _playing

from kernel_sim.errors import BadInput

if TYPE_CHECKING:
    from kernel_sim.machine.machine import Machine
    from kernel_sim.machine.processes import ProcessRecord
    from kernel_sim.manager import FrameManager
    from kernel_sim.study.drawing.address_spaces import Region, Space

_MOST_FRAMES = 4096
_MOMENTS = _FULLEST, _BEFORE, _AFTER = "fullest", "before-compaction", "after-compaction"
_SEGMENT_NAMES = {1: "code", 2: "data", 3: "heap", 4: "stack"}


def configure(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("-o", "--output", metavar="OUT.svg", required=True, help="the picture")
    parser.add_argument("--at", default=_FULLEST, metavar="MOMENT",
                        help=f"a number of blocks of code, or one of {', '.join(_MOMENTS)} (default: {_FULLEST})")
    parser.add_argument("--pid", type=int, action="append", metavar="N", help="a process to draw, once or twice (default: the two with the most)")
    _guest.add_arguments(parser, _guest.KERNEL)
    parser.add_argument("--policy", default="buddy", metavar="POLICY", help="who places frames (default: buddy)")
    parser.add_argument("--memory", default="1M", metavar="SIZE", help="the size of the memory, up to 16M (default: 1M)")


def run(args: argparse.Namespace) -> int:
    """Run the guest to the moment, draw. Exit status 0."""
    from kernel_sim.machine.machine import Machine
    from kernel_sim.manager import FrameManager
    from kernel_sim.study import sealed
    from kernel_sim.study.drawing.address_spaces import Memory, to_svg
    from kernel_sim.units import parse_memory

    _check_arguments(args)
    told, n_frames = _guest.settle(args, _guest.KERNEL), parse_memory(args.memory)
    if n_frames > _MOST_FRAMES:
        raise BadInput(f"--memory {args.memory}: the picture has room for {_MOST_FRAMES} frames, which is 16M")
    _playing.announce_compiling()
    manager = FrameManager(n_frames, args.policy)
    moment = int(args.at) if args.at not in _MOMENTS else _moment(args, FrameManager(n_frames, args.policy), told)
    machine = Machine(manager, args.guest, budget=moment, **told)
    done = machine.run()
    if done.stopped != "budget":
        raise BadInput(f"--at {args.at}: the guest had stopped after {done.blocks} blocks of code")
    spaces = [_space(machine, process) for process in _chosen(machine, args.pid)]
    stats = manager.stats()
    title = f"{'Two address spaces' if len(spaces) > 1 else 'An address space'} over one memory, by {args.translation}"
    subtitle = (f"policy {manager.policy.name}, at block {done.blocks:,}: {stats.n_used} of {stats.n_frames} frames in use, "
                f"the longest free run has {manager.largest_free_run()}")
    memory = Memory(n_frames, tuple(_used_runs(manager.free_runs(), n_frames)))
    sealed.write_whole(args.output, to_svg(title, subtitle, spaces, memory).encode())
    return 0


def _moment(args: argparse.Namespace, manager: FrameManager, told: dict[str, Any]) -> int:
    """The moment by its name, found in the journal of a whole run: a second one does the same, block by block."""
    from kernel_sim.machine.journal import COMPACTED, FRAMES_TAKEN
    from kernel_sim.machine.machine import Machine

    machine = Machine(manager, args.guest, journal=True, **told)
    machine.run()
    journal, moves = machine.journal, _guest.moves_of(machine)
    if args.at == _FULLEST:
        until = moves.until_most()      # a frame is taken first and mapped then: just before the next move it has been
        return int(moves.time[until] if until < len(moves.time) else machine.blocks) - 1
    compactions = journal[(journal["kind"] == COMPACTED) & (journal["b"] > 0)]
    if not len(compactions):
        raise BadInput(f"--at {args.at}: nothing was moved together in the {machine.blocks} blocks of this run (--memory, --programs, --policy)")
    largest = int(compactions["time"][compactions["b"].argmax()])
    if args.at == _BEFORE:
        return largest - 1
    taken = journal["time"][(journal["kind"] == FRAMES_TAKEN) & (journal["time"] > largest)]     # what the room was made for
    return int(taken[0]) - 1 if len(taken) else machine.blocks - 1


def _check_arguments(args: argparse.Namespace) -> None:
    if args.at not in _MOMENTS and not (args.at.isascii() and args.at.isdecimal() and int(args.at)):
        raise BadInput(f"--at {args.at}: a moment is a number of blocks, or one of {', '.join(_MOMENTS)}")
    if Path(args.output).suffix.lower() != ".svg":
        raise BadInput(f"{args.output}: the picture is an .svg")
    _playing.check_folder(args.output)
    if args.pid and (len(args.pid) > 2 or len(set(args.pid)) < len(args.pid)):
        raise BadInput("--pid: one process, or two different ones")


def _chosen(machine: Machine, pids: list[int] | None) -> list[ProcessRecord]:
    """The processes to draw, the one with the lower number at the left."""
    live = {process.pid: process for process in _guest.live_processes(machine)}
    if not live:
        raise BadInput(f"--at {machine.blocks}: no process lives at that moment")
    for pid in pids or []:
        _guest.root_of(machine, pid)
    most = sorted(live, key=lambda pid: (-live[pid].n_frames, pid))[:2]
    return [live[pid] for pid in pids or sorted(most)]


def _space(machine: Machine, process: ProcessRecord) -> Space:
    from kernel_sim.machine.spaces import address_space
    from kernel_sim.study.drawing.address_spaces import Space

    space = address_space(machine, process.root)
    regions: dict[int, list[Any]] = {}
    for mapping in space.mappings:
        regions.setdefault(mapping.segment, []).append(mapping)
    drawn = tuple(_region(number, found) for number, found in regions.items())
    return Space(f"process {process.pid}, {process.name}", drawn, frozenset(space.tables),
                 "page tables" if machine.translation == "paging" else "descriptors")


def _region(number: int, found: list[Any]) -> Region:
    from kernel_sim.study.drawing.address_spaces import Region, Run

    return Region(number, _SEGMENT_NAMES.get(number, f"segment {number}"), tuple(Run(*mapping) for mapping in found))


def _used_runs(free: list[tuple[int, int]], n_frames: int) -> list[tuple[int, int]]:
    """What lies between the free runs, which ascend."""
    edges = [0, *(edge for run in free for edge in run), n_frames]
    return [(first, end) for first, end in zip(edges[::2], edges[1::2], strict=True) if first < end]
