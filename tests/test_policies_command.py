"""`kernel-sim policies`: the list, as JSON, and as the README's table."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from kernel_sim.tools.cli import main

from kernel_sim.allocators.base import policy_module, policy_names

README = Path(__file__).resolve().parents[1] / "README.md"


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["policies", *arguments]) == 0
    return capsys.readouterr().out


def test_a_line_for_each(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys)
    for name in policy_names():
        first_line = (policy_module(name).__doc__ or "").splitlines()[0]
        assert any(line.split() == f"{name} {first_line}".split() for line in text.splitlines())
    assert max(len(line) for line in text.splitlines()) <= 160


def test_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    policies = {policy["name"]: policy for policy in json.loads(printed(capsys, "--json"))}
    assert sorted(policies) == policy_names()
    assert policies["buddy"]["parameters"]["order"][0] == "lifo"
    assert all({"decision", "source", "idea", "invariant", "cost", "use"} <= policy.keys() for policy in policies.values())


def test_the_readmes_table_is_this_one(capsys: pytest.CaptureFixture[str]) -> None:
    """To renew it: `kernel-sim policies --markdown`."""
    assert printed(capsys, "--markdown") in README.read_text(encoding="utf-8")
