"""Operations on slots, carried out on a manager: against a dictionary of slots and the manager's own alloc and free."""

from __future__ import annotations

import hashlib
import struct
from typing import Any

import numpy as np
import pytest
from contract.specs import PLAIN, SPECS, short
from hypothesis import given
from hypothesis import strategies as st

from kernel_sim import BadFree, BadInput, BrokenInvariant, DoubleFree, FrameManager, NotAllocated, OutOfFrames, load_policy
from kernel_sim.operations import ALLOC, FREE, FREE_PREEXISTING, IMPLIED, OPERATION, Performed, check_operations, perform

Array = np.ndarray[Any, Any]


def operations(*rows: tuple[int, ...]) -> Array:
    """(kind, slot or pfn, n_frames, offset, flags, owner); what is left out is 0."""
    made = np.zeros(len(rows), OPERATION)
    for at, row in enumerate(rows):
        for name, value in zip(("kind", "slot", "n_frames", "offset", "flags", "owner"), row, strict=False):
            made[at][name] = value
    return made


def test_an_operation_is_24_bytes() -> None:
    assert OPERATION.itemsize == 24


def test_a_few() -> None:
    manager = FrameManager(16, "first-fit", in_use=[(0, 4)])
    done = perform(manager, operations((ALLOC, 0, 4, 0, 0, 9), (ALLOC, 1, 3), (FREE, 0, 2, 1), (FREE_PREEXISTING, 2, 2), (ALLOC, 2, 2), (ALLOC, 3, 9),
                                       (FREE, 3, 9), (FREE, 1, 3)))
    assert done.placements.tolist() == [4, 8, 2, -1]
    assert (done.n_performed, done.served, done.failed, done.frees_of_failed) == (8, 3, 1, 1)
    assert manager.free_runs() == [(5, 7), (8, 16)]
    assert (manager.owner_of(4), manager.owner_of(7)) == (9, 9)
    manager.check()


def test_the_digest_is_of_signed_little_endian_words() -> None:
    placements = np.array([3, -1, 1 << 40], np.int64)
    digest = hashlib.sha256(struct.pack("<3q", 3, -1, 1 << 40)).hexdigest()
    assert Performed(placements, 3, 2, 1, 0).placements_sha256 == digest
    assert Performed(placements.astype(">i8"), 3, 2, 1, 0).placements_sha256 == digest


def test_nothing_to_do() -> None:
    done = perform(FrameManager(4), operations())
    assert (len(done.placements), done.n_performed) == (0, 0)
    assert done.placements_sha256 == hashlib.sha256().hexdigest()


def test_implied_frees_of_failed_slots_are_not_counted() -> None:
    done = perform(FrameManager(4), operations((ALLOC, 0, 8), (FREE, 0, 4, 0, IMPLIED), (FREE, 0, 4, 4)))
    assert (done.failed, done.frees_of_failed) == (1, 1)


def test_who_asks() -> None:
    asked = operations((ALLOC, 0, 2))
    asked["owner"], asked["cpu"], asked["mobility"] = 5, 3, 2
    manager = FrameManager(4)
    perform(manager, asked)
    event = manager.events()[0]
    assert (event["owner"], event["cpu"], event["mobility"]) == (5, 3, 2)


@pytest.mark.parametrize("row", [
    (ALLOC, 0, 1), (ALLOC, 2, 1), (ALLOC, -1, 1), (ALLOC, 1, 0), (FREE, 1, 1), (FREE, -1, 1), (FREE, 0, 0), (0, 0, 1), (7, 1, 1),
    (FREE_PREEXISTING, -1, 1), (FREE_PREEXISTING, 3, 0),
])
def test_operations_that_make_no_sense(row: tuple[int, ...]) -> None:
    manager = FrameManager(8)
    with pytest.raises(BadInput, match="^operation 2: slots are counted from 0 in order of allocation, and a free is of frames of its slot$"):
        perform(manager, operations((ALLOC, 0, 2), (FREE, 0, 1), row, (ALLOC, 1, 1)))
    assert manager.stats().n_allocs == 0, "they are checked before anything is done"


@pytest.mark.parametrize("offset, n_frames", [(0, 4), (3, 1), (2, 2), (1 << 31, 1), ((1 << 32) - 1, (1 << 32) - 1)])
def test_a_free_beyond_its_slot(offset: int, n_frames: int) -> None:
    with pytest.raises(BadInput, match="^operation 1: "):
        check_operations(operations((ALLOC, 0, 3), (FREE, 0, n_frames, offset)))


def test_the_number_of_slots() -> None:
    assert check_operations(operations((ALLOC, 0, 1), (FREE, 0, 1), (ALLOC, 1, 1), (FREE_PREEXISTING, 7, 1))) == 2


def test_another_kind_of_array() -> None:
    with pytest.raises(BadInput, match="an array of OPERATION is wanted"):
        check_operations(np.zeros(3, np.int64))


