"""Workloads: what is drawn against the distributions' own moments, who goes next against the definition, and the trace against its own rules."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel_sim import BadInput, Trace
from kernel_sim.operations import ALLOC
from kernel_sim.study import slots
from kernel_sim.study.workload import chance, generate, lifetimes, llfree, load, marks, parse, processes
from kernel_sim.study.workload import sizes as distributions
from kernel_sim.study.workload.sizes import Sizes

N = 40_000
HELD = "memory=4M load=0.8 operations=4000 seed=5 sizes=uniform(1,16) lifetimes="


def moments(made: Sizes) -> tuple[float, float, np.ndarray[Any, Any]]:
    drawn = made.draw(chance.streams(1)["sizes"], N)
    return float(drawn.mean()), float(drawn.std()), drawn


def rounded_exponential_mean(mean: float) -> float:
    """max(1, round(x)): 1 up to 3/2, then one more for each whole number more: 1 + the sum of P(x > k + 1/2) for k from 1 on."""
    step = np.exp(-1 / mean)
    return float(1 + np.exp(-1.5 / mean) / (1 - step))


@pytest.mark.parametrize("made, mean, deviation", [
    (distributions.constant(7), 7, 0),
    (distributions.uniform(3, 12), 7.5, sqrt((10**2 - 1) / 12)),
    (distributions.geometric(8), 8, sqrt(1 - 1 / 8) * 8),
    (distributions.exponential(100), rounded_exponential_mean(100), 100),
    (distributions.powers_of_two(2, 32), 62 / 5, sqrt((4 + 16 + 64 + 256 + 1024) / 5 - (62 / 5) ** 2)),
    (distributions.histogram([(1, 50), (2, 30), (8, 20)]), 2.7, sqrt(0.5 + 1.2 + 12.8 - 2.7**2)),
    (distributions.hyperexponential(50, 500, 0.1), 95, sqrt(2 * (0.9 * 50**2 + 0.1 * 500**2) - 95**2)),
], ids=["constant", "uniform", "geometric", "exponential", "powers-of-two", "histogram", "hyperexponential"])
def test_sizes_have_the_moments_of_their_distribution(made: Sizes, mean: float, deviation: float) -> None:
    """Five standard errors; the deviation of the heavy ones within a twentieth. Rounding moves a mean of 100 by less than that."""
    seen_mean, seen_deviation, drawn = moments(made)
    assert abs(seen_mean - mean) <= 5 * deviation / sqrt(N)
    assert seen_deviation == pytest.approx(deviation, rel=0.05)
    assert drawn.min() >= 1 and drawn.dtype == np.int64
    assert drawn.min() >= made.smallest and (made.bound is None or drawn.max() <= made.bound)


def test_the_values_that_there_are() -> None:
    assert set(moments(distributions.uniform(3, 6))[2].tolist()) == {3, 4, 5, 6}
    assert set(moments(distributions.powers_of_two(1, 8))[2].tolist()) == {1, 2, 4, 8}
    assert set(moments(distributions.histogram([(5, 1), (6, 0), (9, 3)]))[2].tolist()) == {5, 9}
    shares = np.bincount(moments(distributions.geometric(4))[2])[1:4] / N
    assert shares == pytest.approx([1 / 4, 3 / 16, 9 / 64], abs=5 * sqrt(0.25 / N))


def test_what_the_memory_cannot_hold_is_drawn_again() -> None:
    drawn = distributions.exponential(50).draw_up_to(chance.streams(3)["sizes"], 60, N)
    assert drawn.max() == 60 and (drawn == 60).mean() < 0.02, "drawn again, not cut down"


def test_sizes_of_a_trace_come_as_often_as_there() -> None:
    made = distributions.of_trace("mixed")
    trace = Trace.load("mixed")
    theirs = trace.n_frames[trace.kind == ALLOC]
    drawn = moments(made)[2]
    assert made.mean == pytest.approx(theirs.mean())
    assert set(drawn.tolist()) <= set(theirs.tolist())
    assert (drawn == 1).mean() == pytest.approx((theirs == 1).mean(), abs=5 * sqrt(0.25 / N))


def test_arrivals_are_poisson_and_what_lives_is_too() -> None:
    """M/M/infinity: the numbers that live are Poisson distributed, with the mean lifetime as their mean and variance, whatever the lifetimes' law."""
    for law in (lifetimes.exponential(30), lifetimes.constant(30), lifetimes.bimodal(10, 90, 0.25)):
        events = processes.arriving(law, chance.streams(2), 60_000)
        arrivals = events.time[events.slots >= 0]
        gaps = np.diff(arrivals)
        assert gaps.mean() == pytest.approx(1, abs=5 / sqrt(len(gaps)))
        assert gaps.std() == pytest.approx(1, abs=0.05)
        at = np.arange(300, int(events.time[-1]), 100)      # three mean lifetimes apart: nearly independent
        live = np.concatenate([[0], np.cumsum(np.where(events.slots >= 0, 1, -1))])[np.searchsorted(events.time, at, side="right")]
        assert live.mean() == pytest.approx(30, abs=5 * sqrt(30 / len(at)))
        assert live.var() == pytest.approx(30, abs=5 * 30 * sqrt(2 / len(at)))


