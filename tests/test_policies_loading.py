"""Policies by name: the files there are, their parameters, and what is wrong with a wrong name."""

from __future__ import annotations

from pathlib import Path

import pytest
from contract.specs import EVERY

import kernel_sim.allocators
import kernel_sim.study.contract.rules
from kernel_sim import BadInput, BadPolicy, FrameManager, load_policy
from kernel_sim.allocators.base import built_in, parse_parameters, policy_module, policy_names, theory


def files_of(package: object) -> dict[str, str]:
    """The text of each file of a package, by its name."""
    [folder] = package.__path__  # type: ignore[attr-defined]
    return {path.stem: path.read_text(encoding="utf-8") for path in Path(folder).glob("*.py") if path.stem != "__init__"}


def test_a_file_is_a_policy_or_what_policies_share() -> None:
    files = files_of(kernel_sim.allocators)
    policies = {name.replace("-", "_") for name in policy_names()}
    shared = set(files) - policies - {"base", "plain"}
    assert policies == {name for name, text in files.items() if "\ndef build(" in text}
    assert all(any(f"kernel_sim.allocators.{name} import" in text or f"import {name}" in text or f", {name}" in text for text in files.values())
               for name in shared), shared
    assert policy_names() == sorted(policy_names())


def test_a_rule_is_of_a_policy() -> None:
    """Every file of the rules that has one is named like a policy's."""
    rules = {name for name, text in files_of(kernel_sim.study.contract.rules).items() if "\ndef rule(" in text}
    assert rules <= {name.replace("-", "_") for name in policy_names()}


@pytest.mark.parametrize("name", policy_names())
def test_a_policy_tells_its_theory(name: str) -> None:
    """The first line is a sentence for the list of policies; then source, idea, invariant, cost, and when to use it."""
    text = policy_module(name).__doc__ or ""
    first_line, blank, *_ = text.splitlines()
    assert first_line.endswith(".") and ":" in first_line and not blank
    assert all(f"\n{part}: " in text for part in ("Source", "Idea", "Invariant", "Cost", "Use"))
    assert {"Decision", "Source", "Cost", "Use"} <= theory(name).keys()


@pytest.mark.parametrize("spec", EVERY)
def test_a_policy_is_known_by_its_full_name(spec: str) -> None:
    assert load_policy(spec).name == spec
    assert FrameManager(16, load_policy(spec, uncompiled=True)).policy.name == spec


def test_defaults_are_left_out_of_the_name() -> None:
    assert built_in("buddy:order=lifo").name == "buddy"
    assert built_in("buddy:").name == "buddy"


def test_defaults_are_filled_in_and_the_rest_sorted() -> None:
    allowed = {"order": ("lifo", "address"), "coalesce": ("always", "never")}
    assert parse_parameters("x", "", allowed) == {"order": "lifo", "coalesce": "always"}
    assert parse_parameters("x", "coalesce=never,order=address", allowed) == {"order": "address", "coalesce": "never"}


@pytest.mark.parametrize("spec, complaint", [
    ("budy", "no policy 'budy'; there are .*best-fit, .*buddy, .*first-fit, "),
    ("", "no policy ''"),
    ("Buddy", "no policy 'Buddy'"),
    ("holes", "no policy 'holes'"),
    ("base", "no policy 'base'"),
    ("../manager", "no policy '../manager'"),
    ("buddy:size=3", r"policy 'buddy:size=3': no parameter 'size'; there is order=lifo\|fifo\|address, max_order=0\.\.10, merge=immediate\|lazy"),
    ("buddy:order", r"policy 'buddy:order': order cannot be ''; there is order=lifo\|fifo\|address, max_order=0\.\.10, merge=immediate\|lazy"),
    ("buddy:order=", "order cannot be ''"),
    ("buddy:order=random", "order cannot be 'random'"),
    ("buddy:order=lifo,order=address", "order is given twice"),
    ("buddy:order=lifo,", "no parameter ''"),
    ("buddy:=lifo", "no parameter ''"),
    ("page-stack:order=lifo", "policy 'page-stack:order=lifo': no parameter 'order'; it has none"),
    ("first-fit:order=lifo", r"order cannot be 'lifo'; there is order=address\|insert-front\|.*, coalesce=immediate\|deferred"),
    ("first-fit:search=indexed,order=insert-back",
     "^policy 'first-fit:order=insert-back,search=indexed': search=indexed goes with order=address, not with order=insert-back$"),
])
def test_a_wrong_name(spec: str, complaint: str) -> None:
    with pytest.raises(BadPolicy, match=complaint) as caught:
        load_policy(spec)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, BadInput)


def test_a_wrong_name_says_how_to_bring_ones_own() -> None:
    with pytest.raises(BadPolicy, match="or your own as path/to/file.py:ClassName$"):
        load_policy("mine")


def test_a_policy_may_be_passed_on() -> None:
    policy = load_policy("best-fit")
    assert load_policy(policy) is policy
