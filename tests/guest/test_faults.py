"""What the machine does not allow, and what it says of it: the access, its address, and the instruction."""

from __future__ import annotations

import pytest
from guest.raw import FOREVER, HALT, RAX, RBX, RCX, RSP, STACK, UD2, leave, machine_of, mov, run, store

from kernel_sim import FrameManager
from kernel_sim.machine.abi import BOOT_INFO, DIRECT_MAP, FIRMWARE, IMAGE_BYTES, PAGE_TABLES, STACK_BOTTOM, STACK_TOP
from kernel_sim.machine.machine import Run
from kernel_sim.zones import Zone

READ_RAX, WRITE_RAX, JUMP_RAX = b"\x48\x8b\x08", b"\x48\x89\x08", b"\xff\xe0"     # mov rcx, [rax]; mov [rax], rcx; jmp rax
BEHIND_MOV = FIRMWARE + 10      # the address of what follows one movabs
HOLE = FrameManager([Zone("Low", ((0, 64),)), Zone("High", ((256, 320),))])
IN_HOLE = DIRECT_MAP + 100 * 4096 + 0x123


def refused(code: bytes, manager: FrameManager | None = None) -> Run:
    """Run to a fault, which must leave a listing with one arrow, at the instruction that is named."""
    done = run(code, manager)
    assert done.stopped == "fault" and done.exit_status is None and not done.ok
    arrows = [line for line in done.listing if line.startswith("-> ")]
    assert len(arrows) == 1
    assert arrows[0].startswith(f"-> {done.fault.rip:#x}")
    assert arrows[0].split("  ", 1)[1] in str(done.fault)
    assert f" at {done.fault.rip:#x}" in str(done.fault)
    return done


@pytest.mark.parametrize(("address", "access", "code", "instruction"), [
    (0x1234567, "read of", READ_RAX, "mov rcx, qword ptr [rax]"),
    (0x1234567, "write to", WRITE_RAX, "mov qword ptr [rax], rcx"),
    (0, "read of", READ_RAX, "mov rcx, qword ptr [rax]"),
    (0x8000_0000_0000_1234, "read of", READ_RAX, "mov rcx, qword ptr [rax]"),
    (0x0000_8000_0000_0000, "write to", WRITE_RAX, "mov qword ptr [rax], rcx"),
    (0xFFFF_7FFF_FFFF_FFF8, "read of", READ_RAX, "mov rcx, qword ptr [rax]"),
    (FIRMWARE + 4, "write to", WRITE_RAX, "mov qword ptr [rax], rcx"),
    (FIRMWARE + IMAGE_BYTES, "read of", READ_RAX, "mov rcx, qword ptr [rax]"),
    (FIRMWARE + (2 << 20), "read of", READ_RAX, "mov rcx, qword ptr [rax]"),
    (DIRECT_MAP + (512 << 30), "read of", READ_RAX, "mov rcx, qword ptr [rax]"),
])
def test_page_faults(address: int, access: str, code: bytes, instruction: str) -> None:
    """Nothing mapped, not canonical, or code that is to be written to."""
    done = refused(mov(RAX, address) + code)
    assert str(done.fault).startswith(f"page fault: {access} {address:#x}")
    assert f"by `{instruction}` at {BEHIND_MOV:#x}" in str(done.fault)
    assert done.fault.rip == BEHIND_MOV


@pytest.mark.parametrize(("address", "why"), [
    (0, "nothing at 0"), (0x1234, "nothing there"), (0x8000_0000_0000_1234, "not canonical"), (DIRECT_MAP, "the direct map"),
    (FIRMWARE + STACK_TOP - 4096, "the stack"), (FIRMWARE + BOOT_INFO, "data"), (FIRMWARE + PAGE_TABLES + 64, "page tables"), (IN_HOLE, "a hole"),
])
def test_jumps(address: int, why: str) -> None:
    """A jump to what is not executable names the address, and the instruction that jumped."""
    done = refused(mov(RAX, address) + JUMP_RAX, HOLE)
    assert str(done.fault) == f"page fault: jump to {address:#x}, by `jmp rax` at {BEHIND_MOV:#x}"


def test_call_and_return_into_nothing() -> None:
    called = refused(STACK + mov(RAX, 0x5678) + b"\xff\xd0")
    assert str(called.fault) == f"page fault: jump to 0x5678, by `call rax` at {FIRMWARE + 20:#x}"
    returned = refused(STACK + b"\x6a\x77\xc3")
    assert str(returned.fault) == f"page fault: jump to 0x77, by `ret` at {FIRMWARE + 12:#x}"


def test_off_the_end_of_the_code() -> None:
    """Execution that runs from a page of code into one that is none."""
    done = refused(b"\x90" * 4096)
    assert str(done.fault).startswith(f"page fault: jump to {FIRMWARE + 4096:#x}, by `nop` at {FIRMWARE + 4095:#x}")
    torn = refused(b"\x90" * 4090 + mov(RAX, 1)[:6])
    assert f"goes on at {FIRMWARE + 4096:#x}" in str(torn.fault)


@pytest.mark.parametrize(("code", "access"), [(READ_RAX, "read of"), (WRITE_RAX, "write to")])
def test_physical_addresses_without_memory(code: bytes, access: str) -> None:
    """The direct map shows holes, too, but nothing answers there."""
    done = refused(mov(RAX, IN_HOLE) + code, HOLE)
    assert str(done.fault).startswith(f"{access} {IN_HOLE:#x}, where there is no memory, by `mov ")
    beyond = refused(mov(RAX, DIRECT_MAP + 320 * 4096) + code, HOLE)
    assert str(beyond.fault).startswith(f"{access} {DIRECT_MAP + 320 * 4096:#x}, where there is no memory")


