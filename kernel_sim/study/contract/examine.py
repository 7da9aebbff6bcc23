"""Examines a policy: plays the whole contract with it, and tells the shortest story in which it breaks a law.

The memories and operations are Hypothesis', from a seed; when a law is broken it shrinks what it played to the smallest that still breaks one
(David MacIver and Alastair Donaldson, "Test-case reduction via test-case generation: insights from the Hypothesis reducer", ECOOP 2020).
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.strategies import SearchStrategy

from kernel_sim.allocators.base import Policy
from kernel_sim.errors import OutOfFrames, SimError
from kernel_sim.study.contract import games
from kernel_sim.study.contract.driver import Driver
from kernel_sim.study.contract.laws import LAWS, BrokenLaw
from kernel_sim.study.contract.memories import MEMORIES, SEQUENCES, SHARED_SEQUENCES, Memory, Operation
from kernel_sim.study.contract.misuse import MISUSES, memory_for
from kernel_sim.study.contract.picture import picture

Watch = Callable[[Driver], None]
Play = Callable[[Memory, list[Operation], Watch | None], None]


@dataclass(frozen=True)
class Step:
    """An operation in words, and the memory after it, a character a frame; none for the one that broke the law."""

    doing: str
    frames: tuple[str, ...]


@dataclass(frozen=True)
class Finding:
    """The law (`laws.LAWS`) that a policy broke, how, and the shortest story that leads there."""

    law: str
    what: str
    game: str
    memory: Memory | None
    story: tuple[Step, ...]

    @property
    def sentence(self) -> str:
        return LAWS[self.law]


def examine(policy: Policy, rule: type | None = None, seed_number: int = 0, n_examples: int = 200, shrink: bool = True,
            progress: Callable[[str], None] = lambda game: None) -> Finding | None:
    """Play everything; what was found first, or None for a policy that keeps the contract.

    `rule` is where it must place, if it is to be held to that. `progress` is told what is being played, once for every example.
    """
    for name, play in _plays(policy, rule).items():
        sequences = SHARED_SEQUENCES if name == "last user" else SEQUENCES
        found = _shortest(play, sequences, seed_number, n_examples, shrink, lambda name=name: progress(name))  # type: ignore[misc]
        if found:
            memory, operations, broken = found
            return Finding(broken.law, broken.what, name, memory, _story(play, memory, operations))
    for name, misuse in MISUSES.items():
        progress(name)
        try:
            guarded(lambda misuse=misuse: misuse(memory_for(policy)))  # type: ignore[misc]
        except BrokenLaw as broken:
            return Finding(broken.law, broken.what, f"misuse: {name}", None, ())
    return None


def _plays(policy: Policy, rule: type | None) -> dict[str, Play]:
    """The games, ready to be played with memories and operations."""
    return {
        "books": lambda memory, operations, watch: games.books(Driver(policy, memory, rule, watch), operations),
        "last user": lambda memory, operations, watch: games.last_user(Driver(policy, memory, rule, watch), operations),
        "nothing lost": lambda memory, operations, watch: games.nothing_lost(Driver(policy, memory, None, watch), operations),
        "same twice": lambda memory, operations, watch: games.same_twice(policy, memory, operations),
    }


def guarded(play: Callable[[], None]) -> None:
    """Whatever else a policy raises breaks a law, too."""
    try:
        play()
    except BrokenLaw:
        raise
    except OutOfFrames as error:        # where the game knows that there are some
        raise BrokenLaw("nothing lost", str(error)) from error
    except SimError as error:
        raise BrokenLaw("no nonsense", str(error).splitlines()[0]) from error
    except Exception as error:      # whatever code under examination may raise
        where = traceback.extract_tb(error.__traceback__)[-1]
        raise BrokenLaw("no nonsense", f"{type(error).__name__}: {error} (line {where.lineno} of {Path(where.filename).name})") from error


def _shortest(play: Play, sequences: SearchStrategy[list[Operation]], seed_number: int, n_examples: int, shrink: bool,
              progress: Callable[[], None]) -> tuple[Memory, list[Operation], BrokenLaw] | None:
    """The smallest memory and operations with which the game is lost (without `shrink` the first that were found), or None."""
    lost: list[tuple[Memory, list[Operation], BrokenLaw]] = []

    @seed(seed_number)
    @settings(max_examples=n_examples, deadline=None, database=None, report_multiple_bugs=False, suppress_health_check=list(HealthCheck),
              phases=(Phase.generate, Phase.shrink) if shrink else (Phase.generate,))
    @given(memory=MEMORIES, operations=sequences)
    def once(memory: Memory, operations: list[Operation]) -> None:
        progress()
        try:
            guarded(lambda: play(memory, operations, None))
        except BrokenLaw as broken:
            lost.append((memory, operations, broken))
            raise

    try:
        once()
    except BrokenLaw:
        return lost[-1]         # Hypothesis plays the smallest once more at the end
    return None


def _story(play: Play, memory: Memory, operations: list[Operation]) -> tuple[Step, ...]:
    """Every operation with the memory after it, to the one that breaks the law."""
    steps: list[Step] = []
    drivers: list[Driver] = []

    def watch(driver: Driver) -> None:
        drivers.append(driver)
        steps.append(Step(driver.doing, picture(driver.books)))

    try:
        guarded(lambda: play(memory, operations, watch))
    except BrokenLaw:
        if drivers:
            steps.append(Step(drivers[-1].doing, ()))
    return tuple(steps)
