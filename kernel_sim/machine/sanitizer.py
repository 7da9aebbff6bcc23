"""The frame sanitizer: it catches every access to a frame that is not its user's, at the instruction.

The compiled parts are `access_watch` (what is looked at on a miss of the engine's translation buffer), `shadow_tlb` (what a processor may still
remember), `call_watch` (what happens at a call) and `initialised` (which bytes have been written). This is the part that sets them up and puts
what they found into words.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from kernel_sim.compiled import Array, Callback, address_of, bind, callback, compiled
from kernel_sim.errors import BadInput, Finding
from kernel_sim.frames import HEAD, RUN_USED, SHARED_HEAD, lazy_zeros, state_runs
from kernel_sim.machine import board, call_watch, notebook, shadow_tlb, stacks
from kernel_sim.machine.access_watch import watch_access
from kernel_sim.machine.cpu import Cpu
from kernel_sim.machine.findings import Evidence
from kernel_sim.machine.guest_code import GuestCode
from kernel_sim.machine.hypercalls import HOOK_TYPES
from kernel_sim.machine.initialised import MAX_READS, READ_WORDS, memory_hooks
from kernel_sim.machine.listing import translation_instructions
from kernel_sim.machine.loader import Image
from kernel_sim.machine.modules import Program
from kernel_sim.machine.paging import MISS_TYPES, found_page, on_miss
from kernel_sim.machine.ram import Ram
from kernel_sim.manager import FrameManager
from kernel_sim.units import FRAME_BYTES

SWITCH = "KERNEL_SIM_SANITIZE"
_OWNERS = 1 << 16


@dataclass(frozen=True)
class Leak:
    """Allocations of one owner, made by the same callers, that nobody had freed when the guest exited.

    Frames count with their padding; `n_tables` of them served as page tables. `has_ended` says that their owner is a process of which the guest has
    said that it has ended: nobody is left to free them. `stack` are lines for people, the innermost caller first.
    """

    owner: int
    has_ended: bool
    n_allocations: int
    n_frames: int
    n_tables: int
    stack: tuple[str, ...]

    def __str__(self) -> str:
        tables = f", {self.n_tables} of them page tables" if self.n_tables else ""
        whose = f"owner {self.owner}, who has ended" if self.has_ended else f"owner {self.owner}"
        return f"{_plural(self.n_frames, 'frame')} in {_plural(self.n_allocations, 'allocation')} of {whose}{tables}"


def is_asked_for() -> bool:
    """Whether KERNEL_SIM_SANITIZE=1 asks for the sanitizer in every machine that does not say otherwise: for test suites. BadInput for nonsense."""
    value = os.environ.get(SWITCH, "")
    if value not in ("", "0", "1"):
        raise BadInput(f"{SWITCH}={value}: it is 0 or 1")
    return value == "1"


class Sanitizer:
    """The sanitizer of one machine. `uninitialised` adds a look at every byte that is read, which is slow."""

    def __init__(self, manager: FrameManager, image: Image, ram: Ram, words: Array, programs: Sequence[Program] = (),
                 uninitialised: bool = False) -> None:
        self.manager, self.image, self.ram, self.board, self.programs = manager, image, ram, words, programs
        n_frames = manager.n_table_frames
        self.notes = np.zeros(notebook.NOTEBOOK_WORDS, np.int64)
        self.stacks = lazy_zeros(stacks.STACK_WORDS, np.uint32)
        self.stack_of_alloc, self.stack_of_free = lazy_zeros(n_frames, np.uint32), lazy_zeros(n_frames, np.uint32)
        self.tables = lazy_zeros(n_frames, np.uint8)
        self.ended = np.zeros(_OWNERS, np.uint8)
        self._shadow = lazy_zeros(shadow_tlb.SHADOW_WORDS, np.int64)
        self._written = lazy_zeros(n_frames * (FRAME_BYTES // 64), np.int64) if uninitialised else None
        self.reads = np.zeros((MAX_READS, READ_WORDS), np.int64)
        self._answer = np.zeros(call_watch.ASKED_AT_ONCE, np.uint8)
        self._sites: list[Array] = []

    def attach(self, cpu: Cpu) -> None:
        """Fill in the notebook, and put the hooks into the engine; after the machine's own."""
        notes, where = self.notes, address_of(self.board)
        self.board[board.B_WATCH] = address_of(notes)
        for number, array in ((notebook.N_SHADOW, self._shadow), (notebook.N_STACKS, self.stacks), (notebook.N_STACK_OF_ALLOC, self.stack_of_alloc),
                              (notebook.N_STACK_OF_FREE, self.stack_of_free), (notebook.N_TABLES, self.tables), (notebook.N_ENDED, self.ended),
                              (notebook.N_READS, self.reads), (notebook.N_ANSWER, self._answer)):
            notes[number] = address_of(array)
        notes[notebook.N_MINCORE] = ctypes.cast(ctypes.CDLL(None).mincore, ctypes.c_void_p).value or 0
        code = [np.uint64(address).astype(np.int64) for part in self.image.code for address in part]
        notes[notebook.N_CODE], notes[notebook.N_CODE_END] = min(code), max(code)
        notes[notebook.N_EPOCH] = 1
        notes[notebook.N_SEEN] = self.manager.clock
        after, loaded, dropped = _hooks()
        cpu.hook_out(after, where)
        self._watch_instructions(cpu, loaded, dropped)
        if self._written is not None:
            notes[notebook.N_WRITTEN] = address_of(self._written)
            on_read, on_write = memory_hooks()
            cpu.hook_memory(on_read, on_write, where)

    def findings(self, cpu: Cpu) -> tuple[Finding, ...]:
        """What was found, in words: what stopped the run, then the uninitialised reads."""
        evidence = self._evidence(cpu)
        stopped = (evidence.stopped(),) if self.board[board.B_WHY] == board.FINDING else ()
        return (*stopped, *(evidence.read(*read) for read in self.reads[:int(self.notes[notebook.N_N_READS])].tolist()))

    def listing(self, cpu: Cpu, rip: int) -> tuple[str, ...]:
        """The instruction of a finding, where it is a user program's."""
        code = self._evidence(cpu).code
        return (f"-> {code.line_at(rip)}  {code.instruction_at(rip)}",)

    def leaks(self, cpu: Cpu) -> tuple[Leak, ...]:
        """What is still allocated and was not there at the start: by owner, those that have ended first, then by the callers."""
        manager, evidence = self.manager, self._evidence(cpu)
        found: dict[tuple[int, int], list[int]] = {}
        for first, end in self._allocations():
            group = found.setdefault((int(manager.table.frames[first]["owner"]), int(self.stack_of_alloc[first])), [0, 0, 0])
            for i, count in enumerate((1, end - first, int(self.tables[first:end].sum()))):
                group[i] += count
        made = [Leak(owner, bool(self.ended[owner]), n_allocations, n_frames, n_tables, evidence.lines_of(stack))
                for (owner, stack), (n_allocations, n_frames, n_tables) in found.items()]
        return tuple(sorted(made, key=lambda leak: (not leak.has_ended, leak.owner, -leak.n_frames, leak.stack)))

    def _evidence(self, cpu: Cpu) -> Evidence:
        code = GuestCode(self.board, self.ram, self.image, self.programs)
        return Evidence(self.manager, code, cpu, self.board, self.notes, self.stacks, self.stack_of_alloc, self.stack_of_free)

    def _allocations(self) -> list[tuple[int, int]]:
        """(first, end) of the live allocations that an event made."""
        frames: Array = self.manager.table.frames
        found: list[tuple[int, int]] = []
        firsts, kinds = state_runs(self.manager.table)
        for first, end in zip(firsts[kinds == RUN_USED].tolist(), np.append(firsts[1:], len(frames))[kinds == RUN_USED].tolist(), strict=True):
            part = frames[first:end]
            heads = first + np.flatnonzero(np.isin(part["state"], _HEADS))
            ends = [*heads[1:].tolist(), end]
            found += [(head, stop) for head, stop in zip(heads.tolist(), ends, strict=True) if frames[head]["event"]]
        return found

    def _watch_instructions(self, cpu: Cpu, loaded: Callback, dropped: Callback) -> None:
        """Put the hooks on the instructions with which the guest drops translations."""
        for instruction in translation_instructions(self.ram, self.image):
            if instruction.drops_all:
                cpu.hook_instruction(loaded, instruction.address, address_of(self.board))
            else:
                numbers = [cpu.register_number(name) if name else 0 for name in (instruction.base, instruction.scaled)]
                site = np.array([address_of(self.board), *numbers, instruction.scale, instruction.displacement], np.int64)
                self._sites.append(site)
                cpu.hook_instruction(dropped, instruction.address, address_of(site))


_HEADS = (HEAD, SHARED_HEAD)


@cache
def _hooks() -> tuple[Callback, Callback, Callback]:
    """The sanitizer's hooks that are the same for all machines: after `out`, on `mov cr3` and `mov cr4`, on `invlpg`."""
    instruction = ("void", "int64", "int64", "uint32", "int64")
    return (callback(call_watch.after_out, *HOOK_TYPES), callback(shadow_tlb.on_root_loaded, *instruction),
            callback(shadow_tlb.on_page_dropped, *instruction))


@cache
def watched_miss() -> Callback:
    """`paging.on_miss` with the sanitizer's look at each translation."""
    return callback(bind(on_miss, "watched", found_page=compiled(bind(found_page, "watched", watch=watch_access))), *MISS_TYPES)


def _plural(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
