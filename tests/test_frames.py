"""The frame table on its own: claim, vacate, refusals and runs, against a string with one letter a frame."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel_sim import events
from kernel_sim.compiled import interpreted
from kernel_sim.frames import (
    CHUNK_SHIFT,
    FRAME,
    FREE,
    HEAD,
    HOLE,
    NO_FRAMES,
    PAD,
    RESERVED,
    RUN_FREE,
    RUN_HOLE,
    RUN_RESERVED,
    RUN_USED,
    SHARED_HEAD,
    SHARED_TAIL,
    STATE_NAMES,
    TAIL,
    Table,
    claim,
    count_frames,
    end_of_free,
    lazy_zeros,
    mark,
    state_runs,
    vacate,
)

LETTERS = ".HTPR_Ss"    # by state


def table_of(text: str) -> Table:
    """A table with one letter a frame."""
    table = Table(lazy_zeros(len(text), FRAME), np.ones((len(text) >> CHUNK_SHIFT) + 1, np.uint8), lazy_zeros(len(text), np.uint16))
    table.frames["state"] = [LETTERS.index(letter) for letter in text]
    return table


def text_of(table: Table) -> str:
    return "".join(LETTERS[state] for state in table.frames["state"].tolist())


def test_a_record_is_16_bytes() -> None:
    assert FRAME.itemsize == 16


def test_zeros_are_free() -> None:
    assert (FREE, events.OK) == (0, 0)
    assert text_of(table_of("....")) == "...."


@pytest.mark.parametrize("before, pfn, n_frames, granted, after", [
    ("....", 0, 1, 1, "H..."), ("....", 1, 3, 3, ".HTT"), ("....", 0, 3, 4, "HTTP"), ("H...", 1, 1, 2, "HHP."), ("HTP.R", 3, 1, 1, "HTPHR"),
])
def test_claim(before: str, pfn: int, n_frames: int, granted: int, after: str) -> None:
    table = table_of(before)
    assert interpreted(claim)(table, pfn, n_frames, granted, 7, 42) == NO_FRAMES
    assert text_of(table) == after
    taken = table.frames[pfn:pfn + granted]
    assert set(taken["owner"].tolist()) == {7}
    assert set(taken["event"].tolist()) == {42}


@pytest.mark.parametrize("before, pfn, granted, witness", [
    ("H...", 0, 1, 0), ("..H.", 0, 4, 2), ("...R", 2, 2, 3), ("._..", 0, 3, 1), ("HP..", 1, 2, 1),
])
def test_claim_of_what_is_not_free(before: str, pfn: int, granted: int, witness: int) -> None:
    table = table_of(before)
    unchanged = table.frames.tobytes()
    assert interpreted(claim)(table, pfn, granted, granted, 7, 42) == witness
    assert table.frames.tobytes() == unchanged


@pytest.mark.parametrize("before, pfn, n_frames, after", [
    ("HTTP", 0, 0, "...."), ("HTTP", 0, 3, "...."), ("HTTP", 0, 1, ".HTP"), ("HTTP", 1, 1, "H.HP"), ("HTTP", 2, 1, "HT.."), ("HTTP", 1, 2, "H..."),
    ("HTTHT", 0, 0, "...HT"), ("HTTHT", 1, 2, "H..HT"), ("HPPP", 0, 1, "...."), ("HTT", 2, 1, "HT."), ("H", 0, 0, "."), ("HTPHTP", 3, 0, "HTP..."),
])
def test_a_free(before: str, pfn: int, n_frames: int, after: str) -> None:
    table = table_of(before)
    end, status = interpreted(end_of_free)(table, pfn, n_frames)
    assert status == events.OK
    interpreted(vacate)(table, pfn, end, 9)
    assert text_of(table) == after
    freed = [at for at, (was, now) in enumerate(zip(before, after, strict=True)) if was != "." and now == "."]
    assert set(table.frames["event"][freed].tolist()) == {9}
    kept = [at for at in range(len(before)) if at not in freed]
    assert not table.frames["event"][kept].any()


@pytest.mark.parametrize("before, pfn, n_frames, offender, status", [
    ("HTTP", -1, 0, -1, events.OUT_OF_RANGE), ("HTTP", 4, 0, 4, events.OUT_OF_RANGE), ("_HTP", 0, 0, 0, events.OUT_OF_RANGE),
    ("R...", 0, 0, 0, events.RESERVED), ("R...", 0, 1, 0, events.RESERVED), (".HTP", 0, 0, 0, events.NOT_ALLOCATED),
    ("HTTP", 1, 0, 1, events.INTERIOR_FREE),
    ("HTTP", 3, 0, 3, events.INTERIOR_FREE), ("HTTP", 3, 1, 3, events.INTERIOR_FREE), ("HTTP", 0, 4, 3, events.NOT_ALLOCATED),
    ("HTHT", 0, 3, 2, events.NOT_ALLOCATED), ("HT", 1, 2, 2, events.NOT_ALLOCATED), ("HT", 0, 1 << 62, 2, events.NOT_ALLOCATED),
])
def test_a_refusal(before: str, pfn: int, n_frames: int, offender: int, status: int) -> None:
    assert interpreted(end_of_free)(table_of(before), pfn, n_frames) == (offender, status)


def test_a_frame_freed_before_is_a_double_free() -> None:
    table = table_of("H.")
    interpreted(vacate)(table, 0, 1, 5)
    assert interpreted(end_of_free)(table, 0, 0) == (0, events.DOUBLE_FREE)


def test_mark() -> None:
    table = Table(lazy_zeros(5000, FRAME), np.zeros(5, np.uint8), lazy_zeros(5000, np.uint16))
    mark(table, 3, 6, HEAD)
    mark(table, 6, 8, RESERVED)
    mark(table, 4095, 4097, HOLE)
    assert text_of(table)[:9] == "...HTTRR."
    assert table.touched.tolist() == [1, 0, 0, 1, 1]


@given(st.lists(st.tuples(st.sampled_from(".HRP_Ss"), st.integers(1, 700)), min_size=1, max_size=12), st.data())
def test_runs(stretches: list[tuple[str, int]], data: st.DataObject) -> None:
    """Whatever has never been touched is free, and is not looked at."""
    text = "".join(letter * length for letter, length in stretches)
    table = table_of(text)
    for chunk in range(len(table.touched)):
        if set(text[chunk << CHUNK_SHIFT:(chunk + 1) << CHUNK_SHIFT]) <= {"."}:
            table.touched[chunk] = data.draw(st.integers(0, 1))
    kind_of = {".": RUN_FREE, "H": RUN_USED, "P": RUN_USED, "R": RUN_RESERVED, "_": RUN_HOLE, "S": RUN_USED, "s": RUN_USED}
    kinds = [kind_of[letter] for letter in text]
    firsts = [at for at in range(len(text)) if at == 0 or kinds[at] != kinds[at - 1]]
    found_firsts, found_kinds = state_runs(table)
    assert found_firsts.tolist() == firsts
    assert found_kinds.tolist() == [kinds[at] for at in firsts]
    assert [count_frames(table, LETTERS.index(letter)) for letter in "HRP_Ss"] == [text.count(letter) for letter in "HRP_Ss"]


def test_states_have_one_number_each() -> None:
    assert sorted({FREE, HEAD, TAIL, PAD, RESERVED, HOLE, SHARED_HEAD, SHARED_TAIL}) == list(range(len(STATE_NAMES)))
