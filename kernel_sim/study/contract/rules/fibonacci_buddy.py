"""Fibonacci buddy: where it must place."""

from __future__ import annotations

from typing import ClassVar

from kernel_sim.study.contract.rules.trees import Parts, Subdivided


def fibonacci() -> Parts:
    """Each size as the sum of the two before it, until one holds 1024."""
    parts, (small, large) = {2: (1, 1)}, (1, 2)
    while large < 1024:
        small, large = large, small + large
        parts[large] = (small, large - small)
    return parts


class FibonacciBuddy(Subdivided):
    """Every size is the sum of the two before it."""

    parts: ClassVar[Parts] = fibonacci()


def rule() -> type:
    return FibonacciBuddy
