"""Broken policies, each with one mistake: the contract rejects every one, and names a law that it breaks; the sound ones keep it.

They live in ``tests/mutants``: a class with `breaks` has a mistake, and the laws by which it may be found out; one without has none.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from kernel_sim import load_policy
from kernel_sim.study.contract.examine import examine
from kernel_sim.study.contract.laws import LAWS
from kernel_sim.study.contract.rules import rule_for

FOLDER = Path(__file__).resolve().parents[1] / "mutants"


def classes() -> dict[str, type]:
    """Every policy of the folder, by file and class."""
    found = {}
    for path in sorted(FOLDER.glob("*.py")):
        spec = importlib.util.spec_from_file_location(f"mutants_{path.stem}", path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        found |= {f"{path}:{name}": thing for name, thing in vars(module).items() if isinstance(thing, type) and hasattr(thing, "alloc")}
    return found


EVERY = classes()
MUTANTS = {name: made for name, made in EVERY.items() if "breaks" in vars(made)}
SOUND = {name: made for name, made in EVERY.items() if name not in MUTANTS}


def short(spec: str) -> str:
    return spec.rpartition(":")[2] if ":" in spec else spec


def test_there_are_enough() -> None:
    assert len(MUTANTS) >= 30 and len(SOUND) >= 6
    assert all(made.__doc__ and set(made.breaks) <= set(LAWS) for made in MUTANTS.values())  # type: ignore[attr-defined]


@pytest.mark.parametrize("spec", MUTANTS, ids=short)
def test_a_mutant_is_rejected(spec: str) -> None:
    made = MUTANTS[spec]
    rule = rule_for(made.rule) if getattr(made, "rule", None) else None
    found = examine(load_policy(spec), rule, n_examples=100, shrink=False)
    assert found, f"{made.__doc__} is not found out"
    assert found.law in made.breaks, f"{made.__doc__} {found.law}: {found.what}"  # type: ignore[attr-defined]


@pytest.mark.parametrize("spec", SOUND, ids=short)
def test_a_sound_one_is_not(spec: str) -> None:
    assert examine(load_policy(spec), rule_for(SOUND[spec].rule), n_examples=10) is None  # type: ignore[attr-defined]
