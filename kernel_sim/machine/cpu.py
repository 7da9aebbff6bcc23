"""The processor: the only file that imports unicorn.

The engine translates addresses with our own walker (its virtual-TLB mode; `kernel_sim.machine.paging`), and calls compiled hooks that need no
interpreter. Hooks made in Python would hide Ctrl-C and cost ten times as much.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable

from unicorn import UC_ARCH_X86, UC_HOOK_BLOCK, UC_HOOK_INSN, UC_HOOK_INTR, UC_HOOK_TLB_FILL, UC_MODE_64, Uc, UcError
from unicorn import unicorn_const as constants
from unicorn import x86_const as x86
from unicorn.unicorn_py3.unicorn import uclib

from kernel_sim.compiled import Callback

_TRANSLATED_CODE_BYTES = 16 << 20   # what the engine may keep; its own choice reserves a gigabyte of address space for each machine

_CR0_WP, _CR0_PG = 1 << 16, 1 << 31
_CR4_PAE, _CR4_SSE = 1 << 5, 3 << 9

REGISTERS = ("rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "rip", "rflags")


NO_MEMORY = "no memory there"
"""What `Cpu.start` says of an access to a physical address that nothing answers to."""

_ERRORS = {
    constants.UC_ERR_INSN_INVALID: "invalid instruction",
    constants.UC_ERR_READ_UNMAPPED: NO_MEMORY,
    constants.UC_ERR_WRITE_UNMAPPED: NO_MEMORY,
    constants.UC_ERR_FETCH_UNMAPPED: NO_MEMORY,
    constants.UC_ERR_EXCEPTION: "exception without a handler",
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
    def stop_function(self) -> int:
        """The address of the engine's own function that stops it."""
        return ctypes.cast(uclib.uc_emu_stop, ctypes.c_void_p).value or 0

    def map(self, physical: int, size: int, host: int) -> None:
        """Show host memory to the engine."""
        self.uc.mem_map_ptr(physical, size, constants.UC_PROT_ALL, ctypes.c_void_p(host))

    def hook_out(self, hook: Callback, board: int) -> None:
        self._hook(UC_HOOK_INSN, hook, board, ctypes.c_int(x86.UC_X86_INS_OUT))

    def hook_miss(self, hook: Callback, board: int) -> None:
        self._hook(UC_HOOK_TLB_FILL, hook, board)

    def hook_block(self, hook: Callback, board: int) -> None:
        self._hook(UC_HOOK_BLOCK, hook, board)

    def hook_interrupt(self, hook: Callback, board: int) -> None:
        self._hook(UC_HOOK_INTR, hook, board)

    def watch_blocks(self, watcher: Callable[[int, int], None]) -> None:
        """Call `watcher(address, size)` before every block of code; for people who watch, for it is slow."""
        self.uc.hook_add(UC_HOOK_BLOCK, lambda uc, address, size, data: watcher(address, size))

    def _hook(self, kind: int, hook: Callback, board: int, *more: object) -> None:
        handle = ctypes.c_size_t()
        status = uclib.uc_hook_add(self.uc._uch, ctypes.byref(handle), kind, ctypes.cast(hook.address, ctypes.c_void_p), ctypes.c_void_p(board),
                                   ctypes.c_uint64(1), ctypes.c_uint64(0), *more)
        if status != constants.UC_ERR_OK:
            raise UcError(status)
        self._keep.append(hook)

    def start(self, address: int) -> str | None:
        """Run from an address until something stops the engine; what it could not go on after, in words, or None."""
        try:
            self.uc.emu_start(address, 0)
        except UcError as error:
            return _ERRORS.get(error.errno, str(error))
        return None

    def stop(self) -> None:
        """Stop the engine, from any thread."""
        self.uc.emu_stop()

    def set_page_table(self, physical: int) -> None:
        """Turn paging on, as it is in long mode, and SSE. The walk is ours in any case, but without this a write to CR3 would flush nothing."""
        self.uc.reg_write(x86.UC_X86_REG_CR3, physical)
        self.uc.reg_write(x86.UC_X86_REG_CR4, self.uc.reg_read(x86.UC_X86_REG_CR4) | _CR4_PAE | _CR4_SSE)
        self.uc.reg_write(x86.UC_X86_REG_CR0, self.uc.reg_read(x86.UC_X86_REG_CR0) | _CR0_WP | _CR0_PG)

    @property
    def rip(self) -> int:
        return int(self.uc.reg_read(x86.UC_X86_REG_RIP))

    def registers(self) -> dict[str, int]:
        """The general registers by name."""
        return {name: int(self.uc.reg_read(getattr(x86, f"UC_X86_REG_{name.upper()}"))) for name in REGISTERS}
