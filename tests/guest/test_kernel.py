"""The guest kernel: when frames appear, are copied and come back, who is ended and who is not, and what it takes not to be impressed.

What processes find in their memory they check themselves (firmware/user/programs, tests/guest/user/scenarios.c); how many faults and frames that
must have cost is worked out here.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from contract.specs import ALWAYS
from kernel_sim.firmware import build

from kernel_sim import FrameManager, load_policy
from kernel_sim.machine import abi
from kernel_sim.machine.loader import find_guest, read_image
from kernel_sim.machine.machine import Machine, Run
from kernel_sim.machine.modules import Program, find_program

TRANSLATIONS = ("paging", "segmentation")
SCENARIOS = Path(__file__).parent / "user" / "scenarios.c"
NO_LARGE_PAGES = 1


@pytest.fixture(scope="module")
def scenarios(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build.build(SCENARIOS, tmp_path_factory.mktemp("scenarios"), build.USER)


@pytest.fixture(params=TRANSLATIONS)
def translation(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Ran:
    """A run of the kernel that came to its end, with every frame back; `processes` is the process table, from pid 1 on."""

    def __init__(self, programs: Sequence[Program], *, frames: int = 4096, policy: str = "buddy", translation: str = "paging", quantum: int = 0,
                 large_pages: bool = False) -> None:
        self.manager = FrameManager(frames, policy if policy in ALWAYS else load_policy(policy, uncompiled=True))
        free = self.manager.free_runs()
        machine = Machine(self.manager, "kernel", programs=programs, translation=translation, quantum=quantum,
                          arguments=[0 if large_pages else NO_LARGE_PAGES])
        self.run: Run = machine.run()
        table = machine.ram.shared(abi.PROCESS_TABLE, abi.dtype(abi.Process), abi.MAX_PROCESSES)
        self.processes = np.array(table[1:][table["pid"][1:] != 0])
        assert self.run.ok, (self.run.stopped, self.run.exit_status, self.run.fault, self.run.console)
        assert not self.processes["is_live"].any() and not self.processes["n_frames"].any()
        self.manager.check()
        assert self.manager.free_runs() == free

    @property
    def console(self) -> str:
        return self.run.console

    def ended(self) -> list[int]:
        """Why each process ended."""
        return [int(why) for why in self.processes["ended"]]

    def faults(self, pid: int) -> list[int]:
        """Demand-zero, copy, growth and fatal ones."""
        return [int(count) for count in self.processes["faults"][pid - 1]]

    def most(self, pid: int) -> int:
        return int(self.processes["most_frames"][pid - 1])


def scenario(image: Path, argument: str) -> Program:
    return find_program(str(image), argument)


def exited_well(ran: Ran) -> bool:
    return ran.ended() == [abi.ENDED_EXIT] * len(ran.processes) and not ran.processes["exit_status"].any()


# -- pages: demand-zero, copy-on-write, large pages -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n_pages", "step"), [(100, 1), (100, 3), (700, 7), (2048, 100), (1 << 18, 5000)])
def test_a_page_is_there_when_it_is_touched(n_pages: int, step: int, scenarios: Path) -> None:
    """Frames: one for each page that was touched, and a table for every 512 pages of which one was."""
    empty, ran = Ran([scenario(scenarios, "touch 1 1")]), Ran([scenario(scenarios, f"touch {n_pages} {step}")])
    touched = range(0, n_pages, step)
    tables = len({page // 512 for page in touched})
    assert exited_well(ran)
    assert ran.faults(1)[0] - empty.faults(1)[0] == len(touched) - 1
    assert ran.most(1) - empty.most(1) == len(touched) - 1 + tables - 1


def test_large_pages_where_a_mapping_covers_them(scenarios: Path) -> None:
    """A mapping of 2048 pages, all four of its large pages touched: four faults in the place of 2048."""
    ran = Ran([scenario(scenarios, "touch 2048 1")], frames=8192, large_pages=True)
    small = Ran([scenario(scenarios, "touch 2048 1")], frames=8192)
    assert int(ran.processes["large_pages"][0]) == 4 and int(small.processes["large_pages"][0]) == 0
    assert small.faults(1)[0] - ran.faults(1)[0] == 2048 - 4
    assert small.most(1) - ran.most(1) == 4         # the tables that show small pages
    assert exited_well(ran) and exited_well(small)


def test_no_large_page_in_the_last_quarter_of_memory(scenarios: Path) -> None:
    """Of 4096 frames 3072 may go to large pages, the kernel's own frames not counted: five of six, and the rest in small ones."""
    ran = Ran([scenario(scenarios, "touch 3072 256")], large_pages=True)
    assert exited_well(ran) and int(ran.processes["large_pages"][0]) == 5
    assert ran.faults(1)[0] - Ran([scenario(scenarios, "touch 1 1")]).faults(1)[0] == 5 + 2 - 1


