"""The timeline: that it is what the Trace Event Format asks for, that Perfetto can draw it, and that it says what the journal says."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel_sim.errors import BadInput
from kernel_sim.study.trace_events import (
    CLOCK,
    COMPACTION,
    KERNEL,
    MACHINE,
    MEMORY,
    PROCESSOR,
    Course,
    Words,
    access_of,
    to_json,
    trace_events,
    write_timeline,
)

RECORD = np.dtype([("time", "<i8"), ("kind", "<u2"), ("pid", "<u2"), ("a", "<i8"), ("b", "<i8"), ("code", "<i4"), ("rip", "<i8")])
KINDS = {1: "started", 2: "ended", 3: "runs", 4: "call", 5: "fault", 101: "taken", 102: "given back", 103: "trapped", 104: "compacted"}
WORDS = Words(KINDS, ("exit", "write"), ("demand zero", "copy"), ("exited", "killed"), {14: "page fault", 32: "timer"}, 32)
NAMES = {1: "malloc", 2: "forktree"}

Row = tuple[int, int, int, int, int]
ROWS = st.tuples(st.integers(0, 50), st.sampled_from([*KINDS, 77]), st.integers(0, 3), st.sampled_from([*range(41), 14, 32]), st.integers(0, 9))
RECORDS = st.lists(ROWS, max_size=60)


def journal_of(rows: list[Row]) -> np.ndarray[Any, Any]:
    return np.array([(*row, 6, 0x8000) for row in sorted(rows, key=lambda row: row[0])], RECORD)


def course(end: int = 60, n_dropped: int = 0) -> Course:
    return Course(1000, 24, end, "exit status 0", n_dropped)


def file_of(rows: list[Row], end: int = 60) -> str:
    return to_json(trace_events(journal_of(rows), WORDS, NAMES, course(end)), course(end))


def check(text: str) -> list[dict[str, Any]]:
    """What the format's description asks of every event, of every phase that is used here; and what Perfetto draws well. Times become blocks."""
    said = json.loads(text, parse_float=Decimal)
    assert set(said) == {"displayTimeUnit", "otherData", "traceEvents"} and said["displayTimeUnit"] in ("ms", "ns")
    events: list[dict[str, Any]] = said["traceEvents"]
    last: dict[tuple[int, int], int] = defaultdict(int)
    open_slices: dict[tuple[int, int], list[str]] = defaultdict(list)
    arrows = Counter[tuple[str, int]]()
    for event in events:
        track = event["pid"], event["tid"]
        assert isinstance(event["name"], str) and all(type(number) is int for number in track)
        if event["ph"] == "M":
            assert set(event["args"]) == {"sort_index" if event["name"].endswith("_sort_index") else "name"}
            continue
        for field in {"ts", "dur"} & set(event):
            blocks = event[field] * 1000
            assert blocks == int(blocks) >= 0                       # nothing finer than a block, which is a nanosecond
            event[field] = int(blocks)
        assert isinstance(event["cat"], str)
        if event["ph"] == "X":
            assert event["dur"] >= 0
            continue
        place = (event["pid"], -1) if event["ph"] == "C" else track      # counters belong to processes
        assert event["ts"] >= last[place]
        last[place] = event["ts"]
        if event["ph"] == "B":
            open_slices[track].append(event["name"])
        elif event["ph"] == "E":
            assert open_slices[track].pop() == event["name"]
        elif event["ph"] == "i":
            assert event["s"] in ("g", "p", "t")
        elif event["ph"] in "sf":                                   # an arrow is bound to the slice around its end
            arrows[event["ph"], event["id"]] += 1
            assert open_slices[track] and event.get("bp") == ("e" if event["ph"] == "f" else None)
        else:
            assert event["ph"] == "C" and event["args"] and all(type(value) is int for value in event["args"].values())
    assert not any(open_slices.values())
    assert all(n == 1 and arrows["f" if phase == "s" else "s", number] == 1 for (phase, number), n in arrows.items())
    assert {event["pid"] for event in events if event["name"] == "process_name"} == {event["pid"] for event in events}
    assert {(event["pid"], event["tid"]) for event in events if event["name"] == "thread_name"} == {(event["pid"], event["tid"]) for event in events}
    assert not any(event["pid"] == event["tid"] == 0 for event in events)     # Perfetto's idle thread
    return events


