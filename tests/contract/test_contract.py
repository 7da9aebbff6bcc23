"""The contract, for every policy there is: no frame twice, none lost, every wrong free refused by name, every figure true.

Hypothesis makes memories and operations; sets of frames (`contract.books`) say what must be so after each.
"""

from __future__ import annotations

import pytest
from contract.specs import SPECS, short
from hypothesis import given

from kernel_sim import OutOfFrames
from kernel_sim.study.contract.driver import Driver
from kernel_sim.study.contract.memories import MEMORIES, SEQUENCES, Memory, Operation

pytestmark = pytest.mark.parametrize("spec", SPECS, ids=short)


@given(memory=MEMORIES, operations=SEQUENCES)
def test_books(spec: str, memory: Memory, operations: list[Operation]) -> None:
    Driver(spec, memory).perform(operations)


@given(memory=MEMORIES, operations=SEQUENCES)
def test_nothing_is_lost(spec: str, memory: Memory, operations: list[Operation]) -> None:
    """Whatever came before: when all is freed, every frame that is not reserved can be had, one by one, and given back again."""
    driver = Driver(spec, memory)
    for operation in operations:
        driver.act(operation)
    for allocation in driver.books.live:
        driver.free(allocation.first, None)
    driver.compare()
    assert driver.books.free == driver.books.exists - driver.books.reserved
    manager, n_frames = driver.manager, len(driver.books.free)
    given_out = [manager.alloc(1) for _ in range(n_frames)]
    assert set(given_out) == driver.books.free
    manager.check()
    with pytest.raises(OutOfFrames, match="0 free"):
        manager.alloc(1)
    for pfn in given_out:
        manager.free(pfn)
    manager.check()
    assert manager.stats().n_free == n_frames


@given(memory=MEMORIES, operations=SEQUENCES)
def test_the_same_twice(spec: str, memory: Memory, operations: list[Operation]) -> None:
    """Same operations, same frames, same events."""
    one, other = Driver(spec, memory), Driver(spec, memory)
    for operation in operations:
        one.act(operation)
        other.act(operation)
    assert one.manager.events().tobytes() == other.manager.events().tobytes()
    assert one.manager.table.frames.tobytes() == other.manager.table.frames.tobytes()
