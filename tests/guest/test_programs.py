"""The programs of the SDK, end to end: under every policy, on memories of every kind, and none of them keeps a frame."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from contract.specs import BUILT_IN, PLAIN, SPECS, short

from kernel_sim import FrameManager
from kernel_sim.machine.machine import Machine
from kernel_sim.zones import Range, Zone, count, cut_zones, read_memory_map

PROGRAMS = ("hello", "exhaust", "segments", "moving", "misuse")
RECORDED = Path(__file__).parents[1] / "data/kernel/mixed_256M_k612/iomem"

WRONG = ("misuse", "bugs")       # on purpose
MEMORIES: dict[str, tuple[Sequence[Zone], Sequence[Range]]] = {
    "one frame": ([Zone("Memory", ((0, 1),))], ()),
    "three frames": ([Zone("Memory", ((0, 3),))], ()),
    "an odd number": ([Zone("Memory", ((0, 1021),))], ()),
    "holes, reserved, in use": ([Zone("Low", ((3, 9), (17, 200)), reserved=((20, 30),)), Zone("High", ((4096, 6001),))], ((40, 80), (5000, 5100))),
    "above 4 GiB": ([Zone("DMA32", ((16, 1024),)), Zone("Normal", ((1 << 20, (1 << 20) + 2048),))], ()),
    "many ranges": ([Zone("Memory", tuple((5 * i, 5 * i + 3) for i in range(200)))], ()),
}


@pytest.mark.parametrize("spec", SPECS, ids=short)
@pytest.mark.parametrize("memory", MEMORIES)
def test_all_end_well_and_leave_nothing_behind(spec: str, memory: str) -> None:
    zones, in_use = MEMORIES[memory]
    manager = FrameManager(zones, spec, in_use)
    free = manager.free_runs()
    for program in PROGRAMS:
        run = Machine(manager, program, seed=17, sanitize=program not in WRONG).run()
        assert run.ok, (program, run.stopped, run.exit_status, run.fault, run.console)
        assert run.calls > 0 and run.blocks > 0 and not run.listing
        manager.check()
        assert manager.free_runs() == free, program


@pytest.mark.parametrize("spec", ["buddy", "page-stack", PLAIN], ids=short)
def test_the_recorded_machine(spec: str) -> None:
    """A memory map of a real kernel, with its holes, cut into its zones."""
    zones = cut_zones(read_memory_map(RECORDED))
    manager = FrameManager(zones, spec)
    for program in ("hello", "misuse"):
        run = Machine(manager, program, sanitize=program not in WRONG).run()
        assert run.ok, run.console
        manager.check()
    if spec != PLAIN:
        run = Machine(manager, "exhaust").run()
        assert run.ok and run.frames_written == run.frames_verified == sum(zone.n_frames for zone in zones)
        manager.check()


def test_hello_tells_what_machine_it_is() -> None:
    ranges = read_memory_map(RECORDED)
    manager = FrameManager(cut_zones(ranges))
    run = Machine(manager, "hello").run()
    assert f"{count(ranges)} frames, {count(ranges)} of them free." in run.console
    told = [(int(first, 16), int(end, 16)) for first, end in re.findall(r"memory from 0x([0-9a-f]+) to 0x([0-9a-f]+)", run.console)]
    assert [(first * 4096, end * 4096) for first, end in ranges] == told
    assert run.calls == 3


@pytest.mark.parametrize("spec", BUILT_IN)
def test_exhaust_gets_every_frame(spec: str) -> None:
    """Every frame but those in use: written to through the direct map, and given back."""
    zones, in_use = MEMORIES["holes, reserved, in use"]
    manager = FrameManager(zones, spec, in_use)
    n_free = manager.stats().n_free
    machine = Machine(manager, "exhaust", sanitize=False)       # which would fill what was freed
    run = machine.run()
    assert (run.frames_written, run.frames_verified) == (n_free, n_free)
    assert f"took {n_free} frames, {n_free} were free" in run.console
    words = machine.ram.bytes.view(np.int64)
    chained = {pfn for pfn in range(6001) if words[pfn * 512] != 0}     # each holds the number of the one before; one may hold number 0
    expected = {pfn for first, end in manager.free_runs() for pfn in range(first, end)}
    assert chained <= expected and len(expected - chained) <= 1


@pytest.mark.parametrize("seed", range(5))
def test_segments_finds_no_fault(seed: int) -> None:
    """Loading and unloading in a memory that is often too full or too scattered."""
    manager = FrameManager(700, "first-fit")
    run = Machine(manager, "segments", seed=seed).run()
    loads, unloads, no_room, failed = map(int, re.findall(r"\d+", run.console))
    assert run.ok and (failed, run.corrupted) == (0, 0) and loads == unloads > 100 and no_room > 50
    stats = manager.stats()
    assert (stats.n_allocs, stats.n_failed) == (loads, no_room)
    manager.check()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("spec", ["buddy", "first-fit"])
def test_moving_finds_every_word_where_it_was_written(spec: str, seed: int) -> None:
    """Growing in place and elsewhere, compactions, too little room; and code is executed where it was moved to, not what ran there before."""
    manager = FrameManager(150, spec)
    run = Machine(manager, "moving", seed=seed, translation="segmentation").run()
    in_place, elsewhere, no_room, compactions, moved, copied, failed = map(int, re.findall(r"-?\d+", run.console))
    assert run.ok and (failed, run.corrupted) == (0, 0), run.console
    assert min(in_place, elsewhere, no_room, compactions) > 5 and copied >= moved > 50
    manager.check()


def test_misuse_changes_nothing() -> None:
    manager = FrameManager(500)
    run = Machine(manager, "misuse", sanitize=False).run()
    assert run.ok and run.console == f"{run.refused} wrong calls tried, 0 not refused by their name\n"
    assert manager.stats().n_refused == 23


def test_doorbell_takes_and_gives_back() -> None:
    manager = FrameManager(1024)
    run = Machine(manager, "doorbell", arguments=[512]).run()
    assert run.stopped == "halt" and run.calls == 1024 == manager.stats().n_allocs + manager.stats().n_frees
    manager.check()