@pytest.mark.parametrize(("n_pages", "n_written"), [(20, 0), (20, 7), (20, 20), (600, 33)])
def test_a_fork_copies_what_is_written(n_pages: int, n_written: int, scenarios: Path) -> None:
    """Both copy what they write: the child its part and a page of its stack, the parent such a page, too. When the child has ended, all is the
    parent's alone again, and writing takes no frame: it holds one more than without a fork, while it copies that page of its stack."""
    ran = Ran([scenario(scenarios, f"copies {n_pages} {n_written}")])
    alone = Ran([scenario(scenarios, f"touch {n_pages} 1")])
    assert exited_well(ran)
    assert ran.faults(2) == [0, n_written + 1, 0, 0]
    assert ran.faults(1)[1] == n_pages + 1
    assert ran.most(1) == alone.most(1) + 1
    assert ran.most(2) == alone.most(1) + (n_written > 0)       # what is shared counts for both


@pytest.mark.parametrize(("frames", "n_large"), [(8192, 1), (2000, 0)])
def test_a_fork_with_large_pages(frames: int, n_large: int, scenarios: Path) -> None:
    """Two large pages and the rest of a third, shared; a write to one copies all of it, to a large one or, in the smaller memory, to small ones."""
    ran = Ran([scenario(scenarios, "copies 1100 100")], frames=frames, large_pages=True)
    assert exited_well(ran)
    assert ran.processes["large_pages"].tolist() == [2, n_large]
    assert ran.faults(2)[1] == 2


@pytest.mark.parametrize("large_pages", [False, True])
@pytest.mark.parametrize(("n_pages", "cut"), [(20, 3), (1600, 100), (1600, 512), (1600, 600)])
def test_parts_of_a_mapping_go(n_pages: int, cut: int, large_pages: bool, scenarios: Path) -> None:
    """Also through the middle of a large page, which a child still has whole."""
    ran = Ran([scenario(scenarios, f"parts {n_pages} {cut}")], frames=16384, large_pages=large_pages)
    assert exited_well(ran), ran.console


def test_what_a_stack_grows_by_is_zero(scenarios: Path, translation: str) -> None:
    """A page at a time, or, as a segment, to twice its size, with what was in it moved up."""
    ran = Ran([scenario(scenarios, "deeper")], translation=translation)
    assert exited_well(ran), ran.console
    assert ran.faults(1)[2] == (4 if translation == "paging" else 1)


# -- segments ---------------------------------------------------------------------------------------------------------------------------


def test_a_segment_is_all_there_at_once(scenarios: Path) -> None:
    """No fault, however much is touched, and as many frames as the mapping has."""
    empty, ran = (Ran([scenario(scenarios, f"touch {n} 1")], translation="segmentation") for n in (1, 300))
    assert exited_well(ran) and ran.faults(1) == [0, 0, 0, 0]
    assert ran.most(1) - empty.most(1) == 299


def test_a_fork_copies_segments_and_shares_code(scenarios: Path) -> None:
    ran = Ran([scenario(scenarios, "copies 20 7")], translation="segmentation")
    assert exited_well(ran) and ran.faults(2) == [0, 0, 0, 0]
    assert ran.most(1) == ran.most(2)


@pytest.mark.parametrize("policy", ["first-fit", "best-fit", "worst-fit", "linux"])
def test_scattered_segments_are_moved_together(policy: str, scenarios: Path) -> None:
    """Ten segments of 100 frames, every second one freed: 550 in one piece need compaction, also of the other processes' segments.

    A top table is a frame that does not move, so one in the wrong place can prevent it: worst fit puts them into the middle of things.
    """
    ran = Ran([scenario(scenarios, "scatter 100 550"), find_program("forktree", "1"), find_program("segments")], frames=1500, policy=policy,
              translation="segmentation", quantum=500)
    assert ran.ended() == [abi.ENDED_EXIT] * 5
    assert ran.console.count(" 0 checks failed") == 2       # forktree and segments, which were moved, too
    assert "holds" not in ran.console
    assert exited_well(ran) or policy in ("worst-fit", "linux"), ran.console


