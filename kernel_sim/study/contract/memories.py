"""Memories and operations for Hypothesis: zones with holes, reserved frames and frames in use; allocations, frees and nonsense."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st

from kernel_sim.zones import Range, Zone

FREE, USED, RESERVED, HOLE = "free", "used", "reserved", "hole"


@dataclass(frozen=True)
class Memory:
    """What a FrameManager is made of."""

    zones: tuple[Zone, ...]
    in_use: tuple[Range, ...] = ()

    @property
    def free_runs(self) -> list[Range]:
        """What is free at the start, zone by zone."""
        taken = {pfn for run in (*self.in_use, *(run for zone in self.zones for run in zone.reserved)) for pfn in range(*run)}
        runs: list[Range] = []
        for zone in self.zones:
            free = sorted({pfn for run in zone.ranges for pfn in range(*run)} - taken)
            starts = [pfn for at, pfn in enumerate(free) if at == 0 or free[at - 1] != pfn - 1]
            ends = [pfn + 1 for at, pfn in enumerate(free) if at == len(free) - 1 or free[at + 1] != pfn + 1]
            runs += zip(starts, ends, strict=True)
        return runs


@dataclass(frozen=True)
class Operation:
    """One thing to do. `a` and `b` are turned into sizes, indices and frame numbers by whoever does it."""

    kind: str       # alloc, free, part (of an allocation), wild (any frame, any count), share, leave (a free by name), wild share
    a: int
    b: int


STRETCHES = st.lists(st.tuples(st.sampled_from([FREE, FREE, FREE, USED, RESERVED, HOLE]), st.integers(1, 12)), min_size=1, max_size=6)


def lay_out(zones: list[list[tuple[str, int]]], gaps: list[int], unit: int) -> Memory:
    """Stretches of frames, one after the other, as zones; before each zone a gap of frames that do not exist."""
    made, in_use, pfn = [], [], 0
    for number, (stretches, gap) in enumerate(zip(zones, gaps, strict=True)):
        pfn += gap * unit
        runs: dict[str, list[Range]] = {FREE: [], USED: [], RESERVED: [], HOLE: []}
        for kind, length in stretches:
            runs[kind].append((pfn, pfn + length * unit))
            pfn += length * unit
        ranges = sorted(runs[FREE] + runs[USED] + runs[RESERVED])
        if ranges:
            made.append(Zone(f"Zone{number}", tuple(ranges), tuple(runs[RESERVED])))
            in_use += runs[USED]
    return Memory(tuple(made), tuple(in_use))


def across_edges(memory: Memory) -> Memory:
    """The same memory where what is in use on both sides of the edge of a zone is one allocation."""
    edges = {zone.end_pfn for zone in memory.zones}
    joined: list[Range] = []
    for first, end in memory.in_use:
        if joined and joined[-1][1] == first and first in edges:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((first, end))
    return Memory(memory.zones, tuple(joined))


def side_by_side(sizes: list[int]) -> Memory:
    """Zones without a gap between them, all free: whatever coalesces across an edge shows."""
    return lay_out([[(FREE, size)] for size in sizes], [0] * len(sizes), 1)


GAPS = st.sampled_from([0, 0, 0, 1, 4])

MEMORIES = st.one_of(
    st.integers(1, 80).map(lambda n: Memory((Zone("Memory", ((0, n),)),))),
    st.builds(lay_out, st.just([[(FREE, 3)]]), st.lists(st.integers(0, 2), min_size=1, max_size=1), st.sampled_from([300, 1024])),
    st.lists(STRETCHES, min_size=1, max_size=3).flatmap(
        lambda zones: st.builds(lay_out, st.just(zones), st.lists(GAPS, min_size=len(zones), max_size=len(zones)),
                                st.sampled_from([1, 1, 3, 8, 50]))).filter(lambda memory: memory.zones).map(across_edges),
    st.lists(st.integers(1, 20), min_size=2, max_size=4).map(side_by_side),
)

OPERATIONS = st.builds(Operation, st.sampled_from(["alloc", "alloc", "alloc", "free", "free", "part", "wild"]),
                       st.integers(0, 1 << 16), st.integers(0, 1 << 16))

SEQUENCES = st.integers(1, 60).flatmap(lambda n: st.lists(OPERATIONS, min_size=n, max_size=n))

_SHARING = st.builds(Operation, st.sampled_from([*["alloc"] * 2, *["share", "leave"] * 3, "free", "part", "wild", "wild share"]),
                     st.integers(0, 1 << 16), st.integers(0, 1 << 16))

SHARED_SEQUENCES = st.integers(1, 60).flatmap(lambda n: st.lists(_SHARING, min_size=n, max_size=n))
"""Operations of which many are about allocations that more than one uses."""

_SIZES = (1, 1, 1, 2, 2, 3, 4, 5, 7, 8, 11, 16, 30, 64, 100, 250, 512, 700, 1024, 1025, 3000)


def size_of(operation: Operation) -> int:
    """How many frames an allocation asks for; mostly few."""
    return _SIZES[operation.a % len(_SIZES)]
