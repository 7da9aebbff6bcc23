"""The ratios that are promised, as tests; `pytest -m bench`. Each compares with a reference in the same run."""

from __future__ import annotations

import shutil

import pytest
from kernel_sim.bench.doorbell import doorbell_ratios
from kernel_sim.bench.importing import import_over_regex
from kernel_sim.bench.mapping import map_png_seconds
from kernel_sim.bench.policies import bound_of, measured_policies, policies_over_c
from kernel_sim.bench.replaying import replay_over_c
from kernel_sim.bench.searching import FITS, growth, indexed_over_linear
from kernel_sim.bench.starting import start_over_numba, terabyte_over_64m
from kernel_sim.bench.virtual_memory import fault_over_restart, miss_over_empty_fill, no_misses_over_bare

pytestmark = pytest.mark.bench


@pytest.fixture(autouse=True)
def unwatched(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sanitizer where it is measured, and nowhere else."""
    monkeypatch.setenv("KERNEL_SIM_SANITIZE", "0")


def test_a_hypercall_costs_little_more_than_an_empty_hook() -> None:
    ours, naive = doorbell_ratios()
    assert ours <= 1.5
    assert naive >= 20


@pytest.mark.skipif(shutil.which("gcc") is None, reason="the reference is written in C")
def test_a_replay_keeps_up_with_c() -> None:
    assert replay_over_c() <= 3


@pytest.mark.skipif(shutil.which("gcc") is None, reason="the reference is written in C")
@pytest.mark.parametrize("name", measured_policies())
def test_a_replay_with_each_policy_keeps_near_c(name: str) -> None:
    [(_, ratio)] = policies_over_c([name])
    assert ratio <= bound_of(name)


@pytest.mark.parametrize("fit", FITS)
def test_an_index_beats_a_list(fit: str) -> None:
    assert indexed_over_linear(fit) >= 100


@pytest.mark.skipif(shutil.which("gcc") is None, reason="the reference is written in C")
@pytest.mark.parametrize("fit", ["first-fit", "best-fit"], ids=["by-address", "by-length"])
def test_an_index_grows_as_the_logarithm(fit: str) -> None:
    """A logarithm doubles from a thousand to a million holes. So do the nodes, and the time where caches hold what is met next, or nearly; at random
    places the index grows no more than C does that only walks to them. What is linear grows a thousandfold."""
    small, *_, large = growth(fit)
    assert large.nodes <= 2.5 * small.nodes
    assert large.in_order <= 2.5 * small.in_order
    assert large.ratio <= 1.25 * small.ratio


def test_an_import_is_faster_than_a_regular_expression() -> None:
    assert import_over_regex() >= 3


def test_the_machine_starts_soon() -> None:
    assert start_over_numba() <= 3


def test_a_terabyte_starts_like_64_mib() -> None:
    assert terabyte_over_64m() <= 2


def test_a_map_of_a_hundred_million_frames_is_drawn_soon() -> None:
    assert map_png_seconds() <= 3


def test_a_miss_costs_little_more_than_an_empty_hook() -> None:
    assert miss_over_empty_fill() <= 3


@pytest.mark.parametrize("sanitize", [False, True])
def test_without_misses_the_guest_runs_as_in_the_bare_engine(sanitize: bool) -> None:
    assert no_misses_over_bare(sanitize) <= 1.05


def test_a_page_fault_costs_little_more_than_the_engine_s_own_restart() -> None:
    assert fault_over_restart() <= 3