# -- who is ended -----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["buddy", "first-fit", "page-stack", "linux"])
def test_the_largest_is_ended_when_memory_runs_out(policy: str, scenarios: Path) -> None:
    """Three grow at paces of 9, 5 and 3 pages a turn, towards a hundred times that, in 1500 frames: the first has most, and goes; the others end."""
    programs = [scenario(scenarios, "eat 900 9"), scenario(scenarios, "eat 500 5"), scenario(scenarios, "eat 300 3"), find_program("hello", "9")]
    ran = Ran(programs, frames=1500, policy=policy)
    assert ran.ended() == [abi.ENDED_OUT_OF_MEMORY, abi.ENDED_EXIT, abi.ENDED_EXIT, abi.ENDED_EXIT]
    assert re.search(r"^pid 1 \(scenarios\) killed: out of memory, with \d+ frames$", ran.console, re.MULTILINE)
    assert int(ran.processes["exit_status"][3]) == 9


def test_among_equals_the_youngest_is_ended(scenarios: Path) -> None:
    ran = Ran([scenario(scenarios, "eat 200 1")] * 4, frames=600)
    assert ran.ended() == [abi.ENDED_EXIT, abi.ENDED_EXIT, abi.ENDED_OUT_OF_MEMORY, abi.ENDED_OUT_OF_MEMORY]


def test_one_that_wants_more_than_there_is_goes_alone(scenarios: Path) -> None:
    ran = Ran([scenario(scenarios, "eat 100000 0"), find_program("forktree", "2")], frames=1200, quantum=300)
    assert ran.ended() == [abi.ENDED_OUT_OF_MEMORY] + [abi.ENDED_EXIT] * 7
    assert "forktree: the root of 7 processes, 0 checks failed in it" in ran.console


@pytest.mark.parametrize("policy", ["first-fit", "buddy"])
def test_a_memory_of_any_size(policy: str, translation: str) -> None:
    """From too small for one process to enough for all: whatever does not fit is refused or ended, and every frame comes back."""
    alive = []
    for frames in (*range(1, 40, 3), 60, 90, 150):
        ran = Ran([find_program("hello", "5"), find_program("forktree", "1"), find_program("stackgrow", "64")], frames=frames, policy=policy,
                  translation=translation, quantum=400)
        alive.append(sum(why == abi.ENDED_EXIT for why in ran.ended()))
    assert alive[0] == 0 and alive[-1] == 5


def test_a_process_that_does_wrong_is_told_of_in_one_line(translation: str) -> None:
    ran = Ran([find_program("wild", "beyond-heap"), find_program("wild", "divide"), find_program("wild", "code-write")], translation=translation)
    lines = ran.console.splitlines()
    where = "segment 3, bound 0x1000" if translation == "segmentation" else "segment 3 from 0x180000000000 to 0x180000001000"
    assert re.fullmatch(rf"pid 1 \(wild\) killed: page fault at 0x180000001000 \(write; offset 0x1000 of {where}\), rip 0x80000000\w+", lines[0])
    assert re.fullmatch(r"pid 2 \(wild\) killed: divide error, rip 0x80000000\w+", lines[1])
    assert lines[2].startswith("pid 3 (wild) killed: page fault at 0x80000000") and "(write; offset" in lines[2]
    assert ran.ended() == [abi.ENDED_KILLED] * 3 and [ran.faults(pid)[3] for pid in (1, 2, 3)] == [1, 1, 1]


@pytest.mark.parametrize("flags", [1 << 8, 1 << 10, 3 << 12, 1 << 14, 1 << 18], ids=["step", "direction", "port", "nested", "alignment"])
def test_the_kernel_does_not_run_with_its_users_flags(flags: int, scenarios: Path, translation: str) -> None:
    ran = Ran([scenario(scenarios, f"flags {flags}"), find_program("spin", "1")], translation=translation)
    assert ran.ended()[1] == abi.ENDED_EXIT and "spin: process 2 made 1000 steps, 0 checks failed" in ran.console


