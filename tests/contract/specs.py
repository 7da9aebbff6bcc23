"""Every policy there is: each file of kernel_sim/allocators with every combination of its parameters, and one in plain Python."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import pytest

from kernel_sim import BadPolicy, load_policy
from kernel_sim.allocators.base import Whole, policy_module, policy_names
from kernel_sim.allocators.fits import FIT_PARAMETERS

PLAIN = f"{Path(__file__).with_name('plain_first_fit.py')}:PlainFirstFit"
"""A policy by file and class, as a student would name one."""


def full_name(name: str, chosen: dict[str, str]) -> str | None:
    """A policy by its parameters, the defaults left out; None for choices that exclude each other."""
    text = ",".join(f"{key}={value}" for key, value in chosen.items())
    try:
        return load_policy(f"{name}:{text}" if text else name).name
    except BadPolicy:
        return None


def combinations(name: str) -> list[str]:
    """A policy with every choice of its parameters that goes together; of a number the default, the least and the one in the middle."""
    parameters = {key: sample(choices) for key, choices in policy_module(name).PARAMETERS.items()}
    names = (full_name(name, dict(zip(parameters, values, strict=True))) for values in product(*parameters.values()))
    return sorted({found for found in names if found}, key=lambda found: (found.count("="), found))


def sample(choices: object) -> list[str]:
    """All choices, or a few of many."""
    values: list[str] = list(choices)  # type: ignore[call-overload]
    return values if not isinstance(choices, Whole) else list(dict.fromkeys([values[0], values[1], values[len(values) // 2]]))


DEFAULTS = policy_names()
"""Each policy as its bare name makes it."""
EVERY = [spec for name in DEFAULTS for spec in combinations(name)]
"""Each policy with every combination of its parameters. There are hundreds: they are run in the interpreter, which compiles nothing."""
ONE_CHANGE = [spec for spec in EVERY if spec.count("=") <= 1]
"""Each policy, and each of its parameters changed alone."""


ALWAYS = ("buddy", "first-fit", "page-stack", "tlsf")
"""The policies that every run of the tests compiles, for a compiled policy is seconds of compiling. In the interpreter every run plays them all."""


def compiled(specs: list[str]) -> list[Any]:
    """Cases for `parametrize`: the policies, all but ALWAYS and the plain one with ``-m slow`` only."""
    return [spec if spec in (*ALWAYS, PLAIN) else pytest.param(spec, marks=pytest.mark.slow) for spec in specs]


def stands_for_others(spec: str) -> bool:
    """The four fits share the text behind their choices: bare and indexed stand for the others."""
    name, _, choice = spec.partition(":")
    return not choice or choice == "search=indexed" or policy_module(name).PARAMETERS is not FIT_PARAMETERS


CHOSEN = [spec for spec in ONE_CHANGE if stands_for_others(spec)]
"""Those that are compiled at all."""
BUILT_IN = compiled(DEFAULTS)
SPECS = compiled([*DEFAULTS, PLAIN])


def short(spec: str) -> str:
    """A policy's name in a test's id."""
    return "plain-first-fit" if spec == PLAIN else spec
