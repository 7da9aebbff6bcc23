"""The contract, for every policy there is: no frame twice, none lost, every wrong free refused by name, every figure true.

Hypothesis makes memories and operations; sets of frames (`kernel_sim.study.contract.books`) say what must be so after each.
"""

from __future__ import annotations

import pytest
from contract.specs import CHOSEN, ONE_CHANGE, PLAIN, compiled, short
from hypothesis import given, settings

from kernel_sim import load_policy
from kernel_sim.study.contract import games
from kernel_sim.study.contract.driver import Driver
from kernel_sim.study.contract.memories import MEMORIES, SEQUENCES, SHARED_SEQUENCES, Memory, Operation

COMPILED = pytest.mark.parametrize("spec", compiled([*CHOSEN, PLAIN]), ids=short)
FEW = settings(max_examples=max(2, settings.default.max_examples // 6))


@pytest.mark.parametrize("spec", ONE_CHANGE)
@FEW
@given(memory=MEMORIES, operations=SEQUENCES)
def test_every_policy_in_the_interpreter(spec: str, memory: Memory, operations: list[Operation]) -> None:
    policy = load_policy(spec, uncompiled=True)
    games.books(Driver(policy, memory), operations)
    if spec in CHOSEN:      # the others differ too little to empty and fill a memory with each, frame by frame
        games.nothing_lost(Driver(policy, memory), operations)


@COMPILED
@given(memory=MEMORIES, operations=SEQUENCES)
def test_books(spec: str, memory: Memory, operations: list[Operation]) -> None:
    games.books(Driver(spec, memory), operations)


@pytest.mark.parametrize("spec", ONE_CHANGE)
@FEW
@given(memory=MEMORIES, operations=SHARED_SEQUENCES)
def test_the_last_user_in_the_interpreter(spec: str, memory: Memory, operations: list[Operation]) -> None:
    games.last_user(Driver(load_policy(spec, uncompiled=True), memory), operations)


@COMPILED
@given(memory=MEMORIES, operations=SHARED_SEQUENCES)
def test_the_last_user(spec: str, memory: Memory, operations: list[Operation]) -> None:
    games.last_user(Driver(spec, memory), operations)


@COMPILED
@given(memory=MEMORIES, operations=SEQUENCES)
def test_nothing_is_lost(spec: str, memory: Memory, operations: list[Operation]) -> None:
    games.nothing_lost(Driver(spec, memory), operations)


@COMPILED
@given(memory=MEMORIES, operations=SEQUENCES)
def test_the_same_twice(spec: str, memory: Memory, operations: list[Operation]) -> None:
    games.same_twice(spec, memory, operations)
