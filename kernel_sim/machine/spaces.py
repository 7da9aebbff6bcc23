"""An address space as a whole: everything the user's half maps, and the frames its tables take; for pictures and tests.

Read like `kernel_sim.machine.walks`, from a machine that has stopped or is between two steps.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from kernel_sim.machine import abi, structures
from kernel_sim.machine.structures import ENTRIES_A_TABLE, PAGE_BYTES
from kernel_sim.units import FRAME_BYTES

if TYPE_CHECKING:
    from kernel_sim.machine.machine import Machine

_TOP_LEVEL = 4
_USER_ENTRIES = ENTRIES_A_TABLE // 2


class Mapping(NamedTuple):
    """`n_frames` frames from `pfn` on, at virtual addresses from `virtual` on."""

    virtual: int
    pfn: int
    n_frames: int

    @property
    def segment(self) -> int:
        """The segment of the address space that it lies in."""
        return self.virtual >> abi.SEGMENT_SHIFT


class AddressSpace(NamedTuple):
    """What is mapped, by virtual address, runs that go on in both as one; and the frames of the tables, the root's first."""

    mappings: tuple[Mapping, ...]
    tables: tuple[int, ...]


def address_space(machine: Machine, root: int) -> AddressSpace:
    """The user's half of the address space whose top table, or segments, are at the physical address `root`."""
    if machine.translation == "segmentation":
        return AddressSpace(tuple(_segments(machine, root)), (root // FRAME_BYTES,))
    tables = [root // FRAME_BYTES]
    return AddressSpace(tuple(_joined(_pages(machine, root, _TOP_LEVEL, 0, _USER_ENTRIES, tables))), tuple(tables))


def _pages(machine: Machine, table: int, level: int, virtual: int, n_entries: int, tables: list[int]) -> Iterator[Mapping]:
    """All that a table of that level and those below it map, in order; the tables below are added to `tables`."""
    words = np.frombuffer(machine.ram.read(table, 8 * n_entries), "<u8")
    for index in np.flatnonzero(words & 1).tolist():
        entry, here = int(words[index]), virtual + (index << 3 + 9 * level)
        target = structures.target_of(level, entry)
        if structures.maps_page(level, entry):
            yield Mapping(here, target // FRAME_BYTES, PAGE_BYTES[level] // FRAME_BYTES)
        else:
            tables.append(target // FRAME_BYTES)
            yield from _pages(machine, target, level - 1, here, ENTRIES_A_TABLE, tables)


def _joined(pages: Iterator[Mapping]) -> Iterator[Mapping]:
    last: Mapping | None = None
    for page in pages:
        if last and page.virtual == last.virtual + last.n_frames * FRAME_BYTES and page.pfn == last.pfn + last.n_frames:
            last = last._replace(n_frames=last.n_frames + page.n_frames)
            continue
        if last:
            yield last
        last = page
    if last:
        yield last


def _segments(machine: Machine, root: int) -> Iterator[Mapping]:
    size = abi.SegmentDescriptor.sizeof()
    for number in range(abi.N_SEGMENTS):
        descriptor = abi.SegmentDescriptor.parse(machine.ram.read(root + number * size, size))
        if descriptor.flags & abi.SEGMENT_PRESENT and descriptor.bound:
            end = (number + 1) << abi.SEGMENT_SHIFT
            first = end - descriptor.bound if descriptor.flags & abi.SEGMENT_GROWS_DOWN else number << abi.SEGMENT_SHIFT
            yield Mapping(first, descriptor.base // FRAME_BYTES, -(-descriptor.bound // FRAME_BYTES))
