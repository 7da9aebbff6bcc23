"""The shadow of the guest's translation buffer: which translations a processor may still hold, whatever the tables say by now.

Source: Intel SDM, volume 3A, section 4.10; AMD64 Architecture Programmer's Manual, volume 2, section 5.5.

A processor may go on using a translation until the guest has dropped it: by `invlpg`, by loading CR3 or CR4, or by a page fault there. The engine's
own buffer is no measure of that, since the sanitizer empties it when it likes. So every translation that is filled in is entered here, and is struck
out by exactly the guest's own doing: compiled hooks stand on its `invlpg`, `mov cr3` and `mov cr4` instructions, and nowhere else. A miss whose entry
here says something else than the tables do is an access that a real machine may have sent to the wrong frame.

The table is addressed by a hash and keeps the latest entry of each place: 2^16 pages, where a real buffer has about 1,500.
"""

from __future__ import annotations

from kernel_sim.compiled import Array, call_address_3, compiled, int64
from kernel_sim.frames import words_at
from kernel_sim.machine.board import B_CONTROL_FUNCTION, B_ENGINE, B_WATCH, BOARD_WORDS
from kernel_sim.machine.cpu import FLUSH_TRANSLATIONS
from kernel_sim.machine.notebook import N_CACHED, N_EPOCH, N_SHADOW, N_TABLES_OPEN, NOTEBOOK_WORDS
from kernel_sim.machine.registers import register

SHADOW_BITS = 16
ENTRY_WORDS = 3                     # the mapping, the epoch, the frame's address and the rights
SHADOW_WORDS = ENTRY_WORDS << SHADOW_BITS
SIZES = (12, 21, 30)                # log2 of the bytes of a page
NO_ENTRY = -1

SITE_WORDS = 5                      # of an `invlpg`: board, base register, index register, scale, displacement


@compiled
def place_of(virtual: int, shift: int) -> tuple[int, int]:
    """(the mapping's key, the number of its entry's first word) for an address that lies in a page of 2^shift bytes."""
    page = virtual >> shift
    return (page << 6) | shift, ((page ^ (page >> 13) ^ (page >> 29)) & ((1 << SHADOW_BITS) - 1)) * ENTRY_WORDS


@compiled
def remembered(notes: Array, virtual: int) -> int:
    """The physical address and the rights (its lowest bits) that were filled in for a page and not dropped since; NO_ENTRY for none."""
    shadow = words_at(notes[N_SHADOW], SHADOW_WORDS)
    for shift in SIZES:
        key, at = place_of(virtual, int64(shift))
        if shadow[at] == key and shadow[at + 1] == notes[N_EPOCH]:
            inside = virtual & ((int64(1) << shift) - 1) & ~int64(4095)
            return int64(shadow[at + 2] + inside)
    return int64(NO_ENTRY)


@compiled
def remember(notes: Array, virtual: int, shift: int, physical: int, rights: int) -> None:
    """A page's translation has been filled in; `physical` is that of its 4 KiB, `rights` fit into the 12 bits below it. A processor that remembers
    the page does not look again: the rights that it remembers stay."""
    shadow = words_at(notes[N_SHADOW], SHADOW_WORDS)
    key, at = place_of(virtual, shift)
    if shadow[at] == key and shadow[at + 1] == notes[N_EPOCH]:
        rights |= shadow[at + 2] & 4095
    shadow[at] = key
    shadow[at + 1] = notes[N_EPOCH]
    shadow[at + 2] = (physical & ~((int64(1) << shift) - 1)) | rights


@compiled
def forget(notes: Array, virtual: int) -> bool:
    """The guest drops what is known of an address. Whether that was a large page."""
    shadow = words_at(notes[N_SHADOW], SHADOW_WORDS)
    was_large = False
    for shift in SIZES:
        key, at = place_of(virtual, int64(shift))
        if shadow[at] == key:
            was_large = was_large or (shift > SIZES[0] and shadow[at + 1] == notes[N_EPOCH])
            shadow[at] = 0
    return was_large


@compiled
def flush_engine(board: Array, notes: Array) -> None:
    """Empty the engine's buffer, so that the next access to any page is looked at. The guest does not notice, and the shadow stays."""
    call_address_3(board[B_CONTROL_FUNCTION], board[B_ENGINE], int64(FLUSH_TRANSLATIONS), int64(0))
    notes[N_TABLES_OPEN] = 0
    notes[N_CACHED] = 0


def on_root_loaded(engine: int, address: int, size: int, board_address: int) -> None:
    """The hook on each `mov cr3` and `mov cr4`: everything is dropped."""
    words_at(words_at(board_address, BOARD_WORDS)[B_WATCH], NOTEBOOK_WORDS)[N_EPOCH] += 1


def on_page_dropped(engine: int, address: int, size: int, site_address: int) -> None:
    """The hook on each `invlpg`, before it is executed. The engine drops 4 KiB, a processor all of a large page."""
    site = words_at(site_address, SITE_WORDS)
    board = words_at(site[0], BOARD_WORDS)
    notes = words_at(board[B_WATCH], NOTEBOOK_WORDS)
    virtual = site[4]
    if site[1]:
        virtual += register(board, site[1])
    if site[2]:
        virtual += register(board, site[2]) * site[3]
    if forget(notes, virtual):
        flush_engine(board, notes)
