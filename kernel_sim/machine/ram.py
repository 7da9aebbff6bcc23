"""Guest memory: host pages that the engine sees, too, at their physical addresses.

The frames of the zones are backed, the holes between them are not. The firmware's 2 MiB lie where no frame is: in the hole below 4 GiB, or
above all memory when there is no such hole; and so do the user programs that come with the machine.
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
_LARGE_PAGE = 2 << 20


class Ram:
    """The memory of one machine. `frames` are the half-open frame ranges that exist; numbers below are bytes."""

    def __init__(self, frames: Sequence[Range], n_module_bytes: int = 0) -> None:
        self.frames = list(frames)
        self.size = self.frames[-1][1] * FRAME_BYTES        # from physical address 0, holes included
        self.firmware_base = place_outside(self.frames, FIRMWARE_BYTES)
        taken = [*self.frames, (self.firmware_base // FRAME_BYTES, (self.firmware_base + FIRMWARE_BYTES) // FRAME_BYTES)]
        n_module_bytes = -(-n_module_bytes // _LARGE_PAGE) * _LARGE_PAGE
        self.module_base = place_outside(taken, n_module_bytes)
        self._modules = lazy_memory(max(n_module_bytes, FRAME_BYTES))
        self.module_bytes = np.frombuffer(self._modules, np.uint8, n_module_bytes)
        self._memory = lazy_memory(self.size)
        self._firmware = lazy_memory(FIRMWARE_BYTES)
        self.bytes = np.frombuffer(self._memory, np.uint8)
        self.firmware = np.frombuffer(self._firmware, np.uint8)

    def mappings(self) -> list[tuple[int, int, int]]:
        """(physical address, size, host address) of everything the engine shall see."""
        base = address_of(self.bytes)
        mapped = [(first * FRAME_BYTES, (end - first) * FRAME_BYTES, base + first * FRAME_BYTES) for first, end in self.frames]
        mapped.append((self.firmware_base, FIRMWARE_BYTES, address_of(self.firmware)))
        if self.module_bytes.size:
            mapped.append((self.module_base, self.module_bytes.size, address_of(self.module_bytes)))
        return mapped

    def read(self, physical: int, size: int) -> bytes:
        """Bytes of physical memory, the firmware's and the modules' among them; fewer, or none, where it ends."""
        for base, memory in ((self.firmware_base, self.firmware), (self.module_base, self.module_bytes), (0, self.bytes)):
            if base <= physical < base + len(memory):
                return memory[physical - base:physical - base + size].tobytes()
        return b""

    def shared(self, offset: int, dtype: np.dtype[Any], count: int = 1) -> Array:
        """A structure in the firmware's memory, as the guest sees it."""
        return np.frombuffer(self._firmware, dtype, count, offset)


def place_outside(taken: Sequence[Range], size_bytes: int) -> int:
    """The physical address of unmanaged memory: the highest free place below 4 GiB at a multiple of 2 MiB, else the first above all."""
    size, step = size_bytes // FRAME_BYTES, _LARGE_PAGE // FRAME_BYTES
    for first in range(_FOUR_GIB // FRAME_BYTES - size, -1, -step):
        if not intersect([(first, first + size)], sorted(taken)):
            return first * FRAME_BYTES
    return -(-max(end for _, end in taken) // step) * step * FRAME_BYTES
