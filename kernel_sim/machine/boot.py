"""What a guest finds when it starts: the boot information."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kernel_sim.errors import BadInput
from kernel_sim.machine import abi
from kernel_sim.machine.ram import Ram

_LARGEST = (1 << 63) - 1


def write_boot_info(ram: Ram, seed: int, arguments: Sequence[int]) -> Any:
    """Write `abi.BootInfo` into the firmware's memory, and return the record, for what others add to it. BadInput for arguments that are too many or
    none of 64 bits."""
    if len(arguments) > abi.N_ARGUMENTS:
        raise BadInput(f"a guest takes up to {abi.N_ARGUMENTS} arguments, not {len(arguments)}")
    if not all(-_LARGEST - 1 <= argument <= _LARGEST for argument in arguments):
        raise BadInput("a guest's argument is a number of 64 bits")
    info = ram.shared(abi.BOOT_INFO, abi.dtype(abi.BootInfo))[0]
    ranges = ram.frames[:abi.MAX_RANGES]
    for name, value in (("magic", abi.BOOT_MAGIC), ("direct_map", abi.DIRECT_MAP), ("seed", seed & 0xFFFF_FFFF_FFFF_FFFF)):
        info[name] = np.uint64(value).astype(np.int64)
    info["n_frames"] = sum(end - first for first, end in ram.frames)
    info["arguments"][:len(arguments)] = arguments
    info["n_ranges"] = len(ranges)
    for i, frames in enumerate(ranges):
        info["ranges"][i] = frames
    return info
