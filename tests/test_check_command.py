"""`kernel-sim check`: what it says of a sound policy, of a broken one, and of wrong arguments."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from kernel_sim.tools.cli import main

FITS = Path(__file__).parent / "mutants" / "fits.py"


def test_a_policy_that_keeps_the_contract(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", f"{FITS}:FirstFit", "--examples", "5"]) == 0
    assert f"{FITS}:FirstFit keeps the contract: 13 laws, 17 kinds of misuse, 5 examples of each game, seed 0\n" == capsys.readouterr().out


def test_a_built_in_policy_is_held_to_its_own_rule(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "page-stack", "--examples", "5", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"policy": "page-stack", "keeps_the_contract": True, "seed": 0, "examples": 5}


def test_the_shortest_story(capsys: pytest.CaptureFixture[str]) -> None:
    """A stack that never takes anything back: a frame is had, given back, and had again. The story is as short in JSON."""
    spec = f"{FITS.with_name('others.py')}:DropsWhatIsFreed"
    assert main(["check", spec, "--examples", "20", "--seed", "3"]) == 1
    text = capsys.readouterr().out
    lines = text.splitlines()
    assert lines[0].startswith(f"{spec} breaks the contract: ")
    assert "at the start" in lines[4]
    assert "<- here" in text
    assert lines[-1] == f"  the same again: kernel-sim check {spec} --seed 3 --examples 20"
    assert main(["check", spec, "--examples", "20", "--seed", "3", "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert (report["keeps_the_contract"], report["seed"]) == (False, 3)
    assert lines[0].endswith(report["law"])
    assert lines[2] == f"  found:   {report['what']}"
    assert [word.split()[0] for word in report["operations"]] in (["free", "alloc"], ["alloc", "free", "alloc"])
    assert report["zones"]


def test_a_policy_without_a_rule_is_told_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mine.py"
    path.write_text(FITS.read_text(encoding="utf-8").replace('rule = "first-fit"', "rule = None"), encoding="utf-8")
    assert main(["check", f"{path}:FirstFit", "--examples", "2"]) == 0
    assert "11 laws (none of placement: see --rule)" in capsys.readouterr().out


@pytest.mark.parametrize("arguments, complaint", [
    (["nonsense"], "no policy 'nonsense'"),
    (["first-fit", "--rule", "nonsense"], "no policy 'nonsense'"),
    (["first-fit", "--examples", "0"], "at least one"),
    ([f"{FITS}:Nobody"], "no class 'Nobody'"),
    ([], "POLICY"),
])
def test_wrong_arguments(arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", *arguments]) == 2
    printed = capsys.readouterr()
    assert complaint in printed.err
    assert printed.err.count("\n") == 1
    assert not printed.out
