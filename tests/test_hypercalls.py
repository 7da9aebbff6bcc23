"""The doorbell: what each call answers, against the Python API as a twin, and that nothing a guest writes into a box does harm."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from contract.specs import BUILT_IN, PLAIN, SPECS, short
from guest.door import EDGES, Boxes, Door

from kernel_sim import FrameManager, NoSuchSegment, OutOfFrames, SegmentTable
from kernel_sim.errors import BadFree
from kernel_sim.events import (
    BAD_COUNT,
    BROKEN,
    INTERIOR_FREE,
    NO_SUCH_CALL,
    NO_SUCH_SEGMENT,
    NOT_ALLOCATED,
    NOT_SERVED,
    OK,
    OUT_OF_FRAMES,
    SHARED,
    STATUS_NAMES,
)
from kernel_sim.machine import abi, board
from kernel_sim.segments import MAX_SEGMENTS
from kernel_sim.zones import Zone

MEMORY = [Zone("Low", ((1, 90), (128, 300)), reserved=((40, 50),)), Zone("High", ((300, 1000),))]


TWINNED = {abi.FRAME_ALLOC: "pfn", abi.FRAME_FREE: "", abi.FRAME_SHARE: "n_frames", abi.SEGMENT_ALLOC: "segment", abi.SEGMENT_FREE: "",
           abi.SEGMENT_LOOKUP: "base", abi.SEGMENT_GROW: "n_frames", abi.SEGMENT_SHARE: "n_frames", abi.SEGMENT_COMPACT: "n_frames"}
"""Calls that the Python API can make, too, and the field with the answer."""


class Twin:
    """The same calls through the Python API."""

    def __init__(self, spec: str) -> None:
        self.manager = FrameManager(MEMORY, spec, in_use=[(60, 70)])
        self.segments = SegmentTable(self.manager)

    def answer(self, call: int, n_frames: int, pfn: int, owner: int, segment: int, bound: int) -> tuple[int, int]:
        """(status, what was handed out or 0)"""
        try:
            if call == abi.FRAME_SHARE:
                return OK, self.manager.share(pfn, owner)
            if call == abi.FRAME_ALLOC:
                return (OK, self.manager.alloc(n_frames, owner)) if n_frames > 0 else (BAD_COUNT, 0)
            if call == abi.SEGMENT_ALLOC:
                return (OK, self.segments.alloc(bound, owner).id) if bound > 0 else (BAD_COUNT, 0)
            if call == abi.FRAME_FREE:
                if n_frames < 0:
                    return BAD_COUNT, 0
                self.manager.free(pfn, n_frames or None, owner)
            elif call == abi.SEGMENT_FREE:
                self.segments.free(segment)
            elif call == abi.SEGMENT_LOOKUP:
                return OK, self.segments.lookup(segment).base
            elif call >= abi.SEGMENT_GROW:
                return self.answer_about_moves(call, owner, segment, bound)
            return OK, 0
        except OutOfFrames:
            return OUT_OF_FRAMES, 0
        except NoSuchSegment:
            return NO_SUCH_SEGMENT, 0
        except BadFree as refusal:
            return next(number for number, name in STATUS_NAMES.items() if name.title().replace(" ", "") == type(refusal).__name__), 0


    def answer_about_moves(self, call: int, owner: int, segment: int, bound: int) -> tuple[int, int]:
        before = self.segments.frames_copied
        if call == abi.SEGMENT_SHARE:
            return OK, self.segments.share(segment, owner)
        if call == abi.SEGMENT_COMPACT:
            return OK, self.segments.compact().frames_copied
        if bound < 1:
            return BAD_COUNT, 0
        self.segments.grow(segment, bound)
        return OK, self.segments.frames_copied - before


@pytest.mark.parametrize("spec", SPECS, ids=short)
def test_the_door_and_the_api_agree(spec: str) -> None:
    """A door and its twin are asked the same, right and wrong, thousands of times; at the end their memories are alike."""
    door, twin = Door(FrameManager(MEMORY, spec, in_use=[(60, 70)])), Twin(spec)
    boxes = Boxes(5, 1000)
    for round_number in range(40):
        for box in boxes.nearly_right(100):
            if box["call"] not in TWINNED:
                continue
            asked = tuple(int(box[name]) for name in ("call", "n_frames", "pfn", "owner", "segment", "bound"))
            expected = twin.answer(*asked)
            door.box[0] = box
            status, call = door.ring(), asked[0]
            answer = TWINNED[call]
            assert (status, int(door.box[answer][0]) if status == OK and answer else 0) == expected, (round_number, asked)
            boxes.remember(door.box[0])
    assert door.machine.manager.free_runs() == twin.manager.free_runs()
    assert door.machine.manager.stats().n_shares == twin.manager.stats().n_shares > 30
    door.machine.manager.check()


def test_sharing() -> None:
    """Each user frees once, by name, the last one for all; one at a time or in a batch."""
    door = Door(FrameManager(64))
    door.call(abi.FRAME_ALLOC, n_frames=4, owner=7)
    pfn = int(door.box["pfn"][0])
    assert door.call(abi.FRAME_SHARE, pfn=pfn, owner=8) == OK and door.box["n_frames"][0] == 2
    assert door.call(abi.FRAME_SHARE, pfn=pfn + 1, owner=9) == INTERIOR_FREE
    assert door.call(abi.FRAME_FREE, pfn=pfn, owner=9) == NOT_ALLOCATED
    assert door.call(abi.FRAME_FREE, pfn=pfn, n_frames=2, owner=8) == SHARED
    assert door.call(abi.FRAME_FREE, pfn=pfn, owner=7) == OK
    assert door.machine.manager.users_of(pfn) == {8: 1} and door.machine.manager.stats().n_free == 60
    door.batch["call"][:4] = abi.FRAME_SHARE, abi.FRAME_FREE, abi.FRAME_FREE, abi.FRAME_FREE
    door.batch["pfn"][:4], door.batch["owner"][:4] = pfn, (9, 9, 9, 8)
    assert door.call(abi.BATCH_CALL, n_frames=4) == OK
    assert door.batch["status"][:4].tolist() == [OK, OK, NOT_ALLOCATED, OK]
    assert door.machine.manager.stats().n_free == 64
    door.machine.manager.check()


def test_memory_info() -> None:
    door = Door(FrameManager(MEMORY, in_use=[(60, 70)]))
    assert door.call(abi.FRAME_ALLOC, n_frames=4) == OK
    assert door.call(abi.MEMORY_INFO) == OK
    existing = 89 + 172 + 700 - 10
    assert [int(door.box[name][0]) for name in ("n_frames", "bound", "base")] == [existing, existing - 14, 14]


def test_who_asks() -> None:
    door = Door(FrameManager(64))
    door.call(abi.FRAME_ALLOC, n_frames=3, owner=7, cpu=65535, mobility=9)
    event = door.machine.manager.events()[-1]
    assert (event["owner"], event["cpu"], event["mobility"], event["n_frames"], event["granted"]) == (7, 65535, 9, 3, 4)
    assert door.machine.manager.owner_of(int(door.box["pfn"][0])) == 7
    door.call(abi.SEGMENT_ALLOC, bound=1, owner=8)
    assert door.machine.manager.owner_of(int(door.box["base"][0]) // 4096) == 8


@pytest.mark.parametrize("number", [0, 14, 15, 255, 9999, 1 << 31, (1 << 32) - 1])
def test_calls_that_do_not_exist(number: int) -> None:
    door = Door(FrameManager(64))
    assert door.call(number, n_frames=1) == NO_SUCH_CALL
    assert door.machine.manager.stats().n_allocs == 0


@pytest.mark.parametrize("spec", SPECS, ids=short)
def test_batches(spec: str) -> None:
    """Each call in a batch has its status; a batch or a window in a batch has none coming."""
    door = Door(FrameManager(300, spec))
    door.batch[:] = np.zeros(1, door.batch.dtype)
    door.batch["call"][:5] = abi.FRAME_ALLOC, abi.BATCH_CALL, abi.STREAM_NEXT, abi.MEMORY_INFO, abi.FRAME_ALLOC
    door.batch["n_frames"] = 1
    door.batch["n_frames"][4] = -3
    assert door.call(abi.BATCH_CALL, n_frames=5) == OK
    assert door.batch["status"][:6].tolist() == [OK, NO_SUCH_CALL, NO_SUCH_CALL, OK, BAD_COUNT, 0]
    first = int(door.batch["pfn"][0])
    door.batch["call"], door.batch["n_frames"] = abi.FRAME_ALLOC, 1
    assert door.call(abi.BATCH_CALL, n_frames=abi.BATCH_CALLS) == OK
    assert door.batch["status"].tolist() == [OK] * 299 + [OUT_OF_FRAMES] * (abi.BATCH_CALLS - 299)
    assert {first, *door.batch["pfn"][:299].tolist()} == set(range(300))
    door.machine.manager.check()


@pytest.mark.parametrize("count", [n for n in EDGES if not 0 < n <= abi.BATCH_CALLS])
def test_batches_of_no_length(count: int) -> None:
    door = Door(FrameManager(64))
    door.batch["call"] = abi.FRAME_ALLOC
    assert door.call(abi.BATCH_CALL, n_frames=count) == BAD_COUNT
    assert door.machine.manager.stats().n_allocs == 0


def test_segments_run_out() -> None:
    """There are so many ids, and the latest freed is the next taken."""
    door = Door(FrameManager(1 << 17))
    door.batch["call"], door.batch["bound"] = abi.SEGMENT_ALLOC, 1
    for _ in range(MAX_SEGMENTS // abi.BATCH_CALLS):
        assert door.call(abi.BATCH_CALL, n_frames=abi.BATCH_CALLS) == OK
    assert door.batch["status"][-2:].tolist() == [OK, OUT_OF_FRAMES]
    assert door.call(abi.SEGMENT_FREE, segment=1234) == door.call(abi.SEGMENT_FREE, segment=77) == OK
    assert door.call(abi.SEGMENT_ALLOC, bound=5) == OK and door.box["segment"][0] == 77
    assert door.call(abi.SEGMENT_ALLOC, bound=5) == OK and door.box["segment"][0] == 1234
    assert door.call(abi.SEGMENT_ALLOC, bound=5) == OUT_OF_FRAMES
    door.machine.manager.check()


def test_windows() -> None:
    """Without a stream the call is not served; with one the machine is to stop for it."""
    door = Door(FrameManager(64))
    assert door.call(abi.STREAM_NEXT) == NOT_SERVED and door.why == board.RUNNING
    door.board[board.B_STREAMS] = 1
    assert door.call(abi.STREAM_NEXT) == NOT_SERVED and door.why == board.WANTS_WINDOW


def test_other_ports_do_nothing() -> None:
    door = Door(FrameManager(64))
    for port in set(range(0, 1 << 16, 7)) - {abi.DOORBELL_PORT, abi.CONSOLE_PORT, abi.EXIT_PORT}:
        door.out(port, 0x55)
    assert door.why == board.RUNNING and door.board[board.B_CALLS] == 0 and door.machine.console == ""


def torment(door: Door, seed: int, rings: int) -> None:
    """Ring with random boxes; all that may change is the box, the batch, and the books."""
    ram, boxes = door.machine.ram, Boxes(seed, door.machine.manager.n_table_frames)
    before = ram.firmware.copy()
    for at in range(0, rings, 1000):
        noise = boxes.noise(abi.BATCH_CALLS)
        door.batch[:] = boxes.nearly_right(abi.BATCH_CALLS)
        door.batch[::7] = noise[::7]
        chosen = boxes.nearly_right(min(1000, rings - at))
        chosen[::5] = noise[:len(chosen):5]
        for box in chosen:
            door.box[0] = box
            status = door.ring()
            assert status in STATUS_NAMES and status != BROKEN, box
            boxes.remember(door.box[0])
    door.machine.manager.check()
    changed = np.flatnonzero(ram.firmware != before)
    allowed = np.zeros(len(before), bool)
    allowed[abi.CALL_BOX:abi.CALL_BOX + 64] = allowed[abi.BATCH:abi.BATCH + 64 * abi.BATCH_CALLS] = True
    assert allowed[changed].all()
    assert not ram.bytes.any()


@pytest.mark.parametrize("spec", SPECS, ids=short)
def test_random_boxes(spec: str) -> None:
    n = 20_000 if spec != PLAIN else 500
    torment(Door(FrameManager(MEMORY, spec, in_use=[(60, 70)])), 1, n)


@pytest.mark.parametrize("spec", ["buddy", "best-fit"])
def test_a_hundred_thousand_random_boxes(spec: str) -> None:
    torment(Door(FrameManager(2000, spec)), 2, 100_000)


@pytest.mark.slow
@pytest.mark.parametrize("spec", BUILT_IN)
@pytest.mark.parametrize("seed", range(3, 7))
def test_many_random_boxes(spec: str, seed: int) -> None:
    torment(Door(FrameManager(MEMORY, spec, in_use=[(60, 70)])), seed, 100_000)


@pytest.mark.slow
@pytest.mark.parametrize("spec", BUILT_IN)
def test_random_boxes_with_every_index_checked(spec: str, tmp_path: Path) -> None:
    """The same code compiled with bounds checks, which it has none of otherwise: an index that is out of bounds would be told on stderr."""
    script = f"from test_hypercalls import *; torment(Door(FrameManager(MEMORY, {spec!r}, in_use=[(60, 70)])), 8, 10_000)"
    environment = {**os.environ, "NUMBA_BOUNDSCHECK": "1", "KERNEL_SIM_CACHE_DIR": str(tmp_path)}
    child = subprocess.run([sys.executable, "-c", script], cwd=Path(__file__).parent, env=environment, capture_output=True, text=True, check=False)
    assert (child.returncode, child.stderr) == (0, "")
