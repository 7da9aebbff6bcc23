"""Segments that grow, shrink, are shared and are moved together, against a model that holds their contents as bytes."""

from __future__ import annotations

import random
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from contract.specs import PLAIN

from kernel_sim import FrameManager, NoSuchSegment, OutOfFrames, SegmentTable, load_policy
from kernel_sim.events import ALLOC, FREE, OK
from kernel_sim.segments import Segment
from kernel_sim.units import FRAME_BYTES

SLIDING = ("first-fit", "next-fit", "best-fit", "worst-fit", "tlsf", "half-fit", "segregated-fit", "bitmap", "best-fit:coalesce=never",
           "first-fit:coalesce=deferred", "worst-fit:carve=high", "next-fit:order=size-descending", "first-fit:search=indexed")
"""Policies that can give up certain frames."""


def interpreter(spec: str) -> Any:
    return load_policy(spec, uncompiled=spec != PLAIN)


class Game:
    """A table of segments and a model of it: the bytes of each, by its id. Beside them stand allocations that nobody may move."""

    def __init__(self, policy: Any, seed: int, memory: Any = 160, obstacles: bool = True) -> None:
        self.manager = FrameManager(memory, policy)
        self.memory = np.zeros(self.manager.n_table_frames * FRAME_BYTES, np.uint8)
        self.table = SegmentTable(self.manager, self.memory)
        self.rng = random.Random(seed)
        self.bytes, self.users, self.fixed = dict[int, bytes](), dict[int, int](), dict[int, int]()
        self.copied = 0
        self.most = 1 if self.manager.policy.name == "page-stack" else 9
        self.steps = [self.alloc, self.alloc, self.alloc, self.free, self.free, self.grow, self.grow, self.share, self.compact]
        self.steps += [self.set_in_the_way] if obstacles else []

    def play(self, n: int) -> None:
        for _ in range(n):
            self.rng.choice(self.steps)()
            self.check()

    def size(self) -> int:
        return self.rng.randrange(1, self.most * FRAME_BYTES + 1)

    def chosen(self) -> int:
        return self.rng.choice(sorted(self.bytes) or [0])

    def frames(self, segment: int) -> int:
        return -(-len(self.bytes[segment]) // FRAME_BYTES)

    def write(self, segment: int, start: int, size: int) -> None:
        """New bytes, from `start` to the size."""
        base, new = self.table.lookup(segment).base, self.rng.randbytes(max(size - start, 0))
        self.bytes[segment] = self.bytes.get(segment, b"")[:min(start, size)] + new
        self.memory[base + start:base + start + len(new)] = np.frombuffer(new, np.uint8)

    def alloc(self) -> None:
        try:
            made = self.table.alloc(self.size(), owner=self.rng.randrange(1, 9))
        except OutOfFrames:
            return
        assert made.id not in self.bytes
        self.users[made.id] = 1
        self.write(made.id, 0, made.bound)

    def set_in_the_way(self) -> None:
        """An allocation that is no segment; or one less."""
        if self.fixed and self.rng.random() < 0.5:
            pfn = self.rng.choice(sorted(self.fixed))
            assert set(self.memory[pfn * FRAME_BYTES:(pfn + self.fixed.pop(pfn)) * FRAME_BYTES].tolist()) == {pfn % 251}
            self.manager.free(pfn)
            return
        n_frames = self.rng.randrange(1, min(self.most, 3) + 1)
        try:
            pfn = self.manager.alloc(n_frames, owner=77)
        except OutOfFrames:
            return
        self.fixed[pfn] = n_frames
        self.memory[pfn * FRAME_BYTES:(pfn + n_frames) * FRAME_BYTES] = pfn % 251

    def free(self) -> None:
        segment = self.chosen()
        if not segment:
            return
        self.table.free(segment)
        self.users[segment] -= 1
        if not self.users[segment]:
            del self.users[segment], self.bytes[segment]
            with pytest.raises(NoSuchSegment):
                self.table.lookup(segment)

    def share(self) -> None:
        segment = self.chosen()
        if segment and self.users[segment] < 3:
            self.users[segment] += 1
            assert self.table.share(segment) == self.table.users(segment) == self.users[segment]

    def grow(self) -> None:
        """To a size that may be smaller. A failure changes nothing; what it had is there still."""
        segment = self.chosen()
        if not segment:
            return
        before, size, free = self.table.lookup(segment), self.size(), self.manager.free_runs()
        try:
            after = self.table.grow(segment, size)
        except OutOfFrames:
            assert (self.table.lookup(segment), self.manager.free_runs()) == (before, free)
            return
        assert after == self.table.lookup(segment) == Segment(segment, after.base, size)
        if after.base != before.base:
            assert after.n_frames > before.n_frames
            self.copied += before.n_frames
        elif self.manager.policy.take:
            room = (before.base // FRAME_BYTES + before.n_frames, before.base // FRAME_BYTES + after.n_frames)
            assert after.n_frames <= before.n_frames or any(first <= room[0] and room[1] <= end for first, end in free)
        self.write(segment, min(before.bound, size), size)

    def compact(self) -> None:
        before = {segment: self.table.lookup(segment).base for segment in self.bytes}
        clock = int(self.manager.events()["number"][-1]) if len(self.manager.events()) else 0
        done = self.table.compact()
        after = {segment: self.table.lookup(segment).base for segment in self.bytes}
        assert done.n_moved == sum(after[segment] != before[segment] for segment in before)
        assert all(after[segment] <= before[segment] and self.zone(after[segment]) == self.zone(before[segment]) for segment in before)
        events = [event for event in self.manager.events() if event["number"] > clock]
        assert done.frames_copied == self.follow(before, events)
        assert before == after
        self.copied += done.frames_copied

    def follow(self, bases: dict[int, int], events: list[Any]) -> int:
        """Read the moves off the event ring, where each is an allocation and a free; write them into `bases`. Frames copied."""
        at, copied = {base // FRAME_BYTES: segment for segment, base in bases.items()}, 0
        for given, taken in zip(events[::2], events[1::2], strict=True):
            assert (given["kind"], given["status"], taken["kind"], taken["status"]) == (ALLOC, OK, FREE, OK)
            new, freed = int(given["pfn"]), int(taken["pfn"])
            if freed == new:
                continue        # the policy's place was no better
            old = freed if freed in at else new + int(given["n_frames"])
            segment = at.pop(old)
            at[new], bases[segment] = segment, new * FRAME_BYTES
            copied += self.frames(segment)
        return copied

    def zone(self, base: int) -> int:
        return next(i for i, zone in enumerate(self.manager.zones) if zone.first_pfn <= base // FRAME_BYTES < zone.end_pfn)

    def check(self) -> None:
        """Contents, places, books and counts."""
        self.manager.check()
        taken = []
        for segment, contents in self.bytes.items():
            found = self.table.lookup(segment)
            assert found.bound == len(contents)
            assert self.memory[found.base:found.base + found.bound].tobytes() == contents, segment
            owners = {self.manager.owner_of(found.base // FRAME_BYTES + i) for i in range(found.n_frames)}
            assert len(owners) == 1 and None not in owners
            taken.append((found.base // FRAME_BYTES, found.n_frames))
        taken += self.fixed.items()
        assert all(first + n <= behind for (first, n), (behind, _) in pairwise(sorted(taken)))
        assert self.table.frames_copied == self.copied