@given(RECORDS, st.integers(0, 80))
def test_any_journal_makes_a_well_formed_file(rows: list[Row], end: int) -> None:
    events = check(file_of(rows, end))
    moments = [event["ts"] for event in events if event["ph"] == "i" and (event["pid"], event["tid"]) == MEMORY]
    assert len(set(moments)) == len(moments)                        # instants of one moment would be drawn in a column
    whole = [event for event in events if (event["pid"], event["tid"]) == CLOCK and event["ph"] == "X"]
    assert [(event["ts"], event["dur"]) for event in whole] == [(0, max([end, *(row[0] for row in rows)]))]
    assert all(event["ts"] + event.get("dur", 0) <= whole[0]["dur"] for event in events if event["ph"] != "M")


@given(RECORDS)
def test_turns_cover_the_time(rows: list[Row]) -> None:
    """At every moment the process whose slice is open is the one that the last record of a turn named; the processor's row says the same."""
    journal = journal_of(rows)
    open_since, turns = dict[tuple[int, int], int](), list[tuple[int, int, int, str]]()
    for event in check(file_of(rows)):
        track = event["pid"], event["tid"]
        if event.get("cat") == "turn" and event["ph"] == "B":
            open_since[track] = event["ts"]
        elif event.get("cat") == "turn":
            turns.append((open_since.pop(track), event["ts"], *((MACHINE, event["name"]) if track == PROCESSOR else (event["pid"], ""))))
    heads = {0: "idle", 1: "malloc 1", 2: "forktree 2", 3: "owner 3"}
    for time in range(61):
        ran = [int(record["pid"]) for record in journal if record["kind"] == 3 and record["time"] <= time][-1:] if time < 60 else []
        now = [(pid, name) for first, after, pid, name in turns if first <= time < after]
        assert sorted(now) == sorted([*((pid, "") for pid in ran if pid), *((MACHINE, heads[pid]) for pid in ran)])


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 19), st.integers(0, 3)), max_size=60))
def test_counters_add_up(wanted: list[tuple[int, int, int]]) -> None:
    """Blocks of four frames, taken when they are free, given back by anybody when not: they count for who took them."""
    rows, taker_of = list[Row](), dict[int, int]()
    for time, (pid, block, other) in enumerate(wanted):
        if block in taker_of:
            rows.append((time // 2, 102, other, 4 * block, 4))
            del taker_of[block]
        else:
            rows.append((time // 2, 101, pid, 4 * block, 4))
            taker_of[block] = pid
    events = check(file_of(rows))
    counts = [event for event in events if event["ph"] == "C"]
    last = {event["pid"]: event["args"] for event in counts}
    assert all(args == {"owned": 4 * list(taker_of.values()).count(pid)} for pid, args in last.items() if pid != MACHINE)
    assert set(last) >= set(taker_of.values())
    assert last[MACHINE] == {"free": 1000 - 4 * len(taker_of), "used": 24 + 4 * len(taker_of)}
    moments = [(event["ts"], event["pid"]) for event in counts[1:]]     # but for the one that stands at the start
    assert counts[0]["ts"] == 0 and len(set(moments)) == len(moments)
    told = [event["args"] for event in events if event.get("cat") == "memory" and event["ph"] == "i"]
    assert sum(len(args.get("each", [""])) for args in told) == len(wanted)


@given(RECORDS)
def test_every_fault_is_told_once_and_lasts_since_its_trap(rows: list[Row]) -> None:
    """Independent: the trap before a fault, when it came from ring 3, was no tick, and only the memory was busy in between."""
    journal, expected = journal_of(rows).tolist(), list[tuple[int, int, int]]()
    for number, (time, kind, pid, *_) in enumerate(journal):
        if kind == 5:
            earlier = [record for record in journal[:number] if record[1] in (2, 3, 5, 103) and (record[1] in (3, 103) or record[2] == pid)]
            turns = [record for record in journal[:number] if record[1] == 3]
            trap = earlier[-1] if earlier and earlier[-1][1] == 103 else None
            is_mended = trap and pid and turns and turns[-1][2] == pid and trap[2] == 3 and trap[3] != 32
            expected.append((trap[0] if trap and is_mended else time, time, pid))
    events, begun, told = check(file_of(rows)), dict[int, int](), list[tuple[int, int, int]]()
    for event in events:
        if event.get("cat") == "fault" and event["name"].endswith(" fault"):
            if event["ph"] == "B":
                begun[event["pid"]] = event["ts"]
                assert event["args"]["trap"] and event["args"]["rip"] == "0x8000"
            else:
                told.append((begun.pop(event["pid"], event["ts"]), event["ts"], event["pid"]))
    assert sorted(told) == sorted(expected)
    assert sum(event.get("cat") == "trap" for event in events) == sum(record[1] == 103 for record in journal)


@given(RECORDS)
def test_arrows_lead_from_forks_to_first_turns(rows: list[Row]) -> None:
    events = check(file_of(rows))
    for before, event in pairwise(events):
        if event["ph"] == "s":              # Perfetto binds it to the last slice or instant of the row: let that be the fork's own
            assert (before["name"], before["ts"], before["pid"]) == ("forks", event["ts"], event["pid"])
        if event["ph"] == "f":
            assert (before["ph"], before["name"], before["ts"], before["pid"]) == ("B", "runs", event["ts"], event["pid"])
            begin = next(other for other in events if other["ph"] == "s" and other["id"] == event["id"])
            started = [row for row in rows if row[:4] == (begin["ts"], 1, event["pid"], begin["pid"])]
            turns = [row[0] for row in rows if row[1] == 3 and row[2] == event["pid"] and row[0] >= begin["ts"]]
            assert started and event["id"] == event["pid"] and event["ts"] in turns


def told(rows: list[Row]) -> list[tuple[Any, ...]]:
    return [(event["ts"], (event["pid"], event["tid"]), event["ph"], event["name"]) for event in check(file_of(rows, 12)) if event["ph"] != "M"]


def test_words() -> None:
    rows = [(0, 1, 1, 0, 0), (1, 3, 1, 0, 0), (2, 103, 3, 14, -8), (3, 101, 1, 7, 4), (4, 5, 1, 0x3000, 1), (5, 4, 1, 1, 5), (6, 1, 2, 1, 0),
            (9, 2, 1, 3, 0), (9, 3, 2, 0, 0)]
    one, two = (1, 1), (2, 2)
    assert told(rows) == [
        (0, MEMORY, "C", "frames"), (0, one, "i", "started"), (1, PROCESSOR, "B", "malloc 1"), (1, one, "B", "runs"), (2, KERNEL, "i", "page fault"),
        (3, MEMORY, "i", "alloc malloc 1"), (3, MEMORY, "C", "frames"), (3, one, "C", "frames"), (2, one, "B", "copy fault"),
        (4, one, "E", "copy fault"), (5, one, "i", "write"), (6, two, "i", "started"), (6, one, "i", "forks"), (6, one, "s", "fork"),
        (9, one, "i", "exited"), (9, one, "E", "runs"), (9, PROCESSOR, "E", "malloc 1"), (9, PROCESSOR, "B", "forktree 2"),
        (9, two, "B", "runs"), (9, two, "f", "fork"),
        (12, two, "E", "runs"), (12, PROCESSOR, "E", "forktree 2"),
        (0, CLOCK, "X", "time is guest work: 1 ns is 1 block of guest code"), (12, CLOCK, "i", "exit status 0")]
    args = {(event["name"], event["ph"]): event.get("args") for event in check(file_of(rows))}
    trap = {"vector": 14, "ring": 3, "rip": "0x8000", "error code": "0x6", "access": "write, not present", "address": "0xfffffffffffffff8"}
    assert args["page fault", "i"] == trap and args["copy fault", "B"] == {"trap": "page fault", **trap, "address": "0x3000", "taken": ["0x7"]}
    assert args["alloc malloc 1", "i"] == {"owner": "malloc 1", "pfn": "0x7", "frames": 4} and args["exited", "i"] == {"status": 3}


def test_what_happens_at_one_moment_is_told_together() -> None:
    both = [(1, 101, 2, 7, 4), (1, 102, 2, 90, 2)]
    assert (1, MEMORY, "i", "alloc and free forktree 2") in told(both)
    assert (1, MEMORY, "i", "alloc several") in told([(1, 101, 1, 7, 4), (1, 101, 2, 90, 2)])
    events = check(file_of([*both, (1, 104, 0, 3, 8)]))
    (compaction,) = (event for event in events if (event["pid"], event["tid"]) == COMPACTION and event["ph"] == "i")
    assert compaction["name"] == "compaction"
    assert compaction["args"] == {"segments moved": 3, "frames copied": 8, "each": ["alloc 4 at 0x7 (forktree 2)", "free 2 at 0x5a (forktree 2)"]}


def test_frames_freed_in_a_compaction_are_those_of_who_took_them() -> None:
    """Two segments move down by their length; when the journal looks, the first's old place is the second's."""
    rows = [(1, 101, 1, 4, 4), (2, 101, 2, 8, 4), (5, 101, 1, 0, 4), (5, 102, 2, 4, 4), (5, 101, 2, 4, 4), (5, 102, 2, 8, 4), (5, 104, 0, 2, 8)]
    (args,) = (event["args"] for event in check(file_of(rows)) if event["name"] == "compaction" and event["ph"] == "i")
    assert args["each"] == ["alloc 4 at 0x0 (malloc 1)", "free 4 at 0x4 (malloc 1)", "alloc 4 at 0x4 (forktree 2)", "free 4 at 0x8 (forktree 2)"]
    last = {event["pid"]: event["args"] for event in check(file_of(rows)) if event["ph"] == "C"}
    assert last[1] == last[2] == {"owned": 4}


def test_a_fault_that_nobody_mends_ends_with_its_process() -> None:
    rows = [(1, 3, 1, 0, 0), (2, 103, 3, 14, 0), (8, 2, 1, 0, 1)]
    assert {(2, (1, 1), "B", "page fault: killed"), (8, (1, 1), "E", "page fault: killed"), (8, (1, 1), "i", "killed")} <= set(told(rows))


@pytest.mark.parametrize("code, words", [
    (0, "read, not present"), (4, "read, not present"), (6, "write, not present"), (7, "write, protection"), (0x14, "fetch, not present"),
    (0x15, "fetch, protection"), (9, "read, reserved bit"), (0xB, "write, reserved bit")])
def test_error_codes_of_page_faults(code: int, words: str) -> None:
    """Intel SDM, volume 3, figure 4-12: 1 present, 2 write, 4 user, 8 reserved bit, 16 instruction fetch."""
    assert access_of(code) == words


def test_an_empty_journal_and_a_file(tmp_path: Path) -> None:
    empty = journal_of([])
    write_timeline(tmp_path / "t.json", empty, WORDS, NAMES, course(5))
    assert [event["ph"] for event in check((tmp_path / "t.json").read_text()) if event["ph"] != "M"] == ["C", "X", "i"]
    with pytest.raises(BadInput):
        write_timeline(tmp_path / "missing" / "t.json", empty, WORDS, NAMES, course(5))


def test_a_journal_that_was_full_says_so() -> None:
    journal = journal_of([(1, 3, 1, 0, 0), (7, 4, 1, 1, 5)])
    events = check(to_json(trace_events(journal, WORDS, NAMES, course(60, 9)), course(60, 9)))
    (gap,) = (event for event in events if event["name"].startswith("not recorded"))
    assert (gap["ts"], gap["dur"], gap["args"]) == (7, 53, {"records dropped": 9}) and (gap["pid"], gap["tid"]) == CLOCK
