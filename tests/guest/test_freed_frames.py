"""What freed frames hold under the sanitizer: the pattern, wherever there was anything; and the host's memory is what the guest touched."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from guest.raw import HALT, ask, machine_of, store

from kernel_sim import FrameManager
from kernel_sim.machine.abi import DIRECT_MAP, FRAME_ALLOC, FRAME_FREE
from kernel_sim.machine.call_watch import ASKED_AT_ONCE, MOST_UNASKED, PATTERN
from kernel_sim.machine.machine import Machine

WORD = 0x1122_3344_5566_7788


def taken_and_freed(n_frames: int, touched: list[int]) -> Machine:
    """Take so many frames, write into some, give all back."""
    writes = b"".join(store(WORD, DIRECT_MAP + pfn * 4096 + 8 * (pfn % 512)) for pfn in touched)
    machine = machine_of(ask(FRAME_ALLOC, n_frames) + writes + ask(FRAME_FREE, 0) + HALT, FrameManager(1 << 18, "first-fit"), sanitize=True)
    run = machine.run()
    assert run.stopped == "halt" and run.calls == 2, run.fault
    assert machine.manager.stats().n_frees == 1 and machine.manager.free_runs() == [(0, 1 << 18)]
    return machine


@pytest.mark.parametrize("n_frames", [1, 2, MOST_UNASKED, MOST_UNASKED + 1, ASKED_AT_ONCE, ASKED_AT_ONCE + 1, 5000, 1 << 18])
def test_what_was_touched_is_filled(n_frames: int) -> None:
    touched = sorted({0, n_frames // 2, n_frames - 1})
    machine = taken_and_freed(n_frames, touched)
    for pfn in touched:
        assert (machine.ram.bytes[pfn * 4096:(pfn + 1) * 4096] == PATTERN).all(), pfn


def resident_kib() -> int:
    """This process's memory that the host really has."""
    found = re.search(r"^VmRSS:\s+(\d+)", Path("/proc/self/status").read_text(encoding="ascii"), re.MULTILINE)
    assert found
    return int(found[1])


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="asks /proc/self/status")
def test_what_nobody_touched_takes_nothing_from_the_host() -> None:
    """A gigabyte taken and given back with three frames written to: what is resident afterwards is not a gigabyte."""
    before = resident_kib()
    taken_and_freed(1 << 18, [5, 77_777, 200_000])
    assert resident_kib() - before < 256 << 10
