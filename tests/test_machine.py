"""The machine put together: what the guest is told, its console, what it costs the host, and what is refused."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from contract.specs import PLAIN, short
from guest.raw import FOREVER, HALT, RAX, RCX, leave, machine_of, mov, run
from guest.workloads import random_operations

from kernel_sim import BadInput, BrokenInvariant, FrameManager, Zone
from kernel_sim.frames import HEAD
from kernel_sim.machine import abi
from kernel_sim.machine.machine import Machine
from kernel_sim.zones import cut_zones, read_memory_map

CONSOLE_BYTES = 1 << 20
IOMEM = Path(__file__).parent / "data/kernel/mixed_256M_k612/iomem"


def told(machine: Machine) -> object:
    """The boot information, as construct reads it off the guest's memory."""
    return abi.BootInfo.parse(machine.ram.firmware[abi.BOOT_INFO:abi.BOOT_INFO + abi.BootInfo.sizeof()].tobytes())


# -- what the guest is told ---------------------------------------------------------------------------------------------------------------


def test_boot_information() -> None:
    ranges = read_memory_map(IOMEM)
    info = told(Machine(FrameManager(cut_zones(ranges)), seed=(1 << 64) - 2, arguments=[1, -2, (1 << 63) - 1, -(1 << 63)]))
    assert (info.magic.to_bytes(8, "little"), info.direct_map, info.seed) == (b"krnl_sim", abi.DIRECT_MAP, (1 << 64) - 2)
    assert list(info.arguments) == [1, -2, (1 << 63) - 1, -(1 << 63)]
    assert [(item.first_pfn, item.end_pfn) for item in info.ranges[:info.n_ranges]] == ranges
    assert info.n_frames == sum(end - first for first, end in ranges)


def test_adjacent_zones_are_one_range() -> None:
    info = told(Machine(FrameManager([Zone("A", ((0, 100),)), Zone("B", ((100, 200), (300, 400)))])))
    assert [(item.first_pfn, item.end_pfn) for item in info.ranges[:info.n_ranges]] == [(0, 200), (300, 400)]


def test_more_ranges_than_the_table_holds() -> None:
    ranges = tuple((5 * i, 5 * i + 3) for i in range(abi.MAX_RANGES + 50))
    info = told(Machine(FrameManager([Zone("Memory", ranges)])))
    assert info.n_ranges == abi.MAX_RANGES and info.n_frames == 3 * (abi.MAX_RANGES + 50)
    assert (info.ranges[-1].first_pfn, info.ranges[-1].end_pfn) == ranges[abi.MAX_RANGES - 1]


def test_registers_and_mode_at_the_start() -> None:
    """Long mode with paging, as the control registers tell a guest that asks."""
    read = b"\x0f\x20\xc0\x0f\x20\xe3" + HALT       # mov rax, cr0; mov rbx, cr4
    machine = machine_of(read)
    machine.run()
    registers = machine.cpu.registers()
    assert registers["rax"] & 0x8001_0001 == 0x8001_0001 and registers["rbx"] & 0x20 and registers["rip"] == abi.FIRMWARE + len(read)


# -- refused ------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("options", "words"), [
    ({"arguments": [1, 2, 3, 4, 5]}, "a guest takes up to 4 arguments, not 5"),
    ({"arguments": [1 << 63]}, "a guest's argument is a number of 64 bits"),
    ({"arguments": [0, -(1 << 63) - 1]}, "a guest's argument is a number of 64 bits"),
    ({"budget": 0}, "a budget of 0 blocks"), ({"budget": -5}, "a budget of -5 blocks"),
    ({"budget": 1 << 63}, "a budget of 9223372036854775808 blocks"),
])
def test_numbers_that_are_none(options: dict[str, object], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        Machine(FrameManager(16), **options)  # type: ignore[arg-type]


def test_a_machine_runs_once() -> None:
    machine = Machine(FrameManager(16))
    assert machine.run().ok
    with pytest.raises(ValueError, match="runs once"):
        machine.run()


@pytest.mark.parametrize("operations", [np.zeros(3, np.int64), np.zeros(1, random_operations(0, 1).dtype)])
def test_operations_that_are_none(operations: np.ndarray) -> None:
    with pytest.raises(BadInput, match="operation"):
        Machine(FrameManager(16), "replay").run(operations)


@pytest.mark.parametrize("spec", ["buddy", "first-fit"])
def test_our_own_books_are_no_status(spec: str) -> None:
    """A frame that the policy holds for free and the frame table for taken: the machine stops, and the guest never hears of it."""
    manager = FrameManager(16, spec)
    manager.table.frames["state"] = HEAD
    machine = Machine(manager)
    with pytest.raises(BrokenInvariant, match="gave out frame 0x0, which is allocated"):
        machine.run()
    assert "Frame" not in machine.console


# -- the console --------------------------------------------------------------------------------------------------------------------------

PUT = bytes((0xE6, abi.CONSOLE_PORT))       # out CONSOLE_PORT, al


def test_every_byte() -> None:
    """All values; what is no UTF-8 is replaced."""
    done = run(b"\x31\xc0" + PUT + b"\xfe\xc0\x75\xfa" + leave(0))
    assert done.console == bytes(range(256)).decode(errors="replace")
    snowman = "☃".encode()
    assert run(b"".join(b"\xb0" + bytes((byte,)) + PUT for byte in snowman) + leave(0)).console == "☃"


def test_sixteen_and_thirty_two_bits() -> None:
    """One byte a write, however wide."""
    wide = mov(RAX, 0x44434241) + b"\xba\xe9\x00\x00\x00" + b"\xee\x66\xef\xef"
    assert run(wide + leave(0)).console == "AAA"


@pytest.mark.parametrize("extra", [-1, 0, 1, 1000])
def test_more_than_it_holds(extra: int) -> None:
    """What no longer fits is counted; the rest of the memory is not written to."""
    count = CONSOLE_BYTES + extra
    machine = machine_of(mov(RCX, count) + b"\xb0x" + PUT + b"\x48\xff\xc9\x75\xf9" + leave(0), budget=1 << 30)
    done = machine.run()
    text = "x" * min(count, CONSOLE_BYTES)
    assert done.ok and done.console == text + (f"\n[{extra} more bytes were dropped]\n" if extra > 0 else "")


def test_it_can_be_read_while_the_guest_runs() -> None:
    seen: list[str] = []
    machine = Machine(FrameManager(64))
    machine.run(watch=lambda _: seen.append(machine.console))
    assert seen[0] == "" and "Hello" in seen[-1]


# -- determinism --------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", ["buddy", PLAIN], ids=short)
def test_the_same_inputs_the_same_run(spec: str) -> None:
    """To the block; and other inputs another."""
    runs = [str(Machine(FrameManager(500, spec), "segments", seed=seed).run()) for seed in (3, 3, 4)]
    assert runs[0] == runs[1] != runs[2]


def test_to_watch_changes_nothing() -> None:
    runs = [str(Machine(FrameManager(500)).run(watch=watch)) for watch in (None, lambda text: None)]
    assert runs[0] == runs[1]


def test_a_run_is_not_the_hosts_business() -> None:
    """A second process sees what the first saw."""
    script = ("from guest.workloads import random_operations\nfrom kernel_sim import *\nfrom kernel_sim.machine.machine import Machine\n"
              "print(Machine(FrameManager(4096), 'replay', seed=1).run(random_operations(1, 5000)))")
    command = [sys.executable, "-c", script]
    children = [subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True).stdout for _ in range(2)]
    assert children[0] == children[1] != ""


