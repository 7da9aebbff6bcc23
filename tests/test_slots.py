"""Traces as operations on slots: against a model that keeps a dictionary of frames, and on recorded traces."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel_sim.errors import BadInput
from kernel_sim.operations import ALLOC, FREE, FREE_PREEXISTING, IMPLIED
from kernel_sim.study.formats.ftrace import read_ftrace
from kernel_sim.study.framemap import FrameMap
from kernel_sim.study.framemap import load as load_map
from kernel_sim.study.runs import FREE as IDLE
from kernel_sim.study.runs import HOLE, RESERVED, USED
from kernel_sim.study.slots import SlotPlan, operations
from kernel_sim.study.trace import Trace
from kernel_sim.units import MAX_FRAMES
from kernel_sim.zones import Range, read_memory_map

RECORDINGS = Path(__file__).parent / "data" / "kernel"
SETS = ("tiny_96M_k612", "frag_128M_k612", "huge_256M_k612", "mixed_256M_k612")
PREEXISTING = "preexisting"


class Model:
    """Frames as a dictionary: pfn -> (slot, index within it), or PREEXISTING and the frame's own number."""

    def __init__(self, start: dict[int, int] | None, there: set[int] | None) -> None:
        """`start` gives the kind of every frame that is not a hole."""
        self.there = (
            there if start is None else {pfn for pfn, kind in start.items() if kind != HOLE and (there is None or pfn in there)}
        )
        self.live: dict[int, tuple[Any, int]] = {
            pfn: (PREEXISTING, pfn)
            for pfn, kind in (start or {}).items()
            if kind in (USED, RESERVED) and pfn in (self.there or ())
        }
        self.living: dict[int, int] = {}  # frames of a slot that are live
        self.operations: list[tuple[int, int, int, int, int]] = []  # kind, flags, slot, offset, n_frames
        self.n_slots = 0
        self.counts = dict.fromkeys(
            ("allocs", "frees", "frees_partial", "frees_of_preexisting", "frees_unknown", "implied_frees"), 0
        )

    def event(self, kind: int, pfn: int, n: int) -> None:
        frames = range(pfn, pfn + n)
        if self.there is not None and not all(frame in self.there for frame in frames):
            raise BadInput("not there")
        groups = self._groups([frame for frame in frames if frame in self.live])
        for group in groups:
            self._free(group, implied=kind == ALLOC)
        if kind == ALLOC:
            self.operations.append((ALLOC, 0, self.n_slots, 0, n))
            self.live.update({frame: (self.n_slots, index) for index, frame in enumerate(frames)})
            self.living[self.n_slots] = n
            self.n_slots += 1
        else:
            self.counts["frees_unknown"] += not groups
        self.counts["allocs" if kind == ALLOC else "frees"] += 1

    def _groups(self, frames: list[int]) -> list[list[int]]:
        groups: list[list[int]] = []
        for frame in frames:
            owner, index = self.live[frame]
            if groups and self.live[groups[-1][-1]] == (owner, index - 1):
                groups[-1].append(frame)
            else:
                groups.append([frame])
        return groups

    def _free(self, group: list[int], implied: bool) -> None:
        owner, index = self.live[group[0]]
        if owner == PREEXISTING:
            self.operations.append((FREE_PREEXISTING, IMPLIED * implied, group[0], 0, len(group)))
            self.counts["frees_of_preexisting"] += not implied
        else:
            self.operations.append((FREE, IMPLIED * implied, owner, index, len(group)))
            self.counts["frees_partial"] += not implied and len(group) < self.living[owner]
            self.living[owner] -= len(group)
        self.counts["implied_frees"] += implied
        for frame in group:
            del self.live[frame]


def simply(plan: SlotPlan) -> list[tuple[int, int, int, int, int]]:
    return [
        (int(row["kind"]), int(row["flags"]), int(row["slot"]), int(row["offset"]), int(row["n_frames"]))
        for row in plan.operations
    ]


def trace_of(events: list[tuple[int, int, int]]) -> Trace:
    kinds, pfns, counts = zip(*events, strict=True) if events else ((), (), ())
    return Trace.of(kinds, counts, pfns)


