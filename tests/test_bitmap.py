"""The bitmap: runs across words and levels, what it writes and what not, and its own check."""

from __future__ import annotations

import re
from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
import pytest

from kernel_sim import BrokenInvariant, FrameManager, OutOfFrames, Zone, load_policy
from kernel_sim.allocators import frame_bits
from kernel_sim.compiled import interpreted
from kernel_sim.frames import FRAME

SEARCHES = ["bitmap", "bitmap:search=next"]


def manager_of(spec: str, memory: int | list[Zone], in_use: list[tuple[int, int]]) -> FrameManager:
    return FrameManager(memory, load_policy(spec, uncompiled=True), in_use=in_use)


# -- runs -----------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", [0, 37, 63])
@pytest.mark.parametrize("n_frames", [1, 2, 3, 32, 33, 47, 63, 64, 65, 128, 129, 200])
@pytest.mark.parametrize("at", [0, 40, 63])
def test_a_run_of_just_the_length_is_found(first: int, n_frames: int, at: int) -> None:
    """One free run in a zone that is in use, wherever it lies in its words; one frame more than it has is refused."""
    begin = first + 64 + at
    end = begin + n_frames
    zone = Zone("Memory", ((first, end + 70),))
    manager = manager_of("bitmap", [zone], [(first, begin), (end, end + 70)])
    with pytest.raises(OutOfFrames):
        manager.alloc(n_frames + 1)
    assert manager.alloc(n_frames) == begin
    manager.check()
    manager.free(begin)
    assert manager.free_runs() == [(begin, end)]
    manager.check()


@pytest.mark.parametrize("n_frames", [1, 63, 64, 65, 4095, 4096, 4097])
def test_a_memory_is_used_up_to_its_last_frame(n_frames: int) -> None:
    """All of it at once, whatever the last word and the last row lack; then frame by frame from the top."""
    manager = manager_of("bitmap", n_frames, [])
    with pytest.raises(OutOfFrames):
        manager.alloc(n_frames + 1)
    assert manager.alloc(n_frames) == 0
    manager.check()
    manager.free(n_frames - 1, 1)
    assert manager.alloc(1) == n_frames - 1
    manager.check()


def lowest_run(free: Any, n_frames: int, start: int = 0) -> int | None:
    """By the definition, on an array of what is free."""
    sums = np.concatenate([[0], np.cumsum(free)])
    starts = np.flatnonzero(sums[n_frames:] - sums[:-n_frames] == n_frames)
    later = starts[starts >= start]
    return int(later[0]) if len(later) else None


@pytest.mark.parametrize("spec", SEARCHES)
def test_three_levels(spec: str) -> None:
    """600,000 frames, in use but for some runs far apart: words, rows and rows of rows are full, and become so and cease to be."""
    n_frames, random = 600_000, Random(3)
    edges = sorted(random.sample(range(n_frames), 120))
    lengths = random.choices((1, 2, 5, 40, 70, 300), k=len(edges))
    free_runs = [(edge, min(edge + length, behind)) for edge, length, behind in zip(edges, lengths, [*edges[1:], n_frames], strict=True)]
    taken = list(zip([0, *(end for _, end in free_runs)], [*(first for first, _ in free_runs), n_frames], strict=True))
    manager = manager_of(spec, n_frames, [run for run in taken if run[0] < run[1]])
    free = np.zeros(n_frames, bool)
    for first, end in free_runs:
        free[first:end] = True
    manager.check()
    live: list[tuple[int, int]] = []
    rover = 0
    for turn in range(150):
        if turn % 3 == 2:
            pfn, n = live.pop(random.randrange(len(live)))
            manager.free(pfn)
            free[pfn:pfn + n] = True
            continue
        n = random.choice((1, 1, 2, 3, 8, 17, 64, 100))
        expected = lowest_run(free, n, rover if "next" in spec else 0)
        if expected is None:
            expected = lowest_run(free, n)
        if expected is None:
            with pytest.raises(OutOfFrames):
                manager.alloc(n)
            continue
        assert manager.alloc(n) == expected
        free[expected:expected + n] = False
        live.append((expected, n))
        rover = expected + n
    manager.check()


def test_next_goes_on_where_the_last_one_ended() -> None:
    manager = manager_of("bitmap:search=next", 300, [])
    assert [manager.alloc(n) for n in (10, 20, 100)] == [0, 10, 30]
    manager.free(0)
    assert [manager.alloc(n) for n in (5, 160, 5, 5)] == [130, 135, 295, 0]


