"""Each policy with a written rule places every allocation where the rule says, with the effort that the rule says, to the frame.

The rules are played by `contract.rules` on Python lists, which know nothing of the code they judge.
"""

from __future__ import annotations

import pytest
from contract.driver import Driver
from contract.memories import MEMORIES, SEQUENCES, Memory, Operation
from contract.rules import RULES, FirstFit
from contract.specs import PLAIN, short
from hypothesis import given

JUDGED = {**RULES, PLAIN: FirstFit}


@pytest.mark.parametrize("spec", JUDGED, ids=short)
@given(memory=MEMORIES, operations=SEQUENCES)
def test_placement(spec: str, memory: Memory, operations: list[Operation]) -> None:
    Driver(spec, memory, JUDGED[spec]).perform(operations)
