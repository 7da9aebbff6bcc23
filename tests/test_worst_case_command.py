"""`kernel-sim worst-case`, as a user types it."""

from __future__ import annotations

import json

import pytest
from contract.specs import PLAIN
from kernel_sim.tools import cli, worst_case

from kernel_sim import FrameManager, load_policy
from kernel_sim.study.worst_case import compact
from kernel_sim.study.worst_case.game import parse_operations, play


def said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert cli.main(["worst-case", *words]) == cli.FINE
    out, err = capsys.readouterr()
    assert err == ""
    return out


def test_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    lines = said(capsys, "first-fit", "--live", "8", "--sizes", "1,2,3").splitlines()
    assert lines[0] == "first-fit, at most 8 frames live, requests of 1, 2 or 3"
    assert "never fails in 15 frames of memory" in lines[1]
    assert "In 14 frames it fails after 21 operations, and no sooner:" in lines[-2]
    prefix, _, operations = lines[-1].partition("--policy first-fit ")
    assert prefix == "    kernel-sim step --memory 56K "
    assert play(FrameManager(14, load_policy("first-fit", uncompiled=True)), parse_operations(operations.split())) == 20


@pytest.mark.parametrize("policy, engine, smallest", [("first-fit", "compact", 6), ("buddy", "compact", 8), (PLAIN, "generic", 6)],
                         ids=["first-fit", "buddy", "plain"])
def test_as_json(policy: str, engine: str, smallest: int, capsys: pytest.CaptureFixture[str]) -> None:
    report = json.loads(said(capsys, policy, "--live", "4", "--sizes", "3,1,2", "--json"))
    assert (report["policy"], report["live"], report["sizes"], report["optimal"]) == (policy, 4, [1, 2, 3], False)
    assert (report["engine"], report["smallest_memory"], report["defeated_memory"]) == (engine, smallest, smallest - 1)
    manager = FrameManager(report["defeated_memory"], load_policy(policy, uncompiled=True))
    assert play(manager, parse_operations(report["defeating_sequence"])) == len(report["defeating_sequence"]) - 1


def test_a_policy_that_is_searched_as_its_rule(capsys: pytest.CaptureFixture[str]) -> None:
    report = json.loads(said(capsys, "page-stack", "--live", "5", "--sizes", "1", "--json"))
    assert (report["engine"], report["smallest_memory"], report["defeating_sequence"]) == ("rule", 5, ["a:1"] * 5)


def test_the_best_allocator(capsys: pytest.CaptureFixture[str]) -> None:
    lines = said(capsys, "--optimal", "--live", "8", "--sizes", "1,2").splitlines()
    assert lines[0].startswith("The best allocator there can be, at most 8 frames live")
    assert "11: the best allocator there can be needs exactly this (Robson 1971; Knuth, exercise 38)" in lines[2]
    report = json.loads(said(capsys, "best-fit", "--optimal", "--live", "8", "--sizes", "1,2", "--json"))
    assert (report["smallest_memory"], report["defeated_policy"]) == (11, "best-fit")
    manager = FrameManager(10, load_policy("best-fit", uncompiled=True))
    assert play(manager, parse_operations(report["defeating_sequence"])) == len(report["defeating_sequence"]) - 1


def test_granted_frames_count(capsys: pytest.CaptureFixture[str]) -> None:
    """Three frames take up four of a buddy's: with 4 live by that count only one such allocation lives."""
    words = ("buddy:order=address", "--live", "6", "--sizes", "3", "--json")
    assert json.loads(said(capsys, *words))["smallest_memory"] == 8
    assert json.loads(said(capsys, *words, "--count", "granted"))["smallest_memory"] == 4


def test_nothing_smaller_than_one_frame(capsys: pytest.CaptureFixture[str]) -> None:
    report = json.loads(said(capsys, "best-fit", "--live", "1", "--sizes", "1", "--json"))
    assert (report["smallest_memory"], report["defeating_sequence"], report["defeated_memory"]) == (1, None, None)