EVENTS = st.lists(st.tuples(st.sampled_from((ALLOC, FREE)), st.integers(0, 30), st.integers(1, 9)), max_size=40)
KINDS = st.lists(st.sampled_from((HOLE, RESERVED, USED, IDLE)), min_size=1, max_size=40)
RANGES = st.sets(st.integers(0, 40)).map(lambda frames: [(pfn, pfn + 1) for pfn in sorted(frames)])


@given(EVENTS, st.none() | KINDS, st.none() | st.just([(0, 100)]) | RANGES)
def test_as_the_model_does(events: list[tuple[int, int, int]], kinds: list[int] | None, ranges: list[Range] | None) -> None:
    """Operations and counts are the model's, with any start map, any memory map, or neither; and both refuse the same event."""
    start = None if kinds is None else FrameMap.from_codes(np.array(kinds, np.uint8))
    model = Model(
        None if kinds is None else dict(enumerate(kinds)),
        None if ranges is None else {pfn for run in ranges for pfn in range(*run)},
    )
    for number, (kind, pfn, n) in enumerate(events, 1):
        try:
            model.event(kind, pfn, n)
        except BadInput:
            with pytest.raises(
                BadInput, match=f"event {number} of the trace is over frame 0x[0-9a-f]+, which its memory does not have"
            ):
                operations(trace_of(events), start, ranges)
            return
    plan = operations(trace_of(events), start, ranges)
    assert simply(plan) == model.operations
    assert plan.counts == model.counts
    assert plan.n_slots == model.n_slots


def test_a_block_comes_back_in_pieces() -> None:
    """A block of eight frames: two of its middle, then all of it: two runs, the second of which is whole."""
    plan = operations(trace_of([(ALLOC, 8, 8), (FREE, 10, 2), (FREE, 8, 8), (FREE, 8, 8)]), None, None)
    assert simply(plan) == [(ALLOC, 0, 0, 0, 8), (FREE, 0, 0, 2, 2), (FREE, 0, 0, 0, 2), (FREE, 0, 0, 4, 4)]
    assert (plan.frees, plan.frees_partial, plan.frees_unknown) == (3, 2, 1)


def test_what_was_in_use_before() -> None:
    """Frames 2 and 3 were in use: freed as what was there before, allocated again they are a slot's, and then nobody's."""
    start = FrameMap.from_codes(np.array([IDLE, HOLE, USED, RESERVED, IDLE], np.uint8))
    plan = operations(trace_of([(FREE, 2, 3), (ALLOC, 2, 2), (FREE, 3, 1), (FREE, 3, 1), (ALLOC, 2, 1)]), start, None)
    assert simply(plan) == [
        (FREE_PREEXISTING, 0, 2, 0, 2),
        (ALLOC, 0, 0, 0, 2),
        (FREE, 0, 0, 1, 1),
        (FREE, IMPLIED, 0, 0, 1),
        (ALLOC, 0, 1, 0, 1),
    ]
    assert plan.counts == {
        "allocs": 2,
        "frees": 3,
        "frees_partial": 1,
        "frees_of_preexisting": 1,
        "frees_unknown": 1,
        "implied_frees": 1,
    }


def test_who_asks() -> None:
    """Operations carry processor, owner and mobility of their event, implied frees those of the allocation that implies them."""
    trace = Trace.of([ALLOC, ALLOC], [1, 1], [5, 5], cpu=[1, 2], owner=[0, 1], mobility=[0, 3], owners=("a", "b"))
    rows = operations(trace, None, None).operations
    assert [tuple(int(row[name]) for name in ("cpu", "owner", "mobility", "flags")) for row in rows] == [
        (1, 0, 0, 0),
        (2, 1, 3, IMPLIED),
        (2, 1, 3, 0),
    ]


def test_more_runs_than_expected() -> None:
    """Two thousand slots of one frame, all freed by one event: the plan grows."""
    plan = operations(
        trace_of([(ALLOC, pfn, 1) for pfn in range(2000)] + [(FREE, 0, 2000), (ALLOC, 0, 4096), (FREE, 0, 4096)]), None, None
    )
    assert len(plan.operations) == 4002
    assert plan.counts == {
        "allocs": 2001,
        "frees": 2,
        "frees_partial": 0,
        "frees_of_preexisting": 0,
        "frees_unknown": 0,
        "implied_frees": 0,
    }


