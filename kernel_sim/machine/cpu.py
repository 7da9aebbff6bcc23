"""The processor: the only file that imports unicorn.

The engine translates addresses with our own walker (its virtual-TLB mode; `kernel_sim.machine.paging`), and calls compiled hooks that need no
interpreter. Hooks made in Python would hide Ctrl-C and cost ten times as much.
"""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

from unicorn import (
    UC_ARCH_X86,
    UC_HOOK_BLOCK,
    UC_HOOK_CODE,
    UC_HOOK_INSN,
    UC_HOOK_INTR,
    UC_HOOK_MEM_READ,
    UC_HOOK_MEM_WRITE,
    UC_HOOK_TLB_FILL,
    UC_MODE_64,
    Uc,
    UcError,
)
from unicorn import unicorn_const as constants
from unicorn import x86_const as x86
from unicorn.unicorn_py3.unicorn import uclib

from kernel_sim.compiled import Callback

_TRANSLATED_CODE_BYTES = 16 << 20   # what the engine may keep; its own choice reserves a gigabyte of address space for each machine

_CR0_WP, _CR0_PG = 1 << 16, 1 << 31
_CR4_PAE, _CR4_SSE = 1 << 5, 3 << 9
_EFER, _EFER_NXE = 0xC000_0080, 1 << 11
_EXCEPTION = b"\x8e\xd8"        # mov %ax, %ds, which raises #GP with the selector as its error code when there is no such descriptor

# The engine's numbers of registers, for compiled code.
CS, SS, TR, GDTR, IDTR, MSR = (int(getattr(x86, f"UC_X86_REG_{name}")) for name in ("CS", "SS", "TR", "GDTR", "IDTR", "MSR"))
RSP, RBP, RIP, RFLAGS = (int(getattr(x86, f"UC_X86_REG_{name}")) for name in ("RSP", "RBP", "RIP", "RFLAGS"))
GENERAL_REGISTERS = tuple(int(getattr(x86, f"UC_X86_REG_{name}")) for name in (
    "RAX", "RCX", "RDX", "RBX", "RSP", "RBP", "RSI", "RDI", *(f"R{number}" for number in range(8, 16))))
"""In the order of their numbers in instructions."""
CR0, CR2, CR3 = (int(getattr(x86, f"UC_X86_REG_{name}")) for name in ("CR0", "CR2", "CR3"))

FORGET_CODE = constants.UC_CTL_TB_FLUSH | constants.UC_CTL_IO_WRITE << 30
"""What the engine's control function is told when the host has changed code, which the engine has not seen. Not from within a hook."""
FLUSH_TRANSLATIONS = constants.UC_CTL_TLB_FLUSH | constants.UC_CTL_IO_WRITE << 30
"""What the engine's control function is told, to empty its translation buffer."""

