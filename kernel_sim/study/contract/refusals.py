"""Why a request cannot be served, and what stands in its way: by looking at every window of a memory, frame by frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kernel_sim.errors import NearestFit, Obstacle
from kernel_sim.study.contract.books import Books

_NAMED = 3


@dataclass(frozen=True)
class Expected:
    """The reason that must be given, and the nearest fit with it."""

    reason: str
    nearest_fit: NearestFit | None = None


def why_not(books: Books, sizes: Sequence[int], n_frames: int, aligned: bool) -> Expected:
    """`sizes` is what the policy would grant in each zone, 0 for none; with `aligned` its blocks begin at multiples of their size."""
    if max(sizes) <= 0:
        return Expected("limit")
    if len(books.free) < n_frames:
        return Expected("empty")
    nearest = _nearest(books, sizes, aligned)
    fits = max(end - first for first, end in books.free_runs()) >= n_frames
    return Expected("alignment" if aligned and fits and (nearest is None or nearest.n_taken) else "scattered", nearest)


def _nearest(books: Books, sizes: Sequence[int], aligned: bool) -> NearestFit | None:
    """Every window of every zone is looked at: those with a frame that is not for hire do not count, of the others the fewest taken win."""
    best: tuple[int, int, int] | None = None
    for zone, size in zip(books.zones, sizes, strict=True):
        frames = range(zone.first_pfn, zone.end_pfn)
        taken = np.cumsum([0, *(pfn in books.holder for pfn in frames)])
        closed = np.cumsum([0, *(pfn not in books.exists or pfn in books.reserved for pfn in frames)])
        for at in range(len(frames) - size + 1 if size > 0 else 0):
            if closed[at + size] == closed[at] and (not aligned or frames[at] % size == 0):
                window = int(taken[at + size] - taken[at]), frames[at], size
                best = min(best or window, window)
    if best is None:
        return None
    n_taken, first, size = best
    holders = sorted({id(it): it for pfn in range(first, first + size) if (it := books.holder.get(pfn))}.values(), key=lambda it: it.first)
    named = tuple(Obstacle(it.first, it.padded_end, it.owner, books.event.get(it.first, 0)) for it in holders[:_NAMED])
    return NearestFit(first, first + size, n_taken, len(holders), named)
