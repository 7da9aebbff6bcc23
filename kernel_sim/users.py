"""Who uses the allocations that more than one uses: a count for each allocation and owner, and nothing for the others.

Fork with copy-on-write is the reason: parent and child have the same frames until one of them writes, and the last one to let go frees them. Linux
counts in each `struct page` how often it is mapped, and finds out by whom from the mappings (``_mapcount``, ``rmap``); here the owners themselves
are kept, so that it can be asked whether a process has a frame.

A user is an entry of a hash table with open addressing and linear probing (Knuth, The Art of Computer Programming 3, section 6.4, algorithms L
and R): (frame, owner) and how often he has it, for he may have it mapped twice. The owners of one allocation stand in a ring, in the order in which
they came; the links are owners, and not places in the table, which change when an entry is taken out. The first of the ring is the owner
in the frame's record: when he goes, the next one follows him there.

An allocation with one user has no entry. The table is small at first, and doubles when it is three quarters full, so that it takes host memory as
users come: a table of s entries lies at entry s of the memory that is set aside for it, right behind the one of half the size, whose entries it
takes over.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from kernel_sim.compiled import Array, array_view, compiled, int64, interpreted
from kernel_sim.events import INTERIOR_FREE, NOT_ALLOCATED, OK, SHARED, TOO_MANY_USERS
from kernel_sim.frames import HEAD, PAD, SHARED_HEAD, SHARED_TAIL, TAIL, Table, frame, refusal

USER = np.dtype([
    ("pfn", "<i8"),         # where the allocation begins
    ("owner", "<u2"),
    ("count", "<u2"),       # how often he has it; 0: no entry
    ("next", "<u2"),        # owners of the same allocation, in a ring
    ("prev", "<u2"),
])
"""16 bytes a user."""

MOST_USERS = 0xFFFF
"""Of one allocation, one who has it twice counted twice."""

FEWEST_ENTRIES = 1 << 10
"""Of the table at first."""
_ENTRIES_A_FRAME = 4
_MOST_ENTRIES = 1 << 22

users_at = array_view(USER)


def most_entries(n_frames: int) -> int:
    """How large the table of a memory can become, in entries, a power of two: four a frame, more for a small memory, and at most four million."""
    return min(max(1 << (_ENTRIES_A_FRAME * n_frames - 1).bit_length(), FEWEST_ENTRIES), _MOST_ENTRIES)


@compiled
def is_full(users: Array, n_users: int) -> bool:
    """Whether two more would fill more than three quarters: a search ends at an empty entry, and should find one soon."""
    return bool(n_users + 2 > len(users) // 4 * 3)


@compiled
def double(users: Array, larger: Array) -> None:
    """Take all entries over into an empty table, and leave none."""
    for at in range(len(users)):
        if users[at]["count"] != 0:
            move(users, at, larger, place(larger, int64(users[at]["pfn"]), int64(users[at]["owner"])))
            clear(users, at)


@compiled
def home(users: Array, pfn: int, owner: int) -> int:
    """Where the search for a user begins. The product has 62 bits: no number of 64 bits overflows."""
    mixed = int64(pfn) * int64(0x2545_F491) + int64(owner) * int64(0x1657_9A3B)
    return int64((mixed >> 15 ^ mixed) & (len(users) - 1))


@compiled
def place(users: Array, pfn: int, owner: int) -> int:
    """Where a user stands, or the empty entry where he would."""
    at = home(users, pfn, owner)
    while users[at]["count"] != 0 and (users[at]["pfn"] != pfn or users[at]["owner"] != owner):
        at = (at + 1) & (len(users) - 1)
    return int64(at)


@compiled
def is_user(users: Array, pfn: int, owner: int) -> bool:
    """Whether an owner is among the users of the shared allocation that begins at a frame."""
    return bool(users[place(users, pfn, owner)]["count"] != 0)


@compiled
def enter(users: Array, pfn: int, owner: int, following: int, before: int) -> None:
    """A new entry, between two of the ring."""
    entry = users[place(users, pfn, owner)]
    entry["pfn"] = pfn
    entry["owner"] = owner
    entry["count"] = 1
    entry["next"] = following
    entry["prev"] = before


@compiled
def add(users: Array, pfn: int, first: int, owner: int) -> int:
    """One more use of a shared allocation, the first of whose ring is `first`: how many entries that made, 1 or 0."""
    at = place(users, pfn, owner)
    if users[at]["count"] != 0:
        users[at]["count"] += 1
        return 0
    last = int64(users[place(users, pfn, first)]["prev"])
    enter(users, pfn, owner, first, last)
    users[place(users, pfn, first)]["prev"] = owner
    users[place(users, pfn, last)]["next"] = owner
    return 1


@compiled
def take_out(users: Array, pfn: int, owner: int) -> int:
    """Remove an entry from ring and table: the owner who stood behind it, itself if it was the only one."""
    at = place(users, pfn, owner)
    following, before = int64(users[at]["next"]), int64(users[at]["prev"])
    users[place(users, pfn, before)]["next"] = following
    users[place(users, pfn, following)]["prev"] = before
    erase(users, at)
    return following


@compiled
def erase(users: Array, hole: int) -> None:
    """Empty an entry, and move up whoever would not be found any more beyond it."""
    mask = len(users) - 1
    at = (hole + 1) & mask
    while users[at]["count"] != 0:
        distance = (at - home(users, int64(users[at]["pfn"]), int64(users[at]["owner"]))) & mask
        if distance >= (at - hole) & mask:
            move(users, at, users, hole)
            hole = at
        at = (at + 1) & mask
    clear(users, hole)


@compiled
def clear(users: Array, at: int) -> None:
    """Make an entry as it was before anybody stood there."""
    entry = users[at]
    entry["pfn"] = 0
    entry["owner"] = 0
    entry["count"] = 0
    entry["next"] = 0
    entry["prev"] = 0


@compiled
def move(users: Array, at: int, others: Array, to: int) -> None:
    """Copy an entry to where it will stand, in this table or another."""
    for_it, entry = others[to], users[at]
    for_it["pfn"] = entry["pfn"]
    for_it["owner"] = entry["owner"]
    for_it["count"] = entry["count"]
    for_it["next"] = entry["next"]
    for_it["prev"] = entry["prev"]


# -- the allocation, in the frame table ---------------------------------------------------------------------------------------------


@compiled
def head_of(frames: Array, pfn: int) -> int:
    """Where the allocation begins that a frame, padding included, is of."""
    while pfn > 0 and frame(frames, pfn)["state"] in (TAIL, PAD, SHARED_TAIL):
        pfn -= 1
    return pfn


@compiled
def end_of_shared(frames: Array, pfn: int) -> int:
    """Where the frames end that were asked for, of the shared allocation that a frame is of."""
    end = pfn + 1
    while end < len(frames) and frame(frames, end)["state"] == SHARED_TAIL:
        end += 1
    return end


@compiled
def mark_shared(frames: Array, pfn: int) -> int:
    """Make an ordinary allocation one that is shared: how many frames it has, padding not counted."""
    frame(frames, pfn)["state"] = SHARED_HEAD
    end = pfn + 1
    while end < len(frames) and frame(frames, end)["state"] == TAIL:
        frame(frames, end)["state"] = SHARED_TAIL
        end += 1
    return end - pfn


@compiled
def mark_single(frames: Array, pfn: int) -> int:
    """Make it an ordinary one again: how many frames it has."""
    end = end_of_shared(frames, pfn)
    frame(frames, pfn)["state"] = HEAD
    for tail in range(pfn + 1, end):
        frame(frames, tail)["state"] = TAIL
    return end - pfn


@compiled
def hand_over(frames: Array, pfn: int, owner: int) -> None:
    """Write another owner into all records of a shared allocation, padding included."""
    frame(frames, pfn)["owner"] = owner
    end = pfn + 1
    while end < len(frames) and frame(frames, end)["state"] in (SHARED_TAIL, PAD):
        frame(frames, end)["owner"] = owner
        end += 1


@compiled
def unshareable(table: Table, pfn: int) -> int:
    """Why nobody can share the allocation that begins at a frame: a status, in the words of a free, or OK."""
    status = refusal(table, pfn)
    if status != OK and status != SHARED:
        return int64(status)
    if frame(table.frames, pfn)["state"] in (TAIL, SHARED_TAIL):
        return int64(INTERIOR_FREE)
    if table.references[pfn] == MOST_USERS - 1:
        return int64(TOO_MANY_USERS)
    return int64(OK)


@compiled
def share(table: Table, users: Array, pfn: int, owner: int) -> tuple[int, int]:
    """Enter one more use of the allocation at a frame: how many entries that made, and how many frames are shared that were not before."""
    first = int64(frame(table.frames, pfn)["owner"])
    n_entries, n_shared = int64(0), int64(0)
    if table.references[pfn] == 0:
        enter(users, pfn, first, first, first)
        n_entries, n_shared = int64(1), int64(mark_shared(table.frames, pfn))
    n_entries += add(users, pfn, first, owner)
    table.references[pfn] += 1
    return n_entries, n_shared


@compiled
def who_leaves(frames: Array, users: Array, head: int, owner: int) -> int:
    """Whose use ends when `owner` frees the shared allocation at `head`: his own. Owner 0 is nobody in particular: where it has no use of its own,
    it ends that of the owner in the record."""
    if owner == 0 and not is_user(users, head, owner):
        return int64(frame(frames, head)["owner"])
    return int64(owner)


@compiled
def end_of_drop(frames: Array, users: Array, pfn: int, n_frames: int, head: int, leaver: int) -> tuple[int, int]:
    """Why `leaver` cannot give back `n_frames` at `pfn` of the shared allocation at `head`, 0 for all: (offending frame, status), or (end, OK)."""
    end = end_of_shared(frames, pfn)
    if n_frames == 0 and pfn != head:
        return pfn, INTERIOR_FREE
    if n_frames > end - pfn:
        return end, NOT_ALLOCATED
    if not is_user(users, head, leaver):
        return pfn, NOT_ALLOCATED
    if pfn != head or (n_frames != 0 and n_frames != end - pfn):
        return pfn, SHARED
    return end, OK


@compiled
def drop(table: Table, users: Array, pfn: int, owner: int) -> tuple[int, int]:
    """End one use of the shared allocation at a frame. Returns how many entries went, and how many frames are shared no more."""
    table.references[pfn] -= 1
    n_entries, n_single = int64(0), int64(0)
    entry = users[place(users, pfn, owner)]
    if entry["count"] > 1:
        entry["count"] -= 1
    else:
        heir = take_out(users, pfn, owner)
        n_entries = int64(1)
        if frame(table.frames, pfn)["owner"] == owner:
            hand_over(table.frames, pfn, heir)
    if table.references[pfn] == 0:
        erase(users, place(users, pfn, int64(frame(table.frames, pfn)["owner"])))
        n_entries += 1
        n_single = int64(mark_single(table.frames, pfn))
    return n_entries, n_single


@compiled
def holds(table: Table, users: Array, pfn: int, owner: int) -> bool:
    """Whether an owner is among the users of the allocation that a frame is of, padding included; no for any number that is no frame's.

    For a frame that is not shared one look at its record tells.
    """
    if pfn < 0 or pfn >= len(table.frames):
        return False
    record: Any = frame(table.frames, pfn)
    if record["state"] not in (HEAD, TAIL, PAD, SHARED_HEAD, SHARED_TAIL):
        return False
    if record["owner"] == owner:
        return True
    if record["state"] in (HEAD, TAIL):
        return False
    return is_user(users, head_of(table.frames, pfn), owner)


def ring(users: Array, pfn: int, first: int) -> Iterator[tuple[int, int]]:
    """(owner, how often he has it) for every user of the shared allocation at a frame, from the first on. For people: not compiled."""
    where, owner = interpreted(place), first
    while True:
        entry = users[where(users, pfn, owner)]
        yield owner, int(entry["count"])
        owner = int(entry["next"])
        if owner == first:
            return