@pytest.mark.parametrize("rows, error, message", [
    ([(ALLOC, 0, 2), (FREE, 0, 2), (FREE, 0, 1)], DoubleFree, "frame 0x0 was already freed, by event 2"),
    ([(ALLOC, 0, 2), (FREE_PREEXISTING, 5, 2)], NotAllocated, "frame 0x5 was never allocated"),
    ([(FREE_PREEXISTING, 12, 5)], NotAllocated, "of 5 frames at 0xc only 4 are of the allocation there"),
    ([(FREE_PREEXISTING, 1 << 40, 5)], BadFree, "there is no frame 0x10000000000"),
])
@pytest.mark.parametrize("spec", ["first-fit", PLAIN], ids=short)
def test_a_manager_that_refuses(spec: str, rows: list[tuple[int, ...]], error: type, message: str) -> None:
    manager = FrameManager(16, spec, in_use=[(12, 16)])
    with pytest.raises(error, match=message):
        perform(manager, operations(*rows))
    manager.check()


def test_a_policy_that_is_broken() -> None:
    from contract.puppet import pull, puppet

    manager = FrameManager(16, puppet(), in_use=[(8, 16)])
    pull(manager, 0, 9, 1)
    with pytest.raises(BrokenInvariant, match="gave out frame 0x9, which is inside an allocation"):
        perform(manager, operations((ALLOC, 0, 1)))


@pytest.mark.parametrize("spec", ["first-fit", PLAIN], ids=short)
def test_an_interrupt_ends_the_work_and_says_where(spec: str) -> None:
    """Ctrl-C after the first stride: what was done counts, and the books are in order."""
    manager, many = FrameManager(1 << 18, spec), 100_000
    if spec == PLAIN:
        many = 1000
    told: list[int] = []

    def interrupt(n_done: int) -> None:
        told.append(n_done)
        raise KeyboardInterrupt

    rows = np.zeros(many, OPERATION)
    rows["kind"], rows["slot"], rows["n_frames"] = ALLOC, np.arange(many), 1
    done = perform(manager, rows, progress=interrupt)
    assert told == [done.n_performed]
    assert 0 < done.n_performed < many
    assert done.served == len(done.placements) == manager.stats().n_used == done.n_performed
    manager.check()


def test_progress_is_told_to_the_end() -> None:
    told: list[int] = []
    perform(FrameManager(8), operations((ALLOC, 0, 1), (FREE, 0, 1)), progress=told.append)
    assert told == [2]


STEPS = st.lists(st.tuples(st.booleans(), st.integers(0, 1 << 16), st.integers(0, 1 << 16)), max_size=50)


def plan(steps: list[tuple[bool, int, int]]) -> Array:
    """Allocations of 1 to 9 frames, and frees of parts of slots that are still live."""
    rows: list[tuple[int, ...]] = []
    live: dict[int, list[tuple[int, int]]] = {}         # slot: its (offset, end) pieces
    n_slots = 0
    for allocate, a, b in steps:
        pieces = [(slot, piece) for slot in live for piece in live[slot]]
        if allocate or not pieces:
            rows.append((ALLOC, n_slots, a % 9 + 1))
            live[n_slots] = [(0, a % 9 + 1)]
            n_slots += 1
            continue
        slot, (first, end) = pieces[a % len(pieces)]
        offset = first + b % (end - first)
        n_frames = b // 11 % (end - offset) + 1
        rows.append((FREE, slot, n_frames, offset))
        rest = [piece for piece in live[slot] if piece != (first, end)] + [(first, offset), (offset + n_frames, end)]
        live[slot] = [piece for piece in rest if piece[0] < piece[1]]
    return operations(*rows)


@pytest.mark.parametrize("spec", SPECS, ids=short)
@given(steps=STEPS)
def test_the_same_as_asking_the_manager_one_by_one(spec: str, steps: list[tuple[bool, int, int]]) -> None:
    planned = plan(steps)
    batch, single = FrameManager(48, spec), FrameManager(48, spec)
    done = perform(batch, planned)
    placements: list[int] = []
    for operation in planned.tolist():
        kind, _, _, _, _, n_frames, offset, slot = operation
        if kind == ALLOC:
            try:
                placements.append(single.alloc(n_frames))
            except OutOfFrames:
                placements.append(-1)
        elif placements[slot] >= 0:
            single.free(placements[slot] + offset, n_frames)
    assert done.placements.tolist() == placements
    assert (done.served, done.failed) == (len(placements) - placements.count(-1), placements.count(-1))
    assert batch.table.frames.tobytes() == single.table.frames.tobytes()
    assert batch.stats() == single.stats()
    batch.check()


@pytest.mark.parametrize("every, told", [(1, [1, 2, 3, 4, 5]), (2, [2, 4, 5]), (5, [5]), (9, [5])])
def test_progress_is_told_as_often_as_is_asked(every: int, told: list[int]) -> None:
    seen: list[int] = []
    rows = operations((ALLOC, 0, 1), (ALLOC, 1, 1), (FREE, 0, 1), (ALLOC, 2, 1), (FREE, 1, 1))
    perform(FrameManager(8, load_policy("first-fit", uncompiled=True)), rows, progress=seen.append, every=every)
    assert seen == told


def test_progress_is_told_in_between_of_long_stretches() -> None:
    seen: list[int] = []
    perform(FrameManager(8, load_policy("first-fit", uncompiled=True)), operations(*[(ALLOC, slot, 9) for slot in range(700)]), progress=seen.append,
            every=600)
    assert 600 in seen and seen[-1] == 700 and max(np.diff([0, *seen])) <= 256
