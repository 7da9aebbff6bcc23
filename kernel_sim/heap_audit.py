"""The whole audit of a heap: its blocks, its granules and its frames, each against the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kernel_sim.errors import BrokenInvariant

if TYPE_CHECKING:
    from kernel_sim.heap import Heap


def audit(heap: Heap) -> None:
    """BrokenInvariant, naming what does not fit, unless every account of every byte agrees."""
    heap.granules.check()
    heap.arena.frames.check()
    used, covered = heap.granules.stats().n_used, _covered(heap)
    if covered != used or covered * heap.alignment != heap.counts.granted_bytes:
        raise BrokenInvariant(f"{covered} granules belong to live blocks, {used} are in use by the granules' own count, and "
                              f"{heap.counts.granted_bytes} bytes by the heap's")
    payload = sum(block.size for block in heap.live.values())
    if payload != heap.counts.payload_bytes:
        raise BrokenInvariant(f"the live blocks have {payload} bytes of payload, and {heap.counts.payload_bytes} by the heap's count")
    if heap.granules.end != heap.arena.granules_in(len(heap.arena.pages)):
        raise BrokenInvariant(f"the heap has {heap.granules.end} granules, which is not what its {len(heap.arena.pages)} frames hold")


def _covered(heap: Heap) -> int:
    """Granules in live blocks, each of which is where its address says, behind the one before it, and large enough."""
    covered, end = 0, 0
    for address, block in sorted(heap.live.items()):
        if block.first < end or address != heap.arena.address_of(block.first) + heap.header:
            raise BrokenInvariant(f"the block at {address:#x} overlaps the one before it, or lies elsewhere")
        if not block.asked <= block.granted or block.granted * heap.alignment < heap.header + block.size:
            raise BrokenInvariant(f"the block at {address:#x} is too small for its {block.size} bytes")
        end = block.first + block.granted
        covered += block.granted
    return covered
