"""Virtual memory: what a miss, a fault and no miss at all cost beside a bare engine that does the same."""

from __future__ import annotations

import ctypes
import mmap
import struct
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from unicorn import UC_ARCH_X86, UC_HOOK_TLB_FILL, UC_MODE_64, Uc, UcError
from unicorn import unicorn_const as constants
from unicorn.unicorn_py3.unicorn import uclib

from kernel_sim.compiled import callback
from kernel_sim.frames import words_at
from kernel_sim.machine.machine import Machine
from kernel_sim.manager import FrameManager

N_PAGES = 1 << 14       # more than the engine's translation buffer holds
_ROUNDS, _ROUNDS_WITHOUT_MISSES = 30, 3000
_REPEATS = 5
_MAPPED = 1 << 16
_CODE = 0x1000


def fill(engine: int, virtual: int, access: int, result: int, data: int) -> bool:
    """An empty fill hook: every page is one frame, and all may be done there; below 16 MiB addresses are themselves."""
    answer = words_at(result, 2)
    answer[0] = virtual & (_MAPPED - 1)
    answer[1] = 7
    return True


def refuse(engine: int, virtual: int, access: int, result: int, data: int) -> bool:
    """The same, but for addresses from 16 MiB on there is no page."""
    answer = words_at(result, 2)
    answer[0] = virtual & (_MAPPED - 1)
    answer[1] = 7
    return virtual < 1 << 24


class Bare:
    """An engine and nothing else: `code` at 0x1000 in 64 KiB of memory; with a fill hook, or (None) with the engine's own idea of addresses."""

    def __init__(self, code: bytes, hook: Callable[..., bool] | None) -> None:
        self.uc = Uc(UC_ARCH_X86, UC_MODE_64)
        self.uc.ctl_set_tcg_buffer_size(16 << 20)
        self.uc.ctl_exits_enabled(True)
        self._memory = mmap.mmap(-1, _MAPPED)
        memory = np.frombuffer(self._memory, np.uint8)
        memory[_CODE:_CODE + len(code)] = np.frombuffer(code, np.uint8)
        self.uc.mem_map_ptr(0, _MAPPED, constants.UC_PROT_ALL, ctypes.c_void_p(memory.ctypes.data))
        if hook is not None:
            self.uc.ctl_set_tlb_mode(constants.UC_TLB_VIRTUAL)
            self._hook = callback(hook, "bool", "int64", "int64", "int32", "int64", "int64")
            uclib.uc_hook_add(self.uc._uch, ctypes.byref(ctypes.c_size_t()), UC_HOOK_TLB_FILL, ctypes.c_void_p(self._hook.address),
                              ctypes.c_void_p(0), ctypes.c_uint64(1), ctypes.c_uint64(0))

    def run(self) -> None:
        self.uc.emu_start(_CODE, 0)


def loop(base: int, step: int, n_pages: int, n_rounds: int) -> bytes:
    """The guest program `pages`' own loop, instruction for instruction."""
    inner = b"\x48\x8b\x07\x48\x01\xd7\x48\xff\xc9"                                     # 1: mov (%rdi), %rax; add %rdx, %rdi; dec %rcx
    inner += b"\x75" + struct.pack("b", -len(inner) - 2)                                    # jnz 1b
    body = b"\x48\xbf" + struct.pack("<Q", base) + b"\x48\xb9" + struct.pack("<Q", n_pages) + inner + b"\x48\xff\xce"     # ... dec %rsi
    body += b"\x0f\x85" + struct.pack("<i", -len(body) - 6)
    return b"\x48\xbe" + struct.pack("<Q", n_rounds) + b"\x48\xba" + struct.pack("<Q", step) + body + b"\xf4"


def miss_over_empty_fill() -> float:
    """A miss with a walk of four levels, over a miss with a hook that does nothing."""
    def ours() -> float:
        return _run_pages(_ROUNDS + 1, 0) - _run_pages(1, 0)

    def reference() -> float:
        return _run_bare(_ROUNDS + 1, 4096, fill) - _run_bare(1, 4096, fill)
    return _best_ratio(ours, reference)


def no_misses_over_bare(sanitize: bool = False) -> float:
    """A loop that never misses, in a machine without timer and budget, over the same loop in an engine without any hook."""
    rounds = _ROUNDS_WITHOUT_MISSES

    def ours() -> float:
        return _run_pages(rounds + 1, 1, sanitize) - _run_pages(1, 1, sanitize)

    def reference() -> float:
        return _run_bare(rounds + 1, 0, None) - _run_bare(1, 0, None)
    return _best_ratio(ours, reference)


def fault_over_restart(n_faults: int = 3000) -> float:
    """A demand-zero page fault from ring 3 and back, guest handler and allocation included, over leaving and entering a bare engine."""
    def ours() -> float:
        return (_run_faults(n_faults + 1) - _run_faults(1)) / n_faults

    def reference() -> float:
        bare = Bare(b"\x48\xa1" + struct.pack("<Q", 1 << 24) + b"\xf4", refuse)        # movabs 0x1000000, %rax
        begun = time.process_time()
        for _ in range(n_faults):
            try:
                bare.run()
            except UcError:
                continue
            raise AssertionError("the access did not fault")
        return (time.process_time() - begun) / n_faults
    return _best_ratio(ours, reference)


def _best_ratio(ours: Callable[[], float], reference: Callable[[], float]) -> float:
    """The best of each, taken in turns."""
    ours()
    pairs = [(ours(), reference()) for _ in range(_REPEATS)]
    return min(mine for mine, _ in pairs) / min(theirs for _, theirs in pairs)


def _run_pages(rounds: int, what: int, sanitize: bool = False) -> float:
    options: dict[str, Any] = {"sanitize": True} if sanitize else {}
    return _took(Machine(FrameManager(1024), "pages", arguments=[N_PAGES, rounds, what], budget=None, **options))


def _run_faults(n_faults: int) -> float:
    return _took(Machine(FrameManager(4096), "traps", arguments=[0, n_faults], budget=None))


def _took(machine: Machine) -> float:
    begun = time.process_time()
    done = machine.run()
    took = time.process_time() - begun
    if not done.ok:
        raise AssertionError(f"the guest {done.stopped}: {done.fault}")
    return took


def _run_bare(rounds: int, step: int, hook: Callable[..., bool] | None) -> float:
    bare = Bare(loop(0x2000 if step == 0 else 0x1000_0000, step, N_PAGES, rounds), hook)
    begun = time.process_time()
    bare.run()
    return time.process_time() - begun
