"""The misuse matrix: every wrong free there is, refused by its name, with the facts in it, and nothing changed.

The memory is two zones with a gap between them, a hole and reserved frames in the lower one, and four frames in use from the start, which
every policy must take back, even one that gives out single frames only.

    Low    0x02 .. 0x28 | hole | 0x30 .. 0x50, of which 0x40 .. 0x44 reserved; 0x0a .. 0x0e in use
    High   0x80 .. 0x90
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace

from kernel_sim.allocators.base import Policy
from kernel_sim.errors import BadFree, DoubleFree, InteriorFree, NotAllocated, OutOfFrames, OutOfRange, Reserved, Shared
from kernel_sim.events import FREE, SHARE, STATUS_NAMES
from kernel_sim.manager import FrameManager
from kernel_sim.study.contract.driver import declared
from kernel_sim.study.contract.laws import held_to, require
from kernel_sim.zones import Zone

LOW = Zone("Low", ((0x02, 0x28), (0x30, 0x50)), reserved=((0x40, 0x44),))
HIGH = Zone("High", ((0x80, 0x90),))
IN_USE = (0x0A, 0x0E)
N_FREE_AT_START = 0x26 + 0x20 + 0x10 - 4 - 4

LAW = "wrong frees"
NOWHERE = (-(1 << 70), -1, 0, 1, 0x28, 0x2F, 0x50, 0x7F, 0x90, 0x91, 1 << 40, 1 << 70)


def memory_for(policy: str | type | Policy) -> FrameManager:
    """The memory above."""
    return FrameManager([LOW, HIGH], policy, in_use=[IN_USE])


def accounts(manager: FrameManager) -> list[object]:
    """All that a free could change, to the byte."""
    own = [vars(manager.area(zone).instance) if manager.policy.plain else list(manager.policy.blocks(manager.area(zone))) for zone in range(2)]
    return [manager.zone_records.tobytes(), *(column.tobytes() for column in manager.table), manager.users.tobytes(), deepcopy(own),
            manager.free_runs(), manager.buddyinfo()]


def expect(manager: FrameManager, error: type[BadFree], pfn: int, n_frames: int | None = None, event: int = 0, says: str = "",
           owner: int = 0) -> None:
    """That free is refused with that error, naming that event, in those words; and nothing but the count of refusals changes."""
    asked = f"free({pfn:#x}{f', {n_frames}' if n_frames is not None else ''}{f', owner={owner}' if owner else ''})"
    _expect(manager, lambda: manager.free(pfn, n_frames, owner), FREE, asked, error, pfn, event, says)


def expect_unshared(manager: FrameManager, error: type[BadFree], pfn: int, event: int = 0) -> None:
    """Nobody can become a user of what begins there: likewise."""
    _expect(manager, lambda: manager.share(pfn, 3), SHARE, f"share({pfn:#x}, 3)", error, pfn, event)


def _expect(manager: FrameManager, ask: Callable[[], object], kind: int, asked: str, error: type[BadFree], pfn: int, event: int,
            says: str = "") -> None:
    before, stats = accounts(manager), manager.stats()
    try:
        ask()
    except BadFree as refusal:
        require(type(refusal) is error, LAW, f"{asked} is answered with {refusal}, and not with {error.__name__}")
        require((refusal.pfn, refusal.event) == (pfn, event), LAW, f"{asked} names frame {refusal.pfn:#x} and event {refusal.event}, not {event}")
        require(str(refusal) == f"{error.__name__}: {says}" if says else str(refusal).startswith(f"{error.__name__}: "), LAW, f"{asked}: {refusal}")
    else:
        require(False, LAW, f"{asked} is not refused")
    require(accounts(manager) == before, LAW, f"{asked} is refused and has changed something")
    require(manager.stats() == replace(stats, n_refused=stats.n_refused + 1), LAW, f"{asked} is refused, and counted otherwise")
    latest = manager.events()[-1]
    told = STATUS_NAMES[int(latest["status"])].replace(" ", "")
    require((int(latest["kind"]), told) == (kind, error.__name__.lower()), LAW, f"{asked}: the event says {told}")
    with held_to("audit"):
        manager.check()


def double(manager: FrameManager) -> None:
    """A frame that has been freed already."""
    pfn = manager.alloc(1)
    manager.free(pfn)
    expect(manager, DoubleFree, pfn, event=2, says=f"frame {pfn:#x} was already freed, by event 2")
    expect(manager, DoubleFree, pfn, 1, event=2)


def double_in_two_lives(manager: FrameManager) -> None:
    """The latest free is named; refusals take event numbers, too."""
    expect(manager, NotAllocated, 0x27)                             # event 1
    manager.free(0x0A)                                              # 2
    expect(manager, DoubleFree, 0x0B, event=2)                      # 3
    every = [manager.alloc(1) for _ in range(manager.stats().n_free)]
    require(0x0B in every, "nothing lost", "frame 0xb was freed, and cannot be had")
    manager.free(0x0B)
    expect(manager, DoubleFree, 0x0B, event=len(every) + 4, says=f"frame 0xb was already freed, by event {len(every) + 4}")


def never_allocated(manager: FrameManager) -> None:
    """A frame that is free and always was."""
    expect(manager, NotAllocated, 0x4F, says="frame 0x4f was never allocated")
    expect(manager, NotAllocated, 0x4F, 3)


def interior(manager: FrameManager) -> None:
    """Not the first frame of what was in use at the start."""
    expect(manager, InteriorFree, 0x0B, says="frame 0xb lies inside an allocation")


def unaligned(manager: FrameManager) -> None:
    """Not the first frame of an allocation; a policy that gives out single frames only has no inside, and says that it never gives so many."""
    if not declared(manager, 2):
        try:
            manager.alloc(2)
        except OutOfFrames as failure:
            require(failure.reason == "limit", "no refusal without a reason", f"the reason is limit, not {failure.reason}")
        return
    pfn = manager.alloc(2)
    expect(manager, InteriorFree, pfn + 1, event=1, says=f"frame {pfn + 1:#x} lies inside an allocation, made by event 1")


def wrong_size(manager: FrameManager) -> None:
    """More frames than the allocation has."""
    expect(manager, NotAllocated, 0x0A, 5, says="of 5 frames at 0xa only 4 are of the allocation there")
    expect(manager, NotAllocated, 0x0D, 2, says="of 2 frames at 0xd only 1 are of the allocation there")
    expect(manager, NotAllocated, 0x0A, 1 << 70)


def foreign(manager: FrameManager) -> None:
    """Frames of two allocations are not given back as one, though they stand side by side."""
    every = {manager.alloc(1) for _ in range(manager.stats().n_free)}
    require({0x09, 0x0E} <= every, "nothing lost", "frames that were free cannot be had")
    event = int(manager.table.frames[0x0A]["event"])
    expect(manager, NotAllocated, 0x09, 2, event=event, says="of 2 frames at 0x9 only 1 are of the allocation there")
    event = int(manager.table.frames[0x0E]["event"])
    expect(manager, NotAllocated, 0x0A, 5, event=event, says="of 5 frames at 0xa only 4 are of the allocation there")


def beyond_the_memory(manager: FrameManager) -> None:
    """Frames that do not exist: below, between and above the zones, in a hole, and numbers that no memory has."""
    for pfn in NOWHERE:
        expect(manager, OutOfRange, pfn, says=f"there is no frame {pfn:#x}")
        expect(manager, OutOfRange, pfn, 2)


def reserved(manager: FrameManager) -> None:
    """Frames that were set aside."""
    for pfn in (0x40, 0x41, 0x43):
        expect(manager, Reserved, pfn, says=f"frame {pfn:#x} is reserved and was never given out")
        expect(manager, Reserved, pfn, 1)


def over_the_end(manager: FrameManager) -> None:
    """All frames are out; the last allocation ends where the memory ends."""
    while manager.stats().n_free:
        manager.alloc(1)
    expect(manager, NotAllocated, 0x8F, 2, says="of 2 frames at 0x8f only 1 are of the allocation there")
    expect(manager, NotAllocated, 0x3F, 2, says="of 2 frames at 0x3f only 1 are of the allocation there")


def zero(manager: FrameManager) -> None:
    """No frames at all, or fewer: that is no question for a policy."""
    before = accounts(manager)
    for n_frames in (0, -1):
        for ask in (lambda n: manager.free(0x0A, n), manager.alloc):
            try:
                ask(n_frames)
            except ValueError as error:
                require(f"at least one frame, not {n_frames}" in str(error), LAW, str(error))
            else:
                require(False, LAW, f"{n_frames} frames are not refused")
    require(accounts(manager) == before, LAW, "a call of no frames has changed something")


def beyond_the_maximum(manager: FrameManager) -> None:
    """More than any zone has: refused, with the limit as the reason, and nothing changed."""
    for n_frames in (0x81, 1 << 20, 1 << 62, 1 << 70):
        before = accounts(manager)
        try:
            manager.alloc(n_frames)
        except OutOfFrames as failure:
            reasons = ("limit", "empty") if n_frames < 1 << 20 else ("limit",)      # a buddy's largest block may be more than a small memory has
            require(failure.reason in reasons and failure.n_frames == n_frames, "no refusal without a reason", f"{failure}")
        else:
            require(False, "own frames", f"{n_frames} frames are given out of 128")
        require(accounts(manager) == before, LAW, "a request that was refused has changed something")


def partial(manager: FrameManager) -> None:
    """H T T T. Its middle is given back, then its head; the tail that is left has become an allocation of its own."""
    manager.free(0x0B, 2)
    expect(manager, DoubleFree, 0x0B, event=1)
    expect(manager, DoubleFree, 0x0C, 1, event=1)
    expect(manager, NotAllocated, 0x0A, 2, event=1, says="of 2 frames at 0xa only 1 are of the allocation there")
    expect(manager, NotAllocated, 0x0D, 2, says="of 2 frames at 0xd only 1 are of the allocation there")
    manager.free(0x0A)
    manager.free(0x0D)
    with held_to("audit"):
        manager.check()
    require((0x02, 0x28) in manager.free_runs(), "figures", "what was freed in parts is not free as a whole")
    require(manager.stats().n_refused == 4, "figures", "refusals are counted otherwise")


def padding(manager: FrameManager) -> None:
    """What rounding added was never the caller's: it cannot be freed on its own, and goes with the end of the allocation."""
    n_frames = 3 if declared(manager, 3) else 1
    pfn = manager.alloc(n_frames)
    granted = int(manager.events()[-1]["granted"])
    for frame in range(pfn + n_frames, pfn + granted):
        expect(manager, InteriorFree, frame, event=1)
    expect(manager, NotAllocated, pfn, n_frames + 1, event=1 if granted > n_frames else 0)
    manager.free(pfn + n_frames - 1, 1)
    require(manager.stats().n_free == N_FREE_AT_START - (n_frames - 1), "figures", "the padding did not go with the end of the allocation")
    with held_to("audit"):
        manager.check()


