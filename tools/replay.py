"""Replay a trace on a manager, without a guest: the same placements as `run`, to the frame.

TRACE is a file that `kernel-sim import` or `kernel-sim workload` wrote, a text of tracefs, trace-cmd or perf, plain or compressed, a workload's
TOML file, or a bundled trace by its name: frag, huge, mixed, tiny. Without other options a trace is played on the memory it was recorded on or made
for.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from kernel_sim.tools import _playing

if TYPE_CHECKING:
    from kernel_sim.study.replay import Replay


def configure(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("trace", metavar="TRACE", help="what to play")
    _playing.add_arguments(parser)
    parser.add_argument("--sample", type=_playing.positive, metavar="N",
                        help="look at the memory after every N operations (with --csv or --plot: as makes 200 samples)")
    parser.add_argument("--csv", metavar="FILE", help="write the samples there, a line each")
    parser.add_argument("--plot", metavar="FILE", help="draw fragmentation over time there, as .svg or .png")


def run(args: argparse.Namespace) -> int:
    """Play, and report. Exit status 0; 130 when it was interrupted, with the report of what was done."""
    from kernel_sim.tools.cli import FINE, INTERRUPTED

    from kernel_sim.manager import FrameManager
    from kernel_sim.study import slots
    from kernel_sim.study.replay import play

    _playing.check_arguments(args)
    _check_outputs(args)
    _playing.announce_compiling()
    trace = _playing.load_trace(args, args.trace)
    setting = _playing.settle_memory(args, trace)
    plan = slots.operations(trace, setting.start, setting.usable)
    manager = FrameManager(setting.zones, args.policy, setting.in_use)
    with _playing.progress_bar("replay", len(plan.operations)) as progress:
        done = play(manager, plan, progress, _every(args, len(plan.operations)))
    manager.check()
    headline = f"{trace.name or args.trace}: {'replayed' if done.complete else 'interrupted'}, policy {manager.policy.name}"
    _write_samples(args, done, headline)
    _playing.finish(args, manager, done.report(), headline)
    return FINE if done.complete else INTERRUPTED


def _check_outputs(args: argparse.Namespace) -> None:
    """What can be refused of the samples' files before any work is done."""
    if args.csv:
        _playing.check_folder(args.csv)
    if args.plot:
        from kernel_sim.study.drawing import timeline

        timeline.check(args.plot)
        _playing.check_folder(args.plot)


def _every(args: argparse.Namespace, n_operations: int) -> int:
    """The operations between two samples; 0 for no samples."""
    if args.sample or not (args.csv or args.plot):
        return args.sample or 0
    from kernel_sim.study.metrics import often_enough

    return often_enough(n_operations)


def _write_samples(args: argparse.Namespace, done: Replay, title: str) -> None:
    """The files that were asked for."""
    if done.samples is None:
        return
    if args.csv:
        from kernel_sim.study import sealed

        sealed.write_whole(args.csv, done.samples.as_csv().encode())
    if args.plot:
        from kernel_sim.study.drawing import timeline

        timeline.write_plot(done.samples, args.plot, title)