# -- what it costs the host ---------------------------------------------------------------------------------------------------------------


def in_a_child(script: str) -> list[int]:
    """Numbers that a script prints; `memory()` is its resident and its virtual size, in MiB."""
    head = ("from kernel_sim import FrameManager, Machine\n"
            "def memory():\n"
            "    lines = dict(line.split(':') for line in open('/proc/self/status') if line.startswith('Vm'))\n"
            "    return [int(lines[name].split()[0]) // 1024 for name in ('VmRSS', 'VmSize')]\n")
    unwatched = {**os.environ, "KERNEL_SIM_SANITIZE": "0"}       # `misuse` does what the sanitizer would stop
    done = subprocess.run([sys.executable, "-c", head + script], capture_output=True, text=True, check=False, env=unwatched)
    assert done.returncode == 0, done.stderr
    return [int(word) for word in done.stdout.split()]


linux_only = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="asks /proc/self/status")


@linux_only
@pytest.mark.parametrize("policy", ["buddy", "first-fit", "page-stack"])
def test_a_terabyte_starts_like_64_mebibytes(policy: str) -> None:
    """2^28 frames: the machine starts, runs, is audited."""
    before, after = in_a_child(f"""
manager = FrameManager(1 << 14, {policy!r})
assert Machine(manager).run().ok
manager.check()
print(memory()[0])
manager = FrameManager(1 << 28, {policy!r})
assert Machine(manager).run().ok
assert Machine(manager, "misuse").run().ok
manager.check()
print(memory()[0])
""")
    assert after - before < 300


@linux_only
def test_one_machine_after_the_other() -> None:
    """Three hundred, of every kind of end: neither memory nor address space grows."""
    resident, virtual, resident_after, virtual_after = in_a_child("""
def some(n):
    for i in range(n):
        manager = FrameManager(1 << 14)
        assert Machine(manager, ("hello", "misuse")[i % 2]).run().ok
        assert Machine(manager, "hello", budget=5).run().stopped == "budget"
        Machine(manager)
some(20)
print(*memory())
some(100)
print(*memory())
""")
    assert resident_after - resident < 15
    assert virtual_after - virtual < 300


@linux_only
def test_one_machine_after_the_other_with_a_plain_policy() -> None:
    resident, virtual, resident_after, virtual_after = in_a_child(f"""
def some(n):
    for i in range(n):
        assert Machine(FrameManager(1 << 14, {PLAIN!r})).run().ok
import gc
some(40)        # the functions of the last few policies are kept
gc.collect()
print(*memory())
some(100)
gc.collect()    # a hook in the interpreter and its machine know each other
print(*memory())
""")
    assert resident_after - resident < 30
    assert virtual_after - virtual < 300


def test_many_machines_at_once_share_nothing() -> None:
    """Each has its memory, its console and its manager's frames."""
    machines = [machine_of(mov(RAX, 0x41 + i) + PUT + b"\x48\xa3" + struct.pack("<Q", abi.DIRECT_MAP) + leave(i)) for i in range(20)]
    runs = [machine.run() for machine in machines]
    assert [done.console for done in runs] == [chr(0x41 + i) for i in range(20)]
    assert [done.exit_status for done in runs] == list(range(20))
    assert [int(machine.ram.bytes[0]) for machine in machines] == [0x41 + i for i in range(20)]


def test_two_machines_on_one_manager() -> None:
    """The second finds the frames as the first left them."""
    manager = FrameManager(64)
    alloc = b"".join(mov(RAX, value) + b"\x48\xa3" + struct.pack("<Q", abi.FIRMWARE + abi.CALL_BOX + offset) for offset, value in ((0, 1), (8, 4)))
    ring = bytes((0xE6, abi.DOORBELL_PORT)) + FOREVER
    for _ in range(2):
        assert machine_of(alloc + ring, manager, budget=10).run().calls == 1
    assert manager.stats().n_used == 8 and manager.owner_of(4) == 0
    manager.check()
