"""Policies by name: the files there are, their parameters, and what is wrong with a wrong name."""

from __future__ import annotations

from pathlib import Path

import pytest
from contract.specs import BUILT_IN

import kernel_sim.allocators
import kernel_sim.study.contract.rules
from kernel_sim import BadInput, BadPolicy, FrameManager, load_policy
from kernel_sim.allocators.base import built_in, parse_parameters, policy_module, policy_names

HELPERS = {"base", "free_area", "address_area", "holes", "linux_area", "linux_buddy", "linux_cpus", "linux_sizes", "llfree_area", "plain"}


def test_a_file_is_a_policy() -> None:
    """Every file of the folder but those that policies share."""
    [folder] = kernel_sim.allocators.__path__
    files = {path.stem for path in Path(folder).glob("*.py")} - {"__init__"}
    assert {name.replace("-", "_") for name in policy_names()} | HELPERS == files
    assert policy_names() == sorted(policy_names())


def test_a_rule_is_of_a_policy() -> None:
    """Every file of the rules but what they share is named like a policy's."""
    files = {path.stem for path in Path(kernel_sim.study.contract.rules.__path__[0]).glob("*.py")} - {"__init__", "common", "fits"}
    assert files <= {name.replace("-", "_") for name in policy_names()}


@pytest.mark.parametrize("name", policy_names())
def test_a_policy_tells_its_theory(name: str) -> None:
    """The first line is a sentence for the list of policies; then source, idea, invariant and cost."""
    theory = policy_module(name).__doc__ or ""
    first_line, blank, *_ = theory.splitlines()
    assert first_line.endswith(".") and ":" in first_line and not blank
    assert all(f"\n{part}: " in theory for part in ("Source", "Idea", "Invariant", "Cost"))


@pytest.mark.parametrize("spec", BUILT_IN)
def test_a_policy_is_known_by_its_full_name(spec: str) -> None:
    assert load_policy(spec).name == spec
    assert FrameManager(16, spec).policy.name == spec


def test_defaults_are_left_out_of_the_name() -> None:
    assert built_in("buddy:order=lifo").name == "buddy"
    assert built_in("buddy:").name == "buddy"


def test_defaults_are_filled_in_and_the_rest_sorted() -> None:
    allowed = {"order": ("lifo", "address"), "coalesce": ("always", "never")}
    assert parse_parameters("x", "", allowed) == {"order": "lifo", "coalesce": "always"}
    assert parse_parameters("x", "coalesce=never,order=address", allowed) == {"order": "address", "coalesce": "never"}


@pytest.mark.parametrize("spec, complaint", [
    ("budy", "no policy 'budy'; there are best-fit, buddy, "),
    ("", "no policy ''"),
    ("Buddy", "no policy 'Buddy'"),
    ("holes", "no policy 'holes'"),
    ("base", "no policy 'base'"),
    ("../manager", "no policy '../manager'"),
    ("buddy:size=3", r"policy 'buddy:size=3': no parameter 'size'; there is order=lifo\|address"),
    ("buddy:order", r"policy 'buddy:order': order cannot be ''; there is order=lifo\|address"),
    ("buddy:order=", "order cannot be ''"),
    ("buddy:order=random", "order cannot be 'random'"),
    ("buddy:order=lifo,order=address", "order is given twice"),
    ("buddy:order=lifo,", "no parameter ''"),
    ("buddy:=lifo", "no parameter ''"),
    ("first-fit:order=lifo", "policy 'first-fit:order=lifo': no parameter 'order'; it has none"),
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
