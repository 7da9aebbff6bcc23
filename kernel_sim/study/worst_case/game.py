"""The rules of the game, and its moves."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from kernel_sim.errors import BadInput, OutOfFrames, Unsettled
from kernel_sim.manager import FrameManager
from kernel_sim.units import FRAME_BYTES

_OPERATION = re.compile(r"([af]):(\d+)")


@dataclass(frozen=True)
class Game:
    """What the requester may do: never more than `live` frames at once, every request one of `sizes` (frames).

    Live frames are those asked for; with `count_granted` those that the policy gives for them, padding included.
    BadInput for rules by which nothing can ever be asked for.
    """

    live: int
    sizes: tuple[int, ...]
    count_granted: bool = False

    def __post_init__(self) -> None:
        if self.live < 1:
            raise BadInput(f"live frames: at least 1, not {self.live}")
        if not self.sizes or min(self.sizes) < 1:
            raise BadInput("sizes: at least one, and each at least 1 frame")
        if tuple(sorted(set(self.sizes))) != self.sizes:
            raise BadInput("sizes: each once, in ascending order")
        if self.sizes[-1] > self.live:
            raise BadInput(f"sizes: {self.sizes[-1]} frames can never be asked for when at most {self.live} are live")

    @property
    def most(self) -> int:
        """The most frames that can be live at once: 6 of at most 8 when all sizes are 3. No smaller memory can do."""
        reachable = {0}
        for total in range(1, self.live + 1):
            if any(total - size in reachable for size in self.sizes):
                reachable.add(total)
        return max(reachable)


@dataclass(frozen=True)
class Alloc:
    """Ask for frames, into the next slot."""

    n_frames: int

    def __str__(self) -> str:
        return f"a:{self.n_frames}"


@dataclass(frozen=True)
class Free:
    """Free all of a slot; slots are counted from 0 in order of allocation."""

    slot: int

    def __str__(self) -> str:
        return f"f:{self.slot}"


Operation = Alloc | Free


def parse_operations(words: Iterable[str]) -> list[Operation]:
    """``a:3 f:0`` as operations. BadInput for anything else."""
    operations: list[Operation] = []
    for word in words:
        match = _OPERATION.fullmatch(word)
        if match is None:
            raise BadInput(f"not an operation: {word!r} (a:SIZE allocates, f:SLOT frees)")
        operations.append((Alloc if match[1] == "a" else Free)(int(match[2])))
    return operations


def play(manager: FrameManager, operations: Sequence[Operation]) -> int | None:
    """Play operations until a request cannot be served: the number of that operation, or None when all are."""
    slots: list[int] = []
    for number, operation in enumerate(operations):
        if isinstance(operation, Free):
            manager.free(slots[operation.slot])
            continue
        try:
            slots.append(manager.alloc(operation.n_frames))
        except OutOfFrames:
            return number
    return None


def replay_command(policy: str, n_frames: int, operations: Iterable[Operation]) -> str:
    """The command that shows these operations in a memory of so many frames."""
    return f"kernel-sim step --memory {n_frames * FRAME_BYTES >> 10}K --policy {policy} {' '.join(map(str, operations))}"


class Found(NamedTuple):
    """What a search found: the shortest way to the requester's win, or None when there is no way; and how many states it saw."""

    operations: list[Operation] | None
    n_states: int


Progress = Callable[[int, int], None]
"""Told the memory in frames and the states so far, now and then."""


def too_many_states(max_states: int, n_frames: int) -> Unsettled:
    """The exception for a search that was not allowed to go on."""
    return Unsettled(f"not settled: a memory of {n_frames} frames has more than {max_states:,} states; allow more (--max-states), or ask for less")
