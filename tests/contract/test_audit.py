"""The audit has teeth: the books of a manager are falsified, one figure at a time, and `check` names what does not fit.

    Low    0x02 .. 0x28 | hole | 0x30 .. 0x50, of which 0x40 .. 0x44 reserved; 0x0a .. 0x0e in use
    High   0x80 .. 0xc0, its frames given out one by one, and every other of the first sixteen freed again
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from contract.damage import all_of, record, word
from contract.specs import CHOSEN, PLAIN, short

from kernel_sim import BadPolicy, BrokenInvariant, FrameManager, Zone, load_policy
from kernel_sim.allocators import address_area, free_area, hole_order, hole_tags
from kernel_sim.compiled import interpreted
from kernel_sim.frames import FREE, HEAD, HOLE, NIL, PAD, RESERVED, SHARED_HEAD, SHARED_TAIL, TAIL

ZONES = [Zone("Low", ((0x02, 0x28), (0x30, 0x50)), reserved=((0x40, 0x44),)), Zone("High", ((0x80, 0xC0),))]
HIGH = 1
MARKING = ("buddy", "buddy:order=fifo", "fibonacci-buddy", "linux", "first-fit", "best-fit:order=size-ascending", "tlsf")
"""Policies that mark, in the record's ``order``, where their free blocks begin or end."""


def books(spec: str) -> FrameManager:
    """A manager with something in it: of 0x80 to 0x8f the odd frames are free, the others up to 0xbf taken; Low is untouched."""
    manager = FrameManager(ZONES, load_policy(spec, uncompiled=True), in_use=[(0x0A, 0x0E)])
    for pfn in sorted(manager.alloc(1) for _ in range(0x40))[1:16:2]:
        manager.free(pfn)
    manager.check()
    return manager


def states(**of_frames: int) -> Callable[[FrameManager], None]:
    """Overwrite states of frames, named like `x84`."""
    def corrupt(manager: FrameManager) -> None:
        for name, state in of_frames.items():
            manager.table.frames[int(name[1:], 16)]["state"] = state
    return corrupt


def count(field: str, change: int) -> Callable[[FrameManager], None]:
    def corrupt(manager: FrameManager) -> None:
        manager.zone_records[field][HIGH] += change
    return corrupt


def forget_touched(manager: FrameManager) -> None:
    manager.table.touched[:] = 0


def shared(corrupt: Callable[[FrameManager], object]) -> Callable[[FrameManager], None]:
    """0x80 has three users, owner 0 and, in this order, 5 and 6; two more has 0x82. Then it is corrupted."""
    def share_first(manager: FrameManager) -> None:
        for pfn, owner in ((0x80, 5), (0x80, 6), (0x82, 5)):
            manager.share(pfn, owner)
        manager.check()
        corrupt(manager)
    return share_first


def user(pfn: int, owner: int, **fields: int) -> Callable[[FrameManager], None]:
    """Fields of a user's entry overwritten."""
    def corrupt(manager: FrameManager) -> None:
        at = int(np.flatnonzero((manager.users["pfn"] == pfn) & (manager.users["owner"] == owner) & (manager.users["count"] > 0))[0])
        for name, value in fields.items():
            manager.users[at][name] = value
    return corrupt


def references(pfn: int, n: int) -> Callable[[FrameManager], None]:
    def corrupt(manager: FrameManager) -> None:
        manager.table.references[pfn] = n
    return corrupt


def owned(pfn: int, owner: int) -> Callable[[FrameManager], None]:
    def corrupt(manager: FrameManager) -> None:
        manager.table.frames[pfn]["owner"] = owner
    return corrupt


def entered_elsewhere(manager: FrameManager) -> None:
    """A user's entry moved to where no search comes."""
    at = int(np.flatnonzero((manager.users["pfn"] == 0x80) & (manager.users["owner"] == 6))[0])
    manager.users[at - 7] = manager.users[at]
    manager.users[at] = 0


