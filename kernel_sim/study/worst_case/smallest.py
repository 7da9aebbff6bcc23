"""The smallest memory in which a policy never fails: memories are searched from the smallest possible one upwards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kernel_sim.allocators.base import Policy
from kernel_sim.allocators.plain import load_policy
from kernel_sim.errors import Unsettled
from kernel_sim.manager import FrameManager
from kernel_sim.study.worst_case import compact, generic
from kernel_sim.study.worst_case.boards import ManagerBoard, RuleBoard, rule_of
from kernel_sim.study.worst_case.game import Found, Game, Operation, Progress
from kernel_sim.study.worst_case.layouts import LARGEST_MEMORY
from kernel_sim.study.worst_case.placings import PLACINGS

MAX_STATES = 20_000_000
"""Of one memory, unless more are allowed: about 1.5 GB of the host's memory in the compiled searches."""


@dataclass(frozen=True)
class Smallest:
    """The answer. All smaller memories are defeated, the next smaller one by `defeating`; None when one frame is enough.

    That a larger memory never fails either is not said: a policy may be odd, and only what was searched is known.
    """

    n_frames: int
    defeating: list[Operation] | None
    n_states: int               # of the game in that memory
    engine: str                 # "compact", "rule", "generic" or "optimal"


def smallest_memory(policy: str | type | Policy, game: Game, max_states: int = MAX_STATES, progress: Progress | None = None,
                    engine: str | None = None) -> Smallest:
    """The smallest memory in which the policy never fails, exactly. Unsettled when a search grows too large, or no memory seems to do.

    `engine` is "compact", "rule" or "generic"; without it the first of them that knows the policy.
    """
    loaded = load_policy(policy)
    rule = rule_of(loaded)
    if engine is None:
        compact_form = None if loaded.plain else PLACINGS.get(loaded.name)
        engine = "compact" if compact_form and game.most < compact_form.largest else "rule" if rule else "generic"
    if engine == "compact":
        return climb(game, lambda n_frames: compact.search(loaded.name, n_frames, game, max_states, progress), PLACINGS[loaded.name].largest, engine)

    def search(n_frames: int) -> Found:
        board = RuleBoard(rule, n_frames) if engine == "rule" and rule else ManagerBoard(loaded, n_frames)
        return generic.search(board, n_frames, game, max_states, progress)

    return climb(game, search, enough(game), engine)


def enough(game: Game) -> int:
    """Frames in which every policy that fails only when it has no hole, or no aligned block, should do; twice as many, to be sure."""
    return 2 * game.live * (2 * game.sizes[-1])


def climb(game: Game, search: Callable[[int], Found], largest: int, engine: str) -> Smallest:
    """Search ever larger memories until the requester does not win. The first is one frame too small for what can be live, or a single frame."""
    defeating: list[Operation] | None = None
    first = 1 if game.count_granted else max(1, game.most - 1)
    if first > largest:
        raise Unsettled(f"not settled: memories of more than {largest} frames are not searched, and {game.most} can be live")
    for n_frames in range(first, largest + 1):
        found = search(n_frames)
        if found.operations is None:
            return Smallest(n_frames, defeating, found.n_states, engine)
        defeating = found.operations
    ways = "the policy seems to refuse such requests in any memory" if defeating and len(defeating) == 1 else "the search ends there"
    raise Unsettled(f"not settled: even a memory of {largest} frames is defeated; {ways}")


def smallest_for_the_best(against: str | type | Policy, game: Game, max_states: int = MAX_STATES,
                          progress: Progress | None = None) -> Smallest:
    """The smallest memory in which some allocator never fails. Below it none does: `defeating` is the winning strategy played against a policy."""
    from kernel_sim.study.worst_case.optimal import defeat, solve

    loaded = load_policy(against, uncompiled=True)      # for a dozen operations

    def search(n_frames: int) -> Found:
        solved = solve(n_frames, game, max_states, progress)
        n_states = len(solved.lost)
        return Found(None if solved.n_operations is None else defeat(FrameManager(n_frames, loaded), solved), n_states)

    return climb(game, search, LARGEST_MEMORY, "optimal")