def test_registers_that_nobody_saves_are_nobodys(scenarios: Path) -> None:
    """Two processes cannot tell each other anything by way of vector and floating-point registers."""
    ran = Ran([scenario(scenarios, "floating 0"), scenario(scenarios, "floating 1")])
    assert ran.ended() == [abi.ENDED_KILLED] * 2
    assert re.match(r"pid 1 .* killed: invalid instruction, .*\npid 2 .* killed: no coprocessor, ", ran.console)


@pytest.mark.parametrize("seed", range(6))
def test_system_calls_at_random(seed: int, scenarios: Path, translation: str) -> None:
    """The process may be ended, or not; the kernel stays, and so does the other one."""
    ran = Ran([scenario(scenarios, f"noise {seed} 150"), find_program("spin", "3")], translation=translation, quantum=700)
    assert ran.ended()[1] == abi.ENDED_EXIT and "spin: process 2 made 3000 steps, 0 checks failed" in ran.console


# -- turns ------------------------------------------------------------------------------------------------------------------------------


def order_of_ends(ran: Ran) -> list[int]:
    return [int(pid) for pid in re.findall(r"spin: process (\d+)", ran.console)]


def test_without_a_timer_each_runs_to_its_end() -> None:
    ran = Ran([find_program("spin", "30"), find_program("spin", "1"), find_program("spin", "10")])
    assert order_of_ends(ran) == [1, 2, 3] and not ran.processes["ticks"].any()


def test_turns_go_round(translation: str) -> None:
    """Who has less to do ends earlier, and equals have as many turns, give or take the last one."""
    ran = Ran([find_program("spin", "30"), find_program("spin", "1"), find_program("spin", "10"), find_program("spin", "30")],
              translation=translation, quantum=1000)
    assert order_of_ends(ran) == [2, 3, 1, 4]
    ticks = ran.processes["ticks"].tolist()
    assert ticks[0] > 20 and abs(ticks[0] - ticks[3]) <= 1 and 2.5 < ticks[0] / ticks[2] < 3.5


@pytest.mark.parametrize("quantum", [1, 25, 100])
def test_a_quantum_shorter_than_the_kernels_own_work(quantum: int, translation: str) -> None:
    """Every process gets on, if slowly."""
    ran = Ran([find_program("forktree", "0"), find_program("spin", "1")], translation=translation, quantum=quantum)
    assert exited_well(ran)


def test_the_same_run_twice_is_the_same(scenarios: Path, translation: str) -> None:
    runs = [Ran([scenario(scenarios, "noise 3 60"), find_program("forktree", "2")], translation=translation, quantum=333) for _ in range(2)]
    assert runs[0].run == runs[1].run
    assert np.array_equal(runs[0].processes, runs[1].processes)


