"""From a virtual to a physical address by base and bound: the user's half of an address space made of segments.

Source: base and bound registers, and tables of them, as every textbook draws them (R. H. Arpaci-Dusseau and A. C. Arpaci-Dusseau, Operating Systems:
Three Easy Pieces, chapter 16, with its segment that grows down); J. B. Dennis, "Segmentation and the design of multiprogrammed computer systems",
Journal of the ACM 12(4), 1965.

Bits 43 to 46 of an address are the number of a segment, the bits below the offset in it. Where CR3 points there are 16 descriptors, in the place
of the lower entries of the top page table. An offset is legal below the bound, and then the physical address is base + offset. A segment that grows
down is counted from its other end: `depth` bytes below the top are legal up to the bound, at base + bound - depth. Every segment that is there can be
read, from either ring; writing and executing are for the descriptor to allow.
"""

from __future__ import annotations

from typing import Any

from kernel_sim.compiled import Array, compiled, int64
from kernel_sim.machine.abi import (
    CODE_SEGMENT,
    DATA_SEGMENT,
    HEAP_SEGMENT,
    N_SEGMENTS,
    SEGMENT_EXECUTABLE,
    SEGMENT_GROWS_DOWN,
    SEGMENT_PRESENT,
    SEGMENT_SHIFT,
    SEGMENT_WRITABLE,
    STACK_SEGMENT,
    SegmentDescriptor,
)
from kernel_sim.machine.translation import (
    CAN_EXECUTE,
    CAN_READ,
    CAN_WRITE,
    ERROR_PRESENT,
    ERROR_RESERVED,
    FETCH,
    NOWHERE,
    PHYSICAL_BITS,
    WRITE,
    Found,
    Mode,
    fault_code,
    word_at,
)
from kernel_sim.units import FRAME_BYTES

_DESCRIPTOR_BYTES = SegmentDescriptor.sizeof()
_SEGMENT_BYTES = 1 << SEGMENT_SHIFT
_FRAME = FRAME_BYTES - 1
_NAMES = {CODE_SEGMENT: "code", DATA_SEGMENT: "data", HEAP_SEGMENT: "heap", STACK_SEGMENT: "stack"}


@compiled
def segment_number(virtual: int) -> int:
    """Which of the 16 segments an address of the user's half lies in."""
    return int64((virtual >> SEGMENT_SHIFT) & (N_SEGMENTS - 1))


@compiled
def is_malformed(base: int, bound: int) -> bool:
    """Whether base and bound are none: not whole frames, or higher than there are addresses. Words of 64 bits, as memory holds them."""
    return bool((base | bound) & _FRAME or base >> PHYSICAL_BITS or bound < 0 or bound > _SEGMENT_BYTES)


@compiled
def place_in(virtual: int, bound: int, flags: int) -> int:
    """How far behind the base an address lies, or NOWHERE beyond the bound."""
    offset = virtual & (_SEGMENT_BYTES - 1)
    if flags & SEGMENT_GROWS_DOWN:
        place = bound - (_SEGMENT_BYTES - offset)
        return int64(place) if place >= 0 else int64(NOWHERE)
    return int64(offset) if offset < bound else int64(NOWHERE)


@compiled
def rights_in(flags: int, mode: Mode) -> int:
    """What may be done in a segment. Ring 0 may write everywhere, unless CR0.WP says no, as with pages."""
    may = int64(CAN_READ)
    if flags & SEGMENT_WRITABLE or not (mode.is_user or mode.write_protect):
        may |= CAN_WRITE
    if flags & SEGMENT_EXECUTABLE:
        may |= CAN_EXECUTE
    return may


@compiled
def translate(board: Array, virtual: int, access: int, mode: Mode) -> Found:
    """Translate an address of the user's half (0 to 2^47 - 1), in the place of `paging.walk`; `mode.root` is where the descriptors are.

    A fault's error code says: not present, when there is no such segment or the address lies beyond its bound; present, when what was tried is not
    allowed there; reserved bits, when the descriptor is malformed. `explain` says it in words. `entry` is the descriptor's physical address.
    """
    number = segment_number(virtual)
    where = mode.root + number * _DESCRIPTOR_BYTES
    base, bound, flags = word_at(board, where), word_at(board, where + 8), word_at(board, where + 16)      # the id, above the flags, does not matter
    if number == 0 or flags & SEGMENT_PRESENT == 0:
        return Found(int64(NOWHERE), int64(0), fault_code(access, mode, 0), int64(0), where)
    if is_malformed(base, bound):
        return Found(int64(NOWHERE), int64(0), fault_code(access, mode, ERROR_PRESENT | ERROR_RESERVED), int64(0), where)
    place = place_in(virtual, bound, flags)
    if place == NOWHERE:
        return Found(int64(NOWHERE), int64(0), fault_code(access, mode, 0), int64(0), where)
    may = rights_in(flags, mode)
    needed = int64(CAN_WRITE if access == WRITE else CAN_EXECUTE if access == FETCH else CAN_READ)
    if may & needed == 0:
        return Found(int64(NOWHERE), int64(0), fault_code(access, mode, ERROR_PRESENT), int64(0), where)
    return Found((base + place) & ~int64(_FRAME), may, int64(0), int64(0), where)


def segment_name(virtual: int) -> str:
    """``segment 3 (heap)``: what an address of the user's half lies in."""
    number = int(virtual) >> SEGMENT_SHIFT & (N_SEGMENTS - 1)
    return f"segment {number}" + (f" ({_NAMES.get(number, 'mapped')})" if number else "")


def explain(descriptor: Any, virtual: int, access: int) -> str:
    """Why an access to an address faults, in words: ``segment 3 (heap): offset 0x5000 beyond its bound of 0x4000``.

    `descriptor` is a record of ``abi.dtype(abi.SegmentDescriptor)``, `access` the engine's word for a read, a write or a fetch.
    """
    base, bound, flags = (int(descriptor[field]) % (1 << 64) for field in ("base", "bound", "flags"))     # 64 bits are signed in the host's view
    number, offset = int(virtual) >> SEGMENT_SHIFT & (N_SEGMENTS - 1), int(virtual) & (_SEGMENT_BYTES - 1)
    where = segment_name(virtual)
    if number == 0:
        return f"{where}: there is never such a segment, so that 0 is no address; offset {offset:#x}"
    if not flags & SEGMENT_PRESENT:
        return f"{where}: there is no such segment; offset {offset:#x}"
    if (base | bound) % FRAME_BYTES or base >> PHYSICAL_BITS or bound > _SEGMENT_BYTES:
        return f"{where}: its descriptor is malformed: base {base:#x}, bound {bound:#x}"
    depth = _SEGMENT_BYTES - offset
    if flags & SEGMENT_GROWS_DOWN and depth > bound:
        return f"{where}: {depth:#x} below its top, beyond its bound of {bound:#x}"
    if not flags & SEGMENT_GROWS_DOWN and offset >= bound:
        return f"{where}: offset {offset:#x} beyond its bound of {bound:#x}"
    place = f"{depth:#x} below its top" if flags & SEGMENT_GROWS_DOWN else f"offset {offset:#x}"
    if access == WRITE and not flags & SEGMENT_WRITABLE:
        return f"{where}: {place}, within its bound of {bound:#x}, cannot be written"
    if access == FETCH and not flags & SEGMENT_EXECUTABLE:
        return f"{where}: {place}, within its bound of {bound:#x}, cannot be executed"
    return f"{where}: {place} is legal, within its bound of {bound:#x}"
