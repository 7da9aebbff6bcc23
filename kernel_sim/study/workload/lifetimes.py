"""Lifetimes: how long an allocation lives, in units of the mean time between two arrivals.

``exponential(mean)``           memoryless: of what lives, everything is equally likely to be freed next
``constant(time)``, ``fifo``    all live equally long: first in, first out
``bimodal(short,long,share)``   exponential, with the mean `long` for that share of the allocations and `short` for the others
``lifo(run)``                   last in, first out: a stack that falls by `run` allocations on average (geometric) and is filled again
``phases(keep)``                the memory fills up; then all is freed, but each allocation is kept with this probability until the next time

Without a load, requests arrive as a Poisson process, one each unit of time. With one, they come as fast as the load leaves room for them: only
the lifetimes' order matters then, and ``exponential`` needs no mean. ``fifo``, ``lifo`` and ``phases`` need a load, the level up to which they fill.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from kernel_sim.errors import BadInput
from kernel_sim.study.workload import chance
from kernel_sim.study.workload.chance import Array, Rng


class Lifetimes(NamedTuple):
    """How long allocations live: by the time that is drawn for each, or as a stack, or in phases. `mean` is None without a scale of time."""

    draw: Callable[[Rng, int], Array] | None = None
    mean: float | None = None
    run: float = 0
    keep: float = 0


def exponential(mean: float | None = None) -> Lifetimes:
    if mean is not None:
        _positive(mean)
    return Lifetimes(lambda rng, n: chance.exponential(rng, mean or 1, n), mean)


def constant(time: float) -> Lifetimes:
    _positive(time)
    return Lifetimes(lambda rng, n: np.full(n, float(time)), time)


def fifo() -> Lifetimes:
    return Lifetimes(lambda rng, n: np.ones(n))


def bimodal(short: float, long: float, share: float) -> Lifetimes:
    _positive(short)
    _positive(long)
    _share(share)

    def draw(rng: Rng, n: int) -> Array:
        is_long = rng.random(n) < share
        return np.where(is_long, long, short) * chance.exponential(rng, 1, n)
    return Lifetimes(draw, long * share + short * (1 - share))


def lifo(run: float) -> Lifetimes:
    if not 1 <= run < 1 << 32:
        raise BadInput(f"a run of {run:g} allocations: it is 1 at least")
    return Lifetimes(run=run)


def phases(keep: float) -> Lifetimes:
    _share(keep)
    if keep == 1:
        raise BadInput("phases that keep all never end")
    return Lifetimes(keep=keep)


LIFETIMES: dict[str, Callable[..., Lifetimes]] = {
    "exponential": exponential, "constant": constant, "fifo": fifo, "bimodal": bimodal, "lifo": lifo, "phases": phases,
}


def _positive(time: float) -> None:
    if not 0 < time < np.inf:
        raise BadInput(f"a lifetime of {time:g}: it is above 0")


def _share(share: float) -> None:
    if not 0 <= share <= 1:
        raise BadInput(f"a share lies between 0 and 1, and is not {share:g}")
