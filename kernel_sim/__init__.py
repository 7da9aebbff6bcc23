"""An emulated machine whose guest asks a physical-frame manager for memory.

    from kernel_sim import FrameManager, Machine

    manager = FrameManager(16384, policy="buddy")       # 64 MiB
    pfn = manager.alloc(3, owner=7)
    manager.free(pfn)
    manager.check()

    run = Machine(manager, "hello").run()
    print(run.console)

The names below are the public ones; they are imported when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kernel_sim.allocators.plain import load_policy
    from kernel_sim.errors import (
        BadFree,
        BadInput,
        BadPolicy,
        BrokenInvariant,
        CacheInUse,
        DoubleFree,
        Finding,
        Foreign,
        GuestFault,
        HeapFull,
        InteriorFree,
        Misaligned,
        NoSuchSegment,
        NotAllocated,
        OutOfFrames,
        OutOfRange,
        Reserved,
        Shared,
        SimError,
        TooManyUsers,
    )
    from kernel_sim.heap import Heap
    from kernel_sim.machine.machine import Machine
    from kernel_sim.manager import FrameManager
    from kernel_sim.segments import SegmentTable
    from kernel_sim.slab import SlabAllocator
    from kernel_sim.study.replay import replay
    from kernel_sim.study.trace import Trace
    from kernel_sim.zones import Zone

_HOME = {
    "FrameManager": "manager", "Zone": "zones", "Machine": "machine.machine", "SegmentTable": "segments", "Trace": "study.trace",
    "replay": "study.replay", "load_policy": "allocators.plain", "Heap": "heap", "SlabAllocator": "slab",
}
_ERRORS = ("SimError", "OutOfFrames", "BadFree", "DoubleFree", "NotAllocated", "InteriorFree", "OutOfRange", "Reserved", "Shared",
           "TooManyUsers", "NoSuchSegment", "Misaligned", "Foreign", "HeapFull", "CacheInUse", "GuestFault", "Finding", "BadInput", "BadPolicy",
           "BrokenInvariant")

__all__ = [
    "BadFree", "BadInput", "BadPolicy", "BrokenInvariant", "CacheInUse", "DoubleFree", "Finding", "Foreign", "FrameManager", "GuestFault", "Heap",
    "HeapFull", "InteriorFree", "Machine", "Misaligned", "NoSuchSegment", "NotAllocated", "OutOfFrames", "OutOfRange", "Reserved", "SegmentTable",
    "Shared", "SimError", "SlabAllocator", "TooManyUsers", "Trace", "Zone", "load_policy", "replay",
]


def __getattr__(name: str) -> Any:
    home = "errors" if name in _ERRORS else _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'kernel_sim' has no attribute {name!r}")
    return getattr(import_module(f"kernel_sim.{home}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
