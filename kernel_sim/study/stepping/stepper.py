"""Operations on a small memory, one by one, with everything that changed: what the policy had before, where it looked, and what it has after.

The policy runs in the interpreter, so nothing is compiled and nobody waits. What it holds is read from its own lists before and after; splits and
merges are seen by comparing the two, so that every policy is shown alike, one in plain Python too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kernel_sim.allocators.base import EXAMINED, MERGES, SPLITS, Place, Policy, Request, watching
from kernel_sim.allocators.plain import load_policy
from kernel_sim.errors import BadInput, OutOfFrames
from kernel_sim.frames import FREE, PAD
from kernel_sim.manager import FrameManager
from kernel_sim.study.stepping.script import Operation
from kernel_sim.zones import Range

MAX_FRAMES = 4096
"""The largest memory that is drawn frame by frame."""

FREE_SIGN, PAD_SIGN = ".", "+"
_LARGEST_SHARE = 6
NOTHING_ASKED = Request(1, 0, 0, 0)
"""For the order of the search when there is no request."""


@dataclass(frozen=True)
class Change:
    """Blocks that were one and are several, or were several and are one: the whole, and the parts in order of address. (first, end) each."""

    whole: Range
    parts: tuple[Range, ...]


@dataclass(frozen=True)
class Step:
    """One operation and what became of it.

    `before` and `after` have a character a frame: the letter of its allocation, ``+`` for padding, ``.`` for free. `places` are the policy's lists
    before, in its search order; `looked_at` where it looked, one after the other, each as it was then. `range` are the frames placed or freed,
    None for none. `taken` are the free blocks that an allocation came out of. `problem` says why nothing was done, and `nearest` are the frames
    where a request that failed would most nearly have fitted.
    """

    number: int
    operation: Operation
    before: str
    after: str
    places: tuple[Place, ...]
    looked_at: tuple[Place, ...]
    free_after: tuple[Range, ...]
    range: Range | None
    taken: tuple[Range, ...]
    splits: tuple[Change, ...]
    joins: tuple[Change, ...]
    tallies: tuple[int, int, int]       # examined, splits, merges, as the policy counts them
    problem: str = ""
    nearest: Range | None = None


class Stepper:
    """A small memory of one zone, and a policy on it. BadInput for a memory that is not small, BadPolicy for a policy."""

    def __init__(self, policy: str | type | Policy, n_frames: int) -> None:
        if not 1 <= n_frames <= MAX_FRAMES:
            raise BadInput(f"a memory that is drawn frame by frame has between 1 and {MAX_FRAMES} frames, not {n_frames}")
        self.manager = FrameManager(n_frames, load_policy(policy, uncompiled=True))
        self._letters = [FREE_SIGN] * n_frames
        self._placed: dict[int, int] = {}       # slot -> pfn
        self._n_steps = 0

    @property
    def has_order(self) -> bool:
        """Whether the policy tells in which order it searches; otherwise its free blocks are shown as it lists them, or by address."""
        return self.manager.policy.search_order is not None

    def sizes(self) -> list[int]:
        """What may be asked for here, up to a sixth of the memory: what the policy would ever give."""
        largest = max(1, len(self._letters) // _LARGEST_SHARE)
        return [n for n in range(1, largest + 1) if self.manager.policy.granted(self._area(), n)] or [1]

    def picture(self) -> str:
        """The memory now, a character a frame."""
        states = self.manager.table.frames["state"].tolist()
        return "".join({FREE: FREE_SIGN, PAD: PAD_SIGN}.get(state, letter) for state, letter in zip(states, self._letters, strict=True))

    def places(self, request: Request = NOTHING_ASKED) -> tuple[Place, ...]:
        """What the policy has to give, in the order in which such a request would look at it."""
        policy = self.manager.policy
        if policy.search_order is not None:
            return tuple(policy.search_order(self._area(), request))
        blocks = _free_runs(self.picture()) if policy.plain else policy.blocks(self._area())
        return tuple(Place("", ((int(pfn), int(n)),)) for pfn, n in blocks)

    def step(self, operation: Operation) -> Step:
        """Carry out one operation."""
        self._n_steps += 1
        before = self.picture()
        places = self.places(Request(operation.n_frames, operation.owner, operation.cpu, operation.mobility))
        tallies = self._tallies()
        looked_at: list[Place] = []
        with watching(lambda number: looked_at.append(self._place(number))):
            done, nearest, problem = self._alloc(operation) if operation.allocates else self._free(operation)
        counted = [now - then for now, then in zip(self._tallies(), tallies, strict=True)]
        if self.has_order and self.manager.policy.plain and operation.allocates:
            looked_at = list(places[:counted[0]])       # it says how many, and not which: so they are the first ones of its order
        had, has = _ranges(places), _ranges(self.places())
        taken = tuple(it for it in had if done and operation.allocates and it[0] < done[1] and done[0] < it[1])
        return Step(self._n_steps, operation, before, self.picture(), places, tuple(looked_at), has, done, taken,
                    tuple(_splits(had, has, done if operation.allocates else None)),
                    tuple(_joins(had, has, None if operation.allocates else done)), (counted[0], counted[1], counted[2]), problem, nearest)

    def _alloc(self, operation: Operation) -> tuple[Range | None, Range | None, str]:
        """The frames granted; or None, the nearest fit, and why."""
        try:
            pfn = int(self.manager.alloc(operation.n_frames, operation.owner, operation.cpu, operation.mobility))
        except OutOfFrames as failure:
            nearest = failure.nearest_fit
            return None, (nearest.first_pfn, nearest.end_pfn) if nearest else None, self._why_not(failure)
        end = pfn + int(self.manager.events()[-1]["granted"])
        self._placed[operation.slot] = pfn
        self._letters[pfn:end] = operation.letter * (end - pfn)
        return (pfn, end), None, ""

    def _free(self, operation: Operation) -> tuple[Range | None, None, str]:
        """The frames freed, padding included; or None, and why."""
        if operation.slot not in self._placed:
            return None, None, f"{operation.letter} was never placed, so there is nothing to free"
        pfn = self._placed[operation.slot] + operation.offset
        self.manager.free(pfn, operation.n_frames or None)
        return (pfn, pfn + int(self.manager.events()[-1]["granted"])), None, ""

    def _why_not(self, failure: OutOfFrames) -> str:
        """The explanation in the drawing's terms: letters, and frames as it numbers them."""
        nearest = failure.nearest_fit
        if failure.reason == "limit":
            return "it never gives so many at once here"
        if failure.reason == "empty":
            return f"only {failure.n_free} free"
        said = f"{failure.n_free} free, but scattered: the longest free run has {failure.largest_free_run}"
        if failure.reason == "alignment":
            said = f"{failure.n_free} free, {failure.largest_free_run} of them in one run, but not as an aligned block"
        if nearest is None:
            return said
        where = f"{nearest.first_pfn}:{nearest.end_pfn - nearest.first_pfn}"
        if not nearest.n_taken:
            return f"{said}; {where} is free, but the policy did not find it in one piece"
        holders = "".join(sorted(set(self.picture()[nearest.first_pfn:nearest.end_pfn]) - {FREE_SIGN, PAD_SIGN}))
        return f"{said}; nearest fit {where}, {nearest.n_taken} of it taken ({', '.join(holders)})"

    def _place(self, number: int) -> Place:
        place = self.manager.policy.place
        assert place is not None, "who calls `examine` says what its numbers mean"
        return place(self._area(), number)

    def _area(self) -> Any:
        return self.manager.area(0)

    def _tallies(self) -> tuple[int, int, int]:
        tally = self._area().tally
        return int(tally[EXAMINED]), int(tally[SPLITS]), int(tally[MERGES])


