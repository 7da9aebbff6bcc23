"""Every policy there is: each file of kernel_sim/allocators with every combination of its parameters, and one in plain Python."""

from __future__ import annotations

from itertools import product
from pathlib import Path

from kernel_sim import FrameManager
from kernel_sim.allocators.base import policy_module, policy_names
from kernel_sim.compiled import interpreted

PLAIN = f"{Path(__file__).with_name('plain_first_fit.py')}:PlainFirstFit"
"""A policy by file and class, as a student would name one."""


def combinations(name: str) -> list[str]:
    """A policy with every choice of its parameters; the default goes by the bare name."""
    parameters = policy_module(name).PARAMETERS
    specs = []
    for values in product(*parameters.values()):
        chosen = [f"{key}={value}" for (key, choices), value in zip(parameters.items(), values, strict=True) if value != choices[0]]
        specs.append(name + (":" + ",".join(chosen) if chosen else ""))
    return specs


BUILT_IN = [spec for name in policy_names() for spec in combinations(name)]
SPECS = [*BUILT_IN, PLAIN]


def short(spec: str) -> str:
    """A policy's name in a test's id."""
    return "plain-first-fit" if spec == PLAIN else spec


def declared(manager: FrameManager, n_frames: int) -> int:
    """How many frames the policy says such a request takes up in some zone; 0 if it never gives so many."""
    granted = interpreted(manager.policy.granted)
    return max(int(granted(manager.area(zone), n_frames)) for zone in range(len(manager.zones)))
