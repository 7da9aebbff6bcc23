"""The commands `workload` and `replay --sample`, as a user meets them."""

from __future__ import annotations

import csv
import os
import sys
from pathlib import Path

import pytest
from commands import report_of
from kernel_sim.tools.cli import main

from kernel_sim import Trace

SPEC = "sizes=uniform(1,16) lifetimes=exponential load=0.8 memory=4M operations=2000 seed=7"
TOML = 'sizes = "uniform(1,16)"\nlifetimes = "exponential"\nload = 0.8\nmemory = "4M"\noperations = 2_000\nseed = 7\n'


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_line_a_file_and_a_changed_file(capsys: pytest.CaptureFixture[str]) -> None:
    Path("load.toml").write_text(TOML)
    report = report_of(capsys, "workload", SPEC, "-o", "line.kstrace")
    assert main(["workload", *SPEC.split(), "-o", "words.kstrace"]) == 0
    assert main(["workload", "load.toml", "-o", "file.kstrace"]) == 0
    assert main(["workload", "load.toml", "seed=8", "-o", "other.kstrace"]) == 0
    line, words, file, other = (Path(f"{name}.kstrace").read_bytes() for name in ("line", "words", "file", "other"))
    assert line == words == file != other
    assert report["allocs"] + report["frees"] == report["operations"] == 2000
    assert report["frames"]["most_in_use"] <= 0.8 * 1024
    assert report["frames"]["mean_request"] == pytest.approx(8.5, abs=0.8)
    assert report["memory_bytes"] == 4 << 20 and report["rounds_end_at"] == []


def test_what_people_see(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["workload", "protocol=llfree(0,2) memory=4M", "-o", "frag.kstrace"]) == 0
    assert capsys.readouterr().out == (
        "protocol=llfree(0,2) memory=4M\n  1,126 allocations and 614 frees, 1.0 frames a request\n"
        "  of 1,024 frames (4 MiB) 100.0% in use at most, 72.2% on average in the second half\n"
        "  half of it is freed, and each round ends, after 1,536, 1,638, 1,740 operations\n")


def test_a_replay_takes_the_memory_that_a_workload_was_made_for(capsys: pytest.CaptureFixture[str]) -> None:
    Path("load.toml").write_text(TOML)
    assert main(["workload", "load.toml", "-o", "load.kstrace"]) == 0
    capsys.readouterr()
    report = report_of(capsys, "replay", "load.kstrace", "--policy", "first-fit")
    assert report["memory_bytes"] == 4 << 20
    assert report_of(capsys, "replay", "load.toml", "--policy", "first-fit") == report, "the description itself can be played"
    assert report_of(capsys, "replay", "load.kstrace", "--policy", "first-fit", "--memory", "1G")["memory_bytes"] == 1 << 30
    assert Trace.load("load.kstrace").plain_frames == 1024


def test_samples_into_json_csv_and_a_plot(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib", reason="the extra kernel_sim[plot]")
    Path("load.toml").write_text(TOML)
    plain = report_of(capsys, "replay", "load.toml", "--policy", "first-fit")
    assert "samples" not in plain
    command = ["replay", "load.toml", "--policy", "first-fit", "--sample", "300", "--csv", "s.csv", "--plot", "s.svg"]
    report = report_of(capsys, *command)
    samples = report.pop("samples")
    assert report == plain
    assert samples["operation"] == [0, 300, 600, 900, 1200, 1500, 1800, 2000]
    with open("s.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {name: [float(row[name]) for row in rows] for name in rows[0]} == {name: numbers for name, numbers in samples.items() if name != "every"}
    first = Path("s.svg").read_bytes()
    assert main(command) == 0
    assert "8 samples, one after every 300 operations" in capsys.readouterr().out
    assert Path("s.svg").read_bytes() == first
    assert main([*command[:4], "--csv", "many.csv"]) == 0
    assert len(Path("many.csv").read_text().splitlines()) == 202


def test_the_guest_is_looked_at_between_its_windows(capsys: pytest.CaptureFixture[str]) -> None:
    """The same samples as without a guest, of a workload that goes on for some windows."""
    Path("long.toml").write_text(TOML.replace("2_000", "10_000").replace("4M", "16M"))
    guest = report_of(capsys, "run", "--trace", "long.toml", "--policy", "first-fit", "--sample", "4096", "--csv", "g.csv")
    host = report_of(capsys, "replay", "long.toml", "--policy", "first-fit", "--sample", "4096", "--csv", "h.csv")
    del guest["guest"]
    assert guest == host
    assert host["samples"]["operation"] == [0, 4096, 8192, 10_000]
    assert Path("g.csv").read_bytes() == Path("h.csv").read_bytes()


@pytest.mark.parametrize("arguments, complaint", [
    ("run --trace tiny --sample 1000", "--sample 1000: a guest gets 4,096 operations at a time"),
    ("run --guest hello --memory 1M --sample 4096", "guest hello plays no trace"),
    ("workload nothing.toml -o x", "nothing.toml: No such file"), ("workload memory=4M -o x", "workload: sizes: it must be said"),
    ("workload bad.toml -o x", "bad.toml: load: a load is a share"), ("workload load.toml seed=x -o x", "load.toml: seed: "),
    ("workload load.toml seed -o x", "workload: 'seed' is not key=value"), ("workload load.toml", "the following arguments are required: -o"),
    ("workload load.toml -o no/such/folder.kstrace", "no/such/folder.kstrace: No such file"),
    ("replay bad.toml", "bad.toml: load: "), ("replay tiny --sample 0", "at least 1"), ("replay tiny --sample many", "--sample"),
    ("replay tiny --plot x.pdf", "x.pdf: a plot is written by its suffix"), ("replay tiny --csv no/x.csv", "no/x.csv: no such folder"),
])
def test_bad_input_is_one_line_and_exit_status_2(arguments: str, complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("load.toml").write_text(TOML)
    Path("bad.toml").write_text(TOML.replace("0.8", "8"))
    before = sorted(os.listdir())
    assert main(arguments.split()) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("kernel-sim: ") and captured.err.count("\n") == 1
    assert complaint in captured.err
    assert sorted(os.listdir()) == before


def test_a_plot_without_matplotlib(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(["replay", "tiny", "--plot", "x.svg"]) == 2
    assert "pip install 'kernel_sim[plot]'" in capsys.readouterr().err
