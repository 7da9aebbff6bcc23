"""Weighted buddy: where it must place."""

from __future__ import annotations

from kernel_sim.study.contract.rules.trees import Subdivided


class WeightedBuddy(Subdivided):
    parts = {2: (1, 1), **{4 * 2**k: (3 * 2**k, 2**k) for k in range(9)}, **{3 * 2**k: (2 * 2**k, 2**k) for k in range(9)}}


def rule() -> type:
    return WeightedBuddy