AMONG_THE_USERS = {
    "a use too many": (user(0x80, 5, count=2), "the uses of the allocation at frame 0x80 are not the 3 that are counted"),
    "a reference too few": (references(0x80, 1), "the uses of the allocation at frame 0x80 are not the 2 that are counted"),
    "references of a frame that is not shared": (references(0x84, 1), "disagree whether frame 0x84 begins a shared allocation"),
    "references of a free frame": (references(0x85, 1), "disagree whether frame 0x85 begins a shared allocation"),
    "no references": (references(0x80, 0), "disagree whether frame 0x80 begins a shared allocation"),
    "a user gone": (user(0x80, 6, count=0), "4 users stand in the table of users, 5 by the manager's count"),
    "a user of another frame": (entered_elsewhere, "owner 6 cannot be found among the users of frame 0x80"),
    "a user out of the ring": (user(0x80, 5, next=0), "the ring of the users of frame 0x80 is torn at owner 5"),
    "a ring that does not lead back": (user(0x80, 5, prev=6), "the ring of the users of frame 0x80 is torn at owner 0"),
    "a ring through somebody else": (user(0x80, 6, next=9), "the ring of the users of frame 0x80 is torn at owner 6"),
    "an owner who is no user": (owned(0x80, 9), "the ring of the users of frame 0x80 is torn at owner 9"),
    "shared frames that are not": (states(x80=HEAD), "1 frames are shared in the frame table, 2 by the manager's count"),
    "another frame shared": (states(x80=HEAD, x84=SHARED_HEAD), "disagree whether frame 0x80 begins a shared allocation"),
    "a tail of a shared one after a free frame": (states(x86=SHARED_TAIL), "a tail that follows no head, at frame 0x86"),
    "a plain tail after a shared head": (states(x80=SHARED_HEAD, x81=TAIL), "a tail that follows no head, at frame 0x81"),
}


@pytest.mark.parametrize("corrupt, complaint", AMONG_THE_USERS.values(), ids=AMONG_THE_USERS)
def test_the_users(corrupt: Callable[[FrameManager], object], complaint: str) -> None:
    manager = books("buddy")
    shared(corrupt)(manager)
    with pytest.raises(BrokenInvariant, match=re.escape(complaint)):
        manager.check()


def test_an_allocation_of_two_owners() -> None:
    manager = FrameManager(16, load_policy("first-fit", uncompiled=True))
    pfn = manager.alloc(3, owner=5)
    manager.table.frames[pfn + 2]["owner"] = 6
    with pytest.raises(BrokenInvariant, match=rf"an allocation of two owners, at frame {pfn + 2:#x}$"):
        manager.check()


@pytest.mark.parametrize("spec", MARKING)
@pytest.mark.parametrize("pfn", [0x84, 0xBF, 0x0A])
def test_a_mark_left_behind(spec: str, pfn: int) -> None:
    """On a frame in no list: in use since long, or since the start."""
    manager = books(spec)
    manager.table.frames[pfn]["order"] = 1
    with pytest.raises(BrokenInvariant, match=rf"left a mark on frame {pfn:#x}, which is no edge of a free block$"):
        manager.check()


IN_THE_TABLE = {
    "a tail after a free frame": (states(x86=TAIL), "a tail that follows no head, at frame 0x86"),
    "padding after a free frame": (states(x85=PAD, x84=FREE), "padding that follows no allocation, at frame 0x85"),
    "a tail after a hole": (states(x80=TAIL), "a tail that follows no head, at frame 0x80"),
    "no state at all": (states(x86=77), "a state that does not exist, at frame 0x86"),
    "an allocation lost": (states(x86=FREE), "59 frames are allocated in the frame table, 60"),
    "an allocation that nobody made": (states(x85=HEAD), "61 frames are allocated in the frame table, 60"),
    "a reserved frame for hire": (states(x41=FREE), "zone Low: "),
    "a frame moved from one zone to the other": (states(x86=FREE, x20=HEAD), "zone Low: 61 frames are free in the frame table, 62"),
    "a reserved frame exchanged": (states(x41=FREE, x44=RESERVED), "zone Low: the reserved frames 0x40 to 0x44 did not stay so"),
    "a hole in a zone filled": (states(x2a=RESERVED), "the hole 0x28 to 0x30 did not stay one"),
    "a hole between zones filled": (states(x60=FREE), "the hole 0x50 to 0x80 did not stay one"),
    "a hole below the first zone filled": (states(x1=RESERVED), "the hole 0x0 to 0x2 did not stay one"),
    "a frame that became a hole": (states(x85=HOLE), "zone High: "),
    "one free frame too many counted": (count("n_free", 1), "60 frames are allocated in the frame table, 59"),
    "one free frame too few counted": (count("n_free", -1), "60 frames are allocated in the frame table, 61"),
    "one frame too many, and free": (lambda manager: (count("n_free", 1)(manager), count("n_frames", 1)(manager)), "zone High: 8 frames are free"),
    "a touched part forgotten": (forget_touched, "a frame that is not free in a part of the table that was never touched, at frame 0x0"),
}


