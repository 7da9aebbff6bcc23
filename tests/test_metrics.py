"""Samples of a replay, every column of every sample, against a set of frames that follows the placements by itself."""

from __future__ import annotations

import csv
import io
import os
import signal
from itertools import pairwise

import pytest

from kernel_sim import BadInput, FrameManager, Trace, load_policy
from kernel_sim.fragmentation import cut_aligned
from kernel_sim.operations import ALLOC, FREE
from kernel_sim.study import slots
from kernel_sim.study.metrics import COLUMNS, Sampler, Samples, often_enough
from kernel_sim.study.replay import Replay, play, replay
from kernel_sim.study.workload import generate, parse

SPEC = "sizes=uniform(1,9) lifetimes=bimodal(5,50,0.3) load=0.8 memory=4M operations=400 seed=2"


def sampled(policy: str, every: int, spec: str = SPEC) -> Replay:
    """A replay in the interpreter."""
    trace = generate(parse(spec))
    assert trace.plain_frames is not None
    return play(FrameManager(trace.plain_frames, load_policy(policy, uncompiled=True)), slots.operations(trace, None, None), every=every)


def runs_of(frames: set[int], n_frames: int) -> list[tuple[int, int]]:
    edges = [pfn for pfn in range(n_frames + 1) if (pfn in frames) != (pfn - 1 in frames)]
    return list(zip(edges[::2], edges[1::2], strict=True))