def test_an_adversary(capsys: pytest.CaptureFixture[str]) -> None:
    words = (PLAIN, "--live", "8", "--largest", "2", "--adversary", "robson")
    report = json.loads(said(capsys, *words, "--json"))
    assert (report["smallest_memory"], report["smallest_memory_at_least"], report["defeated_memory"], report["bounds"][0]["n_frames"]) == (
        None, 11, 10, 11)
    out = said(capsys, *words)
    assert "fails in 10 frames of memory, after 14 operations: it needs 11 at least" in out
    assert f"it uses the first {report['frames_used']}: {report['frames_used_per_live_frame']:.3f} times what is live" in out
    assert f"what is used is {report['bounds'][0]['used_of_it']:.3f} of that" in out


def test_a_long_sequence_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    out = said(capsys, PLAIN, "--live", "32", "--largest", "8", "--adversary", "robson")
    assert out.rstrip().endswith("… (--json has all 82)")


@pytest.mark.parametrize("words, status, complaint", [
    (["first-fit", "--sizes", "1"], cli.WRONG_INPUT, "required: --live"),
    (["first-fit", "--live", "8"], cli.WRONG_INPUT, "--sizes: what may be asked for, such as 1,2,3"),
    (["--live", "8", "--sizes", "1"], cli.WRONG_INPUT, "a policy, or --optimal"),
    (["first-fit", "--live", "x", "--sizes", "1"], cli.WRONG_INPUT, "--live: a whole number of at least 1, not 'x'"),
    (["first-fit", "--live", "8", "--sizes", "1,,2"], cli.WRONG_INPUT, "--sizes: a whole number of at least 1, not ''"),
    (["first-fit", "--live", "8", "--sizes", "0"], cli.WRONG_INPUT, "--sizes: a whole number"),
    (["first-fit", "--live", "8", "--sizes", "9"], cli.WRONG_INPUT, "9 frames can never be asked for"),
    (["first-fit", "--live", "8", "--sizes", "1,2", "--max-states", "-3"], cli.WRONG_INPUT, "--max-states"),
    (["first-fit", "--live", "8", "--sizes", "1,2", "--max-states", "20"], cli.FINDING, "not settled: a memory of"),
    (["first-fit", "--live", "8", "--sizes", "1,2", "--largest", "2"], cli.WRONG_INPUT, "--largest is for --adversary"),
    (["first-fit", "--optimal", "--count", "granted", "--live", "8", "--sizes", "1"], cli.WRONG_INPUT, "--count granted"),
    (["best-fitt", "--live", "8", "--sizes", "1,2"], cli.WRONG_INPUT, "no policy 'best-fitt'"),
    (["best-fitt", "--live", "8", "--sizes", "1,2", "--optimal"], cli.WRONG_INPUT, "no policy 'best-fitt'"),
    (["page-stack", "--live", "8", "--sizes", "1,2"], cli.FINDING, "refuse such requests in any memory"),
    (["--live", "8", "--largest", "2", "--adversary", "robson"], cli.WRONG_INPUT, "against which policy"),
    (["first-fit", "--live", "8", "--adversary", "robson"], cli.WRONG_INPUT, "--adversary goes with --live and --largest alone"),
    (["first-fit", "--live", "8", "--largest", "2", "--adversary", "nemo"], cli.WRONG_INPUT, "no adversary 'nemo'"),
])
def test_what_is_wrong_is_one_line(words: list[str], status: int, complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["worst-case", *words]) == status
    out, err = capsys.readouterr()
    assert out == "" and complaint in err and err.count("\n") == 1 and err.startswith("kernel-sim: ")


def test_an_interrupt(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(compact, "_search_for", lambda policy: interrupted)
    assert cli.main(["worst-case", "first-fit", "--live", "8", "--sizes", "1,2"]) == cli.INTERRUPTED
    assert capsys.readouterr() == ("", "kernel-sim: interrupted\n")


def test_progress_on_a_terminal_only(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with worst_case._progress() as progress:
        assert progress is None
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    with worst_case._progress() as progress:
        assert progress is not None
        progress(12, 3456)
    assert "memory of 12 frames: 3,456" in capsys.readouterr().err