@pytest.mark.parametrize("spec", [*CHOSEN, PLAIN], ids=short)
@pytest.mark.parametrize("corrupt, complaint", IN_THE_TABLE.values(), ids=IN_THE_TABLE)
def test_the_table_and_the_counts(spec: str, corrupt: Callable[[FrameManager], object], complaint: str) -> None:
    manager = books(spec)
    corrupt(manager)
    with pytest.raises(BrokenInvariant, match=re.escape(complaint)):
        manager.check()


def in_lists(step: str, *arguments: int) -> Callable[[Any], None]:
    """One step of the buddy's lists, done behind its back."""
    return lambda area: interpreted(getattr(free_area, step))(area, *arguments)


def in_bits(step: str, *arguments: int) -> Callable[[Any], None]:
    """One step of the bitmaps, done behind the policy's back."""
    return lambda area: interpreted(getattr(address_area, step))(area, *arguments)


def clear_summary(area: Any) -> None:
    """The word above a word of the bitmap of order 0 says that there is nothing below."""
    area.bits[area.start[1]] = 0


def cut_hole(area: Any) -> None:
    """0x91 .. 0x94 free as two holes that touch."""
    interpreted(hole_tags.tag)(area, 0x91, 1)
    interpreted(hole_order.link)(area, 0x8F, 0x91, 0x92)
    interpreted(hole_tags.tag)(area, 0x92, 2)
    interpreted(hole_order.link)(area, 0x91, 0x92, NIL)


def free_some(manager: FrameManager) -> None:
    """0x91, 0x92, 0x93 free as well."""
    for pfn in (0x91, 0x92, 0x93):
        manager.free(pfn)


BUDDY = ["buddy"]
FIFO = ["buddy:order=fifo"]
LAZY = ["buddy:merge=lazy"]
TREES = ["fibonacci-buddy", "weighted-buddy"]
BITS = ["buddy:order=address"]
STACK = ["page-stack"]
FITS = ["first-fit", "best-fit", "worst-fit", "next-fit"]
TORN = "the free list of order 0 is torn at frame "

