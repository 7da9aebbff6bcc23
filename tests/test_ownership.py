"""Who owns which frame at a moment of a run, against books kept frame by frame."""

from __future__ import annotations

import random

import numpy as np
import pytest

from kernel_sim.study.framemap import FREE, HOLE, RESERVED, USED, FrameMap
from kernel_sim.study.ownership import MOST_SHOWN, NOBODY, Moves, OwnedMap, owned_map

START = FrameMap.from_runs(4096, [(16, 32, RESERVED), (32, 2000, FREE), (2000, 2040, USED), (2040, 4000, FREE)])


def moves_of(rows: list[tuple[int, int, int, int]]) -> Moves:
    return Moves(*np.array(rows, np.int64).reshape(-1, 4).T)


def played(seed: int, n_owners: int, n_moves: int = 400) -> list[tuple[int, int, int, int]]:
    """Frames taken and given back, also in parts, and never twice."""
    chance, free, rows = random.Random(seed), set(range(32, 2000)), []
    held: list[tuple[int, int, int]] = []
    for time in range(n_moves):
        if held and chance.random() < 0.45:
            pfn, n, owner = held.pop(chance.randrange(len(held)))
            part = chance.randint(1, n)
            rows.append((time // 2, pfn, -part, owner))
            free.update(range(pfn, pfn + part))
            if part < n:
                held.append((pfn + part, n - part, owner))
            continue
        pfn, n, owner = chance.choice(sorted(free)), chance.randint(1, 9), chance.randrange(n_owners)
        if set(range(pfn, pfn + n)) <= free:
            free.difference_update(range(pfn, pfn + n))
            held.append((pfn, n, owner))
            rows.append((time // 2, pfn, n, owner))
    return rows


def books(rows: list[tuple[int, int, int, int]]) -> dict[int, int]:
    owner_of: dict[int, int] = {}
    for _, pfn, n, owner in rows:
        for frame in range(pfn, pfn + abs(n)):
            if n > 0:
                owner_of[frame] = owner
            else:
                del owner_of[frame]
    return owner_of


@pytest.mark.parametrize("seed", range(6))
def test_every_moment(seed: int) -> None:
    rows = played(seed, 5)
    moves = moves_of(rows)
    for n_moves in (0, 1, len(rows) // 3, len(rows)):
        owned, expected = owned_map(START, moves, n_moves, {}), books(rows[:n_moves])
        found = {owned.first_pfn + i: int(owner) for i, owner in enumerate(owned.owner) if owner != NOBODY}
        assert found == expected
        codes = START.codes()
        codes[list(expected)] = USED
        assert owned.framemap == FrameMap.from_codes(codes)
    assert owned.time == rows[-1][0] and owned_map(START, moves, 3, {}, 77).time == 77
    most = moves.until_most()
    in_use = [len(books(rows[:n])) for n in range(len(rows) + 1)]
    assert in_use[most] == max(in_use) and in_use.index(max(in_use)) == most
    assert moves.before(10) == sum(row[0] <= 10 for row in rows)


@pytest.mark.parametrize("n_owners", [1, 3, 40])
def test_owners_in_cells(n_owners: int) -> None:
    rows = played(7, n_owners)
    owned, expected = owned_map(START, moves_of(rows), len(rows), {0: "kernel"}), books(rows)
    assert sum(one.n_frames for one in owned.shown) == len(expected)
    assert len(owned.shown) == min(n_owners, MOST_SHOWN)
    assert owned.shown[0].name == "0 kernel" or n_owners == 40
    if n_owners == 40:
        smallest_told = min(one.n_frames for one in owned.shown[:-1])
        assert all(sum(owner == one for owner in expected.values()) <= smallest_told for one in owned.shown[-1].owners)
        assert owned.shown[-1].name.endswith("others")
    for shift, first, end in ((0, 0, 4096), (4, 16, 2016), (6, 64, 4096), (3, 3000, 3100)):
        cells = owned.count_cells(shift, first, end)
        assert cells.shape == (-(-(end - first) >> shift), len(owned.shown))
        for i, cell in enumerate(cells):
            frames = range(first + (i << shift), min(first + (i + 1 << shift), end))
            assert cell.tolist() == [sum(expected.get(frame) in one.owners for frame in frames) for one in owned.shown]


def test_nothing_taken() -> None:
    owned = owned_map(START, moves_of([]), 0, {})
    assert isinstance(owned, OwnedMap) and owned.framemap is START and owned.shown == ()
    assert moves_of([]).until_most() == 0 and owned.count_cells(4, 0, 4096).shape == (256, 0)
    assert START.counts[HOLE] > 0
