"""From a workload to a trace: events get frames, and somebody who asks.

The frames of such a trace are mere names: nobody ran it, so nobody placed anything. Names are taken again once they are free, each for
allocations that need the same power of two of frames, so that there are not many more of them than frames in use.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from kernel_sim.operations import ALLOC, FREE
from kernel_sim.study.trace import NOBODY, Trace
from kernel_sim.study.workload import chance, llfree, processes
from kernel_sim.study.workload.chance import Array, Rng
from kernel_sim.study.workload.spec import Workload


class _Asked(NamedTuple):
    """Events (slot or ~slot), when they happen (microseconds), how many frames each slot has, and who asks for each slot."""

    slots: Array
    time_us: Array
    sizes: Array
    cpu: Array


def generate(workload: Workload) -> Trace:
    """The trace of a workload: the same for the same description, to the byte. A unit of time is a microsecond of the trace."""
    rngs = chance.streams(workload.seed)
    asked = _protocol(workload, rngs) if workload.protocol is not None else _drawn(workload, rngs)
    slots = asked.slots
    slot = np.where(slots < 0, ~slots, slots)
    n_slots = int(slot.max()) + 1
    kinds, weights = zip(*workload.mobility, strict=True)
    mobility = np.array(kinds)[chance.weighted(rngs["askers"], weights, n_slots)]
    owner = chance.uniform(rngs["askers"], 0, workload.n_owners - 1, n_slots)
    return Trace(
        kind=np.where(slots < 0, FREE, ALLOC), n_frames=asked.sizes[slot], pfn=_names(slots, asked.sizes),
        mobility=np.where(slots < 0, 0, mobility[slot]), cpu=asked.cpu, owner=owner[slot], time_us=asked.time_us,
        owners=(NOBODY,) if workload.n_owners == 1 else tuple(f"owner-{number}" for number in range(workload.n_owners)),
        name=workload.name, plain_frames=workload.n_frames)


def marks(workload: Workload) -> list[int]:
    """After how many operations a protocol looks at the memory; none without a protocol."""
    if workload.protocol is None:
        return []
    order, rounds = workload.protocol
    n_blocks = workload.n_frames >> order
    n_freed = n_blocks // 2 // workload.n_cpus
    half, a_round = n_blocks + n_freed * workload.n_cpus, 2 * (n_freed // 10) * workload.n_cpus
    return [half + number * a_round for number in range(rounds + 1)]


def _drawn(workload: Workload, rngs: dict[str, Rng]) -> _Asked:
    """Sizes and lifetimes as they are drawn."""
    assert workload.sizes is not None
    assert workload.lifetimes is not None
    n = workload.n_operations
    sizes = workload.sizes.draw_up_to(rngs["sizes"], workload.target, n)
    events = processes.arriving(workload.lifetimes, rngs, n) if workload.load is None \
        else processes.held(sizes, workload.target, workload.lifetimes, rngs)
    cpu = chance.uniform(rngs["askers"], 0, workload.n_cpus - 1, n)
    return _Asked(events.slots, np.floor(events.time - events.time[0]).astype(np.int64), sizes, cpu)


def _protocol(workload: Workload, rngs: dict[str, Rng]) -> _Asked:
    """LLFree's protocol: blocks of one order; an operation takes a unit of time."""
    assert workload.protocol is not None
    order, rounds = workload.protocol
    played = llfree.play(workload.n_frames >> order, rounds, workload.n_cpus, rngs["order"])
    n_slots = int(played.slots.max()) + 1
    return _Asked(played.slots, np.arange(len(played.slots)), np.full(n_slots, 1 << order, np.int64), played.cpus)


def _names(slots: Array, sizes: Array) -> Array:
    """A pfn for each event, so that what is in use at a time has different frames: a free name of the size's power of two, or a new one."""
    spare: dict[int, list[int]] = {}
    orders = [(size - 1).bit_length() for size in sizes.tolist()]
    name_of: list[int] = []
    names: list[Any] = []
    fresh = 0
    for slot in slots.tolist():
        if slot < 0:
            names.append(name_of[~slot])
            spare.setdefault(orders[~slot], []).append(names[-1])
        elif spare.get(orders[slot]):
            names.append(spare[orders[slot]].pop())
            name_of.append(names[-1])
        else:
            names.append(fresh)
            name_of.append(fresh)
            fresh += 1 << orders[slot]
    return np.array(names, np.int64)
