"""Where each policy must place: the rules as they are written down, on Python lists, one instance a zone.

They are slow on purpose: what they do can be seen at once. A rule is a file named like its policy's, with a function ``rule`` that takes the
policy's parameters (texts, all of them) and returns a class, `common.Placement`, or None where no rule is written for such choices; the
contract holds for those all the same.
"""

from __future__ import annotations

import importlib
import importlib.util

from kernel_sim.allocators.base import parse_parameters, policy_module


def rule_for(spec: str) -> type | None:
    """The rule of a policy by its name and parameters. BadPolicy for one that does not exist."""
    name, _, rest = spec.partition(":")
    parameters = parse_parameters(spec, rest, policy_module(name).PARAMETERS)
    module = f"{__name__}.{name.replace('-', '_')}"
    if importlib.util.find_spec(module) is None:
        return None
    found = importlib.import_module(module).rule(**parameters)
    assert found is None or isinstance(found, type)
    return found
