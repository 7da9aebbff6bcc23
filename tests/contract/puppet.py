"""A compiled policy that gives out whatever frame it is told to: what a wrong policy could do, made to order."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

from kernel_sim import FrameManager
from kernel_sim.allocators.base import Policy, Request, built_in
from kernel_sim.compiled import Array, compiled

ANSWER, GRANTED = 0, 1      # words: the frame to give out, and how many the policy claims to give


@compiled
def alloc(area: Any, request: Request) -> int:
    return area.words[ANSWER]  # type: ignore[no-any-return]


@compiled
def granted(area: Any, n_frames: int) -> int:
    return area.words[GRANTED]  # type: ignore[no-any-return]


@compiled
def setup(area: Any, firsts: Array, ends: Array) -> None:
    area.words[ANSWER] = -1


def puppet() -> Policy:
    """The policy. Its name changes with this file, for machine code is kept by name."""
    version = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:8]
    return replace(built_in("first-fit"), name=f"puppet-{version}", alloc=alloc, granted=granted, setup=setup, n_words=lambda *zone: 2)


def pull(manager: FrameManager, zone: int, pfn: int, n_frames: int) -> None:
    """From now on the policy gives out `n_frames` frames at `pfn`, in that zone."""
    words = manager.area(zone).words
    words[ANSWER], words[GRANTED] = pfn, n_frames
