"""Traces of the malloc lab: both headers, CR LF, NULL pointers, and utilisation computed by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from kernel_sim import BadInput, FrameManager, load_policy
from kernel_sim.heap import Heap
from kernel_sim.study.formats import malloclab
from kernel_sim.study.heap_replay import HeapReplay, replay
from kernel_sim.study.heap_trace import ALLOC, FREE, REALLOC, HeapTrace, load

EIGHT_REQUESTS = "20000\n3\n8\n1\na 0 500\na 1 100\nr 0 600\na 2 100\nf 1\nr 0 700\nf 0\nf 2\n"


def parse(text: str) -> HeapTrace:
    return malloclab.parse(text.splitlines(), "t.rep")


def played(trace: HeapTrace, policy: str = "first-fit", **options: int | None) -> HeapReplay:
    frames = FrameManager(1024, load_policy("page-stack", uncompiled=True))
    return replay(trace, Heap(load_policy(policy, uncompiled=True), frames, **options))  # type: ignore[arg-type]


def test_reads_the_example() -> None:
    trace = parse(EIGHT_REQUESTS)
    assert trace.operations == [(ALLOC, 0, 500), (ALLOC, 1, 100), (REALLOC, 0, 600), (ALLOC, 2, 100), (FREE, 1, 0), (REALLOC, 0, 700), (FREE, 0, 0),
                                (FREE, 2, 0)]
    assert (trace.form, trace.counts) == ("malloc lab", {"allocs": 3, "frees": 3, "reallocs": 2, "frees_of_null": 0})
    assert trace.peak() == (800, 4)             # 600 + 100 + 100; 700 + 100 is no more


@pytest.mark.parametrize("text", [
    EIGHT_REQUESTS.replace("\n", "\r\n"), EIGHT_REQUESTS.replace("20000", "1").replace("\n1\na 0", "\n0\na 0"),     # weight first, then a flag
    EIGHT_REQUESTS.replace("20000\n3\n8\n1\n", "20000 3 8 1\n"), "\n  " + EIGHT_REQUESTS.replace("a 0 ", "a  0\t"), EIGHT_REQUESTS + "n\n\n",
    EIGHT_REQUESTS.rstrip()])
def test_the_same_by_other_hands(text: str) -> None:
    assert parse(text).operations == parse(EIGHT_REQUESTS).operations


def test_null_pointers() -> None:
    """free(NULL) does nothing, nor does the free of what a realloc has freed; a realloc of what was never allocated allocates."""
    trace = parse("0\n11\n9\n0\nf -1\na 1 1\nr 6 10\na 10 100\nr 10 0\nf 10\nr 10 5\nr 10 0\na 10 7\n")
    assert trace.operations == [(ALLOC, 0, 1), (ALLOC, 1, 10), (ALLOC, 2, 100), (REALLOC, 2, 0), (ALLOC, 3, 5), (REALLOC, 3, 0), (ALLOC, 4, 7)]
    assert trace.dropped == {"frees_of_null": 2} and trace.peak() == (111, 3)
    done = played(trace)
    assert done.at_end.peak_payload_bytes == 111 and done.at_end.payload_bytes == 18 and done.complete
    done.heap.check()


@pytest.mark.parametrize("old, new, complaint", [
    ("f 1\n", "f 7\n", "t.rep:9: id 7 is beyond what the header tells of, 3 ids from 0 on"),
    ("f 2\n", "f 1\n", "t.rep:12: id 1 is freed, and is not live"),
    ("a 2 100", "a 1 100", "t.rep:8: id 1 is allocated, and is live already"),
    ("a 2 100", "a 2", r"t.rep:8: not a request \(a ID SIZE, r ID SIZE, f ID\): 'a 2'"),
    ("a 2 100", "a 2 -5", "t.rep:8: not a request"), ("a 2 100", "x 2 100", "t.rep:8: not a request"),
    ("a 2 100", "a 2 0x80", "t.rep:8: not a request"), ("a 2 100", "f 0 100", "t.rep:8: not a request"),
    ("a 2 100", "r -1 100", "t.rep:8: not a request"),
    ("a 2 100", "a 2 99999999999999", "t.rep:8: 99999999999999 bytes are more than any heap has"),
    ("\n8\n", "\n9\n", "t.rep: it ends after 8 of the requests that its header tells of, 9"),
    ("\n8\n", "\n7\n", "t.rep:12: more requests than the header tells of, 7"),
    ("\n8\n", "\neight\n", r"t.rep:3: not a header of four numbers \(suggested heap size or weight, number of ids, .*\): 'eight'"),
    ("\n1\na 0", "\na 0", "t.rep:4: not a header of four numbers"), ("20000\n3\n", "20000 3 4 5 6\n", "t.rep:1: not a header of four numbers"),
    ("\n8\n", "\n0\n", "t.rep:5: more requests than the header tells of, 0"),
])
def test_one_clear_line_for_what_is_wrong(old: str, new: str, complaint: str) -> None:
    assert EIGHT_REQUESTS.count(old) == 1
    with pytest.raises(BadInput, match=f"^{complaint}") as bad:
        parse(EIGHT_REQUESTS.replace(old, new))
    assert "\n" not in str(bad.value)


@pytest.mark.parametrize("text, complaint", [("20000\n3\n", "t.rep: it ends within its header, before the number of requests"),
                                             ("1\n0\n0\n1\n", "t.rep: a trace of the malloc lab with no allocation in it")])
def test_traces_of_nothing(text: str, complaint: str) -> None:
    with pytest.raises(BadInput, match=f"^{complaint}$"):
        parse(text)


def test_the_format_is_known_by_what_is_in_the_file(tmp_path: Path) -> None:
    for name, text, complaint in (("a.rep", "", "it is empty"), ("b.rep", "\n\n", "it is empty"),
                                  ("c.log", "\nhello\n", "c.log:2: neither a log of mtrace nor a trace of the malloc lab: 'hello'"),
                                  ("d", "\0\0\0", "d:1: neither")):
        (tmp_path / name).write_text(text)
        with pytest.raises(BadInput, match=complaint):
            load(tmp_path / name)
    (tmp_path / "e.mtrace").write_bytes(EIGHT_REQUESTS.encode())
    assert load(tmp_path / "e.mtrace").form == "malloc lab"
    with pytest.raises(BadInput, match="No such file"):
        load(tmp_path / "missing.rep")


# -- utilisation, by hand ------------------------------------------------------------------------------------------------------------------

SHORT = "20000\n6\n12\n1\na 0 3000\na 1 3000\nf 1\na 2 100\na 3 4000\nf 3\na 4 4000\nf 0\nf 2\na 5 4000\nf 4\nf 5\n"
"""Twelve requests such as the lab's shortest traces have: two blocks, of which one makes room, and large ones that follow a small one."""


