"""The sanitizer against bugs that were put in on purpose: each is caught by its name, at its line, and its correct twin is passed over.

The bugs are functions of firmware/programs/bugs.c; the line of a bug is found there by what the function says.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from kernel_sim import FrameManager, Zone
from kernel_sim.machine.abi import DATA_SEGMENT, DIRECT_MAP, SEGMENT_SHIFT
from kernel_sim.machine.machine import Machine, Run

SOURCE = Path(str(files("kernel_sim.firmware"))) / "programs" / "bugs.c"
N_FRAMES, RESERVED = 2048, 2001

DATA = DATA_SEGMENT << SEGMENT_SHIFT

CAUGHT = {
    "use_after_free": "use after free: write of", "read_after_free": "use after free: read of", "use_after_batch_free": "use after free: read of",
    "use_after_partial_free": "use after free: write of", "overrun": "overrun: write of", "underrun": "use after free: write of",
    "use_of_padding": "use of padding: write of", "use_of_reserved": "use of a reserved frame: read of", "double_free": "double free: of frame",
    "interior_free": "free inside an allocation: of frame", "free_of_nothing": "free of what is not allocated: of frame",
    "free_by_another": "free by another: of frame", "read_uninitialised": "uninitialised read: read of byte 0x40",
    "stack_into_guard": "page fault: write to", "beyond_segment": "use of padding: write of", "freed_segment": "use after free: write of",
    "stale_after_unmap": "stale translation after unmap: read of 0x600000", "missing_invlpg": "stale translation: read of 0x600000",
    "invlpg_of_the_wrong_page": "stale translation: read of 0x600000", "second_change_without_invlpg": "stale translation: write of 0x600000",
    "protected_without_invlpg": "stale rights: write of 0x600000", "wrong_address_space": "wrong address space: fetch of 0x400000 from ring 3",
    "double_mapping": "use of another's frame: read of 0x600000 from ring 3", "dangling_mapping": "use after free: read of 0x601000",
    "large_page_of_freed_frames": "use after free: write of 0x900000", "mapping_of_reserved": "use of a reserved frame: read of 0x600000",
    "jump_into_freed_code": "use after free: fetch of 0x401000 from ring 3", "freed_page_table": "page table in a freed frame: read of 0x600000",
    "freed_directory": "page table in a freed frame: read of 0x600000", "freed_root": "page table in a freed frame: read of",
    "table_of_another": "another's page table: read of 0x600000",
    "table_for_ring_3": "page table writable from ring 3: read of 0x601000 from ring 3",
    "write_through": "write to a shared frame: write of 0x600000 from ring 3",
    "write_through_after_share": "write to a shared frame: write of 0x600000 from ring 3",
    "too_few_references": "use after free: read of 0x600000 from ring 3",
    "page_of_another": "uninitialised read: read of byte 0x0 from ring 3",
    "descriptor_beyond_segment": f"descriptor beyond its segment: write of {DATA + 0x2000:#x}",
    "stale_descriptor": f"stale translation: write of {DATA:#x}", "freed_segment_of_a_process": f"use after free: write of {DATA + 8:#x}",
}
"""What the report of each bug begins with."""

LEAKED = {"leaked_frame": "2 frames in 1 allocation of owner 1, who has ended",
          "leaked_remainder": "2 frames in 1 allocation of owner 1, who has ended",
          "leaked_page_table": "1 frame in 1 allocation of owner 1, who has ended, 1 of them page tables"}

NEEDS_BYTES = ("read_uninitialised", "page_of_another")
"""Found only where every byte is kept book of."""
NEEDS_SEGMENTS = ("descriptor_beyond_segment", "stale_descriptor", "freed_segment_of_a_process")
"""On a machine whose user addresses are those of segments."""


@cache
def names() -> list[str]:
    """The bugs by their number, as the program lists them."""
    return re.findall(r"BUG\((\w+)\)", SOURCE.read_text(encoding="utf-8").partition("#define BUG(name)")[2])


def play(name: str, is_right: bool, sanitize: bool = True) -> Run:
    manager = FrameManager([Zone("Low", ((0, N_FRAMES),), reserved=((2000, 2004),))])
    done = Machine(manager, "bugs", arguments=(names().index(name), is_right, RESERVED), budget=3_000_000, sanitize=sanitize,
                   uninitialised=sanitize and name in NEEDS_BYTES, translation="segmentation" if name in NEEDS_SEGMENTS else "paging").run()
    manager.check()
    assert done.console.startswith(name)
    return done


def test_every_bug_has_a_name_to_be_caught_by() -> None:
    assert set(names()) == {*CAUGHT, *LEAKED}
    assert len(names()) > 20


@pytest.mark.parametrize("name", CAUGHT)
def test_caught_by_name(name: str) -> None:
    done = play(name, is_right=False)
    assert not done.ok
    said = str(done.findings[0] if done.findings else done.fault)
    assert said.startswith(CAUGHT[name]), said
    if name not in NEEDS_BYTES:     # what was never written does not stop the run
        assert done.stopped == "fault" and str(done.fault) == said


@pytest.mark.parametrize("name", LEAKED)
def test_leaks_by_name(name: str) -> None:
    done = play(name, is_right=False)
    assert (done.stopped, done.exit_status, done.ok) == ("exit", 0, False)
    leaked = [leak for leak in done.leaks if leak.has_ended]
    assert [str(leak) for leak in leaked] == [LEAKED[name]]
    assert any(f"({name}+" in line and " programs/" in line for line in leaked[0].stack)


@pytest.mark.parametrize("name", [*CAUGHT, *LEAKED])
def test_the_correct_twin_is_passed_over(name: str) -> None:
    done = play(name, is_right=True)
    assert done.ok and done.findings == () and done.fault is None and not any(leak.has_ended for leak in done.leaks)


@pytest.mark.parametrize("name", ["use_after_free", "missing_invlpg", "double_mapping", "use_of_padding", "write_through", "leaked_frame"])
def test_unnoticed_without_the_sanitizer(name: str) -> None:
    """As on a real machine. Nothing is looked at, and nothing is said."""
    done = play(name, is_right=False, sanitize=False)
    assert done.ok and done.findings == () and done.leaks == ()


def test_a_report_in_full() -> None:
    """Frame, address, access, instruction, function and line; who had the frame, who freed it, and from where."""
    lines = SOURCE.read_text(encoding="utf-8").splitlines()
    first = lines.index("static void read_after_free(void)") + 1
    line_of = {text: first + 1 + at for at, text in enumerate(line.strip() for line in lines[first:first + 9])}
    done = play("read_after_free", is_right=False)
    found, = done.findings
    place = rf"0x\w+ \(read_after_free\+0x\w+\) programs/bugs.c:{line_of['touch(at(pfn) + 8);']}"
    message = rf"use after free: read of 0x(\w+), frame 0x(\w+), by `mov \w+, qword ptr \[\w+ \+ 8\]` at {place}"
    said = re.fullmatch(message, str(found))
    assert said and done.fault is found
    assert int(said[1], 16) == found.address == DIRECT_MAP + 4096 * found.pfn + 8
    assert (int(said[2], 16), found.kind, found.access, found.owner, found.event) == (found.pfn, "use after free", "read", 0, 2)
    told = "\n".join(found.details)
    assert f"frame {found.pfn:#x} is free: owner 0 had it last, event 2 freed it" in told
    freed = told.partition("freed by:")[2].partition("allocated by:")[0]
    assert re.search(rf"\(read_after_free\+0x\w+\) programs/bugs.c:{line_of['frame_free(pfn);']}$", freed, re.M)
    allocated = told.partition("allocated by:")[2]
    assert re.search(rf"\(read_after_free\+0x\w+\) programs/bugs.c:{line_of['pfn_t pfn = frame_alloc(1);']}$", allocated, re.M)
    assert any(line.startswith("-> ") and "(read_after_free+" in line for line in done.listing)


def test_a_report_from_ring_3() -> None:
    """The instruction is read through the address space."""
    done = play("double_mapping", is_right=False)
    assert "by `mov rax, qword ptr [rdi]` at 0x400007" in str(done.fault)
    assert done.listing == ("-> 0x400007  mov rax, qword ptr [rdi]",)
    assert "this is the address space of owner 2" in done.findings[0].details


class Lowest:
    """A policy in plain Python: the lowest frames that fit."""

    def __init__(self, zone: Any) -> None:
        self.free_frames = {pfn for first, end in zone.free_runs for pfn in range(first, end)}

    def alloc(self, n_frames: int) -> int | None:
        for pfn in sorted(self.free_frames):
            run = set(range(pfn, pfn + n_frames))
            if run <= self.free_frames:
                self.free_frames -= run
                return pfn
        return None

    def free(self, pfn: int, n_frames: int) -> None:
        self.free_frames |= set(range(pfn, pfn + n_frames))


@pytest.mark.parametrize("name", ["read_after_free", "overrun", "missing_invlpg", "freed_page_table"])
def test_a_plain_policy_is_watched_as_well(name: str) -> None:
    for is_right in (False, True):
        done = Machine(FrameManager(64, Lowest), "bugs", arguments=(names().index(name), is_right), sanitize=True).run()
        assert done.ok if is_right else str(done.fault).startswith(CAUGHT[name])


def test_what_was_there_before_the_machine_is_no_leak() -> None:
    manager = FrameManager(256, in_use=[(16, 32)])
    kept = manager.alloc(4, owner=7)
    done = Machine(manager, "hello", sanitize=True).run()
    assert done.ok and [(leak.owner, leak.n_frames, leak.stack) for leak in done.leaks] == [(7, 4, ())]
    manager.free(kept)


def test_what_is_freed_is_filled_with_a_pattern() -> None:
    machine = Machine(FrameManager(256), "bugs", arguments=(names().index("read_after_free"), True), sanitize=True)
    assert machine.run().ok
    first = machine.ram.bytes[:4096]
    assert (first == 0xDD).all() and not machine.ram.bytes[4096:8192].any()


def orderly(seed: int, n_steps: int = 150, **options: bool) -> None:
    manager = FrameManager(2048)
    done = Machine(manager, "orderly", seed=seed, arguments=(n_steps,), **options).run()
    said = (done.fault, done.findings, [str(leak) for leak in done.leaks], done.console)
    assert said == (None, (), [], "0 words wrong, 0 frames in use\n"), f"seed {seed}"
    assert done.ok
    manager.check()


@pytest.mark.parametrize("seed", range(4))
def test_correct_programs_are_passed_over(seed: int) -> None:
    """Programs that a seed makes up: allocations, partial frees, segments, mappings, sharing, copies on write, all as they should be."""
    orderly(seed, sanitize=True)


def test_correct_programs_read_what_they_have_written() -> None:
    orderly(5, 60, sanitize=True, uninitialised=True)


def test_an_invalidation_left_out_is_stale_or_harmless() -> None:
    """Each time another one of a correct program's: the finding, if there is one, is of a translation that should have been forgotten."""
    kinds = set()
    for left_out in range(1, 13):
        done = Machine(FrameManager(2048), "orderly", seed=8, arguments=(150, left_out), sanitize=True).run()
        kinds |= {found.kind for found in done.findings}
        assert done.ok or done.findings
    assert "stale translation" in kinds and kinds <= {"stale translation", "stale rights", "stale translation after unmap"}


@pytest.mark.slow
def test_a_thousand_correct_programs_are_passed_over() -> None:
    for seed in range(1000):
        orderly(seed, sanitize=True)
