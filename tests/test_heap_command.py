"""`kernel-sim heap`, as a user types it."""

from __future__ import annotations

import gzip
import json
import os
import signal
from pathlib import Path

import pytest
from contract.specs import PLAIN
from kernel_sim.tools import cli

from kernel_sim import load_policy
from kernel_sim.heap import Heap
from kernel_sim.study.heap_replay import replay
from kernel_sim.study.heap_trace import load

PERL = str(Path(__file__).parent / "data" / "heap" / "perl.mtrace.xz")
SMALL = "1\n3\n6\n0\r\na 0 5000\r\na 1 100\nr 1 200\nf -1\nf 0\na 2 40000\n"


def small(folder: Path) -> str:
    path = folder / "small.rep.gz"
    path.write_bytes(gzip.compress(SMALL.encode()))
    return str(path)


def test_reports_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["heap", small(tmp_path), "--policy", PLAIN, "--json", "--header", "16"]) == cli.FINE
    out, err = capsys.readouterr()
    said = json.loads(out)
    assert err == ""
    assert {key: said[key] for key in ("log", "format", "policy", "header_bytes", "served", "failed", "can_shrink")} == {
        "log": "small.rep.gz", "format": "malloc lab", "policy": PLAIN, "header_bytes": 16, "served": 4, "failed": 0, "can_shrink": False}
    assert said["operations"] == {"allocs": 3, "frees": 1, "reallocs": 1, "frees_of_null": 1}
    assert said["peak_payload_bytes"] == 40_200 and said["utilization"] == round(40_200 / said["peak_heap_bytes"], 6)
    assert said["at_end"]["payload_bytes"] == 40_200 == said["at_peak"]["payload_bytes"]
    assert said["reallocs"] == {"in_place": 0, "moved": 1, "bytes_copied": 100} and len(said["placements_sha256"]) == 64


def test_compares_policies_row_by_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["heap", small(tmp_path), "--policy", PLAIN, "--policy", PLAIN, "--trim", "never"]) == cli.FINE
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "small.rep.gz (malloc lab): 3 allocations, 1 free, 1 reallocation; at most 40,200 bytes live"
    assert lines[1] == "  left out: 1 free of NULL"
    rows = [line for line in lines if line.startswith(PLAIN + "  ")]
    assert len(rows) == 2 and rows[0] == rows[1] and "1 of      1" in rows[0]
    assert any("its heap does not shrink" in line for line in lines)


def test_several_policies_are_a_list_in_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["heap", small(tmp_path), "--policy", PLAIN, "--policy", PLAIN, "--json"]) == cli.FINE
    said = json.loads(capsys.readouterr().out)
    assert len(said) == 2 and said[0] == said[1]


def test_a_memory_that_is_too_small_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["heap", small(tmp_path), "--policy", PLAIN, "--memory", "16K"]) == cli.FINE
    assert "1 request not served, first of all: 40000 bytes asked for, of a heap of 8192: its frames hold no more" in capsys.readouterr().out


@pytest.mark.parametrize("arguments, complaint", [
    (["/nowhere.rep"], "/nowhere.rep: No such file or directory"), (["--policy", "nope"], "no policy 'nope'; there are "),
    (["--trim", "x"], "not a size: 'x'"), (["--alignment", "7"], "heap: the alignment is a power of two"), (["--header", "-2"], "heap: a header has"),
    (["--growth", "0"], "heap: it grows by at least 1 frame"), (["--memory", "5K"], "not a whole number of frames"),
    (["--split", "x"], "argument --split: invalid int value"), (["--policy", "buddy", "--policy", "worst"], "no policy 'worst'"),
    ([PERL, "more"], "unrecognized arguments: more"),
])
def test_one_line_for_wrong_input(arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["heap", *arguments]) == cli.WRONG_INPUT
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and complaint in err


def test_a_damaged_log_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "cut.mtrace.xz"
    path.write_bytes(Path(PERL).read_bytes()[:9000])
    assert cli.main(["heap", str(path)]) == cli.WRONG_INPUT
    assert capsys.readouterr().err.startswith(f"kernel-sim: {path}: damaged: ")


def test_compiled_and_interpreted_place_alike(capsys: pytest.CaptureFixture[str]) -> None:
    """A real program's log; without --policy, first fit, compiled."""
    assert cli.main(["heap", PERL, "--json"]) == cli.FINE
    said = json.loads(capsys.readouterr().out)
    assert said["policy"] == "first-fit" and said["failed"] == 0 and said["can_shrink"]
    done = replay(load(PERL), Heap(load_policy("first-fit", uncompiled=True)))
    assert done.report() == said
    assert 0.85 < said["utilization"] < 0.95 and said["peak_payload_bytes"] == 429_384


@pytest.mark.usefixtures("heard_interrupts")
def test_an_interrupt_waits_for_the_operation_it_comes_in(monkeypatch: pytest.MonkeyPatch) -> None:
    heap = Heap(load_policy("first-fit", uncompiled=True))
    before, free, freed = signal.getsignal(signal.SIGINT), heap.free, []

    def interrupted(address: int) -> None:
        freed.append(address)
        if len(freed) == 100:
            os.kill(os.getpid(), signal.SIGINT)
        free(address)
    monkeypatch.setattr(heap, "free", interrupted)
    done = replay(load(PERL), heap)
    assert not done.complete and len(freed) == 100 and 100 <= done.n_performed < len(done.trace.operations)
    heap.check()
    assert signal.getsignal(signal.SIGINT) == before
