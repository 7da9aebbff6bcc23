"""What the sanitizer looks at when the engine fills in a translation: the frame, the tables that led to it, and what the guest had been told before.

The engine asks for a translation once, and then accesses the page without a question; so the check costs nothing while nothing is missed. What
makes one look enough: whenever a frame changes hands, the engine's buffer is emptied (`kernel_sim.machine.call_watch`), and a frame that is a page
table, or that several use, is filled in without the right to write, so that the next write comes by here again.

A write to a page table may change any translation. The first one empties the engine's buffer, and opens the tables; the next translation that comes
out of a table in a frame empties it again, and closes them. So while tables can be written without a question there is no translation out of
them in the buffer, and no page is ever accessed through an entry that was changed after it was looked at.
"""

from __future__ import annotations

from kernel_sim.compiled import Array, compiled, int64
from kernel_sim.frames import FREE, HOLE, PAD, RESERVED, SHARED_HEAD, Table, bytes_at, frame, words_at
from kernel_sim.ledger import ROOT_WORDS, open_state
from kernel_sim.machine.abi import (
    FIRMWARE_BYTES,
    N_SEGMENTS,
    SEGMENT_EXECUTABLE,
    SEGMENT_PRESENT,
    SEGMENT_SHIFT,
    SEGMENT_WRITABLE,
    SEGMENTATION,
    SegmentDescriptor,
)
from kernel_sim.machine.board import (
    B_FIRMWARE_BASE,
    B_MANAGER_ROOT,
    B_N_SEGMENTS,
    B_SEGMENTS,
    B_TRANSLATION,
    B_WATCH,
    B_WHY,
    FINDING,
)
from kernel_sim.machine.devices import has_ended
from kernel_sim.machine.notebook import (
    BEYOND_SEGMENT,
    EXPOSED_TABLE,
    FOREIGN,
    FOREIGN_TABLE,
    FREED_TABLE,
    IN_A_HOLE,
    N_ACCESS,
    N_CACHED,
    N_FRAME,
    N_IN_SEGMENT,
    N_IS_USER,
    N_KIND,
    N_OTHER,
    N_OWNER,
    N_RUNNING,
    N_TABLES,
    N_TABLES_OPEN,
    N_VIRTUAL,
    NEVER_ALLOCATED,
    NOTEBOOK_WORDS,
    NOTHING,
    PADDING,
    RESERVED_FRAME,
    STALE,
    STALE_RIGHTS,
    STALE_UNMAPPED,
    USE_AFTER_FREE,
    WRITE_TO_SHARED,
    WRONG_SPACE,
)
from kernel_sim.machine.paging import LARGE, PRESENT, USER, WRITABLE
from kernel_sim.machine.shadow_tlb import NO_ENTRY, flush_engine, forget, remember, remembered
from kernel_sim.machine.translation import ADDRESS, CAN_WRITE, FETCH, WRITE, Found, Mode, word_at
from kernel_sim.segment_records import is_segment, segments_at
from kernel_sim.users import holds

MAY_WRITE, MAY_USER, MAY_EXECUTE = 1, 2, 4  # what the tables say, in the shadow
_DESCRIPTOR_BYTES = SegmentDescriptor.sizeof()


@compiled
def frame_of(board: Array, table: Table, physical: int) -> int:
    """The frame that a physical address lies in; -1 for the firmware, and beyond the managed memory."""
    pfn = physical >> 12
    if 0 <= physical - board[B_FIRMWARE_BASE] < FIRMWARE_BYTES or pfn < 0 or pfn >= len(table.frames):
        return int64(-1)
    return int64(pfn)


@compiled
def owner_of_space(board: Array, table: Table, root: int) -> int:
    """Whose address space CR3 points to: the owner of its frame; -1 for the one that the machine starts with."""
    pfn = frame_of(board, table, root)
    return int64(frame(table.frames, pfn)["owner"]) if pfn >= 0 else int64(-1)


@compiled
def is_shared(table: Table, pfn: int) -> bool:
    """Whether a frame has several users."""
    return pfn >= 0 and frame(table.frames, pfn)["state"] >= SHARED_HEAD


@compiled
def blame(notes: Array, kind: int, pfn: int, owner: int, other: int) -> int:
    """Write down the frame that is wrong, whose it should be, and what else there is to say. Returns the kind."""
    notes[N_FRAME] = pfn
    notes[N_OWNER] = owner
    notes[N_OTHER] = other
    return int64(kind)


