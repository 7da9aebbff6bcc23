"""The contract, for every policy there is: no frame twice, none lost, every wrong free refused by name, every figure true.

Hypothesis makes memories and operations; sets of frames (`kernel_sim.study.contract.books`) say what must be so after each.
"""

from __future__ import annotations

import pytest
from contract.specs import SLOW, SPECS, short
from hypothesis import given

from kernel_sim.study.contract import games
from kernel_sim.study.contract.driver import Driver
from kernel_sim.study.contract.memories import MEMORIES, SEQUENCES, Memory, Operation

pytestmark = pytest.mark.parametrize("spec", [*SPECS, *SLOW], ids=short)


@given(memory=MEMORIES, operations=SEQUENCES)
def test_books(spec: str, memory: Memory, operations: list[Operation]) -> None:
    games.books(Driver(spec, memory), operations)


@given(memory=MEMORIES, operations=SEQUENCES)
def test_nothing_is_lost(spec: str, memory: Memory, operations: list[Operation]) -> None:
    games.nothing_lost(Driver(spec, memory), operations)


@given(memory=MEMORIES, operations=SEQUENCES)
def test_the_same_twice(spec: str, memory: Memory, operations: list[Operation]) -> None:
    games.same_twice(spec, memory, operations)