def in_use(trace: Trace) -> np.ndarray[Any, Any]:
    frames = trace.n_frames.astype(np.int64)
    return np.cumsum(np.where(trace.kind == ALLOC, frames, -frames))


@pytest.mark.parametrize("law", ["exponential", "fifo", "bimodal(10,1000,0.1)", "constant(3)", "lifo(5)", "phases(0.3)"])
def test_a_held_load_is_never_above_the_target(law: str) -> None:
    used = in_use(generate(parse(HELD + law)))
    target = int(0.8 * 1024)
    assert used.max() <= target
    assert used.max() > target - 16, "it is filled until the next one does not fit"
    if law not in ("lifo(5)", "phases(0.3)"):
        settled = used[200:]
        assert settled.min() >= target - 2 * 16, "one is freed at a time, and only when the next one does not fit"


def played(law: str) -> list[int]:
    """slot or ~slot, of the trace's operations."""
    trace = generate(parse(HELD + law))
    plan = slots.operations(trace, None, None)
    assert plan.implied_frees == plan.frees_unknown == plan.frees_partial == 0
    return [int(op["slot"]) if op["kind"] == ALLOC else ~int(op["slot"]) for op in plan.operations]


def test_first_in_first_out() -> None:
    freed = [~event for event in played("fifo") if event < 0]
    assert freed == list(range(len(freed))) and len(freed) > 1000


def test_last_in_first_out() -> None:
    stack: list[int] = []
    depths = []
    for event in played("lifo(5)"):
        if event >= 0:
            stack.append(event)
        else:
            assert stack.pop() == ~event
        depths.append(len(stack))
    assert min(depths[200:]) < max(depths) - 8


def test_exponential_lifetimes_have_no_memory() -> None:
    """What goes next may be any of those that live: its rank by age is uniform, with the mean in the middle."""
    live: list[int] = []
    ranks = []
    for event in played("exponential"):
        if event >= 0:
            live.append(event)
        else:
            ranks.append((live.index(~event) + 0.5) / len(live))
            live.remove(~event)
    settled = ranks[200:]
    assert np.mean(settled) == pytest.approx(0.5, abs=5 * sqrt(1 / 12 / len(settled)))
    assert np.var(settled) == pytest.approx(1 / 12, rel=0.1)


def test_phases_keep_their_share() -> None:
    events = played("phases(0.3)")
    live, kept = 0, []
    for number, event in enumerate(events):
        if event < 0 <= events[number - 1]:
            peak = live
        if event >= 0 and number and events[number - 1] < 0:
            kept.append(live / peak)
        live += 1 if event >= 0 else -1
    assert len(kept) > 5
    assert np.mean(kept) == pytest.approx(0.3, abs=5 * sqrt(0.3 * 0.7 / (80 * len(kept))))


