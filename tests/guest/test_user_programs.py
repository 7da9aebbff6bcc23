"""The user programs in the guest kernel's processes, under pages and under segments: how every process ends, and that no frame stays behind."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import pytest

from kernel_sim import FrameManager
from kernel_sim.machine.machine import Machine
from kernel_sim.machine.modules import find_program
from kernel_sim.machine.processes import processes_of

TRANSLATIONS = ("paging", "segmentation")
POLICY = "buddy"
FRAMES = 8192


class Ran:
    """A run of programs, each NAME or NAME:ARGUMENT, in a memory of its own that must be whole again when all have ended."""

    def __init__(self, programs: Sequence[str], translation: str, *, frames: int = FRAMES, quantum: int = 0) -> None:
        manager = FrameManager(frames, POLICY)
        free = manager.free_runs()
        found = [find_program(name, argument) for name, _, argument in (text.partition(":") for text in programs)]
        machine = Machine(manager, "kernel", programs=found, translation=translation, quantum=quantum)
        self.run = machine.run()
        self.console = self.run.console
        self.processes = processes_of(machine.ram)
        assert self.run.stopped == "exit", (self.run.fault, self.console)
        manager.check()
        assert manager.free_runs() == free

    def ends(self) -> list[tuple[str | None, int | None]]:
        """(why, exit status) of every process, by pid."""
        return [(process.ended, process.exit_status) for process in self.processes]


@pytest.fixture(params=TRANSLATIONS)
def translation(request: pytest.FixtureRequest) -> str:
    return str(request.param)


RIGHT = ("exited", 0)


@pytest.mark.parametrize(("program", "words"), [
    ("hello", r'Hello from ring 3. I am process 1, my argument is "".\n  code 80000000\w+, constants 80000000\w+, data 100000000\w+, '
              r"bss 100000000\w+, heap 180000000000, stack 27fffffff\w+\n"),
    ("malloc", r"first-fit: 3000 operations, .* utilisation 7\d\.\d %\n"),
    ("malloc:next-fit", r"next-fit: 3000 operations, .* utilisation 5\d\.\d %\n"),
    ("malloc:best-fit", r"best-fit: 3000 operations, .* utilisation 8\d\.\d %\n"),
    ("malloc:worst-fit", r"worst-fit: 3000 operations, .* utilisation 4\d\.\d %\n"),
    ("malloc:buddy", r"buddy: 3000 operations, .* utilisation 2\d\.\d %\n"),
    ("matrix:40", r"matrix: 40 x 40 in 2048 KiB, 0 checks failed\n"),
    ("stackgrow", r"stackgrow: 128 levels, 1[34]\d{4} bytes of stack, 0 checks failed\n"),
    ("refused", r"refused: this line was written by a call that is right\n\n*refused: 0 calls were served .*\n"),
    ("segments", r"segments: 30 rounds, the heap has 90 pages, 0 times no room, 0 checks failed\n"),
    ("spin:50", r"spin: process 1 made 50000 steps, 0 checks failed\n"),
    ("spin:idle", r"spin: process 1 gave 1000 turns back\n"),
])
def test_a_program_finds_nothing_wrong(program: str, words: str, translation: str) -> None:
    ran = Ran([program], translation)
    assert re.fullmatch(words, ran.console), ran.console
    assert ran.ends() == [RIGHT]


def test_an_exit_status_reaches_the_report(translation: str) -> None:
    assert Ran(["hello:7"], translation).ends() == [("exited", 7)]
    assert Ran(["malloc:perfect-fit"], translation).ends() == [("exited", 2)]


@pytest.mark.parametrize("depth", [0, 1, 4])
def test_a_tree_of_forks(depth: int, translation: str) -> None:
    """All processes of the tree there, each with the parent that its place in the tree gives it."""
    ran = Ran([f"forktree:{depth}"], translation)
    assert ran.ends() == [RIGHT] * (2 ** (depth + 1) - 1), ran.console
    n_children = Counter(process.parent for process in ran.processes[1:])
    assert list(n_children.values()) == [2] * (2 ** depth - 1)
    if translation == "paging" and depth:
        assert min(process.faults["copy"] for process in ran.processes) > 0


KINDS = ("null", "null-call", "code-write", "rodata-write", "data-execute", "stack-execute", "heap-execute", "kernel-read", "kernel-write",
         "kernel-call", "table-read", "beyond-heap", "below-break", "after-munmap", "beyond-mapping", "beyond-bound", "missing-segment",
         "non-canonical", "stack-overflow", "cli", "hlt", "cr3", "port", "divide", "undefined", "int", "breakpoint", "syscall", "kernel-selector")


@pytest.mark.parametrize("kind", KINDS)
def test_a_wrong_access_ends_the_process(kind: str, translation: str) -> None:
    """And nobody else: the other one comes to its end."""
    ran = Ran([f"wild:{kind}", "spin:1"], translation)
    assert [why for why, _ in ran.ends()] == ["killed", "exited"], ran.console
    assert re.search(r"^pid 1 \(wild\) killed: .*\n", ran.console)
    assert "spin: process 2 made 1000 steps, 0 checks failed\n" in ran.console and "unpunished" not in ran.console


def test_all_wrong_accesses_in_children(translation: str) -> None:
    ran = Ran(["wild"], translation)
    assert ran.ends() == [RIGHT] + [("killed", None)] * len(KINDS), ran.console


def test_memory_that_is_mapped_and_not_touched() -> None:
    """Pages are there when they are touched: in 16 MiB, 24 processes map 24 GiB."""
    ran = Ran(["big:2"] * 24, "paging", frames=4096)
    assert ran.ends() == [RIGHT] * 24, ran.console


def test_a_segment_is_there_as_a_whole_or_not_at_all() -> None:
    ran = Ran(["big"], "segmentation")
    assert ran.ends() == [("exited", 3)] and ran.console == "big: no room for 1 GiB\n"


def test_segments_need_room_in_one_piece() -> None:
    """External fragmentation: in the same memory, pages serve everything, and segments must be refused again and again."""
    words = r"segments: 60 rounds, the heap has 54 pages, (\d+) times no room, 0 checks failed\n"
    refused = {}
    for translation in TRANSLATIONS:
        ran = Ran(["segments:60"], translation, frames=280)
        assert ran.ends() == [RIGHT]
        found = re.fullmatch(words, ran.console)
        assert found, ran.console
        refused[translation] = int(found[1])
    assert refused["paging"] == 0 and refused["segmentation"] > 5


def test_a_large_page() -> None:
    assert Ran(["matrix:8"], "paging").processes[0].large_pages >= 1


def test_the_timer_shares_the_processor(translation: str) -> None:
    """Nobody yields, and all are interrupted: who has less to do ends first, whoever began first."""
    ran = Ran(["spin:300", "spin:30", "spin:100"], translation, quantum=2000)
    assert ran.ends() == [RIGHT] * 3
    assert [process.ticks for process in ran.processes] == pytest.approx([150, 15, 50], abs=5)
    assert re.findall(r"process (\d)", ran.console) == ["2", "3", "1"]


def test_without_a_timer_who_begins_first_ends_first(translation: str) -> None:
    ran = Ran(["spin:30", "spin:idle", "spin:1"], translation)
    assert ran.ends() == [RIGHT] * 3 and not any(process.ticks for process in ran.processes)
    assert re.findall(r"process (\d)", ran.console) == ["1", "3", "2"]


@pytest.mark.parametrize("seed", range(6))
def test_generated_programs(seed: int, translation: str) -> None:
    ran = Ran([f"generated:{seed}"], translation, quantum=(0, 3000)[seed % 2])
    assert set(ran.ends()) == {RIGHT} and ran.console == f"generated: seed {seed}, 0 checks failed\n", ran.console


def test_many_kinds_at_once(translation: str) -> None:
    """Processes that come, fork, grow and go between each other."""
    programs = ["malloc:buddy", "forktree:2", "segments", "matrix:30", "stackgrow", "generated:11", "generated:12", "refused"]
    ran = Ran(programs, translation, frames=2 * FRAMES, quantum=1500)
    assert set(ran.ends()) == {RIGHT}, ran.console


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, 300, 100))
def test_hundreds_of_generated_programs(first: int, translation: str) -> None:
    for seed in range(first, first + 100):
        test_generated_programs(seed, translation)
