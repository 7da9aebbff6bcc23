"""Which bytes of the frames have been written since they were allocated: a bit each. On request, for it needs a hook on every access.

A byte is initialised when the guest has written it since its frame was last allocated. Reading one that is not is reported, once for each
instruction that does. An instruction that only copies (`movs`) hands on what it reads, bit for bit, as valgrind's memcheck does (Seward and
Nethercote, USENIX 2005): to copy a page of which a part was never written is no mistake.

Of an access over the border of two pages the engine tells where it begins, and not where the other page is. What it writes there is not noted: from
then on as many bytes as any such write has put behind a border pass for initialised at the beginning of every frame.
"""

from __future__ import annotations

from functools import cache

from kernel_sim.compiled import Array, Callback, callback, compiled, int64
from kernel_sim.frames import FREE, HOLE, RESERVED, frame, words_at
from kernel_sim.ledger import ROOT_WORDS, open_state
from kernel_sim.machine.access_watch import frame_of
from kernel_sim.machine.board import B_MANAGER_ROOT, B_WATCH, BOARD_WORDS
from kernel_sim.machine.cpu import CS, RIP
from kernel_sim.machine.notebook import N_COPIED, N_CROSSED, N_N_READS, N_READS, N_WRITTEN, NOTEBOOK_WORDS
from kernel_sim.machine.registers import register
from kernel_sim.machine.stacks import guest_word, keep_stack
from kernel_sim.units import FRAME_BYTES

MAX_READS = 64
READ_WORDS = 4          # instruction, physical address, whether in ring 3, stack
_MEMORY_TYPES = ("void", "int64", "int32", "int64", "int32", "int64", "int64")
_COPYING = 1 << 32      # in N_COPIED, above the bits
_MOST_BYTES = 32        # of one access


@compiled
def bytes_kept(board: Array, physical: int, size: int) -> int:
    """How many bytes of an access are kept book of: those up to the end of its frame, if the guest has allocated that; else none."""
    table = open_state(words_at(board[B_MANAGER_ROOT], ROOT_WORDS)).table
    pfn = frame_of(board, table, physical)
    if pfn < 0:
        return int64(0)
    record = frame(table.frames, pfn)
    if record["event"] == 0 or record["state"] == FREE or record["state"] == RESERVED or record["state"] == HOLE:
        return int64(0)
    return min(int64(size), int64(_MOST_BYTES), FRAME_BYTES - (physical & (FRAME_BYTES - 1)))


@compiled
def written_bits(notes: Array, physical: int, size: int) -> int:
    """For each byte of an access a bit: whether it has been written."""
    bits = int64(0)
    for i in range(size):
        at = physical + i
        bits |= ((words_at(notes[N_WRITTEN] + (at >> 6) * 8, 1)[0] >> (at & 63)) & 1) << i
    return int64(bits)


@compiled
def write_bits(notes: Array, physical: int, size: int, bits: int) -> None:
    """Note which of an access's bytes are written now."""
    for i in range(size):
        at = physical + i
        word = words_at(notes[N_WRITTEN] + (at >> 6) * 8, 1)
        bit = int64(1) << (at & 63)
        word[0] = word[0] | bit if (bits >> i) & 1 else word[0] & ~bit


@compiled
def bytes_behind(physical: int, size: int) -> int:
    """How many bytes of an access lie behind the end of its frame: in another page, wherever that may be."""
    return max((physical & (FRAME_BYTES - 1)) + int64(size) - FRAME_BYTES, int64(0))


@compiled
def is_uninitialised(notes: Array, physical: int, size: int, bits: int) -> bool:
    """Whether a byte that is read has not been written, neither here nor, perhaps, from over the border of its page."""
    for i in range(size):
        if (bits >> i) & 1 == 0 and (physical + i) & (FRAME_BYTES - 1) >= notes[N_CROSSED]:
            return True
    return False


@compiled
def note_written(board: Array, physical: int) -> None:
    """The processor itself has written a word of the guest's memory: of an exception's frame."""
    if board[B_WATCH]:
        notes = words_at(board[B_WATCH], NOTEBOOK_WORDS)
        if notes[N_WRITTEN]:
            write_bits(notes, physical, bytes_kept(board, physical, int64(8)), int64(-1))


@compiled
def is_copy(board: Array, rip: int) -> bool:
    """Whether the instruction there is a `movs`: behind its prefixes, which its two words show, stands A4 or A5."""
    code = guest_word(board, rip)
    for _ in range(4):
        byte = code & 255
        if byte != 0xF2 and byte != 0xF3 and byte != 0x66 and byte & 0xF0 != 0x40:
            break
        code >>= 8
    return bool(code & 0xFE == 0xA4)


@compiled
def report_read(board: Array, notes: Array, rip: int, physical: int) -> None:
    """Write down an uninitialised read, unless the same instruction has made one before."""
    reads = words_at(notes[N_READS], MAX_READS * READ_WORDS)
    n_reads = notes[N_N_READS]
    for i in range(n_reads):
        if reads[i * READ_WORDS] == rip:
            return
    if n_reads < MAX_READS:
        at = n_reads * READ_WORDS
        reads[at] = rip
        reads[at + 1] = physical
        reads[at + 2] = register(board, CS) & 3 == 3
        reads[at + 3] = keep_stack(board, notes)
        notes[N_N_READS] = n_reads + 1


def on_read(engine: int, kind: int, physical: int, size: int, value: int, board_address: int) -> None:
    """The hook on every read. The engine, in its virtual-TLB mode, tells the physical address."""
    board = words_at(board_address, BOARD_WORDS)
    notes = words_at(board[B_WATCH], NOTEBOOK_WORDS)
    notes[N_COPIED] = 0
    kept = bytes_kept(board, physical, size)
    if kept > 0:
        bits = written_bits(notes, physical, kept)
        if bits != (int64(1) << kept) - 1:
            rip = register(board, RIP)
            if is_copy(board, rip):
                notes[N_COPIED] = bits | ~((int64(1) << kept) - 1) | _COPYING
            elif is_uninitialised(notes, physical, kept, bits):
                report_read(board, notes, rip, physical)


def on_write(engine: int, kind: int, physical: int, size: int, value: int, board_address: int) -> None:
    """The hook on every write."""
    board = words_at(board_address, BOARD_WORDS)
    notes = words_at(board[B_WATCH], NOTEBOOK_WORDS)
    notes[N_CROSSED] = max(notes[N_CROSSED], bytes_behind(physical, int64(size)))
    kept = bytes_kept(board, physical, size)
    if kept > 0:
        write_bits(notes, physical, kept, notes[N_COPIED] if notes[N_COPIED] else int64(-1))
    notes[N_COPIED] = 0


@cache
def memory_hooks() -> tuple[Callback, Callback]:
    """The hooks on reads and writes; the same for all machines."""
    return callback(on_read, *_MEMORY_TYPES), callback(on_write, *_MEMORY_TYPES)
