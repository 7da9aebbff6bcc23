"""Find the smallest memory in which a policy never fails, exactly, and the shortest way to make it fail in one frame less.

The requester has at most N frames live, asks only for certain sizes, and allocates and frees as he likes; every way to do so is tried. Live frames
are those asked for: a buddy that rounds 3 up to 4 holds 3 (--count granted counts 4).

  kernel-sim worst-case first-fit --live 8 --sizes 1,2,3
  kernel-sim worst-case --optimal --live 8 --sizes 1,2,3         the best allocator there can be
  kernel-sim worst-case best-fit --live 256 --largest 8 --adversary robson-best-fit
  kernel-sim worst-case first-fit:search=indexed --live 10000 --largest 64 --adversary every-size

For games too large to be searched, --adversary plays a requester against the policy: robson (against every allocator), knuth (against buddies),
robson-best-fit, every-size (against first fit); what is proved stands beside what was reached, and how near that came.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from kernel_sim.tools import _playing

from kernel_sim.errors import BadInput

if TYPE_CHECKING:
    from kernel_sim.study.worst_case.adversaries import Reached
    from kernel_sim.study.worst_case.bounds import Bound
    from kernel_sim.study.worst_case.game import Game
    from kernel_sim.study.worst_case.smallest import Smallest

_SHOWN = 60     # operations of a sequence that are printed; --json has them all


def configure(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("policy", nargs="?", metavar="POLICY", help="a name (see `kernel-sim policies`) or path/to/file.py:ClassName")
    parser.add_argument("--live", required=True, metavar="N", help="frames that are live at most")
    parser.add_argument("--sizes", metavar="N,N,…", help="what may be asked for, in frames: 1,2,3")
    parser.add_argument("--optimal", action="store_true",
                        help="the best allocator there can be; with POLICY, the operations shown are the winning strategy against that one")
    parser.add_argument("--count", choices=("requested", "granted"), default="requested", help="which frames are live")
    parser.add_argument("--adversary", metavar="NAME", help="do not search: play robson, knuth, robson-best-fit or every-size")
    parser.add_argument("--largest", metavar="N", help="an adversary's largest request, in frames")
    parser.add_argument("--max-states", metavar="N", help="give up when one memory has more states than that (default: 20,000,000)")
    parser.add_argument("--json", action="store_true", help="print the answer as JSON, with all operations")


def run(args: argparse.Namespace) -> int:
    """Exit status 0; 1 when the answer is not settled."""
    live = _number("--live", args.live)
    if args.adversary is not None:
        return _play(args, live)
    if args.largest is not None:
        raise BadInput("--largest is for --adversary; a search is told all --sizes")
    if args.sizes is None:
        raise BadInput("--sizes: what may be asked for, such as 1,2,3")
    if args.policy is None and not args.optimal:
        raise BadInput("a policy, or --optimal for the best allocator there can be")
    if args.optimal and args.count == "granted":
        raise BadInput("--count granted: the best allocator gives what is asked for")
    return _search(args, live, sorted({_number("--sizes", size) for size in args.sizes.split(",")}))


def _number(option: str, text: str) -> int:
    """A whole number from 1 on, as it is typed."""
    if not (text.isascii() and text.isdigit()) or int(text) < 1 or int(text) >= 1 << 31:
        raise BadInput(f"{option}: a whole number of at least 1, not {text!r}")
    return int(text)


def _search(args: argparse.Namespace, live: int, sizes: list[int]) -> int:
    from kernel_sim.study.worst_case import bounds
    from kernel_sim.study.worst_case.game import Game
    from kernel_sim.study.worst_case.smallest import MAX_STATES, smallest_for_the_best, smallest_memory

    game = Game(live, tuple(sizes), args.count == "granted")
    max_states = MAX_STATES if args.max_states is None else _number("--max-states", args.max_states)
    policy = args.policy or "first-fit"
    with _progress() as progress:
        find = smallest_for_the_best if args.optimal else smallest_memory
        answer = find(policy, game, max_states, progress)
    known = bounds.of_game(game, None if args.optimal else policy)
    if args.json:
        print(_playing.to_json(_report(args, game, answer, known, policy)))
    else:
        print("\n".join(_lines(args, game, answer, known, policy)))
    return 0


def _report(args: argparse.Namespace, game: Game, answer: Smallest, known: list[Bound], policy: str) -> dict[str, Any]:
    return {
        "policy": args.policy, "optimal": args.optimal, "live": game.live, "sizes": list(game.sizes), "count": args.count,
        "smallest_memory": answer.n_frames, "states": answer.n_states, "engine": answer.engine,
        "defeated_memory": None if answer.defeating is None else answer.n_frames - 1, "defeated_policy": policy,
        "defeating_sequence": None if answer.defeating is None else list(map(str, answer.defeating)), "bounds": _bounds(known),
    }


def _lines(args: argparse.Namespace, game: Game, answer: Smallest, known: list[Bound], policy: str) -> Iterator[str]:
    who = "The best allocator there can be" if args.optimal else policy
    sizes = ", ".join(map(str, game.sizes[:-1])) + (" or " if len(game.sizes) > 1 else "") + str(game.sizes[-1])
    yield f"{who}, at most {_frames(game.live)} live, requests of {sizes}"
    yield f"  never fails in {_frames(answer.n_frames)} of memory: all of {answer.n_states:,} states looked at; no smaller memory does"
    for bound in known:
        yield f"  {bound.n_frames:,}: {bound.what} ({bound.source})"
    if answer.defeating is None:
        return
    if args.optimal:
        yield f"  In {_frames(answer.n_frames - 1)} none does. The winning strategy against {policy}, {_many(answer.defeating)}:"
    else:
        yield f"  In {_frames(answer.n_frames - 1)} it fails after {_many(answer.defeating)}, and no sooner:"
    yield from _sequence(policy, answer.n_frames - 1, answer.defeating)


def _play(args: argparse.Namespace, live: int) -> int:
    from kernel_sim.study.worst_case.adversaries import reach

    if args.policy is None:
        raise BadInput("--adversary: against which policy?")
    if args.largest is None or args.sizes is not None or args.optimal or args.count == "granted" or args.max_states is not None:
        raise BadInput("--adversary goes with --live and --largest alone")
    largest = _number("--largest", args.largest)
    with _progress() as progress:
        reached = reach(args.adversary, args.policy, live, largest, progress)
    if args.json:
        print(_playing.to_json({
            "policy": args.policy, "adversary": args.adversary, "live": live, "largest": largest,
            "smallest_memory": None, "smallest_memory_at_least": reached.defeated + 1, "defeated_memory": reached.defeated,
            "frames_used": reached.used, "frames_used_of": reached.roomy, "frames_used_per_live_frame": reached.used / live,
            "bounds": [{**shown, "used_of_it": reached.used / shown["n_frames"]} for shown in _bounds(reached.bounds)],
            "defeating_sequence": list(map(str, reached.defeating))}))
    else:
        print("\n".join(_reached_lines(args, live, largest, reached)))
    return 0


def _reached_lines(args: argparse.Namespace, live: int, largest: int, reached: Reached) -> Iterator[str]:
    yield f"{args.policy} against {args.adversary}, at most {_frames(live)} live, requests of {largest} at most"
    yield f"  fails in {_frames(reached.defeated)} of memory, after {_many(reached.defeating)}: it needs {reached.defeated + 1:,} at least"
    yield f"  in a memory of {reached.roomy:,}, where nothing is refused, it uses the first {reached.used:,}: " \
          f"{reached.used / live:.3f} times what is live"
    for bound in reached.bounds:
        share = reached.used / bound.n_frames
        yield f"  {bound.n_frames:,}: {bound.what} ({bound.source}); what is used is {share:.3f} of that"
    yield from _sequence(args.policy, reached.defeated, reached.defeating)


def _sequence(policy: str, n_frames: int, operations: list[Any]) -> Iterator[str]:
    from kernel_sim.study.worst_case.game import replay_command

    if len(operations) <= _SHOWN:
        yield f"    {replay_command(policy, n_frames, operations)}"
    else:
        yield f"    {' '.join(map(str, operations[:_SHOWN]))} … (--json has all {len(operations):,})"


def _bounds(known: list[Bound]) -> list[dict[str, Any]]:
    return [{"n_frames": bound.n_frames, "what": bound.what, "source": bound.source} for bound in known]


def _many(operations: list[Any]) -> str:
    return f"{len(operations):,} operation{'s' if len(operations) != 1 else ''}"


def _frames(n: int) -> str:
    return f"{n:,} frame{'s' if n != 1 else ''}"


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None] | None]:
    """A line on standard error while it is a terminal; nothing otherwise."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console

    with Console(stderr=True).status("searching") as status:
        yield lambda n_frames, n: status.update(f"memory of {_frames(n_frames)}: {n:,}")
