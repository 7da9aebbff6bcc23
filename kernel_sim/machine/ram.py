"""Guest memory: host pages that the engine sees, too, at their physical addresses.

The frames of the zones are backed, the holes between them are not. The firmware's 2 MiB lie where no frame is: in the hole below 4 GiB, or
above all memory when there is no such hole.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kernel_sim.compiled import Array, address_of
from kernel_sim.frames import lazy_memory
from kernel_sim.machine.abi import FIRMWARE_BYTES
from kernel_sim.units import FRAME_BYTES
from kernel_sim.zones import Range, intersect

_FOUR_GIB = 1 << 32


class Ram:
    """The memory of one machine. `frames` are the half-open frame ranges that exist; numbers below are bytes."""

    def __init__(self, frames: Sequence[Range]) -> None:
        self.frames = list(frames)
        self.size = self.frames[-1][1] * FRAME_BYTES        # from physical address 0, holes included
        self.firmware_base = firmware_base(self.frames)
        self._memory = lazy_memory(self.size)
        self._firmware = lazy_memory(FIRMWARE_BYTES)
        self.bytes = np.frombuffer(self._memory, np.uint8)
        self.firmware = np.frombuffer(self._firmware, np.uint8)

    def mappings(self) -> list[tuple[int, int, int]]:
        """(physical address, size, host address) of everything the engine shall see."""
        base = address_of(self.bytes)
        mapped = [(first * FRAME_BYTES, (end - first) * FRAME_BYTES, base + first * FRAME_BYTES) for first, end in self.frames]
        return [*mapped, (self.firmware_base, FIRMWARE_BYTES, address_of(self.firmware))]

    def shared(self, offset: int, dtype: np.dtype[Any], count: int = 1) -> Array:
        """A structure in the firmware's memory, as the guest sees it."""
        return np.frombuffer(self._firmware, dtype, count, offset)


def firmware_base(frames: Sequence[Range]) -> int:
    """The physical address of the firmware: the highest free 2 MiB below 4 GiB, else the first above all frames."""
    size = FIRMWARE_BYTES // FRAME_BYTES
    for first in range(_FOUR_GIB // FRAME_BYTES - size, -1, -size):
        if not intersect([(first, first + size)], frames):
            return first * FRAME_BYTES
    return -(-frames[-1][1] // size) * size * FRAME_BYTES