# With 0x91, 0x92 and 0x93 free as well: blocks of order 0 at 0x81, 0x83 .. 0x8f and 0x91, one of order 1 at 0x92.
IN_THE_LISTS = {
    "a list dropped": (BUDDY + STACK + TREES, word("head", 0, NIL), "disagree about what is free, first at 0x81 to 0x82"),
    "a list that ends too soon": (BUDDY + STACK + TREES, record(0x85, next=NIL), "disagree about what is free, first at 0x81 to 0x82"),
    "a torn link": (BUDDY + STACK + TREES, record(0x85, prev=0x8B), TORN + "0x85"),
    "a ring": (BUDDY + STACK + TREES, record(0x81, next=0x91), TORN + "0x91"),
    "a block that bears another order": (BUDDY + STACK + TREES, record(0x87, order=3), TORN + "0x87"),
    "somebody's frame listed": (BUDDY + STACK + TREES, in_lists("push", 0x84, 0), "disagree about what is free, first at 0x83 to 0x84"),
    "a frame of the hole listed": (BUDDY + STACK + TREES, in_lists("push", 0x7F, 0), "disagree about what is free, first at 0x7f to 0x80"),
    "a free frame not listed": (BUDDY + STACK + TREES, in_lists("remove", 0x8F, 0), "disagree about what is free, first at 0x8f to 0x90"),
    "half of a block listed again": (BUDDY, in_lists("push", 0x93, 0), "policy buddy lists frame 0x93 twice"),
    "buddies not merged": (BUDDY, all_of(in_lists("remove", 0x92, 1), in_lists("push", 0x92, 0), in_lists("push", 0x93, 0)),
                           "two free buddies of order 0, 0x9"),
    "a block not aligned": (BUDDY, all_of(in_lists("remove", 0x92, 1), in_lists("remove", 0x91, 0), in_lists("push", 0x91, 1),
                                          in_lists("push", 0x93, 0)),
                            "the free block at 0x91 is not aligned to its order 1"),
    "blocks from nowhere": (BUDDY + TREES, in_lists("add_uncut", 0x400, 0x800), "disagree about what is free, first at 0x400 to 0x800"),
    "uncut, but not aligned": (BUDDY, all_of(in_lists("remove", 0x92, 1), in_lists("add_uncut", 0x92, 0x94)),
                               "the uncut range 0x92 to 0x94 is not one of blocks of order 10"),
    "uncut, but no tiles": (["fibonacci-buddy"], all_of(in_lists("remove", 0x92, 1), in_lists("add_uncut", 0x92, 0x94)),
                            "the uncut range 0x92 to 0x94 is not one of blocks of 1597 frames"),
    "a tail that is not the last": (FIFO, word("tail", 0, 0x8F), "the free list of order 0 ends at frame 0x91, not at its tail"),
    "a tail without a list": (FIFO, word("tail", 5, 0x8F), "the free list of order 5 is empty, and has a tail"),
    "buddies not merged, and forgotten": (LAZY, word("deferred", 0, 0), "two free buddies of order 0, 0x9"),
    "parts of five not merged": (["fibonacci-buddy"], all_of(in_lists("remove", 0x92, 1), in_lists("push", 0x92, 0), in_lists("push", 0x93, 0)),
                                 "two free buddies, 0x92 and 0x93, were not merged"),
    "a block of no tree": (["weighted-buddy"], all_of(in_lists("remove", 0x91, 0), in_lists("remove", 0x92, 0), in_lists("push", 0x91, 1)),
                                   "no block of 2 frames begins 17 frames into a tile of 1024"),
    "a block across others": (["fibonacci-buddy"], all_of(in_lists("remove", 0x92, 1), in_lists("remove", 0x91, 0), in_lists("push", 0x91, 1),
                                                          in_lists("push", 0x93, 0)),
                              "no block of 2 frames begins 17 frames into a tile of 1597"),
    "a bit lost": (BITS, in_bits("remove", 0x85, 0), "disagree about what is free, first at 0x85 to 0x86"),
    "a bit set": (BITS, in_bits("push", 0x84, 0), "disagree about what is free, first at 0x83 to 0x84"),
    "half of a block, by its bit": (BITS, in_bits("push", 0x93, 0), "lists frame 0x93 twice"),
    "buddies not merged, by their bits": (BITS, all_of(in_bits("remove", 0x92, 1), in_bits("push", 0x92, 0), in_bits("push", 0x93, 0)),
                                          "two free buddies of order 0, 0x9"),
    "a summary that forgets": (BITS, clear_summary, "the bitmaps of order 0 disagree between levels 0 and 1"),
    "all holes dropped": (FITS, all_of(word("words", hole_tags.HEAD, NIL), word("words", hole_tags.TAIL, NIL)),
                          "disagree about what is free, first at 0x81 to 0x82"),
    "the last holes dropped": (FITS, all_of(record(0x85, next=NIL), word("words", hole_tags.TAIL, 0x85)),
                               "disagree about what is free, first at 0x87 to 0x88"),
    "a list that ends too soon, of holes": (FITS, record(0x85, next=NIL), "the list of holes does not end where it should, at frame 0x91"),
    "a hole that points back elsewhere": (FITS, record(0x85, prev=0x81), "the list of holes is torn at frame 0x85"),
    "a hole without its mark": (FITS, record(0x85, order=hole_tags.LAST), "the list of holes is torn at frame 0x85"),
    "holes in a ring": (FITS, record(0x91, next=0x81), "the list of holes is torn at frame 0x81"),
    "holes out of order": (FITS, all_of(record(0x83, next=0x8B), record(0x8B, next=0x85, prev=0x83)), "the list of holes is torn at frame 0x85"),
    "a hole that is too long": (FITS, record(0x92, next=4), "the boundary tags of the hole at 0x91 do not fit its 4 frames"),
    "a hole that is too short": (FITS, record(0x92, next=2), "the boundary tags of the hole at 0x91 do not fit its 2 frames"),
    "an end that points elsewhere": (FITS, record(0x93, prev=0x92), "the boundary tags of the hole at 0x91 do not fit its 3 frames"),
    "a hole cut in two": (FITS, cut_hole, "two holes touch at frame 0x92"),
}
CASES = [pytest.param(spec, corrupt, complaint, id=f"{name}-{spec}")
         for name, (specs, corrupt, complaint) in IN_THE_LISTS.items() for spec in specs]


@pytest.mark.parametrize("spec, corrupt, complaint", CASES)
def test_the_lists_of_a_policy(spec: str, corrupt: Callable[[Any], None], complaint: str) -> None:
    manager = books(spec)
    free_some(manager)
    manager.check()
    corrupt(manager.area(HIGH))
    with pytest.raises(BrokenInvariant, match=re.escape(complaint)):
        manager.check()


def test_a_plain_policy_that_finds_itself_wrong() -> None:
    manager = books(PLAIN)
    manager.area(HIGH).instance.holes.append([0x90, 0x91])
    with pytest.raises(BadPolicy, match=r"check\(\) raised AssertionError: two holes touch or overlap"):
        manager.check()
