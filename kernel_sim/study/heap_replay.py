"""A program's heap, replayed: the operations of a recording on a heap, under any policy."""

from __future__ import annotations

import hashlib
import signal
import threading
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from kernel_sim.errors import HeapFull
from kernel_sim.heap import Heap
from kernel_sim.heap_stats import HeapStats
from kernel_sim.study.heap_trace import FREE, HeapOperation, HeapTrace
from kernel_sim.units import FRAME_BYTES

_STRIDE = 1 << 10       # operations between two reports of progress
_LEAST_FRAMES = 1 << 12     # 16 MiB
_BLOCK_BYTES = 64       # more than a block's header and rounding
_TIMES = 4              # how much larger than a trace's blocks a heap's memory is, for the policies that fragment it


@dataclass(frozen=True)
class HeapReplay:
    """A replay, as far as it went. `at_peak` is how the heap stood when the trace's payload was the most, None when it did not come so far."""

    heap: Heap
    trace: HeapTrace
    placements: array[int]      # the address that each alloc and realloc was served with, -1 for none, in order
    n_performed: int
    failures: tuple[str, ...]   # why what could not be served was not, in order
    n_of_failed: int            # frees and reallocs of slots that were never served; they were dropped
    at_peak: HeapStats | None
    at_end: HeapStats

    @property
    def complete(self) -> bool:
        """Whether it came to the end of the trace, uninterrupted."""
        return self.n_performed == len(self.trace.operations)

    @property
    def n_failed(self) -> int:
        """Allocs and reallocs that the heap could not serve."""
        return len(self.failures)

    @property
    def placements_sha256(self) -> str:
        """SHA-256 over the placements, less the heap's base, each as a little-endian signed 64-bit integer."""
        offsets = (address - self.heap.arena.base if address >= 0 else -1 for address in self.placements)
        return hashlib.sha256(b"".join(offset.to_bytes(8, "little", signed=True) for offset in offsets)).hexdigest()

    def report(self) -> dict[str, Any]:
        """The numbers of `kernel-sim heap --json`. Bytes, but for counts and shares."""
        end = self.at_end
        return {
            "log": self.trace.name, "format": self.trace.form, "policy": self.heap.granules.policy.name,
            "header_bytes": self.heap.header, "alignment_bytes": self.heap.alignment,
            "operations": self.trace.counts,
            "served": len(self.placements) - self.n_failed, "failed": self.n_failed, "of_failed": self.n_of_failed,
            "utilization": round(end.utilization, 6),
            "peak_payload_bytes": end.peak_payload_bytes, "peak_heap_bytes": end.peak_heap_bytes,
            "at_peak": _standing(self.at_peak) if self.at_peak else None,
            "at_end": _standing(end),
            "reallocs": {"in_place": end.n_in_place, "moved": end.n_reallocs - end.n_in_place, "bytes_copied": end.bytes_copied},
            "grows": end.n_grows, "shrinks": end.n_shrinks, "can_shrink": self.heap.can_take and self.heap.trim is not None,
            "steps": end.steps, "holes_examined": end.examined, "splits": end.splits, "merges": end.merges,
            "placements_sha256": self.placements_sha256,
        }


def _standing(stats: HeapStats) -> dict[str, Any]:
    """How a heap stands."""
    return {
        "payload_bytes": stats.payload_bytes, "granted_bytes": stats.granted_bytes, "heap_bytes": stats.heap_bytes, "free_bytes": stats.free_bytes,
        "largest_free_bytes": stats.largest_free_bytes,
        "internal_fragmentation": round(stats.internal_fragmentation, 6), "external_fragmentation": round(stats.external_fragmentation, 6),
    }


def enough_frames(trace: HeapTrace, header: int = 0, alignment: int = 0) -> int:
    """A memory for a trace's heap, in frames: a power of two, several times what its blocks take at their peak."""
    live: dict[int, int] = {}
    needed = peak = 0
    for kind, slot, size in trace.operations:
        taken = size + header + alignment + _BLOCK_BYTES if kind != FREE else 0
        needed += taken - live.get(slot, 0)
        live[slot] = taken
        peak = max(peak, needed)
    return max(_LEAST_FRAMES, 1 << (_TIMES * peak // FRAME_BYTES).bit_length())


def replay(trace: HeapTrace, heap: Heap, progress: Callable[[int], None] | None = None) -> HeapReplay:
    """Carry a trace's operations out on a heap; `progress` is told how many are done.

    An interrupt (Ctrl-C) ends it early, and `HeapReplay.complete` says so. What the heap could not serve is counted and left out.
    """
    player = _Player(heap)
    _, peak_at = trace.peak()
    at_peak, done = None, 0
    with _interrupts_noted() as interrupted:
        for operation in trace.operations:
            player.perform(operation)
            done += 1
            if done == peak_at:
                at_peak = heap.stats()
            if progress and done % _STRIDE == 0:
                progress(done)
            if interrupted:
                break
    return HeapReplay(heap, trace, player.placements, done, tuple(player.failures), player.n_of_failed, at_peak, heap.stats())


@contextmanager
def _interrupts_noted() -> Iterator[list[int]]:
    """A list to which an interrupt adds something: it waits for the operation that it comes in, and no heap is left in the middle of one."""
    noted: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield noted         # only the main thread is ever interrupted
        return
    before = signal.signal(signal.SIGINT, lambda number, frame: noted.append(number))
    try:
        yield noted
    finally:
        signal.signal(signal.SIGINT, before)


class _Player:
    """Carries out one operation after the other, and knows where each slot lies."""

    def __init__(self, heap: Heap) -> None:
        self.heap = heap
        self.addresses: dict[int, int | None] = {}      # by slot, while it is live; None for one that was never served
        self.placements = array("q")
        self.failures: list[str] = []
        self.n_of_failed = 0

    def perform(self, operation: HeapOperation) -> None:
        kind, slot, size = operation
        address = self.addresses.get(slot)
        if slot in self.addresses and address is None:
            self.n_of_failed += 1
        elif kind == FREE:
            assert address is not None
            self.heap.free(address)
            del self.addresses[slot]
        else:
            self.place(slot, address, size)

    def place(self, slot: int, address: int | None, size: int) -> None:
        """An alloc, or a realloc of what lies at an address. One that fails leaves the block where it was."""
        try:
            placed = self.heap.realloc(address, size)
        except HeapFull as error:
            self.failures.append(str(error))
            self.addresses[slot] = address
            self.placements.append(-1)
            return
        self.addresses[slot] = placed
        if placed is None:
            del self.addresses[slot]
        else:
            self.placements.append(placed)