REGISTERS = ("rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "rip", "rflags")


NO_MEMORY = "no memory there"
"""What `Cpu.start` says of an access to a physical address that nothing answers to."""

INVALID_INSTRUCTION = "invalid instruction"
NO_HANDLER = "exception without a handler"
"""What it says of an access for which `on_miss` found no page."""
EXCEPTION = int(constants.UC_ERR_EXCEPTION)
"""The same as a number."""

_ERRORS = {
    constants.UC_ERR_INSN_INVALID: INVALID_INSTRUCTION,
    constants.UC_ERR_READ_UNMAPPED: NO_MEMORY,
    constants.UC_ERR_WRITE_UNMAPPED: NO_MEMORY,
    constants.UC_ERR_FETCH_UNMAPPED: NO_MEMORY,
    constants.UC_ERR_EXCEPTION: NO_HANDLER,
}


class Cpu:
    """One x86-64 processor in long mode."""

    def __init__(self) -> None:
        self.uc = Uc(UC_ARCH_X86, UC_MODE_64)
        self.uc.ctl_set_cpu_model(x86.UC_CPU_X86_QEMU64)        # a plain one: no RDRAND, RDSEED and RDTSCP, which no two runs answer alike
        self.uc.ctl_set_tcg_buffer_size(_TRANSLATED_CODE_BYTES)
        self.uc.ctl_set_tlb_mode(constants.UC_TLB_VIRTUAL)
        self.uc.ctl_exits_enabled(True)         # and there are none: no address ends the run, not even 0
        self._keep: list[object] = []

    @property
    def engine(self) -> int:
        """The engine's handle, for the hooks."""
        return int(self.uc._uch.value)

    @property
    def functions(self) -> tuple[int, int, int, int]:
        """The addresses of the engine's own functions that stop it, read a register, write one, and start it."""
        stop, read, write, start = (ctypes.cast(function, ctypes.c_void_p).value or 0
                                    for function in (uclib.uc_emu_stop, uclib.uc_reg_read, uclib.uc_reg_write, uclib.uc_emu_start))
        return stop, read, write, start

    @property
    def control_function(self) -> int:
        """The address of the engine's function for everything else: among it, emptying its translation buffer."""
        return ctypes.cast(uclib.uc_ctl, ctypes.c_void_p).value or 0

    def map(self, physical: int, size: int, host: int) -> None:
        """Show host memory to the engine."""
        self.uc.mem_map_ptr(physical, size, constants.UC_PROT_ALL, ctypes.c_void_p(host))

    def hook_out(self, hook: Callback, board: int) -> None:
        self._hook(UC_HOOK_INSN, hook, board, ctypes.c_int(x86.UC_X86_INS_OUT))

    def hook_in(self, hook: Callback, board: int) -> None:
        self._hook(UC_HOOK_INSN, hook, board, ctypes.c_int(x86.UC_X86_INS_IN))

    def hook_miss(self, hook: Callback, board: int) -> None:
        self._hook(UC_HOOK_TLB_FILL, hook, board)

    def hook_system_call(self, hook: Callback, board: int) -> None:
        """`syscall` and `sysenter`, which the engine would pass over in silence."""
        self._hook(UC_HOOK_INSN, hook, board, ctypes.c_int(x86.UC_X86_INS_SYSCALL))
        self._hook(UC_HOOK_INSN, hook, board, ctypes.c_int(x86.UC_X86_INS_SYSENTER))

    def hook_block(self, hook: Callback, board: int) -> None:
        self._hook(UC_HOOK_BLOCK, hook, board)

    def hook_instruction(self, hook: Callback, address: int, data: int) -> None:
        """Called before one instruction, with the address of its data. Everywhere else it costs nothing."""
        self._hook(UC_HOOK_CODE, hook, data, first=address, last=address)

    def hook_memory(self, on_read: Callback, on_write: Callback, data: int) -> None:
        """Called before every read and every write of the guest, with its physical address. That makes them several times as slow."""
        self._hook(UC_HOOK_MEM_READ, on_read, data)
        self._hook(UC_HOOK_MEM_WRITE, on_write, data)

    def hook_interrupt(self, hook: Callback, board: int) -> None:
        self._hook(UC_HOOK_INTR, hook, board)

    def watch_blocks(self, watcher: Callable[[int, int], None]) -> None:
        """Call `watcher(address, size)` before every block of code; for people who watch, for it is slow."""
        self.uc.hook_add(UC_HOOK_BLOCK, lambda uc, address, size, data: watcher(address, size))

    def _hook(self, kind: int, hook: Callback, data: int, *more: object, first: int = 1, last: int = 0) -> None:
        """Register a hook for the addresses from `first` to `last`; for all, when the last is below the first."""
        handle = ctypes.c_size_t()
        status = uclib.uc_hook_add(self.uc._uch, ctypes.byref(handle), kind, ctypes.cast(hook.address, ctypes.c_void_p), ctypes.c_void_p(data),
                                   ctypes.c_uint64(first), ctypes.c_uint64(last), *more)
        if status != constants.UC_ERR_OK:
            raise UcError(status)
        self._keep.append(hook)

    def start(self, address: int) -> str | None:
        """Run from an address until something stops the engine; what it could not go on after, in words, or None."""
        nothing = ctypes.c_uint64(0)
        return self.words_of(int(uclib.uc_emu_start(self.uc._uch, ctypes.c_uint64(address), nothing, nothing, nothing)))

    def words_of(self, status: int) -> str | None:
        """The engine's status in words; None when all is well."""
        return None if status == constants.UC_ERR_OK else _ERRORS.get(status, str(UcError(status)))

    def stop(self) -> None:
        """Stop the engine, from any thread."""
        self.uc.emu_stop()

    def set_page_table(self, physical: int) -> None:
        """Turn paging on, as it is in long mode, with pages that cannot be executed, and SSE. The walk is ours in any case, but without this a
        write to CR3 would flush nothing."""
        self.uc.msr_write(_EFER, self.uc.msr_read(_EFER) | _EFER_NXE)
        self.uc.reg_write(x86.UC_X86_REG_CR3, physical)
        self.uc.reg_write(x86.UC_X86_REG_CR4, self.uc.reg_read(x86.UC_X86_REG_CR4) | _CR4_PAE | _CR4_SSE)
        self.uc.reg_write(x86.UC_X86_REG_CR0, self.uc.reg_read(x86.UC_X86_REG_CR0) | _CR0_WP | _CR0_PG)

    @property
    def page_table(self) -> int:
        """CR3: the physical address of the top page table, or of the segments."""
        return int(self.uc.reg_read(x86.UC_X86_REG_CR3))

    @property
    def rip(self) -> int:
        return int(self.uc.reg_read(x86.UC_X86_REG_RIP))

    @staticmethod
    def register_number(name: str) -> int:
        """The engine's number of a register."""
        return int(getattr(x86, f"UC_X86_REG_{name.upper()}"))

    def registers(self) -> dict[str, int]:
        """The general registers by name."""
        return {name: int(self.uc.reg_read(getattr(x86, f"UC_X86_REG_{name.upper()}"))) for name in REGISTERS}

    @property
    def fault_address_at(self) -> int:
        """Where in the host's memory the engine leaves the address of the access that it could not go on after."""
        return self.engine + _places().fault_address

    def take_exception(self) -> tuple[int, bool]:
        """What the interrupt hook is not told: the error code, and whether it was an instruction that asked for it (`int`). The engine then
        thinks no more of it: to the engine an exception is in flight for ever, and the second one a double fault."""
        places, context = _places(), ctypes.c_void_p()
        uclib.uc_context_alloc(self.uc._uch, ctypes.byref(context))
        try:
            uclib.uc_context_save(self.uc._uch, context)
            base = context.value or 0
            word = [ctypes.c_int32.from_address(base + place) for place in (places.error_code, places.error_code + 4, places.in_flight)]
            found = word[0].value, bool(word[1].value)
            word[2].value = -1
            uclib.uc_context_restore(self.uc._uch, context)
        finally:
            uclib.uc_context_free(context)
        return found


class _Places(NamedTuple):
    """Where the engine keeps what it does not tell: bytes from its own beginning, and from that of a saved context."""

    fault_address: int
    error_code: int
    in_flight: int


@cache
def _places() -> _Places:
    """Found by making an engine do what leaves a number there that nothing else has. Two tries, with two numbers, must agree."""
    first, second = _tried(0x1234, 0x0123_4560), _tried(0x5678, 0x0765_4320)
    if first != second or -1 in first:
        raise RuntimeError(f"this version of unicorn keeps its faults where kernel_sim does not find them ({first}, {second})")
    return first


def _tried(selector: int, address: int) -> _Places:
    cpu, page = Cpu(), 4096
    memory = mmap.mmap(-1, page)
    memory[:2], memory[16:18] = _EXCEPTION, b"\x8a\x00"      # mov (%rax), %al
    cpu.map(0, page, ctypes.addressof(ctypes.c_char.from_buffer(memory)))

    def fill(uc: object, virtual: int, access: int, entry: Any, data: object) -> bool:
        entry.paddr, entry.perms = virtual, constants.UC_PROT_ALL
        return virtual < page
    stop = cpu.uc.hook_add(UC_HOOK_INTR, lambda uc, vector, data: uc.emu_stop())
    filled = cpu.uc.hook_add(UC_HOOK_TLB_FILL, fill)
    cpu.uc.reg_write(x86.UC_X86_REG_RAX, selector)
    before = _context(cpu)
    cpu.start(0)
    after = _context(cpu)
    changed = [at for at in range(0, len(after) - 4, 4) if before[at:at + 4] != after[at:at + 4]]
    in_flight = [at for at in changed if before[at:at + 4] == b"\xff" * 4 and after[at:at + 4] == (13).to_bytes(4, "little")]
    error_code = [at for at in changed if in_flight and at < in_flight[0] and after[at:at + 4] == selector.to_bytes(4, "little")]
    cpu.uc.reg_write(x86.UC_X86_REG_RAX, address)
    cpu.start(16)
    where = ctypes.string_at(cpu.engine, page).find(address.to_bytes(8, "little"))
    cpu.uc.hook_del(stop)
    cpu.uc.hook_del(filled)
    return _Places(where, error_code[-1] if error_code else -1, in_flight[0] if in_flight else -1)


def _context(cpu: Cpu) -> bytes:
    context = ctypes.c_void_p()
    uclib.uc_context_alloc(cpu.uc._uch, ctypes.byref(context))
    uclib.uc_context_save(cpu.uc._uch, context)
    found = ctypes.string_at(context, uclib.uc_context_size(cpu.uc._uch))
    uclib.uc_context_free(context)
    return found
