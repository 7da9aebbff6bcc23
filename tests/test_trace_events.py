"""The timeline: that it is what the Trace Event Format asks for, and that it says what the journal says."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel_sim.errors import BadInput
from kernel_sim.study.trace_events import MACHINE, Words, to_json, trace_events, write_timeline

RECORD = np.dtype([("time", "<i8"), ("kind", "<u2"), ("pid", "<u2"), ("a", "<i8"), ("b", "<i8")])
KINDS = {1: "started", 2: "ended", 3: "runs", 4: "call", 5: "fault", 101: "taken", 102: "given back", 103: "trapped", 104: "compacted"}
WORDS = Words(KINDS, ("exit", "write"), ("demand zero", "copy"), ("exited", "killed"), {14: "page fault", 32: "timer"})
NAMES = {1: "malloc", 2: "forktree"}
PHASES = {"B", "E", "i", "C", "M"}

ROWS = st.tuples(st.integers(0, 50), st.sampled_from([*KINDS, 77]), st.integers(0, 3), st.integers(0, 40), st.integers(0, 9))
RECORDS = st.lists(ROWS, max_size=60)


def journal_of(rows: list[tuple[int, int, int, int, int]]) -> np.ndarray[Any, Any]:
    return np.array(sorted(rows, key=lambda row: row[0]), RECORD)


def check(text: str) -> list[dict[str, Any]]:
    """What the format's description asks of every event, of every phase that is used here."""
    said = json.loads(text)
    assert set(said) == {"displayTimeUnit", "otherData", "traceEvents"} and said["displayTimeUnit"] in ("ms", "ns")
    events: list[dict[str, Any]] = said["traceEvents"]
    last: dict[tuple[int, int], int] = defaultdict(int)
    open_slices: dict[tuple[int, int], list[str]] = defaultdict(list)
    for event in events:
        track = event["pid"], event["tid"]
        assert isinstance(event["name"], str) and event["ph"] in PHASES and all(type(number) is int for number in track)
        if event["ph"] == "M":
            assert set(event["args"]) == {"sort_index" if event["name"] == "process_sort_index" else "name"}
            continue
        assert type(event["ts"]) is int and event["ts"] >= last[track]
        last[track] = event["ts"]
        if event["ph"] == "B":
            open_slices[track].append(event["name"])
        elif event["ph"] == "E":
            assert open_slices[track].pop() == event["name"]
        elif event["ph"] == "i":
            assert event["s"] in ("g", "p", "t")
        else:
            assert event["args"] and all(type(value) is int for value in event["args"].values())
    assert not any(open_slices.values())
    named = {event["pid"] for event in events if event["name"] == "process_name"}
    assert named >= {event["pid"] for event in events}
    return events


@given(RECORDS, st.integers(0, 80))
def test_any_journal_makes_a_well_formed_file(rows: list[tuple[int, int, int, int, int]], end: int) -> None:
    check(to_json(trace_events(journal_of(rows), WORDS, NAMES, 1000, end)))


@given(RECORDS)
def test_turns_cover_the_time(rows: list[tuple[int, int, int, int, int]]) -> None:
    """At every moment the process whose slice is open is the one that the last record of a turn named."""
    journal = journal_of(rows)
    events, open_since, turns = trace_events(journal, WORDS, NAMES, 1000, 60), {}, []
    for event in events:
        if event["ph"] == "B":
            open_since[event["pid"]] = event["ts"]
        elif event["ph"] == "E":
            turns.append((open_since.pop(event["pid"]), event["ts"], event["pid"]))
    for time in range(61):
        ran = [int(record["pid"]) for record in journal if record["kind"] == 3 and record["time"] <= time]
        running = [pid for first, after, pid in turns if first <= time < after]
        assert running == (ran[-1:] if time < 60 else [])


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 19), st.integers(0, 3)), max_size=60))
def test_counters_add_up(wanted: list[tuple[int, int, int]]) -> None:
    """Blocks of four frames, taken when they are free, given back by anybody when not: they count for who took them."""
    rows, taker_of = list[tuple[int, int, int, int, int]](), dict[int, int]()
    for time, (pid, block, other) in enumerate(wanted):
        if block in taker_of:
            rows.append((time // 2, 102, other, 4 * block, 4))
            del taker_of[block]
        else:
            rows.append((time // 2, 101, pid, 4 * block, 4))
            taker_of[block] = pid
    events = trace_events(journal_of(rows), WORDS, NAMES, 1000, 60)
    last = {event["pid"]: event["args"]["frames"] for event in events if event["ph"] == "C" and event["name"] == "frames"}
    assert all(n == 4 * list(taker_of.values()).count(pid) for pid, n in last.items()) and set(last) >= set(taker_of.values())
    free = [event["args"]["free frames"] for event in events if event["name"] == "memory"]
    assert (free[-1] if free else 1000) == 1000 - 4 * len(taker_of)
    moments = [(event["ts"], event["pid"], event["name"]) for event in events if event["ph"] == "C"]
    assert len(set(moments)) == len(moments)


def test_words() -> None:
    rows = [(0, 1, 1, 0, 0), (1, 3, 1, 0, 0), (2, 103, 1, 14, -8), (3, 5, 1, 0x3000, 1), (4, 4, 1, 1, 5), (5, 101, 1, 7, 4), (9, 2, 1, 3, 0),
            (9, 3, 0, 0, 0)]
    events = [event for event in check(to_json(trace_events(journal_of(rows), WORDS, NAMES, 100, 12))) if event["ph"] != "M"]
    told = [(event["ts"], event["pid"], event["ph"], event["name"]) for event in events]
    assert told == [(0, 1, "i", "started"), (1, 1, "B", "runs"), (2, MACHINE, "i", "page fault"), (3, 1, "i", "copy fault"), (4, 1, "i", "write"),
                    (5, MACHINE, "C", "memory"), (5, 1, "C", "frames"), (9, 1, "i", "exited"), (9, 1, "E", "runs"), (9, MACHINE, "B", "idle"),
                    (12, MACHINE, "E", "idle")]
    assert events[2]["args"] == {"vector": 14, "with": "0xfffffffffffffff8"} and events[3]["args"] == {"address": "0x3000"}


def test_an_empty_journal_and_a_file(tmp_path: Path) -> None:
    empty = journal_of([])
    write_timeline(tmp_path / "t.json", empty, WORDS, NAMES, 10, 5)
    assert {event["ph"] for event in check((tmp_path / "t.json").read_text())} == {"M"}
    with pytest.raises(BadInput):
        write_timeline(tmp_path / "missing" / "t.json", empty, WORDS, NAMES, 10, 5)
