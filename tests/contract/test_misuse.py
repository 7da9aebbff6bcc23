"""Every wrong free, for every policy: refused by its name, with the facts in it, and nothing changed.

The memory is two zones with a gap between them, a hole and reserved frames in the lower one, and four frames in use from the start, which
every policy must take back, even one that gives out single frames only.

    Low    0x02 .. 0x28 | hole | 0x30 .. 0x50, of which 0x40 .. 0x44 reserved; 0x0a .. 0x0e in use
    High   0x80 .. 0x90
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import pytest
from contract.specs import SPECS, short

from kernel_sim import BadFree, DoubleFree, FrameManager, InteriorFree, NotAllocated, OutOfFrames, OutOfRange, Reserved, Zone
from kernel_sim.events import FREE, STATUS_NAMES
from kernel_sim.study.contract.driver import declared

LOW = Zone("Low", ((0x02, 0x28), (0x30, 0x50)), reserved=((0x40, 0x44),))
HIGH = Zone("High", ((0x80, 0x90),))
IN_USE = (0x0A, 0x0E)


@pytest.fixture(params=SPECS, ids=short)
def manager(request: pytest.FixtureRequest) -> FrameManager:
    return FrameManager([LOW, HIGH], request.param, in_use=[IN_USE])


def refusal(manager: FrameManager, pfn: int, n_frames: int | None = None) -> BadFree:
    """The refusal of a free; AssertionError if anything but the count of refusals has changed by it."""
    before, stats = accounts(manager), manager.stats()
    with pytest.raises(BadFree) as caught:
        manager.free(pfn, n_frames)
    assert accounts(manager) == before
    assert manager.stats() == replace(stats, n_refused=stats.n_refused + 1)
    manager.check()
    event = manager.events()[-1]
    assert event["kind"] == FREE
    assert STATUS_NAMES[int(event["status"])].replace(" ", "") == type(caught.value).__name__.lower()
    assert caught.value.pfn == pfn
    assert str(caught.value).startswith(f"{type(caught.value).__name__}: ")
    return caught.value


def accounts(manager: FrameManager) -> list[object]:
    """All that a free could change, to the byte."""
    own = [vars(manager.area(zone).instance) if manager.policy.plain else list(manager.policy.blocks(manager.area(zone))) for zone in range(2)]
    return [manager.zone_records.tobytes(), manager.table.frames.tobytes(), manager.table.touched.tobytes(), deepcopy(own), manager.free_runs(),
            manager.buddyinfo()]


def test_double_free(manager: FrameManager) -> None:
    pfn = manager.alloc(1)
    manager.free(pfn)
    error = refusal(manager, pfn)
    assert (type(error), error.event, str(error)) == (DoubleFree, 2, f"DoubleFree: frame {pfn:#x} was already freed, by event 2")
    assert refusal(manager, pfn, 1).event == 2


def test_double_free_names_the_latest_free(manager: FrameManager) -> None:
    """Two lives of the same frame; refusals take event numbers, too."""
    refusal(manager, 0x27)                               # event 1
    manager.free(0x0A)                                   # 2
    refusal(manager, 0x0B)                               # 3
    every = [manager.alloc(1) for _ in range(manager.stats().n_free)]
    assert 0x0B in every
    manager.free(0x0B)
    last = len(every) + 4
    assert str(refusal(manager, 0x0B)) == f"DoubleFree: frame 0xb was already freed, by event {last}"


def test_never_allocated(manager: FrameManager) -> None:
    error = refusal(manager, 0x4F)
    assert (type(error), error.event, str(error)) == (NotAllocated, 0, "NotAllocated: frame 0x4f was never allocated")
    assert type(refusal(manager, 0x4F, 3)) is NotAllocated


def test_interior(manager: FrameManager) -> None:
    error = refusal(manager, 0x0B)
    assert (type(error), error.event, str(error)) == (InteriorFree, 0, "InteriorFree: frame 0xb lies inside an allocation")


def test_interior_of_one_that_the_policy_made(manager: FrameManager) -> None:
    """A policy that gives out single frames only has no inside, and says that it never gives so many."""
    if not declared(manager, 2):
        with pytest.raises(OutOfFrames) as failure:
            manager.alloc(2)
        assert failure.value.reason == "limit"
        return
    pfn = manager.alloc(2)
    error = refusal(manager, pfn + 1)
    assert (type(error), error.event) == (InteriorFree, 1)
    assert str(error) == f"InteriorFree: frame {pfn + 1:#x} lies inside an allocation, made by event 1"


def test_beyond_the_end(manager: FrameManager) -> None:
    error = refusal(manager, 0x0A, 5)
    assert (type(error), error.event) == (NotAllocated, 0)
    assert str(error) == "NotAllocated: of 5 frames at 0xa only 4 are of the allocation there"
    assert str(refusal(manager, 0x0D, 2)) == "NotAllocated: of 2 frames at 0xd only 1 are of the allocation there"
    assert type(refusal(manager, 0x0A, 1 << 70)) is NotAllocated


def test_into_the_next_allocation(manager: FrameManager) -> None:
    """Frames of two allocations are not given back as one, though they stand side by side."""
    every = {manager.alloc(1) for _ in range(manager.stats().n_free)}
    assert {0x09, 0x0E} <= every
    assert str(refusal(manager, 0x09, 2)) == "NotAllocated: of 2 frames at 0x9 only 1 are of the allocation there"
    assert str(refusal(manager, 0x0A, 5)) == "NotAllocated: of 5 frames at 0xa only 4 are of the allocation there"


@pytest.mark.parametrize("pfn", [-(1 << 70), -1, 0, 1, 0x28, 0x2F, 0x50, 0x7F, 0x90, 0x91, 1 << 40, 1 << 70])
def test_no_such_frame(manager: FrameManager, pfn: int) -> None:
    error = refusal(manager, pfn)
    assert (type(error), error.event, str(error)) == (OutOfRange, 0, f"OutOfRange: there is no frame {pfn:#x}")
    assert type(refusal(manager, pfn, 2)) is OutOfRange


@pytest.mark.parametrize("pfn", [0x40, 0x41, 0x43])
def test_reserved(manager: FrameManager, pfn: int) -> None:
    error = refusal(manager, pfn)
    assert (type(error), error.event, str(error)) == (Reserved, 0, f"Reserved: frame {pfn:#x} is reserved and was never given out")
    assert type(refusal(manager, pfn, 1)) is Reserved


def test_over_the_end_of_memory(manager: FrameManager) -> None:
    """All frames are out; the last allocation ends where the memory ends."""
    while manager.stats().n_free:
        manager.alloc(1)
    assert str(refusal(manager, 0x8F, 2)) == "NotAllocated: of 2 frames at 0x8f only 1 are of the allocation there"
    assert str(refusal(manager, 0x3F, 2)) == "NotAllocated: of 2 frames at 0x3f only 1 are of the allocation there"


@pytest.mark.parametrize("n_frames", [0, -1])
def test_less_than_one_frame(manager: FrameManager, n_frames: int) -> None:
    before = accounts(manager)
    with pytest.raises(ValueError, match=f"at least one frame, not {n_frames}"):
        manager.free(0x0A, n_frames)
    with pytest.raises(ValueError, match=f"at least one frame, not {n_frames}"):
        manager.alloc(n_frames)
    assert accounts(manager) == before


def test_in_parts(manager: FrameManager) -> None:
    """H T T T. Its middle is given back, then its head; the tail that is left has become an allocation of its own."""
    manager.free(0x0B, 2)
    assert (type(refusal(manager, 0x0B)), type(refusal(manager, 0x0C, 1))) == (DoubleFree, DoubleFree)
    assert str(refusal(manager, 0x0A, 2)) == "NotAllocated: of 2 frames at 0xa only 1 are of the allocation there"
    assert str(refusal(manager, 0x0D, 2)) == "NotAllocated: of 2 frames at 0xd only 1 are of the allocation there"
    manager.free(0x0A)
    manager.free(0x0D)
    manager.check()
    assert (0x02, 0x28) in manager.free_runs()
    assert manager.stats().n_refused == 4


def test_padding(manager: FrameManager) -> None:
    """What rounding added was never the caller's: it cannot be freed on its own, and goes with the end of the allocation."""
    n_frames = 3 if declared(manager, 3) else 1
    pfn = manager.alloc(n_frames)
    granted = int(manager.events()[-1]["granted"])
    for padding in range(pfn + n_frames, pfn + granted):
        error = refusal(manager, padding)
        assert (type(error), error.event) == (InteriorFree, 1)
    error = refusal(manager, pfn, n_frames + 1)
    assert (type(error), error.event) == (NotAllocated, 1 if granted > n_frames else 0)
    manager.free(pfn + n_frames - 1, 1)
    assert manager.stats().n_free == 16 + 38 + 28 - 4 - (n_frames - 1)
    manager.check()


def test_owner_of(manager: FrameManager) -> None:
    pfn = manager.alloc(1, owner=7)
    assert manager.owner_of(pfn) == 7
    assert manager.owner_of(0x0C) == 0
    assert manager.owner_of(0x41) is None
    manager.free(pfn)
    assert manager.owner_of(pfn) is None
    with pytest.raises(OutOfRange, match="there is no frame 0x90"):
        manager.owner_of(0x90)
