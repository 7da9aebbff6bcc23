"""Guests that attack the machine, and processes that attack their kernel; and what the sanitizer must not take for a mistake.

What each trap must look like is the manuals': AMD64 Architecture Programmer's Manual, volume 2, sections 8.2 (exceptions and their error codes) and
8.9 (gates); what a guest does is in `hostile/`.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from kernel_sim.firmware import build

from kernel_sim import FrameManager
from kernel_sim.machine.machine import Machine, Run

HERE = Path(__file__).parent
FRAMES = 4096
SECONDS = 1200

(MICROCODE_WRITTEN, POINTER_ON_THE_STACK, SINGLE_STEP, PAGE_FAULT_ASKED_FOR, ABSENT_GATE, PORT_READ, NO_TASK_STATE, GATE_WITHOUT_TASK_STATE,
 SHORT_TASK_STATE, HANDLER_NOWHERE) = range(10)
(FRAME_ON_A_STACK, STACK_OF_ITS_OWN, STORE_OVER_THE_BORDER, LOAD_OVER_THE_BORDER, COPY_OVER_THE_BORDER, NEVER_WRITTEN,
 DROPPED_BY_CR4, KERNELS_TABLE_FREED) = range(8)
DEMAND = (14, 0x4)      # a page on demand: not present, read by ring 3


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile")
    for name in ("attacks", "watched", "anything"):
        build.build(HERE / "hostile" / f"{name}.c", folder)
    return folder


def attack(images: Path, what: int) -> Run:
    return Machine(FrameManager(FRAMES), images / "attacks.elf", budget=100_000, sanitize=False, arguments=[what]).run()


def traps(run: Run) -> list[tuple[int, int, int, int, int]]:
    """(vector, error code, RIP in the page of code, CS, CR2) of each trap that the guest told."""
    found = []
    for line in run.console.splitlines():
        words = line.split()
        found.append((int(words[0]), *(int(word, 16) for word in words[2::2])))
    return [(vector, error, rip - 0x40_0000, cs, address) for vector, error, rip, cs, address in found]


@pytest.mark.parametrize(("what", "expected"), [
    (MICROCODE_WRITTEN, [(*DEMAND, 0x0, 0x403000), (14, 0x7, 0x0F, 0xFFFF_FFFF_801C_C800)]),
    (SINGLE_STEP, [(*DEMAND, 0x0A, 0x403000), (1, 0, 0x12, 0), (1, 0, 0x13, 0), (6, 0, 0x13, 0)]),
    (PAGE_FAULT_ASKED_FOR, [(13, 14 << 3 | 2, 0x01, 0)]),
    (ABSENT_GATE, [(11, 50 << 3 | 2, 0x01, 0)]),
])
def test_ring_3_stays_there(images: Path, what: int, expected: list[tuple[int, int, int, int]]) -> None:
    """After a fault ring 3 cannot write to the machine's own pages, nor are its single steps made in them; and `int` goes through no gate that is not
    for it: then RIP is the instruction's, and the error code names the gate, which for one that is absent is another exception."""
    run = attack(images, what)
    assert run.stopped == "exit"
    assert [(vector, error, rip, address) for vector, error, rip, _, address in traps(run)] == expected
    assert {cs for _, _, _, cs, _ in traps(run)} == {0x23}


def test_a_far_pointer_that_is_the_kernels(images: Path) -> None:
    """A far call reads the kernel's tables with the rights of ring 0, but its own operand with those of ring 3: were that granted, the page would be
    the process's from then on."""
    first, second = traps(attack(images, POINTER_ON_THE_STACK))
    assert first[:2] == DEMAND
    assert second[:2] == (14, 0x5) and second[3] == 0x23 and second[4] >> 63


def test_ring_3_reads_no_port(images: Path) -> None:
    found, = traps(attack(images, PORT_READ))
    assert found[:2] == (13, 0)


@pytest.mark.parametrize("what", [NO_TASK_STATE, GATE_WITHOUT_TASK_STATE, SHORT_TASK_STATE])
def test_without_a_task_state_there_is_no_way_into_ring_0(images: Path, what: int) -> None:
    """The engine itself would end the process of the host here, or try for ever."""
    run = attack(images, what)
    assert run.stopped == "fault" and str(run.fault).startswith("triple fault, which began with a ") and run.blocks < 1000


def test_a_handler_that_is_not_there_is_tried_until_the_budget_is_used_up(images: Path) -> None:
    """On a stack of its own, so that no stack overflows; a processor would do so for ever."""
    run = attack(images, HANDLER_NOWHERE)
    assert (run.stopped, run.blocks) == ("budget", 100_000)


@pytest.mark.parametrize("what", [FRAME_ON_A_STACK, STACK_OF_ITS_OWN, STORE_OVER_THE_BORDER, LOAD_OVER_THE_BORDER, COPY_OVER_THE_BORDER])
def test_what_was_written_is_initialised(images: Path, what: int) -> None:
    """By the processor, for a trap, or over the border of two pages."""
    run = Machine(FrameManager(FRAMES), images / "watched.elf", uninitialised=True, arguments=[what]).run()
    assert run.ok, run.findings


@pytest.mark.parametrize(("what", "said"), [
    (NEVER_WRITTEN, "uninitialised read: read of byte 0x4,"), (KERNELS_TABLE_FREED, "page table in a freed frame: read of 0xffff960000001000,"),
])
def test_what_is_found(images: Path, what: int, said: str) -> None:
    run = Machine(FrameManager(FRAMES), images / "watched.elf", sanitize=True, uninitialised=what == NEVER_WRITTEN, arguments=[what]).run()
    assert [str(finding)[:len(said)] for finding in run.findings] == [said]


def test_a_write_to_cr4_drops_translations(images: Path) -> None:
    """CR4.PGE off and on again: what kernels do to drop global translations, too."""
    run = Machine(FrameManager(FRAMES), images / "watched.elf", sanitize=True, arguments=[DROPPED_BY_CR4]).run()
    assert run.ok, run.findings


def survived(images: Path, first: int, end: int) -> None:
    """Play hostile guests in a process of their own, which may be brought down."""
    command = [sys.executable, "-X", "faulthandler", "-m", "guest.hostile_guests", str(images / "anything.elf"), str(first), str(end)]
    done = subprocess.run(command, cwd=HERE.parent, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, (done.returncode, done.stdout.split()[-1:], done.stderr[-2000:])
    assert done.stdout.split()[-1] == "all"


def test_hostile_guests(images: Path) -> None:
    survived(images, 0, 40)


@pytest.mark.slow
def test_many_hostile_guests(images: Path) -> None:
    survived(images, 40, 2000)