# -- when the kernel itself is wrong ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("function", "code", "words"), [
    ("system_call", "0f0b", r"kernel panic: invalid instruction \(error 0x0\) at rip 0xffffffff8000\w+, .*\n"),
    ("system_call", "31e450", r"kernel panic: double fault \(error 0x0\) at rip 0xffffffff8000\w+, rsp 0x0, cr2 0xf+8\n"),
    ("drop_frames", "c3", r"kernel panic: a process has ended and holds frames\n"),
], ids=["invalid", "no stack", "frames kept"])
def test_a_panic_is_told_of(function: str, code: str, words: str, tmp_path: Path) -> None:
    """The first instructions of one of its functions are replaced: by ud2; by xor %esp, %esp and push %rax; by ret."""
    image = read_image(find_guest("kernel"))
    symbol = next(symbol for symbol in image.symbols if symbol.name == function)
    data = bytearray(Path(image.path).read_bytes())
    original = next(part for address, part, _ in image.parts if address <= symbol.address < address + len(part))
    at = bytes(data).index(bytes(original)) + symbol.address - image.parts[0][0]
    data[at:at + len(code) // 2] = bytes.fromhex(code)
    (tmp_path / "kernel.elf").write_bytes(data)
    run = Machine(FrameManager(200, "buddy"), tmp_path / "kernel.elf", programs=[find_program("spin", "idle")]).run()
    assert (run.stopped, run.exit_status) == ("exit", 70) and re.search(words + r"\Z", run.console)


# -- programs that are none -------------------------------------------------------------------------------------------------------------


def broken_images() -> list[tuple[str, bytes]]:
    """An ELF file with one thing wrong, and the kernel's word for it."""
    right = bytearray(find_program("hello").path.read_bytes())
    headers = struct.unpack_from("<Q", right, 32)[0]

    def with_(offset: int, form: str, value: int) -> bytes:
        changed = bytearray(right)
        struct.pack_into(form, changed, offset, value)
        return bytes(changed)

    return [
        ("not an ELF file", with_(0, "<B", 0)), ("cut off", bytes(right[:40])), ("not an executable for x86-64", with_(18, "<H", 183)),
        ("not an executable for x86-64", with_(16, "<H", 3)), ("program headers of another kind", with_(54, "<H", 32)),
        ("program headers of another kind", with_(56, "<H", 60000)), ("cut off", with_(32, "<Q", (1 << 64) - 8)),
        ("cut off", with_(headers + 32, "<Q", 1 << 40)), ("cut off", with_(headers + 8, "<Q", (1 << 64) - 1)),
        ("a part of an impossible size", with_(headers + 40, "<Q", 1 << 62)), ("a part of an impossible size", with_(headers + 40, "<Q", 1)),
        ("a part lies neither in the code segment nor in the data segment", with_(headers + 16, "<Q", abi.FIRMWARE)),
        ("a part lies neither in the code segment nor in the data segment", with_(headers + 16, "<Q", 0)),
        ("a part that can be written to and executed", with_(headers + 4, "<I", 7)), ("it begins outside its code", with_(24, "<Q", 1 << 44)),
        ("two parts in one segment", with_(headers + 56 + 16, "<Q", (1 << 43) + 8192)), ("it begins outside its code", with_(headers, "<I", 2)),
    ]


def test_a_broken_image_is_refused_by_its_fault(tmp_path: Path, translation: str) -> None:
    """And the others start."""
    images = broken_images()
    for i, (_, data) in enumerate(images):
        (tmp_path / f"broken{i}.elf").write_bytes(data)
    ran = Ran([*(find_program(str(tmp_path / f"broken{i}.elf")) for i in range(len(images))), find_program("hello")], translation=translation)
    told = [line for line in ran.console.splitlines() if "killed" in line]
    assert told == [f"pid {i + 1} (broken{i}) killed: {why}" for i, (why, _) in enumerate(images)]
    assert ran.ended() == [abi.ENDED_KILLED] * len(images) + [abi.ENDED_EXIT]


@pytest.mark.parametrize("seed", range(4))
def test_images_with_bytes_changed_at_random(seed: int, tmp_path: Path, translation: str) -> None:
    """Forty at a time, a byte of the headers changed in each: loaded or refused, run or killed, the kernel comes to its end."""
    rng = np.random.default_rng(seed)
    right = np.frombuffer(find_program("hello").path.read_bytes(), np.uint8)
    programs = []
    for i in range(40):
        changed = right.copy()
        changed[rng.integers(0, 64 + 2 * 56, rng.integers(1, 4))] = rng.integers(0, 256)
        (tmp_path / f"changed{i}.elf").write_bytes(changed.tobytes())
        programs.append(find_program(str(tmp_path / f"changed{i}.elf")))
    ran = Ran(programs, translation=translation, quantum=2000, frames=8192)
    assert len(ran.processes) == 40


# -- at large ---------------------------------------------------------------------------------------------------------------------------


def test_it_can_be_read_in_an_evening() -> None:
    """Fewer than 1500 lines, headers and all."""
    files = [path for path in (build.HERE / "kernel").iterdir() if path.suffix in (".c", ".h", ".S")]
    assert sum(len(path.read_text().splitlines()) for path in files) < 1500
    assert max(len(line) for path in files for line in path.read_text().splitlines()) <= 150


def test_as_many_processes_as_there_are_pids() -> None:
    """1023 are started; none of them can fork, and each gives its frames back."""
    ran = Ran([find_program("hello", "", abi.MAX_PROCESSES - 1)], frames=1 << 14)
    assert len(ran.processes) == abi.MAX_PROCESSES - 1 and exited_well(ran)
    assert ran.console.count("Hello from ring 3.") == abi.MAX_PROCESSES - 1


def test_a_thousand_processes_of_a_gibibyte_each() -> None:
    """In a machine of 4 GiB: each maps 1 GiB and touches four pages of it, far from each other."""
    ran = Ran([find_program("big", "4", 1000)], frames=1 << 20, quantum=5000)
    assert len(ran.processes) == 1000 and exited_well(ran)
    assert all(most < 40 for most in ran.processes["most_frames"].tolist())
