"""Each policy with a written rule places every allocation where the rule says, with the effort that the rule says, to the frame.

The rules are played by `kernel_sim.study.contract.rules` on Python lists, which know nothing of the code they judge.
"""

from __future__ import annotations

import pytest
from contract.specs import EVERY, PLAIN, short
from hypothesis import given

from kernel_sim import load_policy
from kernel_sim.study.contract.driver import Driver
from kernel_sim.study.contract.memories import MEMORIES, SEQUENCES, Memory, Operation
from kernel_sim.study.contract.rules import rule_for

JUDGED = {PLAIN: rule_for("first-fit"), **{spec: rule for spec in EVERY if (rule := rule_for(spec))}}


@pytest.mark.parametrize("spec", JUDGED, ids=short)
@given(memory=MEMORIES, operations=SEQUENCES)
def test_placement(spec: str, memory: Memory, operations: list[Operation]) -> None:
    """In the interpreter: `tests/test_modes.py` holds the compiled code against it."""
    Driver(load_policy(spec, uncompiled=True), memory, JUDGED[spec]).perform(operations)
