"""What `run` and `replay` have in common: their arguments, the memory they ask for, and their report."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kernel_sim.errors import BadInput

if TYPE_CHECKING:
    from kernel_sim.manager import FrameManager
    from kernel_sim.study.metrics import Samples
    from kernel_sim.study.ownership import OwnedMap
    from kernel_sim.study.setting import Setting
    from kernel_sim.study.trace import Trace


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of both."""
    parser.add_argument("--policy", default="buddy", metavar="POLICY",
                        help="who places what: a name with its parameters (see `kernel-sim policies`) or path/to/file.py:ClassName (default: buddy)")
    parser.add_argument("--memory", metavar="SIZE", help="one plain memory of that size, such as 64M or 1T, instead of the trace's own machine")
    parser.add_argument("--memory-map", metavar="FILE", help="a PC's memory: the e820 lines of a kernel log, or /proc/iomem")
    parser.add_argument("--start-map", metavar="FILE", help="what is in use at the start: a copy of /proc/kpageflags")
    parser.add_argument("--from-marker", metavar="TEXT", help="of a kernel's text, the part after this trace marker")
    parser.add_argument("--to-marker", metavar="TEXT", help="of a kernel's text, the part before this trace marker")
    parser.add_argument("--map", metavar="FILE", help="write the memory's map at the end, in the form of the suffix (see `kernel-sim map`)")
    parser.add_argument("--sample", type=positive, metavar="N",
                        help="look at the memory after every N operations (with --csv or --plot: as makes 200 samples)")
    parser.add_argument("--csv", metavar="FILE", help="write the samples there, a line each")
    parser.add_argument("--plot", metavar="FILE", help="draw fragmentation over time there, as .svg or .png")
    parser.add_argument("--json", action="store_true", help="print the report as JSON, and no map")


def announce_compiling() -> None:
    """One line on a terminal before the compiler is at work, for it keeps people waiting."""
    from kernel_sim.compiled import before_compiling

    if sys.stderr.isatty():
        before_compiling(lambda: print("kernel-sim: compiling this policy, once (it may take half a minute)…", file=sys.stderr, flush=True))


def check_arguments(args: argparse.Namespace) -> None:
    """What can be refused before any work is done."""
    if args.map:
        from kernel_sim.study.drawing import check_suffix

        check_suffix(args.map)
        check_folder(args.map)
    if args.csv:
        check_folder(args.csv)
    if args.plot:
        from kernel_sim.study.drawing import timeline

        timeline.check(args.plot)
        check_folder(args.plot)
    if args.memory and args.memory_map:
        raise BadInput("--memory and --memory-map: a memory has a size or a memory map, not both")


def check_folder(path: str) -> None:
    """BadInput unless there is a folder for a file that is to be written."""
    if not Path(path).parent.is_dir():
        raise BadInput(f"{path}: no such folder")


