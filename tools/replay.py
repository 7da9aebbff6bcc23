"""Replay a trace on a manager, without a guest: the same placements as `run`, to the frame.

TRACE is a file that `kernel-sim import` or `kernel-sim workload` wrote, a text of tracefs, trace-cmd or perf, plain or compressed, a workload's
TOML file, or a bundled trace by its name: frag, huge, mixed, tiny. Without other options a trace is played on the memory it was recorded on or made
for.
"""

from __future__ import annotations

import argparse

from kernel_sim.tools import _playing


def configure(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("trace", metavar="TRACE", help="what to play")
    _playing.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Play, and report. Exit status 0; 130 when it was interrupted, with the report of what was done."""
    from kernel_sim.tools.cli import FINE, INTERRUPTED

    from kernel_sim.manager import FrameManager
    from kernel_sim.study import slots
    from kernel_sim.study.replay import play

    _playing.check_arguments(args)
    _playing.announce_compiling()
    trace = _playing.load_trace(args, args.trace)
    setting = _playing.settle_memory(args, trace)
    plan = slots.operations(trace, setting.start, setting.usable)
    manager = FrameManager(setting.zones, args.policy, setting.in_use)
    with _playing.progress_bar("replay", len(plan.operations)) as progress:
        done = play(manager, plan, progress, _playing.sampled_every(args, len(plan.operations)))
    manager.check()
    headline = f"{trace.name or args.trace}: {'replayed' if done.complete else 'interrupted'}, policy {manager.policy.name}"
    _playing.write_samples(args, done.samples, headline)
    _playing.finish(args, manager, done.report(), headline)
    return FINE if done.complete else INTERRUPTED