@compiled
def check_frame(board: Array, notes: Array, table: Table, users: Array, virtual: int, physical: int, owner: int) -> int:
    """Whether a frame may be used at all, and through a user's address by this owner (-1: by anybody)."""
    pfn = frame_of(board, table, physical)
    if pfn < 0:
        return int64(NOTHING)
    record = frame(table.frames, pfn)
    kind = int64(NOTHING)
    if record["state"] == FREE:
        kind = int64(USE_AFTER_FREE) if record["event"] else int64(NEVER_ALLOCATED)
    elif record["state"] == PAD:
        kind = int64(PADDING)
    elif record["state"] == RESERVED:
        kind = int64(RESERVED_FRAME)
    elif record["state"] == HOLE:
        kind = int64(IN_A_HOLE) if virtual >= 0 else int64(NOTHING)    # through the direct map, the engine itself finds nothing there
    elif virtual >= 0 and owner >= 0 and notes[N_IN_SEGMENT] == 0 and not holds(table, users, pfn, owner):
        kind = int64(FOREIGN)
    return blame(notes, kind, pfn, owner, int64(0))


@compiled
def check_table(board: Array, notes: Array, table: Table, physical: int, owner: int) -> int:
    """Whether a frame may serve as a page table of this owner; from now on it is known to be one."""
    pfn = frame_of(board, table, physical)
    if pfn < 0:
        return int64(NOTHING)
    record = frame(table.frames, pfn)
    if record["state"] == FREE:
        return blame(notes, int64(FREED_TABLE), pfn, owner, int64(0))
    if owner > 0 and record["owner"] != 0 and record["owner"] != owner:
        return blame(notes, int64(FOREIGN_TABLE), pfn, owner, int64(0))
    tables = bytes_at(notes[N_TABLES], len(table.frames))
    if tables[pfn] == 0:
        tables[pfn] = 1
        notes[N_TABLES_OPEN] = 1        # it may be in the engine's buffer, with the right to write
    return int64(NOTHING)


@compiled
def descend(board: Array, notes: Array, table: Table, root: int, virtual: int, owner: int) -> tuple[int, int, int, int]:
    """Walk the page tables once more, with an eye on the tables themselves: (what is wrong with one, physical address of the last one, log2 of the
    page's bytes, what the tables allow; -1 where nothing is mapped)."""
    at, rights = root, int64(MAY_WRITE | MAY_USER | MAY_EXECUTE)
    for level in range(3, -1, -1):
        shift = int64(12 + 9 * level)
        kind = check_table(board, notes, table, at, owner)
        entry = word_at(board, at + ((virtual >> shift) & 511) * 8)
        if kind != NOTHING or entry & PRESENT == 0:
            return kind, at, shift, int64(-1)
        if entry & WRITABLE == 0:
            rights &= ~int64(MAY_WRITE)
        if entry & USER == 0:
            rights &= ~int64(MAY_USER)
        if entry < 0:
            rights &= ~int64(MAY_EXECUTE)
        if level == 0 or (level < 3 and entry & LARGE):
            return int64(NOTHING), at, shift, rights
        at = entry & int64(ADDRESS)
    return int64(NOTHING), at, int64(12), int64(-1)


@compiled
def descend_segments(board: Array, notes: Array, table: Table, root: int, virtual: int, physical: int, owner: int) -> tuple[int, int, int, int]:
    """`descend` for segments: the descriptor stands in the root, and must not promise more than the segment has. Who may use a segment is not written
    anywhere but there: of a segment's frames the one who asked first is the owner, also when only those are left who share it."""
    kind = check_table(board, notes, table, root, owner)
    at = root + ((virtual >> SEGMENT_SHIFT) & (N_SEGMENTS - 1)) * _DESCRIPTOR_BYTES
    last = word_at(board, at + 16)
    flags, segment = last & 0xFFFF_FFFF, (last >> 32) & 0xFFFF_FFFF
    if kind != NOTHING or flags & SEGMENT_PRESENT == 0 or physical < 0:
        return kind, root, int64(12), int64(-1)
    segments = segments_at(board[B_SEGMENTS], board[B_N_SEGMENTS])
    if is_segment(segments, segment):
        first = int64(segments[segment]["base"])
        if first <= physical < first + int64(segments[segment]["bound"]):
            notes[N_IN_SEGMENT] = 1
        else:
            kind = blame(notes, int64(BEYOND_SEGMENT), physical >> 12, owner, segment)
    rights = int64(MAY_USER)
    if flags & SEGMENT_WRITABLE:
        rights |= int64(MAY_WRITE)
    if flags & SEGMENT_EXECUTABLE:
        rights |= int64(MAY_EXECUTE)
    return kind, root, int64(12), rights


@compiled
def needed_rights(access: int, is_user: bool) -> int:
    """What the tables must allow for an access."""
    user = int64(MAY_USER) if is_user else int64(0)
    return user | (int64(MAY_WRITE) if access == WRITE else int64(MAY_EXECUTE) if access == FETCH else int64(0))