def test_the_highest_frame_costs_no_memory() -> None:
    """Sixteen TiB of frames, of which two are touched; and no events at all."""
    plan = operations(trace_of([(ALLOC, MAX_FRAMES - 1, 1), (FREE, 0, 1), (FREE, MAX_FRAMES - 1, 1)]), None, None)
    assert simply(plan) == [(ALLOC, 0, 0, 0, 1), (FREE, 0, 0, 0, 1)]
    assert len(operations(trace_of([]), None, None).operations) == 0


def recorded(name: str, window: bool) -> tuple[Trace, FrameMap, list[Range]]:
    folder = RECORDINGS / name
    markers = {"from_marker": "SNAP_B_start", "to_marker": "SNAP_A_end"} if window else {}
    return (
        read_ftrace(next(folder.glob("trace.txt.*")), **markers).trace,
        load_map(next(folder.glob("start.kpageflags.*"))),
        read_memory_map(folder / "iomem"),
    )


@pytest.mark.parametrize("name", SETS)
def test_recorded_traces_as_the_model_does(name: str) -> None:
    trace, start, ranges = recorded(name, window=True)
    model = Model(dict(enumerate(start.codes().tolist())), {pfn for run in ranges for pfn in range(*run)})
    for kind, pfn, n in zip(trace.kind.tolist(), trace.pfn.tolist(), trace.n_frames.tolist(), strict=True):
        model.event(kind, pfn, n)
    plan = operations(trace, start, ranges)
    assert simply(plan) == model.operations
    assert plan.counts == model.counts


# From the recordings' README: frees of frames that the trace did not have allocated.
UNKNOWN = {"tiny_96M_k612": 724, "frag_128M_k612": 724, "huge_256M_k612": 852, "mixed_256M_k612": 903}


@pytest.mark.parametrize("name", SETS)
def test_whole_recordings_without_maps(name: str) -> None:
    plan = operations(recorded(name, window=False)[0], None, None)
    assert (plan.frees_unknown, plan.frees_of_preexisting) == (UNKNOWN[name], 0)


def test_live_frames_of_mixed() -> None:
    """At the peak and at the end, as the README says."""
    rows = operations(recorded("mixed_256M_k612", window=False)[0], None, None).operations
    live = np.cumsum(np.where(rows["kind"] == ALLOC, 1, -1) * rows["n_frames"].astype(np.int64))
    assert (int(live.max()), int(live[-1])) == (13065, 7839)


@pytest.mark.parametrize("name", SETS)
def test_the_kernel_agrees(name: str) -> None:
    """No frame that the operations leave live is free in the snapshot that the kernel took right after the last event."""
    trace, start, ranges = recorded(name, window=True)
    live = np.isin(start.codes(), (USED, RESERVED))
    first_pfn = trace.pfn[trace.kind == ALLOC].tolist()
    rows = operations(trace, start, ranges).operations
    for kind, slot, offset, n in zip(*(rows[column].tolist() for column in ("kind", "slot", "offset", "n_frames")), strict=True):
        pfn = slot if kind == FREE_PREEXISTING else first_pfn[slot] + offset
        assert (live[pfn : pfn + n] == (kind != ALLOC)).all()
        live[pfn : pfn + n] = kind == ALLOC
    with open(RECORDINGS / name / "end.free_runs.csv", encoding="ascii") as file:
        free = [(int(first), int(end)) for first, end in list(csv.reader(file))[1:]]
    assert not any(live[first:end].any() for first, end in free)


def test_with_every_index_checked() -> None:
    """Machine code, machine code with bounds checks, and the interpreter make the same operations."""
    program = textwrap.dedent("""
        import numpy as np
        from kernel_sim.study.framemap import FrameMap
        from kernel_sim.study.slots import operations
        from kernel_sim.study.trace import Trace
        draw = np.random.default_rng(612)
        start = FrameMap.from_codes(draw.integers(1, 4, 64, dtype=np.uint8))
        trace = Trace.of(draw.integers(1, 3, 300), draw.integers(1, 9, 300), draw.integers(0, 56, 300))
        plan = operations(trace, start, [(0, 64)])
        print(plan.counts, plan.operations.tobytes().hex())
    """)
    plain = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")}
    said = {
        subprocess.run(
            [sys.executable, "-W", "error", "-c", program], env={**plain, **more}, capture_output=True, text=True, check=True
        ).stdout
        for more in ({}, {"NUMBA_BOUNDSCHECK": "1"}, {"NUMBA_DISABLE_JIT": "1"})
    }
    assert len(said) == 1
