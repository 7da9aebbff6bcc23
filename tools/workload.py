"""Make a trace that nobody recorded: sizes, lifetimes and a load, drawn with a seed.

SPEC is a TOML file, key=value words, or a file and words that change it; words with parentheses want quotes in a shell:

    kernel-sim workload 'sizes=uniform(1,16) lifetimes=exponential load=0.8 memory=64M operations=100000 seed=7' -o load.kstrace
    kernel-sim workload load.toml seed=8 -o load.kstrace
    kernel-sim workload 'protocol=llfree(0,7) memory=1G' -o frag.kstrace

memory      the memory it is made for, such as 64M; a replay of the trace takes it
sizes       constant(n) uniform(lowest,highest) geometric(mean) exponential(mean) powers-of-two(lowest,highest)
            hyperexponential(short,long,share) histogram(1:50,2:30,8:20) histogram(FILE) trace(TRACE), in frames
lifetimes   exponential(mean) constant(time) bimodal(short,long,share) fifo lifo(run) phases(keep); the unit is the mean time between
            arrivals, share is that of the long ones, run how many a stack loses at a time, keep the probability to survive a phase
operations  allocations and frees in all
load        the share of the memory that is held in use; without it requests arrive as a Poisson process
protocol    llfree(order,rounds), instead of the four above: fill the memory, free half at random, exchange a tenth of the rest in each round
seed (0)    cpus (1)    owners (1)    mobility, such as histogram(0:2,1:7,2:1)    name
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from kernel_sim.tools import _playing

if TYPE_CHECKING:
    from kernel_sim.study.trace import Trace
    from kernel_sim.study.workload import Workload


def configure(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("spec", metavar="SPEC", nargs="+", help="what to make, as said above")
    parser.add_argument("-o", "--output", metavar="OUT", required=True, help="the trace file to write (.kstrace)")
    parser.add_argument("--json", action="store_true", help="report in JSON")


def run(args: argparse.Namespace) -> int:
    """Describe, generate, write, report. Exit status 0."""
    from kernel_sim.study import workload

    described = read(args.spec)
    with _playing.spinner("drawing the workload"):
        trace = workload.generate(described)
        trace.save(args.output)
    report = report_on(described, trace)
    print(_playing.to_json(report) if args.json else "\n".join(as_text(report)))
    return 0


def read(words: list[str]) -> Workload:
    """The workload that the command's words describe."""
    from kernel_sim.study import workload

    if "=" not in words[0]:
        return workload.load(words[0], " ".join(words[1:]))
    return workload.parse(" ".join(words))


def report_on(described: Workload, trace: Trace) -> dict[str, Any]:
    """What was made. Frames as they are asked for; a policy may give more."""
    import numpy as np

    from kernel_sim.operations import ALLOC
    from kernel_sim.study import workload
    from kernel_sim.units import FRAME_BYTES

    is_alloc = trace.kind == ALLOC
    frames = trace.n_frames.astype(np.int64)
    in_use = np.cumsum(np.where(is_alloc, frames, -frames))
    settled = in_use[len(in_use) // 2:]
    return {
        "name": trace.name, "memory_bytes": described.n_frames * FRAME_BYTES, "operations": len(trace),
        "allocs": int(is_alloc.sum()), "frees": int((~is_alloc).sum()),
        "frames": {"mean_request": round(float(frames[is_alloc].mean()), 3), "most_in_use": int(in_use.max()),
                   "in_use_at_the_end": int(in_use[-1]), "mean_in_use_second_half": round(float(settled.mean()), 3)},
        "rounds_end_at": workload.marks(described),
    }


def as_text(report: dict[str, Any]) -> list[str]:
    """The report's lines."""
    from kernel_sim.units import FRAME_BYTES, format_size

    frames, n_frames = report["frames"], report["memory_bytes"] // FRAME_BYTES
    lines = [report["name"],
             f"  {report['allocs']:,} allocations and {report['frees']:,} frees, {frames['mean_request']:,} frames a request",
             f"  of {n_frames:,} frames ({format_size(report['memory_bytes'])}) {frames['most_in_use'] / n_frames:.1%} in use at most, "
             f"{frames['mean_in_use_second_half'] / n_frames:.1%} on average in the second half"]
    if report["rounds_end_at"]:
        lines.append("  half of it is freed, and each round ends, after " + ", ".join(f"{mark:,}" for mark in report["rounds_end_at"])
                     + " operations")
    return lines