def model(done: Replay, granted: dict[int, int], n: int) -> dict[str, float]:
    """What a sample after `n` operations must hold, from the placements alone. `granted` says what the policy gives for each size."""
    operations = done.plan.operations[:n].tolist()
    free, padding, failed = set(range(1024)), 0, 0
    for kind, _, _, _, _, n_frames, _, slot in operations:
        pfn = int(done.performed.placements[slot])
        if pfn < 0:
            failed += kind == ALLOC
            continue
        frames = set(range(pfn, pfn + granted[n_frames]))
        padding += (granted[n_frames] - n_frames) * (1 if kind == ALLOC else -1)
        assert frames <= free if kind == ALLOC else not frames & free
        free = free - frames if kind == ALLOC else free | frames
    runs = runs_of(free, 1024)
    orders = [order for first, end in runs for _, order in cut_aligned(first, end)]
    largest = max((end - first for first, end in runs), default=0)
    n_free, n_used = len(free), 1024 - len(free)
    unusable = {f"unusable_index_{order}": sum(1 << small for small in orders if small < order) * 1000 // n_free for order in range(11)}
    return {
        "operation": n, "free_frames": n_free, "used_frames": n_used, "padding_frames": padding, "holes": len(runs), "largest_free_run": largest,
        "internal_fragmentation": round(padding / n_used, 6) if n_used else 0, "external_fragmentation": round(1 - largest / n_free, 6),
        "free_huge_frames": orders.count(9) + 2 * orders.count(10), "failed": failed, **unusable,
        **{f"free_blocks_{order}": orders.count(order) for order in range(11)},
    }


@pytest.mark.parametrize("policy", ["buddy", "first-fit"])
def test_every_column_of_every_sample(policy: str) -> None:
    done = sampled(policy, 7)
    granted = {size: 1 << (size - 1).bit_length() if policy == "buddy" else size for size in range(1, 10)}
    assert done.samples is not None
    for row in done.samples.rows:
        seen = dict(zip(COLUMNS, row, strict=True))
        expected = model(done, granted, int(seen["operation"]))
        assert {name: value for name, value in seen.items() if name in expected} == pytest.approx(expected, abs=1e-6)
        assert seen.keys() - expected.keys() == {"steps", "steps_per_operation"}
    assert done.samples.column("operation") == [*range(0, 400, 7), 400]


def test_steps_are_the_policys() -> None:
    """A sample after every operation: the steps of each add up to the manager's, and the pace is theirs."""
    done = sampled("first-fit", 1)
    assert done.samples is not None
    steps = done.samples.column("steps")
    assert steps[-1] == done.manager.stats().steps
    assert done.samples.column("steps_per_operation")[1:] == [after - before for before, after in pairwise(steps)]
    coarse = sampled("first-fit", 100).samples
    assert coarse is not None
    assert coarse.column("steps_per_operation")[1:] == pytest.approx([(steps[n] - steps[n - 100]) / 100 for n in (100, 200, 300, 400)])


@pytest.mark.parametrize("every", [1, 3, 64, 400, 1000])
def test_sampling_changes_nothing(every: int) -> None:
    with_samples, without = sampled("first-fit", every), sampled("first-fit", 0)
    assert with_samples.performed.placements_sha256 == without.performed.placements_sha256
    assert with_samples.manager.stats() == without.manager.stats()
    assert without.samples is None
    assert with_samples.samples is not None
    assert with_samples.samples.column("operation") == [*range(0, 400, every), 400]


def test_a_recorded_machine() -> None:
    """Zones, holes and memory in use from the start: the last sample is the report's end, and the first one its beginning."""
    trace = Trace.load("tiny")
    done = replay(trace, "buddy", every=1000)
    assert done.samples is not None
    report, last = done.report(), dict(zip(COLUMNS, done.samples.rows[-1], strict=True))
    assert report["samples"]["every"] == 1000
    assert last["free_frames"] == report["frames"]["free"]
    assert last["largest_free_run"] == report["frames"]["largest_free_run"]
    assert last["holes"] == len(done.manager.free_runs())
    for order in range(11):
        assert last[f"free_blocks_{order}"] == sum(blocks[order] for blocks in report["buddyinfo"].values())
        assert last[f"unusable_index_{order}"] == done.manager.unusable_index(order)
    first = dict(zip(COLUMNS, done.samples.rows[0], strict=True))
    assert trace.start is not None
    assert first["holes"] == trace.start.n_free_runs and first["steps_per_operation"] == 0


def test_a_full_and_an_empty_memory() -> None:
    trace = Trace.of([ALLOC, FREE], [8, 8], [0, 0])
    rows = play(FrameManager(8, load_policy("first-fit", uncompiled=True)), slots.operations(trace, None, None), every=1).samples
    assert rows is not None
    full = dict(zip(COLUMNS, rows.rows[1], strict=True))
    assert (full["free_frames"], full["holes"], full["largest_free_run"], full["external_fragmentation"]) == (0, 0, 0, 0)
    assert [full[f"unusable_index_{order}"] for order in range(11)] == [1000] * 11
    assert rows.column("external_fragmentation") == [0, 0, 0]


@pytest.mark.usefixtures("heard_interrupts")
def test_an_interrupt_leaves_the_samples_so_far() -> None:
    def stop(done: int) -> None:
        if done == 128:
            os.kill(os.getpid(), signal.SIGINT)

    trace = generate(parse(SPEC))
    done = play(FrameManager(1024, load_policy("first-fit", uncompiled=True)), slots.operations(trace, None, None), stop, 64)
    assert not done.complete
    assert done.samples is not None
    assert done.samples.column("operation")[-1] == done.performed.n_performed == 128


def test_the_csv_is_the_rows() -> None:
    samples = sampled("buddy", 50).samples
    assert samples is not None
    names, *rows = csv.reader(io.StringIO(samples.as_csv()))
    assert tuple(names) == COLUMNS
    assert [[float(value) for value in row] for row in rows] == [list(row) for row in samples.rows]
    assert samples.as_json()["holes"] == samples.column("holes")
    with pytest.raises(KeyError):
        samples.column("nonsense")


def test_how_often() -> None:
    assert [often_enough(n) for n in (0, 1, 199, 200, 201, 100_000)] == [1, 1, 1, 1, 2, 500]
    with pytest.raises(BadInput, match="at least"):
        Sampler(FrameManager(8, load_policy("first-fit", uncompiled=True)), 0)
    assert isinstance(Sampler(FrameManager(8, load_policy("first-fit", uncompiled=True)), 5).samples(3), Samples)
