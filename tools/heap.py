"""Replay a program's allocations on a heap, and see how well each policy uses it.

LOG is a log of glibc's mtrace, a trace of the malloc lab of CS:APP (.rep), plain or compressed, or a bundled one by its name: cc1.

Utilization is the malloc lab's: the most payload that was ever live, over the size of the heap. That is its peak where a heap shrinks, as these
do when enough is free at their top, if the policy can give up certain granules. Internal fragmentation is the share of the live blocks that is
no payload (headers, rounding); external fragmentation the share of the free bytes outside the longest free run; both when the trace's payload
is the most, and at the end.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kernel_sim.study.heap_replay import HeapReplay
    from kernel_sim.study.heap_trace import HeapTrace

_NEVER = "never"
_DROPPED = {"frees_unknown": "free of what was never seen allocated", "failed_in_log": "call that failed in the recording",
            "frees_of_null": "free of NULL"}


def configure(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("log", metavar="LOG", nargs="?", default="cc1", help="what to replay (default: the bundled cc1, gcc's compiler at work)")
    parser.add_argument("--policy", action="append", metavar="POLICY", dest="policies",
                        help="who places what (see `kernel-sim policies`); several times, to compare (default: first-fit)")
    parser.add_argument("--memory", metavar="SIZE",
                        help="the memory that the heap's frames come from (default: several times what the log's blocks take)")
    parser.add_argument("--header", type=int, default=8, metavar="BYTES", help="of each block (default: 8)")
    parser.add_argument("--alignment", type=int, default=16, metavar="BYTES", help="of payloads, and the size of a granule (default: 16)")
    parser.add_argument("--split", type=int, default=32, metavar="BYTES", help="a block keeps what is left of a hole when it is less (default: 32)")
    parser.add_argument("--growth", type=int, default=1, metavar="FRAMES", help="the least by which the heap grows (default: 1)")
    parser.add_argument("--trim", default="128K", metavar="SIZE",
                        help=f"what must be free at the top for the heap to shrink, or {_NEVER} (default: 128K)")
    parser.add_argument("--json", action="store_true", help="print the report as JSON: an object, or a list of them for several policies")


def run(args: argparse.Namespace) -> int:
    """Exit status 0; 130 when it was interrupted, with the report of what was done."""
    from kernel_sim.tools import _playing
    from kernel_sim.tools.cli import FINE, INTERRUPTED

    from kernel_sim.allocators.plain import load_policy
    from kernel_sim.heap import Heap
    from kernel_sim.manager import FrameManager
    from kernel_sim.study.heap_replay import enough_frames, replay
    from kernel_sim.study.heap_trace import load
    from kernel_sim.units import parse_memory

    policies = args.policies or ["first-fit"]
    options = _options(args)
    for policy in policies:
        load_policy(policy)
    n_frames = parse_memory(args.memory) if args.memory is not None else None
    trace = load(args.log)
    n_frames = n_frames or enough_frames(trace, args.header, args.alignment)
    stack = load_policy("page-stack", uncompiled=True)      # a heap takes its frames one by one, and not many
    _playing.announce_compiling()
    replays: list[HeapReplay] = []
    for policy in policies:
        with _playing.progress_bar(policy, len(trace.operations)) as progress:
            replays.append(replay(trace, Heap(policy, FrameManager(n_frames, stack), **options), progress))
        replays[-1].heap.check()
        if not replays[-1].complete:
            break
    if args.json:
        reports = [done.report() for done in replays]
        print(_playing.to_json(reports[0] if len(policies) == 1 else reports))
    else:
        print("\n".join(_table(trace, replays)))
    return FINE if replays[-1].complete else INTERRUPTED


def _options(args: argparse.Namespace) -> dict[str, Any]:
    """The heap's numbers. BadInput for a size that is none."""
    from kernel_sim.units import parse_size

    trim = None if args.trim == _NEVER else parse_size(args.trim)
    return {"header": args.header, "alignment": args.alignment, "split": args.split, "growth": args.growth, "trim": trim}


def _table(trace: HeapTrace, replays: list[HeapReplay]) -> Iterator[str]:
    """The report for people: the recording, then a row for each policy."""
    counts = trace.counts
    peak, _ = trace.peak()
    yield (f"{trace.name} ({trace.form}): {_several(counts['allocs'], 'allocation')}, {_several(counts['frees'], 'free')}, "
           f"{_several(counts['reallocs'], 'reallocation')}; at most {peak:,} bytes live")
    dropped = [_several(n, _DROPPED[reason]) for reason, n in trace.dropped.items() if n]
    if dropped:
        yield f"  left out: {', '.join(dropped)}"
    width = max(len("policy"), *(len(done.heap.granules.policy.name) for done in replays))
    yield f"{'':<{width}}                              fragmentation, at the peak and the end"
    yield (f"{'policy':<{width}}  utilization      peak heap     internal       external     reallocs moved         steps   failed")
    for done in replays:
        yield _row(done, width)
    yield from _notes(replays)


def _row(done: HeapReplay, width: int) -> str:
    end, peak = done.at_end, done.at_peak or done.at_end
    return (f"{done.heap.granules.policy.name:<{width}}  {end.utilization:>11.1%}  {end.peak_heap_bytes:>13,}"
            f"  {peak.internal_fragmentation:>5.1%} {end.internal_fragmentation:>6.1%}"
            f"  {peak.external_fragmentation:>6.1%} {end.external_fragmentation:>6.1%}"
            f"  {end.n_reallocs - end.n_in_place:>7,} of {end.n_reallocs:>6,}  {end.steps:>12,}  {done.n_failed:>7,}")


def _notes(replays: list[HeapReplay]) -> Iterator[str]:
    """What the numbers do not say."""
    for done in replays:
        name = done.heap.granules.policy.name
        if not done.complete:
            yield f"{name}: interrupted after {done.n_performed:,} of {len(done.trace.operations):,} operations"
        if done.failures:
            yield f"{name}: {_several(done.n_failed, 'request')} not served, first of all: {done.failures[0].removeprefix('HeapFull: ')}"
        if not done.heap.can_take:
            yield f"{name}: it cannot give up certain granules, so its heap does not shrink, and only the block at the top grows where it lies"


def _several(n: int, what: str) -> str:
    """``1 free of NULL``, ``2 frees of NULL``."""
    first, *rest = what.split(" ", 1)
    return " ".join([f"{n:,}", first if n == 1 else first + "s", *rest])
