"""Each policy with a written rule places every allocation where the rule says, with the effort that the rule says, to the frame.

The rules are played by `kernel_sim.study.contract.rules` on Python lists, which know nothing of the code they judge.
"""

from __future__ import annotations

import pytest
from contract.specs import EVERY, ONE_CHANGE, PLAIN, short
from hypothesis import given, settings

from kernel_sim import load_policy
from kernel_sim.study.contract.driver import Driver
from kernel_sim.study.contract.memories import MEMORIES, SEQUENCES, Memory, Operation
from kernel_sim.study.contract.rules import rule_for

JUDGED = {PLAIN: rule_for("first-fit"), **{spec: rule for spec in EVERY if (rule := rule_for(spec))}}
BARE = [spec for spec in JUDGED if "=" not in spec]
CHANGED = [spec for spec in ONE_CHANGE if spec in JUDGED and spec not in BARE]
COMBINED = [spec for spec in JUDGED if spec not in ONE_CHANGE and spec != PLAIN]

FEW = settings(max_examples=max(2, settings.default.max_examples // 4))     # of the many that differ in little


def judged(spec: str, memory: Memory) -> Driver:
    """In the interpreter: `tests/test_modes.py` holds the compiled code against it."""
    return Driver(load_policy(spec, uncompiled=True), memory, JUDGED[spec])


@pytest.mark.parametrize("spec", BARE, ids=short)
@given(memory=MEMORIES, operations=SEQUENCES)
def test_placement(spec: str, memory: Memory, operations: list[Operation]) -> None:
    judged(spec, memory).perform(operations)


@pytest.mark.parametrize("spec", CHANGED)
@FEW
@given(memory=MEMORIES, operations=SEQUENCES)
def test_placement_with_a_choice(spec: str, memory: Memory, operations: list[Operation]) -> None:
    judged(spec, memory).perform(operations)


@pytest.mark.parametrize("spec", COMBINED)
@FEW
@given(memory=MEMORIES, operations=SEQUENCES)
def test_placement_with_choices(spec: str, memory: Memory, operations: list[Operation]) -> None:
    """The figures are compared at the end only."""
    driver = judged(spec, memory)
    for operation in operations:
        driver.act(operation)
    driver.compare()


@pytest.mark.slow
@pytest.mark.parametrize("spec", [*CHANGED, *COMBINED])
@given(memory=MEMORIES, operations=SEQUENCES)
def test_every_placement(spec: str, memory: Memory, operations: list[Operation]) -> None:
    judged(spec, memory).perform(operations)
