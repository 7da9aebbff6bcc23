"""Memory that grows and shrinks at the top, against a list; and `take`, of every policy that has one, against the audit."""

from __future__ import annotations

import pytest
from contract.specs import DEFAULTS, EVERY, PLAIN
from hypothesis import given
from hypothesis import strategies as st

from kernel_sim import BadInput, OutOfRange, load_policy
from kernel_sim.frames import HEAD, PAD, TAIL
from kernel_sim.granules import GrowingManager

TAKERS = [spec for spec in EVERY if load_policy(spec).take is not None]
STEPS = st.lists(st.tuples(st.sampled_from(["alloc", "alloc", "free", "part", "lengthen", "grow", "grow into", "shrink"]), st.integers(0, 999),
                           st.integers(1, 12)), max_size=30)


def growing(spec: str, n_frames: int = 32, limit: int = 4096) -> GrowingManager:
    return GrowingManager(n_frames, limit, load_policy(spec, uncompiled=True))


def test_the_fits_can_give_up_certain_frames() -> None:
    assert {"first-fit", "next-fit", "best-fit", "worst-fit"} <= set(TAKERS)
    assert not growing("buddy").can_take and not growing(PLAIN).can_take


@pytest.mark.parametrize("spec", sorted({*(spec for spec in TAKERS if spec in DEFAULTS), *TAKERS[::max(1, len(TAKERS) // 6)]}))
def test_every_step_leaves_sound_books(spec: str) -> None:
    """Whose each frame is, in a list; the manager's audit after every step says that the policy and the table agree with one another."""
    _play(spec)


def _play(spec: str) -> None:
    @given(STEPS)
    def play(steps: list[tuple[str, int, int]]) -> None:
        ours = growing(spec)
        cells: list[int | None] = [None] * 32
        for kind, which, n in steps:
            live = sorted({cell for cell in cells if cell is not None})
            at = live[which % len(live)] if live else None
            if kind == "grow" or (kind == "grow into" and (at is None or cells[-1] != at)):
                ours.grow(n)
                cells += [None] * n
            elif kind == "shrink":
                free = len(cells) - 1 - max((pfn for pfn, cell in enumerate(cells) if cell is not None), default=0)
                assert ours.free_at_top() == next((k for k in range(len(cells)) if cells[-1 - k] is not None), len(cells))
                if n <= free and ours.shrink(n):
                    del cells[-n:]
            elif kind == "alloc":
                found = ours.try_alloc(n)
                if found is not None:
                    assert found[1] == n and cells[found[0]:found[0] + n] == [None] * n
                    cells[found[0]:found[0] + n] = [found[0]] * n
            elif at is not None:
                end = at + cells.count(at)
                if kind == "lengthen" and ours.lengthen(end, n):
                    assert cells[end:end + n] == [None] * n
                    cells[end:end + n] = [at] * n
                elif kind == "grow into":
                    ours.grow(n + 3, into=n)
                    cells += [at] * n + [None] * 3
                elif kind == "free":
                    ours.free(at)
                    cells = [None if cell == at else cell for cell in cells]
                elif kind == "part" and end - at > n:
                    ours.free(end - n, n)
                    cells[end - n:end] = [None] * n
            ours.check()
            assert ours.end == len(cells)
            assert ours.stats().n_used == sum(cell is not None for cell in cells)
            assert [ours.owner_of(pfn) is None for pfn in range(len(cells))] == [cell is None for cell in cells]
    play()


@pytest.mark.parametrize("spec", TAKERS)
def test_take_gives_either_end_of_a_hole(spec: str) -> None:
    ours = growing(spec, 40)
    first, end = max(ours.free_runs(), key=lambda run: run[1] - run[0])
    assert (first, end) == (0, 40)
    assert ours.shrink(10) and ours.free_runs() == [(0, 30)]
    pfn, _ = ours.try_alloc(10) or (-1, 0)
    assert pfn in (0, 20), "at the low end, or at the high"
    if pfn == 0:
        assert ours.lengthen(10, 5) and ours.free_runs() == [(15, 30)]
        ours.check()
        assert ours.lengthen(15, 15) and ours.free_runs() == []
    assert not ours.lengthen(30, 1)
    ours.check()
    ours.free(pfn)
    assert ours.free_runs() == [(0, 30)]
    ours.check()


def test_padding_becomes_part_of_what_grows_over_it() -> None:
    ours = growing("buddy", 8)
    assert ours.try_alloc(5) == (0, 8)
    ours.grow(4, into=1)
    assert ours.table.frames["state"].tolist() == [HEAD] + [TAIL] * 8 + [0] * 3
    ours.check()
    ours.free(0)
    assert ours.free_runs() == [(0, 12)]
    assert PAD not in ours.table.frames["state"]


def test_what_is_beyond_the_break_is_not_there() -> None:
    ours = growing("first-fit", 16)
    for pfn in (16, 100):
        with pytest.raises(OutOfRange, match=f"there is no frame {pfn:#x}"):
            ours.free(pfn)
    assert ours.stats().n_frames == 16 and ours.try_alloc(17) is None
    with pytest.raises(ValueError, match="can grow to 4096 frames, not to 4097"):
        ours.grow(4081)
    assert not ours.shrink(16) and ours.end == 16
    ours.grow(4080)
    assert ours.free_runs() == [(0, 4096)]


@pytest.mark.parametrize("n_frames, limit", [(0, 10), (11, 10), (1, 1 << 33)])
def test_sizes_that_make_no_memory(n_frames: int, limit: int) -> None:
    with pytest.raises(BadInput, match="a memory that grows has at most 4294967295 frames"):
        growing("first-fit", n_frames, limit)


@pytest.mark.parametrize("spec", ["first-fit", "buddy"])
def test_a_large_room_costs_nothing(spec: str) -> None:
    """Room for a heap of 64 GiB."""
    ours = growing(spec, 255, (1 << 32) - 1)
    assert ours.stats().n_free == 255
    ours.check()


def test_every_policy_works_in_a_room_that_grows() -> None:
    for spec in DEFAULTS:
        ours = growing(spec, 10)
        ours.grow(20)
        assert ours.try_alloc(1) is not None and ours.stats().n_free == 29
        ours.check()