def test_utilisation_of_a_short_trace() -> None:
    """With 8 bytes of header and granules of 16: 3000 takes 188 granules, 100 takes 7, 4000 takes 251; a first frame holds 255, others 256.

    0 lies at 0, 1 at 188 (the heap has 2 frames now); 2 takes 188 to 195 of what 1 has left, 3 and then 4 take 195 to 446. When 0 and 2 are gone
    there are 195 granules free below 4 and 65 above it: for the 251 of 5 the heap grows to a third frame. The most payload is live then.
    """
    trace = parse(SHORT)
    assert trace.peak() == (8000, 10)
    done = played(trace)
    assert done.at_end.peak_payload_bytes == 8000 and done.at_end.peak_heap_bytes == 3 * 4096
    assert done.at_end.utilization == pytest.approx(8000 / 12288)
    assert [address - done.heap.arena.base for address in done.placements] == [16 + 16 * granule for granule in (0, 188, 188, 195, 195, 446)]
    at_peak = done.at_peak
    assert at_peak is not None
    assert at_peak.internal_fragmentation == pytest.approx(1 - 8000 / (502 * 16))
    assert (at_peak.free_bytes, at_peak.largest_free_bytes) == ((195 + 70) * 16, 195 * 16)
    assert at_peak.external_fragmentation == pytest.approx(1 - 195 / 265)
    assert done.at_end.free_bytes == 767 * 16 and done.at_end.external_fragmentation == 0


def test_utilisation_counts_the_peak_of_a_heap_that_shrinks() -> None:
    """The lab's heap never shrinks, and its size at the end is what counts; of one that does, the most that it was."""
    trace = parse("0\n2\n4\n1\na 0 100000\nf 0\na 1 10\nf 1\n")
    shrinks, stays = played(trace, trim=65536), played(trace, trim=None)
    assert shrinks.at_end.n_shrinks == 1 and shrinks.at_end.heap_bytes == 4096
    assert stays.at_end.n_shrinks == 0 and stays.at_end.heap_bytes == 25 * 4096
    assert shrinks.at_end.utilization == stays.at_end.utilization == pytest.approx(100_000 / 102_400)


def test_reallocs_of_the_block_at_the_top_copy_nothing() -> None:
    """As in the lab's realloc traces: a block grows again and again, small ones come and go. What is on top when it grows decides."""
    requests = ["a 0 500"] + [line for n in range(1, 30) for line in (f"r 0 {500 + 100 * n}", f"a {n} 100", f"f {n}")]
    trace = parse(f"0\n30\n{len(requests)}\n1\n" + "\n".join(requests))
    done = played(trace)
    assert done.at_end.n_reallocs == done.at_end.n_in_place == 29 and done.at_end.bytes_copied == 0


def test_a_block_that_moves_is_not_counted_twice() -> None:
    """Between the copy and the free both blocks are there; the lab counts the payload after each request."""
    done = played(parse("0\n3\n4\n1\na 0 1000\na 1 10\nr 0 2000\nf 1\n"))
    assert done.at_end.bytes_copied == 1000 and done.at_end.peak_payload_bytes == 2010 == done.trace.peak()[0]


def test_what_a_policy_cannot_serve_is_counted_and_left_out() -> None:
    done = played(parse("0\n2\n5\n1\na 0 100000\na 1 10\nr 0 5\nf 0\nf 1\n"), "buddy")
    assert (done.n_failed, done.n_of_failed, done.complete) == (1, 2, True)
    report = done.report()
    assert (report["served"], report["failed"], report["of_failed"]) == (1, 1, 2)
    assert report["peak_payload_bytes"] == 10 and not report["can_shrink"]
    done.heap.check()
