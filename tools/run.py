"""Boot the machine and let its guest execute a trace, or run a program.

With no arguments the guest executes the bundled trace `mixed`, recorded from a real kernel, on the memory of the machine it was recorded on: it
writes to every frame it gets and verifies it before it gives it back. With --programs a guest kernel runs them, each in an address space of its
own, by pages or by segments. Exit status 3 when the guest fails; what becomes of its programs is in the report.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from kernel_sim.tools import _findings, _guest, _playing

from kernel_sim.errors import BadInput

if TYPE_CHECKING:
    from kernel_sim.machine.machine import Run
    from kernel_sim.study.metrics import Samples
    from kernel_sim.study.slots import SlotPlan

_BLOCKS_A_FRAME = 1000      # what signing and verifying a frame may cost a guest, and more


def configure(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("--trace", metavar="TRACE", help="the trace for the guest `replay`: a file, or frag, huge, mixed, tiny (default: mixed)")
    _guest.add_arguments(parser, "replay")
    _playing.add_arguments(parser)
    parser.add_argument("--budget", type=_playing.positive, metavar="BLOCKS",
                        help="stop a guest after so many blocks of code (default: enough for the trace, two billion at least)")
    parser.add_argument("--map-at", type=int, metavar="BLOCKS",
                        help="of programs, the moment of the map, in blocks of code (default: the first with the most frames in use)")
    parser.add_argument("--timeline", metavar="FILE", help="write what happened when, for Perfetto (ui.perfetto.dev): 1 ns in it is a block of code")
    _findings.add_arguments(parser)
    parser.add_argument("--trace-guest", action="store_true", help="print every instruction before it runs, on standard error")


def run(args: argparse.Namespace) -> int:
    """Boot, run, report."""
    from kernel_sim.machine.machine import Machine
    from kernel_sim.manager import FrameManager
    from kernel_sim.study.metrics import Sampler, telling_both

    _playing.check_arguments(args)
    _check_arguments(args)
    told = _guest.settle(args, "replay")
    _playing.announce_compiling()
    trace = _playing.load_trace(args, args.trace or "mixed") if args.trace or args.guest == "replay" else None
    setting = _playing.settle_memory(args, trace)
    plan = _plan(trace, setting)
    every = _sampled_every(args, plan)
    manager = FrameManager(setting.zones, args.policy, setting.in_use)
    machine = Machine(manager, args.guest, budget=args.budget or _budget(plan), journal=_guest.keeps_journal(args),
                      sanitize=args.sanitize, uninitialised=args.uninitialised, **told)
    start = _guest.Start(manager)
    operations = plan.operations if plan else None
    sampler = Sampler(manager, every) if every else None
    with _playing.progress_bar("the guest runs", len(operations) if operations is not None else 0) as progress:
        done = machine.run(operations, telling_both(sampler, progress), _print_instruction if args.trace_guest else None)
    manager.check()
    samples = sampler.samples(done.performed.n_performed) if sampler and done.performed else None
    _playing.write_samples(args, samples, f"{trace.name if trace else args.guest}: run by the guest, policy {manager.policy.name}")
    owned = _guest.owned_map(args, machine, start)
    if args.timeline:
        _guest.write_timeline(args.timeline, machine, start, _ended(done))
    report = _report(manager, plan, done, samples) | _guest.report(machine)
    _playing.finish(args, manager, report, "\n".join([_headline(args, manager, done), *_guest.in_words(report)]), owned)
    return _status(args.guest, done)


def _check_arguments(args: argparse.Namespace) -> None:
    if args.timeline:
        _playing.check_folder(args.timeline)
    if args.map_at is not None and args.programs is None:
        raise BadInput("--map-at: only of programs a map of any moment can be drawn (--programs)")
    if args.map_at is not None and args.map_at < 0:
        raise BadInput(f"--map-at {args.map_at}: a moment is a number of blocks from 0 on")
    if args.programs is not None and args.trace:
        raise BadInput("--programs and --trace: a guest runs programs or plays a trace, not both")


def _plan(trace: Any, setting: Any) -> SlotPlan | None:
    from kernel_sim.study import slots

    return slots.operations(trace, setting.start, setting.usable) if trace is not None else None


def _sampled_every(args: argparse.Namespace, plan: SlotPlan | None) -> int:
    """The operations between two looks at the memory, which is looked at between two windows of the guest's operations; 0 for none."""
    from kernel_sim.machine.abi import WINDOW_OPERATIONS

    if plan is None and (args.sample or args.csv or args.plot):
        raise BadInput(f"--sample, --csv and --plot: guest {args.guest} plays no trace")
    return _playing.sampled_every(args, len(plan.operations), WINDOW_OPERATIONS) if plan else 0


def _budget(plan: SlotPlan | None) -> int:
    """Enough for whatever the trace asks the guest to write and verify."""
    from kernel_sim.machine.machine import DEFAULT_BUDGET

    return DEFAULT_BUDGET + (int(plan.operations["n_frames"].sum()) * _BLOCKS_A_FRAME if plan else 0)


def _print_instruction(text: str) -> None:
    print(text, file=sys.stderr)


def _report(manager: Any, plan: SlotPlan | None, done: Run, samples: Samples | None) -> dict[str, Any]:
    """The numbers of `replay --json`, and the guest's."""
    from kernel_sim.study.report import first_failure_report, memory_report, operations_report

    played = {}
    if plan and done.performed:
        played = operations_report(plan.counts, done.performed) | first_failure_report(manager, plan.operations, done.performed)
    guest = {
        "frames_written": done.frames_written, "frames_verified": done.frames_verified, "corrupted": done.corrupted,
        "console": done.console, "exit_status": done.exit_status, "stopped": done.stopped, "fault": str(done.fault) if done.fault else None,
        "listing": list(done.listing), "blocks": done.blocks, "calls": done.calls,
        **_findings.report(done),
    }
    return {**memory_report(manager), **played, **({"samples": samples.as_json()} if samples else {}), "guest": guest}


def _headline(args: argparse.Namespace, manager: Any, done: Run) -> str:
    """The console's text, then how the guest ended, with the instructions around a fault."""
    ended = f"exit status {done.exit_status}" if done.stopped == "exit" else done.stopped
    lines = [done.console.rstrip("\n")] if done.console else []
    lines.append(f"guest {args.guest}, policy {manager.policy.name}: {ended}, {done.blocks:,} blocks of code, {done.calls:,} calls")
    return "\n".join([*lines, *(f"    {line}" for line in done.listing), *_findings.lines(done)])


def _status(guest: str, done: Run) -> int:
    """The exit status; for a guest that failed, one line on standard error says how."""
    from kernel_sim.tools.cli import FINE, GUEST_FAILED, INTERRUPTED

    if done.ok:
        return FINE
    print(f"kernel-sim: guest {guest}: {_ended(done)}", file=sys.stderr)
    return INTERRUPTED if done.stopped == "interrupt" else GUEST_FAILED


def _ended(done: Run) -> str:
    """How the guest ended, in a line."""
    ended = f"exit status {done.exit_status}"
    return {
        "exit": ended if done.exit_status else _findings.summary(done) or ended,
        "fault": str(done.fault), "halt": "halted without an exit", "interrupt": "interrupted",
        "budget": f"not at its end after {done.blocks:,} blocks of code (--budget)",
    }[done.stopped]
