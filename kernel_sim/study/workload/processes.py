"""Who comes and who goes, in order: the events of a workload, before anyone has a place.

An event is a number: the slot that is allocated, or ~slot (negative) for its free. Slots are counted from 0 in order of allocation.

`arriving`  requests arrive as a Poisson process, one each unit of time on average, whatever the memory holds (the queue M/G/∞)
`held`      the next request comes as soon as it fits under the target, and until then what is due goes: the one whose time is up first;
            under ``lifo`` the newest; under ``phases`` all but what is kept
"""

from __future__ import annotations

from array import array
from heapq import heappop, heappush
from typing import Any, NamedTuple

import numpy as np

from kernel_sim.study.workload import chance
from kernel_sim.study.workload.chance import Array, Rng
from kernel_sim.study.workload.lifetimes import Lifetimes


class Events(NamedTuple):
    """`slots` (int64): slot or ~slot of each event; `time` (float64), ascending, when it happens."""

    slots: Array
    time: Array


def arriving(lifetimes: Lifetimes, rngs: dict[str, Rng], n: int) -> Events:
    """The first `n` events of a Poisson process of arrivals, each of which lives its own time."""
    assert lifetimes.draw is not None
    arrival = np.cumsum(chance.exponential(rngs["arrivals"], 1, n))
    time = np.concatenate([arrival, arrival + lifetimes.draw(rngs["lifetimes"], n)])
    slots = np.arange(n, dtype=np.int64)
    first = np.argsort(time, kind="stable")[:n]
    return Events(np.concatenate([slots, ~slots])[first], time[first])


def held(sizes: Array, target: int, lifetimes: Lifetimes, rngs: dict[str, Rng]) -> Events:
    """As many events as there are sizes, with never more than `target` frames in use, and no room for the next request before each free."""
    if lifetimes.draw is not None:
        return _by_time(sizes.tolist(), target, lifetimes.draw(rngs["lifetimes"], len(sizes)).tolist())
    events = _stack if lifetimes.run else _phases
    slots = np.frombuffer(events(sizes.tolist(), target, lifetimes, rngs["order"]), np.int64)
    return Events(slots, np.cumsum(slots >= 0, dtype=np.float64))


def _by_time(sizes: list[int], target: int, lives: list[float]) -> Events:
    """Whose time is up first goes first. Time stands still while there is room, and passes while one waits for a free."""
    events, times = array("q"), array("d")
    due: list[tuple[float, int]] = []
    slot, in_use, now = 0, 0, 0.0
    while len(events) < len(sizes):
        if in_use + sizes[slot] <= target:
            events.append(slot)
            heappush(due, (now + lives[slot], slot))
            in_use += sizes[slot]
            slot += 1
        else:
            now, gone = heappop(due)
            events.append(~gone)
            in_use -= sizes[gone]
        times.append(now)
    return Events(np.frombuffer(events, np.int64), np.frombuffer(times, np.float64))


def _stack(sizes: list[int], target: int, lifetimes: Lifetimes, rng: Rng) -> array[int]:
    """The stack falls by runs of allocations, by more if the next request needs it, and is filled again."""
    events, live = array("q"), list[int]()
    runs = iter(chance.geometric(rng, lifetimes.run, len(sizes)).tolist())
    slot, in_use, left = 0, 0, 0
    while len(events) < len(sizes):
        if in_use + sizes[slot] > target and not left:
            left = next(runs)
        if live and left:
            gone = live.pop()
            events.append(~gone)
            in_use -= sizes[gone]
            left -= 1
        else:
            left = 0
            events.append(slot)
            live.append(slot)
            in_use += sizes[slot]
            slot += 1
    return events


def _phases(sizes: list[int], target: int, lifetimes: Lifetimes, rng: Rng) -> array[int]:
    """When the next request does not fit, a phase ends: everything goes but what is kept, in order of allocation."""
    events, live = array("q"), list[int]()
    slot, in_use = 0, 0
    while len(events) < len(sizes):
        if in_use + sizes[slot] <= target:
            events.append(slot)
            live.append(slot)
            in_use += sizes[slot]
            slot += 1
            continue
        keeps: list[Any] = (rng.random(len(live)) < lifetimes.keep).tolist()
        for gone, kept in zip(live, keeps, strict=True):
            if not kept and len(events) < len(sizes):
                events.append(~gone)
                in_use -= sizes[gone]
        live = [one for one, kept in zip(live, keeps, strict=True) if kept]
    return events