def by_a_stranger(manager: FrameManager) -> None:
    """A free that names an owner who does not have the frames, and of frames that several use one by somebody else."""
    pfn = manager.alloc(1, owner=5)
    expect(manager, NotAllocated, pfn, owner=6, event=1, says=f"frame {pfn:#x} is not owner 6's, allocated by event 1")
    expect(manager, NotAllocated, pfn, 1, owner=6, event=1)
    manager.share(pfn, 6)
    expect(manager, NotAllocated, pfn, owner=7, event=1)
    manager.free(pfn, owner=5)
    expect(manager, NotAllocated, pfn, owner=5, event=1)
    manager.free(pfn, owner=6)
    expect(manager, DoubleFree, pfn, owner=6, event=8)
    manager.share(0x0A, 5)
    manager.free(0x0A, owner=5)
    expect(manager, NotAllocated, 0x0A, owner=5, says="frame 0xa is not owner 5's")
    manager.free(0x0A)


def part_of_what_is_shared(manager: FrameManager) -> None:
    """Four frames with two users are given back by one of them whole, or not at all."""
    manager.share(0x0A, 5)
    expect(manager, Shared, 0x0A, 3, says="frame 0xa is of an allocation with other users, which is freed whole or not at all")
    expect(manager, Shared, 0x0B, 2, owner=5)
    expect(manager, Shared, 0x0D, 1)
    expect(manager, NotAllocated, 0x0B, 2, owner=6)
    expect(manager, NotAllocated, 0x0A, 5)
    expect(manager, InteriorFree, 0x0C, owner=5)
    manager.free(0x0A, 4, owner=5)
    require(manager.stats().n_free == N_FREE_AT_START, "last user", "frames are free that somebody has")
    manager.free(0x0B, 2)


def nothing_to_share(manager: FrameManager) -> None:
    """Only an allocation can be shared, from its beginning."""
    for pfn in NOWHERE:
        expect_unshared(manager, OutOfRange, pfn)
    expect_unshared(manager, Reserved, 0x40)
    expect_unshared(manager, NotAllocated, 0x27)
    expect_unshared(manager, InteriorFree, 0x0B)
    manager.share(0x0A, 1)
    expect_unshared(manager, InteriorFree, 0x0D)
    manager.free(0x0A)
    manager.free(0x0A)
    expect_unshared(manager, DoubleFree, 0x0A, event=len(NOWHERE) + 7)


MISUSES: dict[str, Callable[[FrameManager], None]] = {
    play.__name__.replace("_", " "): play for play in (
        double, double_in_two_lives, never_allocated, interior, unaligned, wrong_size, foreign, beyond_the_memory, reserved, over_the_end, zero,
        beyond_the_maximum, partial, padding, by_a_stranger,
        part_of_what_is_shared, nothing_to_share)
}
"""Each on a fresh `memory_for`."""