def _free_runs(picture: str) -> Iterator[tuple[int, int]]:
    """(pfn, n_frames) of the free runs, by address: what there is to tell of a policy that keeps its lists to itself."""
    edges = np.flatnonzero(np.diff([sign == FREE_SIGN for sign in f"#{picture}#"])).tolist()
    return ((first, end - first) for first, end in zip(edges[::2], edges[1::2], strict=True))


def _ranges(places: Sequence[Place]) -> tuple[Range, ...]:
    """All blocks as (first, end), by address."""
    return tuple(sorted((pfn, pfn + n) for place in places for pfn, n in place.blocks))


def _splits(had: Sequence[Range], has: Sequence[Range], placed: Range | None) -> Iterator[Change]:
    """Blocks that there were and that are in pieces now, the placed frames among them."""
    for whole in sorted(set(had) - set(has)):
        new = [*(set(has) - set(had)), *([placed] if placed else [])]
        parts = sorted(it for it in new if whole[0] <= it[0] and it[1] <= whole[1])
        if len(parts) > 1:
            yield Change(whole, tuple(parts))


def _joins(had: Sequence[Range], has: Sequence[Range], freed: Range | None) -> Iterator[Change]:
    """Blocks that there are and that were in pieces before, the freed frames among them."""
    for whole in sorted(set(has) - set(had)):
        gone = [*(set(had) - set(has)), *([(max(freed[0], whole[0]), min(freed[1], whole[1]))] if freed else [])]
        parts = sorted(it for it in gone if whole[0] <= it[0] < it[1] <= whole[1])
        if len(parts) > 1:
            yield Change(whole, tuple(parts))
