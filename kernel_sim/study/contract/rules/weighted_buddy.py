"""Weighted buddy: where it must place."""

from __future__ import annotations

from typing import ClassVar

from kernel_sim.study.contract.rules.trees import Parts, Subdivided


class WeightedBuddy(Subdivided):
    """Three to one, and two to one."""

    parts: ClassVar[Parts] = {2: (1, 1), **{4 * 2**k: (3 * 2**k, 2**k) for k in range(9)}, **{3 * 2**k: (2 * 2**k, 2**k) for k in range(9)}}


def rule() -> type:
    return WeightedBuddy