def positive(text: str) -> int:
    """An argument that is a whole number from 1 on."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return value


def load_trace(args: argparse.Namespace, path: str) -> Trace:
    """The trace, of a text the part between the markers; of a TOML file the workload that it describes."""
    from kernel_sim.study.trace import Trace

    if args.from_marker is None and args.to_marker is None:
        if Path(path).suffix == ".toml":
            from kernel_sim.study import workload

            with spinner("drawing the workload"):
                return workload.generate(workload.load(path))
        return Trace.load(path)
    from kernel_sim.study.formats import ftrace
    from kernel_sim.study.trace import bundled

    if path in bundled() and not Path(path).exists():
        raise BadInput(f"--from-marker and --to-marker: markers are lines of a kernel's text, and the bundled trace {path} has none")
    return ftrace.read_ftrace(path, args.from_marker, args.to_marker).trace


def settle_memory(args: argparse.Namespace, trace: Trace | None) -> Setting:
    """The memory that the arguments ask for."""
    from kernel_sim.study import framemap
    from kernel_sim.study.setting import settle
    from kernel_sim.units import parse_memory
    from kernel_sim.zones import read_memory_map

    n_frames = parse_memory(args.memory) if args.memory is not None else None
    memory_map = read_memory_map(args.memory_map) if args.memory_map is not None else None
    start = framemap.load(args.start_map) if args.start_map is not None else None
    return settle(trace, n_frames, memory_map, start)


def sampled_every(args: argparse.Namespace, n_operations: int, windows_of: int = 1) -> int:
    """The operations between two samples, a multiple of what is done at a time; 0 for no samples."""
    if args.sample:
        if args.sample % windows_of:
            raise BadInput(f"--sample {args.sample}: a guest gets {windows_of:,} operations at a time, and is looked at in between; "
                           "`kernel-sim replay`, which places alike, can be looked at after any number")
        return int(args.sample)
    if not (args.csv or args.plot):
        return 0
    from kernel_sim.study.metrics import often_enough

    return -(-often_enough(n_operations) // windows_of) * windows_of


def write_samples(args: argparse.Namespace, samples: Samples | None, title: str) -> None:
    """The files of samples that were asked for."""
    if samples is not None and args.csv:
        from kernel_sim.study import sealed

        sealed.write_whole(args.csv, samples.as_csv().encode())
    if samples is not None and args.plot:
        from kernel_sim.study.drawing import timeline

        timeline.write_plot(samples, args.plot, title)


@contextmanager
def progress_bar(what: str, total: int) -> Iterator[Callable[[int], None] | None]:
    """A bar on standard error while it is a terminal; nothing otherwise."""
    if not sys.stderr.isatty() or total < 1 << 14:
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.update(task, completed=done)


@contextmanager
def spinner(what: str) -> Iterator[None]:
    """A sign of life on standard error while it is a terminal, for work of unknown length; nothing otherwise."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(what):
        yield


def finish(args: argparse.Namespace, manager: FrameManager, report: dict[str, Any], headline: str, owned: OwnedMap | None = None) -> None:
    """Write the map if asked to; print the report, as JSON or for people, with the map under it: the memory's at the end, or `owned`."""
    from kernel_sim.study.drawing import write_map
    from kernel_sim.study.report import framemap_of

    shown = owned.framemap if owned else framemap_of(manager)
    if args.map:
        write_map(shown, args.map, owned=owned)
    if args.json:
        print(to_json(report))
        return
    from rich.console import Console

    from kernel_sim.study.drawing.terminal import print_map

    print(headline)
    print("\n".join(summary(report)))
    print()
    print_map(shown, Console(), owned)


def to_json(report: dict[str, Any] | list[dict[str, Any]]) -> str:
    """JSON for programs and for people: lists of numbers, and of operations (``"a:3"``), stand on one line."""
    text = json.dumps(report, indent=2)
    plain_list = r'\[\n(?:\s*(?:-?[\d.]+(?:e[+-]?\d+)?|"[af]:\d+"),?)+\s*\]'
    return re.sub(plain_list, lambda found: re.sub(r"\s+", " ", found[0]).replace("[ ", "[").replace(" ]", "]"), text)


def summary(report: dict[str, Any]) -> Iterator[str]:
    """The report for people, a line for each thing."""
    if "operations" in report:
        asked = report["operations"]
        yield f"  {asked['allocs']:,} allocations and {asked['frees']:,} frees: {report['served']:,} served, {report['failed']:,} failed"
        yield (f"  of the frees {asked['frees_of_preexisting']:,} of memory in use before, {asked['frees_partial']:,} of parts, "
               f"{asked['frees_unknown']:,} of frames unknown")
    if report.get("first_failure"):
        first = report["first_failure"]
        yield f"  the first failure, event {first['event']:,}: {first['message'].removeprefix('OutOfFrames: ')}"
    if "guest" in report and "processes" not in report:
        guest = report["guest"]
        yield f"  frames: {guest['frames_written']:,} written by the guest, {guest['frames_verified']:,} verified, {guest['corrupted']:,} corrupted"
    yield (f"  {report['steps']:,} steps: {report['holes_examined']:,} blocks or holes examined, {report['splits']:,} splits, "
           f"{report['merges']:,} merges")
    yield f"  {report['internal_fragmentation']:.1%} of what was granted was not asked for (internal fragmentation)"
    if "samples" in report:
        yield f"  {len(report['samples']['operation']):,} samples, one after every {report['samples']['every']:,} operations"
    if "placements_sha256" in report:
        yield f"  placements {report['placements_sha256'][:16]}…"
