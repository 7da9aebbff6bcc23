"""What the sanitizer found, in words: what was done, to which frame, by which instruction; who had the frame, and who freed it.

A finding's first line says it all; its details give the facts around it, and the stacks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from kernel_sim import events
from kernel_sim.compiled import Array, interpreted
from kernel_sim.errors import Finding
from kernel_sim.frames import FREE, HOLE, PAD, RESERVED, STATE_NAMES
from kernel_sim.machine import notebook
from kernel_sim.machine.cpu import Cpu
from kernel_sim.machine.guest_code import GuestCode
from kernel_sim.machine.stacks import DEPTH, calls_in, read_stack, stack_at
from kernel_sim.machine.translation import FETCH, WRITE
from kernel_sim.manager import FrameManager
from kernel_sim.units import FRAME_BYTES

_WORD = 0xFFFF_FFFF_FFFF_FFFF
_PAGE = _WORD ^ 0xFFF
_ACCESSES = {WRITE: "write", FETCH: "fetch"}
_BAD_FREES = {
    events.DOUBLE_FREE: "double free", events.NOT_ALLOCATED: "free of what is not allocated", events.INTERIOR_FREE: "free inside an allocation",
    events.OUT_OF_RANGE: "free of what is no frame", events.RESERVED: "free of a reserved frame", events.BAD_COUNT: "free of a negative count",
    events.SHARED: "free of part of what is shared",
}


@dataclass
class Evidence:
    """Where everything stands that a finding may speak of. The arrays are the sanitizer's."""

    manager: FrameManager
    code: GuestCode
    cpu: Cpu
    board: Array
    notes: Array
    stacks: Array
    stack_of_alloc: Array
    stack_of_free: Array

    def stopped(self) -> Finding:
        """What stopped the run."""
        notes = {name: int(self.notes[getattr(notebook, name)]) for name in ("N_KIND", "N_FRAME", "N_OWNER", "N_OTHER", "N_VIRTUAL", "N_ACCESS")}
        kind, pfn, rip = notes["N_KIND"], notes["N_FRAME"], self.cpu.rip
        if kind == notebook.BAD_FREE:
            return self._bad_free(pfn, notes["N_OTHER"], notes["N_OWNER"])
        if kind == notebook.NEVER_ALLOCATED and self._in_front_of(pfn) is not None:
            kind = notebook.OVERRUN
        access = _ACCESSES.get(notes["N_ACCESS"], "read")
        address = self._address(notes["N_VIRTUAL"] & _WORD, access, rip)
        facts = [*self._facts(kind, pfn, notes["N_OWNER"], notes["N_OTHER"]), *self._stack("at", [rip, *self._callers()])]
        ring = " from ring 3" if self.notes[notebook.N_IS_USER] else ""
        return self._made(notebook.KINDS[kind], f"{access} of {address:#x}{ring}, frame {pfn:#x}", rip, pfn, address, access, facts)

    def read(self, rip: int, physical: int, is_user: int, stack: int) -> Finding:
        """An uninitialised read. Of its address only the physical one is known."""
        rip, pfn = rip & _WORD, physical // FRAME_BYTES
        facts = [self._state_of(pfn), "nobody has written there since", *self._stack("at", [rip, *calls_in(stack_at(self.stacks, stack))])]
        ring = " from ring 3" if is_user else ""
        what = f"read of byte {physical % FRAME_BYTES:#x}{ring}, frame {pfn:#x}"
        return self._made(notebook.KINDS[notebook.UNINITIALISED], what, rip, pfn, None, "read", facts)

    def lines_of(self, stack: int) -> tuple[str, ...]:
        """The calls of a stack that was kept, as lines for people."""
        return tuple(self.code.line_at(call) for call in calls_in(stack_at(self.stacks, stack)))

    def _made(self, kind: str, what: str, rip: int, pfn: int, address: int | None, access: str | None, facts: list[str]) -> Finding:
        record = self._record(pfn)
        details = [*facts, *self._history(pfn)]
        message = f"{kind}: {what}, by `{self.code.instruction_at(rip)}` at {self.code.line_at(rip)}"
        return Finding(message, rip=rip, kind=kind, pfn=pfn, address=address, access=access,
                       owner=int(record["owner"]), event=int(record["event"]), details=tuple(details))

    def _bad_free(self, pfn: int, status: int, other: int) -> Finding:
        """A free that was refused: the instruction of interest is the one that asked for it, not the one that rang the doorbell."""
        callers = calls_in(stack_at(self.stacks, int(self.notes[notebook.N_STACK])))
        rip = next((call for call in callers if self.code.file_of(call) != self.code.file_of(callers[0])), self.cpu.rip)
        record = self._record(pfn)
        is_anothers = status == events.NOT_ALLOCATED and STATE_NAMES[record["state"]].startswith("allocated") and other not in (0, record["owner"])
        kind = "free by another" if is_anothers else _BAD_FREES.get(status, "bad free")
        who = [f"owner {other} would have freed it"] if is_anothers else []
        return Finding(f"{kind}: of frame {pfn:#x}, asked for at {self.code.line_at(rip)}", rip=rip, kind=kind, pfn=pfn, address=None, access=None,
                       owner=int(record["owner"]), event=int(record["event"]),
                       details=(*self._facts(notebook.BAD_FREE, pfn, 0, 0), *who, *self._stack("at", callers), *self._history(pfn)))

    def _facts(self, kind: int, pfn: int, owner: int, other: int) -> list[str]:
        """What is known of the frame, and why the access is wrong."""
        space = f"this is the address space of owner {owner}"
        remembers, missing = "a processor may still hold", "an invlpg, or a load of CR3, is missing"
        why = {
            notebook.FOREIGN: space, notebook.FOREIGN_TABLE: space,
            notebook.WRITE_TO_SHARED: "it has several users: before one of them writes, the page is to be copied",
            notebook.STALE: f"{remembers} it for this page, where the tables now have frame {other:#x}: {missing}",
            notebook.STALE_UNMAPPED: f"{remembers} it for this page, where the tables now have nothing: {missing}",
            notebook.STALE_RIGHTS: f"{remembers} more rights to it than the tables now give: {missing}",
            notebook.WRONG_SPACE: f"it is owner {owner}'s turn, and CR3 points to the tables of owner {other}: a load of CR3 is missing",
            notebook.FREED_TABLE: "the translation comes out of this frame: it still serves as a page table",
            notebook.EXPOSED_TABLE: "it serves as a page table, and ring 3 may write to it",
            notebook.BEYOND_SEGMENT: f"the descriptor of segment {other} promises more than the segment has",
        }.get(kind)
        return [self._state_of(pfn), *self._neighbour(pfn), *([why] if why else [])]

    def _state_of(self, pfn: int) -> str:
        """Whose frame it is, or was."""
        record = self._record(pfn)
        state, owner, event = (int(record[name]) for name in ("state", "owner", "event"))
        if not 0 <= pfn < self.manager.n_table_frames:
            return f"there is no frame {pfn:#x}"
        if state == FREE:
            return f"frame {pfn:#x} is free: " + (f"owner {owner} had it last, event {event} freed it" if event else "it was never allocated")
        if state in (RESERVED, HOLE):
            return f"frame {pfn:#x} is {STATE_NAMES[state]}"
        made = f", event {event} allocated it" if event else ", from the start"
        return f"frame {pfn:#x} is {STATE_NAMES[state]}: owner {owner} has it{made}"

    def _neighbour(self, pfn: int) -> list[str]:
        """The allocation in front of a frame that is free or padding: it is what was overrun."""
        head = self._in_front_of(pfn)
        if head is None:
            return []
        record = self._record(head)
        end = next(at for at in range(head + 1, pfn + 1) if self._record(at)["state"] in (FREE, PAD) or at == pfn)
        distance = f"{(pfn - end) * FRAME_BYTES:#x} bytes" if pfn > end else "right"
        frames = f"the {end - head} frames" if end - head > 1 else "the one frame"
        return [f"it lies {distance} behind {frames} at {head:#x} of owner {record['owner']}, which event {record['event']} allocated"]

    def _in_front_of(self, pfn: int) -> int | None:
        """The head of the allocation that ends in front of a frame which is free or padding; None when there is none."""
        if self._record(pfn)["state"] not in (FREE, PAD):
            return None
        at = pfn - 1
        while at >= 0 and self._record(at)["state"] == PAD:
            at -= 1
        while at >= 0 and STATE_NAMES[self._record(at)["state"]].startswith("inside"):
            at -= 1
        is_head = at >= 0 and STATE_NAMES[self._record(at)["state"]].startswith("allocated") and self._record(at)["event"]
        return at if is_head else None

    def _history(self, pfn: int) -> list[str]:
        """The stacks that are known of a frame."""
        if not 0 <= pfn < self.manager.n_table_frames:
            return []
        kept = [("allocated by", self.stack_of_alloc)] + ([("freed by", self.stack_of_free)] if self._record(pfn)["state"] == FREE else [])
        return [line for title, numbers in reversed(kept)
                for line in self._stack(title, calls_in(stack_at(self.stacks, int(numbers[pfn]))))]

    def _stack(self, title: str, addresses: list[int]) -> list[str]:
        return [f"{title}:", *(f"    {self.code.line_at(address)}" for address in addresses)] if addresses else []

    def _record(self, pfn: int) -> Any:
        exists = 0 <= pfn < self.manager.n_table_frames
        return self.manager.table.frames[pfn] if exists else np.zeros(1, self.manager.table.frames.dtype)[0]

    def _address(self, page: int, access: str, rip: int) -> int:
        """The access's address. The engine tells the page; the instruction tells the address."""
        if access == "fetch":
            return rip if rip & _PAGE == page & _PAGE else page
        registers = self.cpu.registers()
        touched = [*self.code.operands_at(rip, registers), registers["rsp"] - (8 if access == "write" else 0)]
        return next((address for address in touched if address & _PAGE == page & _PAGE), page)

    def _callers(self) -> list[int]:
        """The calls that led to where the engine stands, as far as the kernel's stack tells."""
        rbp, stack = self.cpu.registers()["rbp"], np.zeros(DEPTH, np.uint32)
        interpreted(read_stack)(self.board, self.notes, stack, 0, rbp - (1 << 64) if rbp >> 63 else rbp)
        return calls_in(stack)