@pytest.mark.parametrize(("code", "what", "instruction", "offset"), [
    (UD2, "invalid instruction", "ud2", 0),
    (b"\x90\xcc", "breakpoint", "int3", 1),
    (b"\x31\xc9\xf7\xf1", "division error", "div ecx", 2),
    (b"\xcd\x80", "interrupt 128", "int 0x80", 0),
    (b"\x66\xb8\xff\xff\x8e\xd0", "general protection fault", "mov ss, eax", 4),
])
def test_exceptions(code: bytes, what: str, instruction: str, offset: int) -> None:
    done = refused(code)
    assert str(done.fault) == f"{what}, by `{instruction}` at {FIRMWARE + offset:#x}"


@pytest.mark.parametrize("code", ["480fc7f0", "480fc7f8", "0f01f9", "f30fc7f8", "0f33"], ids=["rdrand", "rdseed", "rdtscp", "rdpid", "rdpmc"])
def test_instructions_that_no_two_runs_would_answer_alike(code: str) -> None:
    assert str(refused(bytes.fromhex(code)).fault).startswith("invalid instruction, by `rd")


def test_stack_overflow() -> None:
    """A call of itself ends below the stack, and destroys nothing on the way."""
    done = refused(STACK + b"\xe8\xfb\xff\xff\xff")
    assert str(done.fault) == (f"page fault: write to {FIRMWARE + STACK_BOTTOM - 8:#x} (the stack has overflowed), "
                               f"by `call {FIRMWARE + 10:#x}` at {FIRMWARE + 10:#x}")
    assert done.blocks > (STACK_TOP - STACK_BOTTOM) // 8


def test_the_address_is_the_operands() -> None:
    """Of an address made of base, index and displacement; of the stack; of a string; of an access over the edge of a page."""
    scaled = refused(mov(RAX, 0x10_0000) + mov(RBX, 0x200) + b"\x8b\x4c\xd8\x14")
    assert "read of 0x101014, by `mov ecx, dword ptr [rax + rbx*8 + 0x14]`" in str(scaled.fault)
    pushed = refused(mov(RSP, 0x9000) + b"\x50")
    assert "write to 0x8ff8, by `push rax`" in str(pushed.fault)
    popped = refused(mov(RSP, 0x9008) + b"\x58")
    assert "read of 0x9008, by `pop rax`" in str(popped.fault)
    relative = refused(b"\x8b\x05\x00\x00\x00\x70")
    assert f"read of {(FIRMWARE + 6 + 0x7000_0000) & (1 << 64) - 1:#x}, by `mov eax, dword ptr [rip + 0x70000000]`" in str(relative.fault)
    across = refused(mov(RAX, FIRMWARE + IMAGE_BYTES - 4) + READ_RAX)
    assert f"read of {FIRMWARE + IMAGE_BYTES:#x}" in str(across.fault)


def test_halt() -> None:
    done = run(b"\x90" + HALT)
    assert (done.stopped, done.fault, done.exit_status, done.blocks, done.listing) == ("halt", None, None, 1, ())


@pytest.mark.parametrize("budget", [1, 2, 1000, 12_345])
def test_budget(budget: int) -> None:
    """A guest that loops is stopped after exactly that many blocks, every time."""
    count = mov(RAX, DIRECT_MAP) + b"\xff\x00\xeb\xfc"      # again: inc dword [rax]; jmp again
    seen = []
    for _ in range(2):
        machine = machine_of(count, budget=budget, sanitize=False)
        done = machine.run()
        assert (done.stopped, done.blocks, done.exit_status, done.fault) == ("budget", budget, None, None)
        seen.append(int.from_bytes(machine.ram.bytes[:4].tobytes(), "little"))
    assert seen == [budget, budget]     # the block that was one too many did not run


@pytest.mark.parametrize("status", [0, 1, 77, 0xFFFF_FFFF])
def test_exit_status(status: int) -> None:
    done = run(leave(status))
    assert (done.stopped, done.exit_status, done.ok) == ("exit", status, status == 0)


@pytest.mark.parametrize("after", [
    leave(6), UD2, b"\xcc", mov(RBX, 0x1234567) + b"\x48\x89\x0b", HALT, b"\xe6\xe0" + FOREVER, mov(RAX, 0) + JUMP_RAX,
])
def test_the_first_exit_counts(after: bytes) -> None:
    """The engine runs a block to its end: whatever the guest does after its exit is no longer of interest."""
    done = run(leave(5)[:-2] + after)
    assert (done.stopped, done.exit_status, done.fault, done.listing) == ("exit", 5, None, ())


def test_a_fault_in_the_block_of_a_window() -> None:
    """A guest without a `ret` behind the doorbell cannot have its window in time; its fault is told all the same."""
    from guest.workloads import random_operations

    ask = store(8, FIRMWARE + 0x1A_2000) + b"\xe6\xe0"
    assert machine_of(ask + UD2).run(random_operations(0, 10)).stopped == "fault"
    assert "breakpoint" in str(machine_of(ask + b"\xcc").run(random_operations(0, 10)).fault)
    assert machine_of(ask + leave(3)).run(random_operations(0, 10)).exit_status == 3


def test_registers_at_the_end() -> None:
    machine = machine_of(mov(RCX, 0xDEAD) + HALT)
    machine.run()
    assert machine.cpu.registers()["rcx"] == 0xDEAD