@compiled
def check_remembered(notes: Array, virtual: int, physical: int, rights: int, needed: int, owner: int) -> int:
    """Whether a processor may hold something else of this page than what the tables say now."""
    held = remembered(notes, virtual)
    if held == NO_ENTRY:
        return int64(NOTHING)
    held_frame, held_rights = (held & int64(ADDRESS)) >> 12, held & 7
    if rights < 0 and held_rights & needed == needed:
        return blame(notes, int64(STALE_UNMAPPED), held_frame, owner, int64(-1))
    if rights >= 0 and physical >= 0 and held_frame != physical >> 12:
        return blame(notes, int64(STALE), held_frame, owner, physical >> 12)
    if rights >= 0 and held_rights & needed == needed and rights & needed != needed:
        return blame(notes, int64(STALE_RIGHTS), held_frame, owner, held_frame)
    return int64(NOTHING)


@compiled
def check_space(board: Array, notes: Array, table: Table, virtual: int, access: int, is_user: bool, root: int, physical: int, may: int) -> int:
    """An access to the user's half: the tables, what a processor may remember, and whose turn it is. `may` is 0 for a page fault."""
    owner = owner_of_space(board, table, root)
    if is_user and notes[N_RUNNING] and owner >= 0 and owner != notes[N_RUNNING]:
        return blame(notes, int64(WRONG_SPACE), frame_of(board, table, root), notes[N_RUNNING], owner)
    if board[B_TRANSLATION] == SEGMENTATION and owner >= 0:
        kind, last_table, shift, rights = descend_segments(board, notes, table, root, virtual, physical, owner)
    else:
        kind, last_table, shift, rights = descend(board, notes, table, root, virtual, owner)
    if kind != NOTHING or frame_of(board, table, last_table) < 0:
        return kind
    if notes[N_TABLES_OPEN]:
        flush_engine(board, notes)
    needed = needed_rights(access, is_user)
    kind = check_remembered(notes, virtual, physical, rights, needed, owner)
    if kind != NOTHING:
        return kind
    if may == 0 or physical < 0:
        forget(notes, virtual)      # a page fault drops what the processor knew of the page
        return int64(NOTHING)
    remember(notes, virtual, shift, physical, rights)
    notes[N_CACHED] = 1
    pfn = frame_of(board, table, physical)
    if pfn >= 0 and is_user and rights & MAY_WRITE and bytes_at(notes[N_TABLES], len(table.frames))[pfn]:
        return blame(notes, int64(EXPOSED_TABLE), pfn, owner, int64(0))
    return int64(NOTHING)


@compiled
def rights_left(board: Array, notes: Array, table: Table, virtual: int, access: int, physical: int, may: int) -> int:
    """The rights to fill in: without that to write where the next write is to be looked at. The write itself gets it, and opens the tables."""
    pfn = frame_of(board, table, physical)
    if pfn < 0:
        return may
    if bytes_at(notes[N_TABLES], len(table.frames))[pfn]:
        if access == WRITE:
            if notes[N_CACHED]:
                flush_engine(board, notes)
            notes[N_TABLES_OPEN] = 1
            return may
        return may & ~int64(CAN_WRITE)
    if virtual >= 0 and is_shared(table, pfn):
        return may & ~int64(CAN_WRITE)
    return may


@compiled
def watch_access(board: Array, virtual: int, access: int, mode: Mode, found: Found) -> int:
    """A translation has been found, or not: then there is a page fault.

    Returns the rights that it may have, or -1 for a finding, which has been written down and ends the run.
    """
    notes = words_at(board[B_WATCH], NOTEBOOK_WORDS)
    state = open_state(words_at(board[B_MANAGER_ROOT], ROOT_WORDS))
    table = state.table
    notes[N_IN_SEGMENT] = 0
    is_user, root, physical, may = mode.is_user, mode.root, found.physical, found.may
    owner = int64(-1)
    kind = check_table(board, notes, table, root, owner)
    if kind == NOTHING and virtual >= 0:
        owner = owner_of_space(board, table, root)
        kind = check_space(board, notes, table, virtual, access, is_user, root, physical, may)
    elif kind == NOTHING:
        kind, _, _, _ = descend(board, notes, table, root, virtual, owner)
    if kind == NOTHING and physical >= 0 and may:
        kind = check_frame(board, notes, table, state.users, virtual, physical, owner)
        if kind == NOTHING and virtual >= 0 and access == WRITE and is_shared(table, frame_of(board, table, physical)):
            kind = blame(notes, int64(WRITE_TO_SHARED), physical >> 12, owner, int64(0))
    if kind == NOTHING:
        return rights_left(board, notes, table, virtual, access, physical, may)
    if not has_ended(board):
        notes[N_KIND] = kind
        notes[N_VIRTUAL] = virtual
        notes[N_ACCESS] = access
        notes[N_IS_USER] = is_user
        board[B_WHY] = FINDING
    return int64(-1)