def test_it_can_give_up_just_these_frames() -> None:
    """Any that are free, in the middle of a run and across words; nothing changes when one of them is not."""
    manager = manager_of("bitmap", 400, [(300, 301)])
    area, take = manager.area(0), interpreted(manager.policy.take)
    assert take(area, 50, 150)
    frame_bits.check(area)
    assert list(frame_bits.free_runs(area)) == [(0, 50), (200, 56), (256, 44), (301, 19), (320, 64), (384, 16)]
    assert not take(area, 290, 11)
    assert not take(area, 199, 2)
    assert take(area, 301, 99)
    assert sum(n for _, n in frame_bits.free_runs(area)) == 400 - 150 - 1 - 99


# -- effort, and what is written ------------------------------------------------------------------------------------------------------


def test_one_word_is_looked_at_for_a_power_of_two() -> None:
    """Every other frame of 20,000 is free, and at their end a run of 64: the summaries lead there at once."""
    manager = manager_of("bitmap", 20_064, [(pfn, pfn + 1) for pfn in range(0, 20_000, 2)])
    for n_frames in (2, 4, 8, 16, 32):
        before = manager.stats().examined
        assert manager.alloc(n_frames) >= 19_999
        assert manager.stats().examined == before + 1


@pytest.mark.parametrize("spec", SEARCHES)
def test_nothing_is_written_into_the_frames_records(spec: str) -> None:
    """What is the policy's there, `next`, `prev` and `order`, stays zero."""
    random, live = Random(1), []
    manager = manager_of(spec, 1000, [(100, 200)])
    for _ in range(200):
        if live and random.random() < 0.4:
            manager.free(live.pop(random.randrange(len(live))))
        else:
            live.append(manager.alloc(random.choice((1, 2, 3))))
    manager.free(100, 50)
    assert all(not manager.table.frames[name].any() for name in ("next", "prev", "order"))
    assert {"next", "prev", "order"} < set(FRAME.names or ())


@pytest.mark.parametrize("n_frames", [1 << 16, 1 << 20, 1 << 28, (1 << 32) - 1])
def test_it_costs_one_bit_a_frame_and_an_eighth(n_frames: int) -> None:
    n_bits = 64 * frame_bits.n_words(0, n_frames, 1)
    assert n_frames <= n_bits < 1.128 * n_frames + 64 * 60     # and a header, and a row that is never free on each level


def test_an_untouched_terabyte_is_not_written() -> None:
    """2^28 frames: of half a million words a few are not zero, those behind the last frame on each level and those of what was allocated."""
    manager = manager_of("bitmap", (1 << 28) - 5, [])
    for _ in range(10):
        manager.alloc(3)
    manager.check()
    assert np.count_nonzero(manager.area(0).words) < 60
    assert manager.free_runs() == [(30, (1 << 28) - 5)]


# -- the check has teeth --------------------------------------------------------------------------------------------------------------


def bit(word: int, at: int) -> Callable[[Any], None]:
    """One bit of a word turned over."""
    def damage(area: Any) -> None:
        area.words[word] ^= np.int64(1) << np.int64(at)
    return damage


def silently(step: str, first: int, end: int) -> Callable[[Any], None]:
    """Bits and their summaries changed, behind the manager's back."""
    return lambda area: interpreted(getattr(frame_bits, step))(area, first, end)


# 5000 frames: 79 words of bits, then two rows of level 1 (words 79 to 94), one of level 2 (95 to 102). In use: frames 100 to 199 and 4096 to 4999.
DAMAGE = {
    "a frame in use that is free": (silently("set_free", 150, 151), "disagree about what is free, first at 0x96 to 0x97"),
    "free frames that are in use": (silently("set_used", 10, 12), "disagree about what is free, first at 0x0 to 0xa"),
    "one bit alone": (bit(1, 63), "disagree about what is free, first at 0x7f to 0x80"),
    "a word's summary": (bit(79, 1), "the summary of order 0 is wrong on level 1"),
    "a summary of long stretches": (bit(79 + 6, 1), "the summary of order 6 is wrong on level 1"),
    "the summary of what is not there": (bit(79 + 8 + 3, 63), "the summary of order 3 is wrong on level 1"),
    "a row's summary": (bit(95 + 2, 0), "the summary of order 2 is wrong on level 2"),
    "a full row's summary": (bit(95 + 2, 1), "the summary of order 2 is wrong on level 2"),
    "a frame behind the last": (bit(78, 10), "disagree about what is free, first at 0x138a to 0x138b"),
}


@pytest.mark.parametrize("damage, complaint", DAMAGE.values(), ids=DAMAGE)
def test_the_check_names_what_is_wrong(damage: Callable[[Any], None], complaint: str) -> None:
    manager = manager_of("bitmap", 5000, [(100, 200), (4096, 5000)])
    manager.check()
    damage(manager.area(0))
    with pytest.raises(BrokenInvariant, match=re.escape(complaint)):
        manager.check()
