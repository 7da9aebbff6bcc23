"""Damage to what a policy keeps of its zone, done behind its back: steps that each change one thing in its area."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Damage = Callable[[Any], None]


def record(pfn: int, **fields: int) -> Damage:
    """Fields of a frame's record overwritten."""
    def damage(area: Any) -> None:
        for name, value in fields.items():
            area.frames[pfn][name] = value
    return damage


def word(name: str, at: int, value: int) -> Damage:
    """One of the area's own words overwritten, in the array of that name."""
    def damage(area: Any) -> None:
        getattr(area, name)[at] = value
    return damage


def all_of(*steps: Damage) -> Damage:
    """One after the other."""
    def damage(area: Any) -> None:
        for step in steps:
            step(area)
    return damage
