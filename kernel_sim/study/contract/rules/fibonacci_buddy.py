"""Fibonacci buddy: where it must place."""

from __future__ import annotations

from kernel_sim.study.contract.rules.trees import Subdivided


def fibonacci() -> dict[int, tuple[int, int]]:
    """Each size as the sum of the two before it, until one holds 1024."""
    parts, (small, large) = {2: (1, 1)}, (1, 2)
    while large < 1024:
        small, large = large, small + large
        parts[large] = (small, large - small)
    return parts


class FibonacciBuddy(Subdivided):
    parts = fibonacci()


def rule() -> type:
    return FibonacciBuddy