def test_the_share_of_the_long_lived() -> None:
    drawn = lifetimes.bimodal(1, 1000, 0.2).draw
    assert drawn is not None
    lives = drawn(chance.streams(4)["lifetimes"], N)
    assert (lives > 10).mean() == pytest.approx(0.2 * np.exp(-10 / 1000) + 0.8 * np.exp(-10), abs=5 * sqrt(0.16 / N))


def test_llfree_plays_its_three_steps() -> None:
    """Against the protocol as it is published: fill, free half, then exchange a tenth of what was freed in each round."""
    trace = generate(parse("protocol=llfree(2,3) memory=4M cpus=4 seed=9"))
    n_blocks, live = 256, in_use(trace) // 4
    assert (trace.n_frames == 4).all()
    assert live[n_blocks - 1] == n_blocks and (trace.kind[:n_blocks] == ALLOC).all()
    half = n_blocks + n_blocks // 2
    assert live[half - 1] == n_blocks // 2 and (trace.kind[n_blocks:half] != ALLOC).all()
    rest = trace.kind[half:]
    assert len(rest) == 3 * 2 * 4 * (n_blocks // 2 // 4 // 10)
    assert (rest[::2] != ALLOC).all() and (rest[1::2] == ALLOC).all() and set(live[half:].tolist()) == {127, 128}
    assert np.bincount(trace.cpu).tolist() == [len(trace) // 4] * 4
    assert marks(parse("protocol=llfree(2,3) memory=4M cpus=4 seed=9")) == [half, half + 24, half + 48, half + 72]
    assert llfree.play(256, 3, 4, chance.streams(9)["order"]).marks == [half, half + 24, half + 48, half + 72]


def test_llfree_on_memories_that_do_not_divide() -> None:
    spec = parse("protocol=llfree(3,2) memory=1020K cpus=3")
    trace = generate(spec)
    assert (trace.n_frames == 8).all() and in_use(trace).max() == 31 * 8
    assert marks(spec)[-1] == len(trace)


specs = st.builds(
    "sizes={} lifetimes={} load={} memory={}K operations={} seed={} cpus=3 owners=2 mobility=histogram(0:1,2:1)".format,
    st.sampled_from(["constant(3)", "uniform(1,9)", "geometric(2.5)", "exponential(4)", "hyperexponential(1,9,0.5)", "powers-of-two(1,16)",
                     "histogram(1:1,7:2)"]),
    st.sampled_from(["exponential", "fifo", "lifo(3)", "phases(0)", "phases(0.9)", "bimodal(1,50,0.5)"]), st.sampled_from([0.5, 0.77, 1]),
    st.sampled_from([128, 400]), st.integers(1, 300), st.integers(0, 2**64 - 1))


@given(specs)
def test_a_trace_is_one_that_could_have_been(spec: str) -> None:
    """No frame belongs to two at a time, every free is of a whole allocation that lives, and nothing asks for more than there is."""
    workload = parse(spec)
    trace = generate(workload)
    assert len(trace) == workload.n_operations
    live: dict[int, tuple[int, int]] = {}
    taken: set[int] = set()
    for kind, n_frames, pfn, cpu, owner in zip(trace.kind.tolist(), trace.n_frames.tolist(), trace.pfn.tolist(), trace.cpu.tolist(),
                                               trace.owner.tolist(), strict=True):
        frames = set(range(pfn, pfn + n_frames))
        if kind == ALLOC:
            assert not frames & taken
            live[pfn] = (n_frames, owner)
            taken |= frames
        else:
            assert live.pop(pfn) == (n_frames, owner)
            taken -= frames
        assert len(taken) <= workload.target
        assert cpu < 3 and owner < 2
    assert set(trace.mobility[trace.kind == ALLOC].tolist()) <= {0, 2} and not trace.mobility[trace.kind != ALLOC].any()
    assert (np.diff(trace.time_us) >= 0).all()
    assert trace.plain_frames == workload.n_frames
    assert trace == generate(parse(spec))


def test_the_same_bytes_on_every_machine() -> None:
    """A digest of the columns that must never change for this description."""
    trace = generate(parse("sizes=uniform(1,16) lifetimes=exponential load=0.8 memory=4M operations=1000 seed=7"))
    digest = hashlib.sha256(trace.kind.tobytes() + trace.n_frames.tobytes() + trace.pfn.tobytes()).hexdigest()
    assert digest == "9bfb5a9c6721734bda088d5f3dd6fea65543d6fe96c37c9804d3c8b8fbe8e17d"


def test_a_seed_changes_what_it_should() -> None:
    one, other = (generate(parse(HELD + "exponential" + more)) for more in ("", " cpus=2"))
    assert np.array_equal(one.n_frames, other.n_frames) and not np.array_equal(one.cpu, other.cpu)
    fifo = generate(parse(HELD + "fifo"))
    is_alloc = one.kind == ALLOC, fifo.kind == ALLOC
    n = min(int(there.sum()) for there in is_alloc)
    assert np.array_equal(one.n_frames[is_alloc[0]][:n], fifo.n_frames[is_alloc[1]][:n]), "other lifetimes, the same sizes"
    assert generate(parse(HELD.replace("seed=5", "seed=6") + "fifo")) != fifo


def test_a_file_says_the_same_as_a_line(tmp_path: Path) -> None:
    path = tmp_path / "load.toml"
    path.write_text('sizes = "histogram(sizes.txt)"\nlifetimes = "exponential"\nload = 0.8\nmemory = "4M"\noperations = 500\nname = "mine"\n')
    (tmp_path / "sizes.txt").write_text("# frames, how often\n1 50\n2, 30\n\n8 20\n")
    line = generate(parse("lifetimes=exponential sizes=histogram(1:50, 2:30, 8:20) load=0.8 operations=500 memory=4M name=mine"))
    assert generate(load(path)) == line
    assert line.name == "mine"
    assert generate(load(path, "seed=1")) == generate(parse(
        "lifetimes=exponential sizes=histogram(1:50,2:30,8:20) load=0.8 operations=500 memory=4M name=mine seed=1"))


RIGHT = "sizes=constant(1) lifetimes=fifo load=0.5 memory=4M operations=9"


@pytest.mark.parametrize("change, complaint", [
    (lambda s: s + " more", "workload: 'more' is not key=value"),
    (lambda s: s + " seed=1 seed=2", "workload: seed: said twice"),
    (lambda s: s + " colour=red", "workload: colour: there is no such key"),
    (lambda s: s + " seed=-1", "workload: seed: a whole number from 0 to 18446744073709551615 is wanted, not -1"),
    (lambda s: s + " cpus=0", "workload: cpus: "),
    (lambda s: s.replace("memory=4M", ""), "workload: memory: how large"),
    (lambda s: s.replace("4M", "many"), "workload: memory: not a size: 'many'"),
    (lambda s: s.replace("constant(1)", "uniform(9,2)"), "workload: sizes: sizes go from 1 frame upwards, not from 9 to 2"),
    (lambda s: s.replace("constant(1)", "uniform(1)"), "workload: sizes: uniform(1): it takes (lowest, highest)"),
    (lambda s: s.replace("constant(1)", "uniform(1,x)"), "workload: sizes: 'x' is not a number"),
    (lambda s: s.replace("constant(1)", "constant(1.5)"), "workload: sizes: constant(1.5): n_frames is a whole number"),
    (lambda s: s.replace("constant(1)", "geometric(0.5)"), "workload: sizes: a mean of 0.5 frames"),
    (lambda s: s.replace("constant(1)", "exponential(nan)"), "workload: sizes: 'nan' is not a number"),
    (lambda s: s.replace("constant(1)", "powers-of-two(1,6)"), "workload: sizes: 1 and 6 are not both powers of two"),
    (lambda s: s.replace("constant(1)", "hyperexponential(1,2,3)"), "workload: sizes: the share of the long ones"),
    (lambda s: s.replace("constant(1)", "histogram(1:0)"), "workload: sizes: a histogram has sizes from 1 on"),
    (lambda s: s.replace("constant(1)", "histogram(no/file)"), "workload: sizes: no/file: No such file"),
    (lambda s: s.replace("constant(1)", "trace(nothing)"), "workload: sizes: nothing: No such file"),
    (lambda s: s.replace("constant(1)", "normal(3)"), "workload: sizes: normal(3) is none of constant uniform"),
    (lambda s: s.replace("constant(1)", "constant(600)"), "workload: sizes: larger than what may be in use at a time (512 of 1,024 frames)"),
    (lambda s: s.replace("sizes=constant(1)", ""), "workload: sizes: it must be said"),
    (lambda s: s.replace("operations=9", ""), "workload: operations: it must be said"),
    (lambda s: s.replace("0.5", "1.5"), "workload: load: a load is a share"),
    (lambda s: s.replace("0.5", "0"), "workload: load: a load is a share"),
    (lambda s: s.replace("load=0.5", ""), "workload: lifetimes: without a load"),
    (lambda s: s.replace("fifo", "exponential(-1)"), "workload: lifetimes: a lifetime of -1"),
    (lambda s: s.replace("fifo", "lifo(0)"), "workload: lifetimes: a run of 0"),
    (lambda s: s.replace("fifo", "phases(1)"), "workload: lifetimes: phases that keep all"),
    (lambda s: s.replace("fifo", "bimodal(1,2,3)"), "workload: lifetimes: a share lies"),
    (lambda s: s + " protocol=llfree", "workload: protocol: a protocol says itself"),
    (lambda s: "memory=4M protocol=llfree(11,1)", "workload: protocol: llfree(order,rounds)"),
    (lambda s: "memory=4M protocol=llfree(0,1,2)", "workload: protocol: llfree(order,rounds)"),
    (lambda s: "memory=4K protocol=llfree", "workload: memory: too small"),
    (lambda s: s + " mobility=histogram(300:1)", "workload: mobility: migratetypes"),
    (lambda s: s + " mobility=histogram(1)", "workload: mobility: a number is wanted, not ''"),
])
def test_what_makes_no_sense_is_one_line_that_names_the_key(change: Callable[[str], str], complaint: str) -> None:
    parse(RIGHT)
    with pytest.raises(BadInput) as caught:
        parse(change(RIGHT))
    assert str(caught.value).startswith(complaint)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text, complaint", [
    ("sizes = \n", ": not TOML: "), ("sizes = [1]\n", ": sizes: a number or a text is wanted, not [1]"),
    ("load = true\n", ": load: a number or a text is wanted, not True"), ('memory = "4M"\nload = 7\n', ": load: a load is a share"),
    ('memory = "4M"\nsizes = "histogram(bad.txt)"\n', "bad.txt:2: not a size and a weight: '3 x'"),
    ('memory = "4M"\nspeed = 1\n', ": speed: there is no such key"), ("[sizes]\nconstant = 1\n", ": sizes: a number or a text is wanted"),
])
def test_a_bad_file_is_named_with_the_key(text: str, complaint: str, tmp_path: Path) -> None:
    path = tmp_path / "load.toml"
    path.write_text(text)
    (tmp_path / "bad.txt").write_text("1 5\n3 x\n")
    with pytest.raises(BadInput) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}: ") and complaint in str(caught.value) and "\n" not in str(caught.value)


def test_a_binary_file_is_not_toml(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_bytes(b"\xff\xfe\0")
    with pytest.raises(BadInput, match=r"x\.toml: not TOML"):
        load(tmp_path / "x.toml")
