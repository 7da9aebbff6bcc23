"""glibc's mtrace logs: every kind of line, and the recorded ones against a count of their own."""

from __future__ import annotations

import lzma
from collections import Counter
from pathlib import Path

import pytest

from kernel_sim import BadInput
from kernel_sim.study.formats import mtrace
from kernel_sim.study.heap_trace import ALLOC, FREE, REALLOC, HeapOperation, HeapTrace, bundled, load

HEAP = Path(__file__).parent / "data" / "heap"
CALLER = "@ /usr/lib/a b:(_Z3fooRK+1c)[0x15dbc8c] "


def parse(*lines: str) -> HeapTrace:
    return mtrace.parse(lines, "log")


@pytest.mark.parametrize("caller", ["", CALLER, "@ ./a.out:[0x401156] "])
def test_reads_every_kind_of_line(caller: str) -> None:
    lines = ["= Start", "+ 0x2a7c64a0 0x30", "+ 0x2a7c64e0 0", "< 0x2a7c64a0", "> 0x2a7c6600 0x138", "- 0x2a7c64e0", "! 0x2a7c6600 0x7fffffffffff",
             "- 0x2a7c6600", "= End"]
    trace = parse(*(line if line[0] == "=" else caller + line for line in lines))
    assert trace.operations == [HeapOperation(*row) for row in [(ALLOC, 0, 0x30), (ALLOC, 1, 0), (REALLOC, 0, 0x138), (FREE, 1, 0), (FREE, 0, 0)]]
    assert trace.counts == {"allocs": 2, "frees": 2, "reallocs": 1, "frees_unknown": 0, "failed_in_log": 1}
    assert trace.peak() == (0x138, 3)


def test_an_address_is_a_new_slot_each_time() -> None:
    assert [slot for _, slot, _ in parse("+ 0x10 0x8", "- 0x10", "+ 0x10 0x9", "- 0x10").operations] == [0, 0, 1, 1]


def test_a_log_that_begins_in_the_middle() -> None:
    """A free of what nobody saw allocated is dropped, a realloc of it allocates; an address that comes again while it is live was freed unseen."""
    trace = parse("- 0x10", "< 0x20", "> 0x30 0x40", "+ 0x30 0x50", "+ (nil) 0xffffffffff", "< 0x30", "> 0x60 0x70", "- 0x60", "- 0x60")
    assert trace.operations == [(ALLOC, 0, 0x40), (FREE, 0, 0), (ALLOC, 1, 0x50), (REALLOC, 1, 0x70), (FREE, 1, 0)]
    assert trace.dropped == {"frees_unknown": 2, "failed_in_log": 1}


def test_a_realloc_onto_a_live_address() -> None:
    assert parse("+ 0x10 0x1", "+ 0x20 0x2", "< 0x10", "> 0x20 0x3").operations[2:] == [(FREE, 1, 0), (REALLOC, 0, 3)]


@pytest.mark.parametrize("lines, complaint", [
    (["+ 0x10 0x8", "< 0x10", "+ 0x20 0x8"], r"log:2: the old block of a realloc, '<', without the line after it"),
    (["+ 0x10 0x8", "< 0x10"], r"log:2: the old block of a realloc"),
    (["+ 0x10 0x8", "> 0x10 0x9"], r"log:2: the new block of a realloc, '>', without the line before it"),
    (["= Start", "+ 0x10"], r"log:2: not a line of mtrace: '\+ 0x10'"),
    (["= Start", "", "- 0x10 0x8"], r"log:3: not a line of mtrace"),
    (["= Start", "+ 10 0x8"], r"log:2: not a line of mtrace"),
    (["= Start", "@ a.out:[0x4] + 0x10 0x"], r"log:2: not a line of mtrace"),
    (["= Start", "= End"], r"log: a log of mtrace with no allocation in it"),
    (["= Start", "- 0x10"], r"log: a log of mtrace with no allocation in it"),
])
def test_one_clear_line_for_what_is_wrong(lines: list[str], complaint: str) -> None:
    with pytest.raises(BadInput, match=f"^{complaint}") as bad:
        parse(*lines)
    assert "\n" not in str(bad.value)


@pytest.mark.parametrize("name, allocs, frees, reallocs, peak", [("cc1", 3566, 1259, 349, 693_715), ("perl", 4513, 3744, 2770, 429_384)])
def test_the_recordings(name: str, allocs: int, frees: int, reallocs: int, peak: int) -> None:
    """Against a count that knows nothing of slots: lines by their sign, and payload by address."""
    live, payload, most, signs = dict[str, int](), 0, 0, Counter[str]()
    for line in lzma.decompress((HEAP / f"{name}.mtrace.xz").read_bytes()).decode().splitlines():
        words = line.split("] ")[-1].split()
        signs[words[0]] += 1
        if words[0] in "+>":
            live[words[1]] = int(words[2], 16)
            payload += live[words[1]]
        elif words[0] in "-<":
            payload -= live.pop(words[1])
        most = max(most, payload)
    trace = load(HEAP / f"{name}.mtrace.xz")
    assert (signs["+"], signs["-"], signs["<"], signs[">"]) == (allocs, frees, reallocs, reallocs)
    assert (trace.form, trace.counts) == ("mtrace", {"allocs": allocs, "frees": frees, "reallocs": reallocs, "frees_unknown": 0, "failed_in_log": 0})
    assert trace.peak()[0] == most == peak


def test_the_bundled_one_is_the_recorded_one() -> None:
    assert bundled() == ["cc1"]
    assert load("cc1") == load(HEAP / "cc1.mtrace.xz")
