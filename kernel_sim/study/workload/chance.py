"""Chance: random numbers of a seed, in streams that do not disturb each other.

Each thing that is left to chance has a stream of its own, so that other lifetimes leave the sizes as they were. Numbers are made from
PCG64's uniform ones by inversion, not by numpy's own distributions, whose algorithms may change from one release to the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Rng = np.random.Generator

STREAMS = ("sizes", "arrivals", "lifetimes", "order", "askers")


def streams(seed: int) -> dict[str, Rng]:
    """A generator of random numbers for each of STREAMS."""
    children = np.random.SeedSequence(seed).spawn(len(STREAMS))
    return {name: np.random.Generator(np.random.PCG64(child)) for name, child in zip(STREAMS, children, strict=True)}


def exponential(rng: Rng, mean: float, n: int) -> Array:
    """`n` numbers (float64) above 0, exponentially distributed."""
    return -mean * np.log1p(-rng.random(n))


def geometric(rng: Rng, mean: float, n: int) -> Array:
    """`n` whole numbers (int64) from 1 on: trials up to the first success, which takes `mean` on average."""
    if mean == 1:
        return np.ones(n, np.int64)
    failures: Array = np.floor(np.log1p(-rng.random(n)) / np.log1p(-1 / mean)).astype(np.int64)
    return failures + 1


def uniform(rng: Rng, lowest: int, highest: int, n: int) -> Array:
    """`n` whole numbers (int64) from `lowest` to `highest`, both of them among them."""
    return lowest + np.floor(rng.random(n) * (highest - lowest + 1)).astype(np.int64)


def weighted(rng: Rng, weights: Sequence[float] | Array, n: int) -> Array:
    """`n` places (int64) in `weights`, each as often as its weight says."""
    shares = np.cumsum(np.asarray(weights, np.float64))
    places: Array = np.searchsorted(shares, rng.random(n) * shares[-1], side="right").astype(np.int64)
    return places


def shuffled(rng: Rng, n: int) -> Array:
    """The numbers 0 to n (int64) in random order."""
    return np.argsort(rng.random(n), kind="stable")
