"""The policy `linux`, by what it is known for: types that keep together, pageblocks that change hands, lists in front of the lists."""

from __future__ import annotations

from typing import Any

from kernel_sim import FrameManager, load_policy
from kernel_sim.allocators import linux
from kernel_sim.allocators.linux_area import BATCH, COUNT, MOVABLE, RECLAIMABLE, UNMOVABLE, block_type, cpu_at, typed_blocks
from kernel_sim.compiled import interpreted
from kernel_sim.units import N_ORDERS


def fresh(n_frames: int = 1 << 14, spec: str = "linux") -> FrameManager:
    return FrameManager(n_frames, load_policy(spec, uncompiled=True))


def type_of(manager: FrameManager, pfn: int) -> int:
    return int(interpreted(block_type)(manager.area(0), pfn))


def held(manager: FrameManager, cpu: int = 0) -> int:
    """What waits on a processor's lists."""
    return int(manager.area(0).words[int(interpreted(cpu_at)(cpu)) + COUNT])


def listed(manager: FrameManager, order: int, kind: int) -> list[int]:
    """A list, first to last."""
    return [pfn for pfn, found, of in typed_blocks(manager.area(0)) if (found, of) == (order, kind)]


def test_each_mobility_has_pageblocks_of_its_own() -> None:
    """After boot all is movable. What is not takes whole pageblocks, so that what is stays together, and movable huge blocks remain."""
    manager = fresh()
    frames = {kind: [manager.alloc(4, mobility=kind) for _ in range(100)] for kind in (UNMOVABLE, MOVABLE, RECLAIMABLE)}
    for kind, pfns in frames.items():
        assert {type_of(manager, pfn) for pfn in pfns} == {kind}
    pageblocks = [{pfn // 512 for pfn in pfns} for pfns in frames.values()]
    assert all(not one & other for one in pageblocks for other in pageblocks if one is not other)
    buddy = FrameManager(1 << 14, load_policy("buddy", uncompiled=True))
    mixed = [{buddy.alloc(4, mobility=kind) // 512 for _ in range(100)} for kind in (0, 1, 2)]
    assert mixed[0] & mixed[1], "the plain buddy does not tell them apart"


def test_a_pageblock_that_is_half_free_is_claimed_and_one_that_is_not_lends_a_block() -> None:
    """One pageblock is all there is."""
    for n_taken, kind in ((200, UNMOVABLE), (300, MOVABLE)):
        manager = FrameManager(512, load_policy("linux", uncompiled=True), in_use=[(0, n_taken)])
        pfn = manager.alloc(16, mobility=UNMOVABLE)
        assert type_of(manager, pfn) == kind
        assert {of for _, _, of in typed_blocks(manager.area(0))} == {kind}
        manager.check()


def test_what_was_freed_last_is_given_out_first() -> None:
    """Per processor: the frame is warm in its cache, and not in another's."""
    manager = fresh(spec="linux:cpus=2")
    frames = [manager.alloc(1, cpu=0, mobility=MOVABLE) for _ in range(5)]
    for pfn in frames:
        manager.free(pfn)
    assert manager.alloc(1, cpu=1, mobility=MOVABLE) not in frames
    assert [manager.alloc(1, cpu=0, mobility=MOVABLE) for _ in range(5)] == frames[::-1]
    manager.check()


def test_batches_double_while_nothing_is_freed() -> None:
    """batch, then twice as many, up to 32 times the batch; a free halves it."""
    manager = fresh(1 << 18)
    batch, fetched = int(manager.area(0).words[BATCH]), []
    for _ in range(3000):
        if held(manager) == 0:
            manager.alloc(1, mobility=MOVABLE)
            fetched.append(held(manager) + 1)
        else:
            manager.alloc(1, mobility=MOVABLE)
    assert batch == 63
    assert fetched == [63, 126, 252, 504, 1008, 2016][:len(fetched)]
    assert len(fetched) > 5


def test_a_block_that_could_soon_merge_on_waits_at_the_end() -> None:
    """Order 4 goes straight to the lists. Of two frees the one whose merged parent has a free buddy is put last, though it came last."""
    manager = fresh(1 << 11)
    blocks = [manager.alloc(16, mobility=MOVABLE) for _ in range(8)]
    for at in (4, 0):
        manager.free(blocks[at])
    assert listed(manager, 4, MOVABLE)[:2] == [blocks[0], blocks[4]]
    manager.free(blocks[2])
    manager.free(blocks[3])             # a free pair of order 5: where block 0 and its buddy would merge on
    assert listed(manager, 5, MOVABLE)[0] == blocks[2]
    manager.free(blocks[6])             # its buddy 7 is in use, and so is 5: at the front
    assert listed(manager, 4, MOVABLE)[0] == blocks[6]
    manager.alloc(16, mobility=MOVABLE)
    manager.alloc(16, mobility=MOVABLE)
    manager.free(blocks[0])             # beside it 2 and 3 are free as one: at the end
    assert listed(manager, 4, MOVABLE)[-1] == blocks[0]


def test_buddyinfo_does_not_count_what_waits() -> None:
    manager = fresh()
    pfn = manager.alloc(1, mobility=MOVABLE)
    manager.free(pfn)
    on_lists = linux.free_blocks_by_order(manager.area(0))
    assert len(on_lists) == N_ORDERS
    assert sum(n << order for order, n in enumerate(on_lists)) == (1 << 14) - held(manager)
    assert manager.stats().n_free == 1 << 14


def test_a_request_takes_back_what_waits_before_it_fails() -> None:
    """One frame on the processor's list breaks up the only large block, until that is asked for."""
    manager = fresh(1024)
    manager.free(manager.alloc(1))
    assert held(manager) > 0
    assert manager.alloc(1024) == 0
    assert held(manager) == 0


def test_a_terabyte_starts_at_once() -> None:
    """Nothing is linked that was not asked for."""
    manager = fresh(1 << 28)
    manager.alloc(1)
    area: Any = manager.area(0)
    assert int(area.uncut[1]) == 1
