"""The doorbell: what an allocation by the guest costs beside an empty hook, and beside the obvious way to serve it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from unicorn import UC_HOOK_INSN, x86_const

from kernel_sim.compiled import Callback, callback
from kernel_sim.machine.machine import Machine
from kernel_sim.manager import FrameManager

N_FRAMES = 1 << 16


def empty(engine: int, port: int, size: int, value: int, board: int) -> None:
    """A hook that does nothing."""


class EmptyHook(Machine):
    """The same machine, and nobody answers."""

    def _out_hook(self) -> Callback:
        return callback(empty, "void", "int64", "uint32", "int32", "uint32", "int64")


class PlainBuddy:
    """A buddy as one writes it in plain Python: a set of free blocks for each order."""

    def __init__(self, n_frames: int, top: int = 10) -> None:
        self.free_blocks: list[set[int]] = [set() for _ in range(top + 1)]
        self.free_blocks[top] = set(range(0, n_frames, 1 << top))
        self.orders: dict[int, int] = {}

    def alloc(self, order: int) -> int:
        found = next((k for k in range(order, len(self.free_blocks)) if self.free_blocks[k]), None)
        if found is None:
            return -1
        pfn = self.free_blocks[found].pop()
        while found > order:
            found -= 1
            self.free_blocks[found].add(pfn + (1 << found))
        self.orders[pfn] = order
        return pfn

    def free(self, pfn: int) -> None:
        order = self.orders.pop(pfn)
        while order < len(self.free_blocks) - 1 and pfn ^ (1 << order) in self.free_blocks[order]:
            self.free_blocks[order].remove(pfn ^ (1 << order))
            pfn &= ~(1 << order)
            order += 1
        self.free_blocks[order].add(pfn)


class Naive(EmptyHook):
    """The obvious way: a hook in Python, three registers read, a buddy in plain Python, one register written."""

    def _assemble(self, budget: int | None) -> Any:
        cpu = super()._assemble(budget)
        buddy = PlainBuddy(N_FRAMES)
        held: list[int] = []
        registers = (x86_const.UC_X86_REG_RDI, x86_const.UC_X86_REG_RSI, x86_const.UC_X86_REG_RDX)

        def serve(uc: Any, port: int, size: int, value: int, data: object) -> None:
            arguments = [uc.reg_read(register) for register in registers]
            if held:
                buddy.free(held.pop())
                answer = 0
            else:
                answer = buddy.alloc(arguments[0] & 0)
                held.append(answer)
            uc.reg_write(x86_const.UC_X86_REG_RAX, answer)

        cpu.uc.hook_add(UC_HOOK_INSN, serve, None, 1, 0, x86_const.UC_X86_INS_OUT)
        return cpu


def seconds_a_ring(kind: type[Machine], rings: int) -> float:
    """The time of one ring, in a machine of that kind."""
    machine = kind(FrameManager(N_FRAMES), "doorbell", arguments=[rings // 2])
    took = seconds(machine.run)
    if machine.cpu.rip == machine.image.entry:
        raise AssertionError("the guest did not run")
    return took / rings


def seconds(work: Callable[[], object]) -> float:
    """How long it takes."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def best_of(rounds: int, *measures: Callable[[], float]) -> list[float]:
    """The least of each measure, taken in turn, so that a slow spell of the host falls on all of them."""
    taken = [[measure() for measure in measures] for _ in range(rounds)]
    return [min(column) for column in zip(*taken, strict=True)]


def doorbell_ratios(rings: int = 1_000_000, rounds: int = 5) -> tuple[float, float]:
    """(an allocation or free over an empty hook, the obvious way over an allocation or free)."""
    seconds_a_ring(Machine, 1000), seconds_a_ring(EmptyHook, 1000)
    ours, nothing, naive = best_of(rounds, lambda: seconds_a_ring(Machine, rings), lambda: seconds_a_ring(EmptyHook, rings),
                                   lambda: seconds_a_ring(Naive, rings // 50))
    return ours / nothing, naive / ours
