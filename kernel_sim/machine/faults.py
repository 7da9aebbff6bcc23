"""Faults in words: what the guest did that the machine does not allow, and which instruction did it."""

from __future__ import annotations

from kernel_sim.compiled import Array
from kernel_sim.errors import GuestFault
from kernel_sim.machine.abi import FIRMWARE, IMAGE_BYTES, STACK_BOTTOM
from kernel_sim.machine.board import (
    B_BLOCK,
    B_BLOCK_BYTES,
    B_MISS_ACCESS,
    B_MISS_ADDRESS,
    B_TRAP_RIP,
    B_TRAP_VECTOR,
    B_VECTOR,
    B_WHY,
    FORBIDDEN_PORT,
    INTERRUPT,
    PAGE_FAULT,
    SYSTEM_CALL,
    TRIPLE_FAULT,
)
from kernel_sim.machine.cpu import NO_MEMORY, Cpu
from kernel_sim.machine.listing import addresses_of, code_at, disassemble, instruction_at, place
from kernel_sim.machine.loader import Image
from kernel_sim.machine.ram import Ram
from kernel_sim.machine.translation import FETCH, WRITE

VECTORS = {0: "division error", 1: "debug exception", 3: "breakpoint", 4: "overflow", 5: "bound exceeded", 6: "invalid instruction",
            7: "floating-point unit not available", 8: "double fault", 10: "invalid TSS", 11: "segment not present", 12: "stack fault",
            13: "general protection fault", 14: "page fault", 16: "floating-point error", 17: "alignment check", 19: "SIMD floating-point error"}
_WORD = 0xFFFF_FFFF_FFFF_FFFF
_PAGE = _WORD ^ 0xFFF


class Scene:
    """What is left to look at when the engine has stopped."""

    def __init__(self, board: Array, cpu: Cpu, ram: Ram, image: Image) -> None:
        self.board, self.cpu, self.ram, self.image = board, cpu, ram, image
        self.rip = cpu.rip

    def fault(self, error: str | None) -> GuestFault | None:
        """The guest's fault, if it was one that stopped the machine; `error` is what the engine says."""
        if self.board[B_WHY] == PAGE_FAULT:
            what, rip = self._access()
            return self._made(f"page fault: {what}", rip)
        if self.board[B_WHY] == INTERRUPT:
            vector = int(self.board[B_VECTOR])
            return self._made(VECTORS.get(vector, f"interrupt {vector}"), self._trap(vector))
        if self.board[B_WHY] == SYSTEM_CALL:
            return self._made("invalid instruction", self.rip - 2)
        if self.board[B_WHY] == FORBIDDEN_PORT:
            return self._made("use of a port in ring 3", self.rip)
        if self.board[B_WHY] == TRIPLE_FAULT:
            vector = int(self.board[B_TRAP_VECTOR])
            began = VECTORS.get(vector, f"interrupt {vector}")
            return self._made(f"triple fault, which began with a {began}", int(self.board[B_TRAP_RIP]) & _WORD)
        if error == NO_MEMORY:
            what, rip = self._access()
            return self._made(f"{what}, where there is no memory", rip)
        return self._made(error, self.rip) if error is not None else None

    def _made(self, what: str, rip: int) -> GuestFault:
        return GuestFault(f"{what}, by `{instruction_at(self.ram, rip)}` at {place(self.image, rip)}", rip=rip)

    def _access(self) -> tuple[str, int]:
        """What was tried, and the instruction that tried. The engine tells the page; the instruction tells the address."""
        page, access = int(self.board[B_MISS_ADDRESS]) & _WORD, int(self.board[B_MISS_ACCESS])
        if access == FETCH:
            return self._jump(page)
        registers = self.cpu.registers()
        touched = [*addresses_of(self.ram, self.rip, registers), registers["rsp"] - (8 if access == WRITE else 0)]     # the stack's end: push, pop
        address = next((address for address in touched if address & _PAGE == page), page)
        below_stack = FIRMWARE + IMAGE_BYTES <= address < FIRMWARE + STACK_BOTTOM
        return f"{'write to' if access == WRITE else 'read of'} {address:#x}{' (the stack has overflowed)' if below_stack else ''}", self.rip

    def _jump(self, page: int) -> tuple[str, int]:
        """A jump to where nothing can be executed: the instruction that jumped is the last of the block before."""
        if self.rip & _PAGE != page:
            return f"execution that goes on at {page:#x}", self.rip
        block = disassemble(self.ram, int(self.board[B_BLOCK]) & _WORD, int(self.board[B_BLOCK_BYTES]))
        return f"jump to {self.rip:#x}", block[-1][0] if block else self.rip

    def _trap(self, vector: int) -> int:
        """The instruction that made an exception. The processor stands behind those whose purpose that is: INT1, INT3, INT n."""
        for trap in ({1: b"\xf1", 3: b"\xcc"}.get(vector, b""), bytes((0xCD, vector & 0xFF))):
            if trap and code_at(self.ram, self.rip - len(trap), len(trap)) == trap:
                return self.rip - len(trap)
        return self.rip
