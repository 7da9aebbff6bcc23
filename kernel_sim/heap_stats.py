"""What a heap counts, and the measures of how well it uses its memory."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class HeapCounts:
    """What happened so far. Bytes, but for the counts of operations."""

    n_allocs: int = 0
    n_failed: int = 0           # allocs and reallocs that found no room
    n_frees: int = 0
    n_reallocs: int = 0         # those that were served, and were neither a plain alloc nor a plain free
    n_in_place: int = 0         # of these, without moving
    bytes_copied: int = 0       # by those that moved
    n_grows: int = 0            # times the break was moved up
    n_shrinks: int = 0          # and down
    payload_bytes: int = 0      # live now
    granted_bytes: int = 0      # the live blocks: headers, payloads and what rounding and splitting left with them
    peak_payload_bytes: int = 0


@dataclass
class HeapStats(HeapCounts):
    """That, and how things stand. Bytes, but for the policy's effort."""

    heap_bytes: int = 0         # the frames it has
    peak_heap_bytes: int = 0    # the most that it had
    free_bytes: int = 0         # in free granules
    largest_free_bytes: int = 0     # the longest run of them
    examined: int = 0           # holes or blocks that the policy looked at
    splits: int = 0
    merges: int = 0

    @property
    def steps(self) -> int:
        """The policy's effort: holes examined, splits and merges."""
        return self.examined + self.splits + self.merges

    @property
    def utilization(self) -> float:
        """The malloc lab's: the most payload that was ever live over the heap's size, which never shrinks there; of one that does, its peak."""
        return self.peak_payload_bytes / self.peak_heap_bytes

    @property
    def internal_fragmentation(self) -> float:
        """The share of the live blocks that is no payload, between 0 and 1."""
        return 1 - self.payload_bytes / self.granted_bytes if self.granted_bytes else 0.0

    @property
    def external_fragmentation(self) -> float:
        """The share of the free bytes that does not lie in the longest free run, between 0 and 1."""
        return 1 - self.largest_free_bytes / self.free_bytes if self.free_bytes else 0.0
