"""Machine: an emulated computer put together, run, and what it reports."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kernel_sim import events
from kernel_sim.compiled import Array, Callback, address_of, callback
from kernel_sim.errors import BadInput, GuestFault
from kernel_sim.machine import abi, board
from kernel_sim.machine.board import BOARD_WORDS
from kernel_sim.machine.cpu import Cpu, EngineError
from kernel_sim.machine.devices import on_block, on_interrupt
from kernel_sim.machine.hypercalls import bind_hook
from kernel_sim.machine.listing import disassemble, instruction_at, listing_around, place
from kernel_sim.machine.loader import find_guest, read_image
from kernel_sim.machine.paging import build_page_tables, on_miss
from kernel_sim.machine.ram import Ram
from kernel_sim.machine.stream import Stream
from kernel_sim.manager import FrameManager
from kernel_sim.operations import OPERATION, Performed
from kernel_sim.segments import MAX_SEGMENTS, SegmentTable
from kernel_sim.zones import join

DEFAULT_BUDGET = 2_000_000_000
"""Blocks of guest code: a guest that loops for ever is stopped within seconds."""

_CONSOLE_BYTES = 1 << 20
_ACCESS = {16: "read of", 17: "write to", 18: "jump to"}
_VECTORS = {0: "division error", 1: "debug exception", 3: "breakpoint", 4: "overflow", 5: "bound exceeded", 6: "invalid instruction", 8: "double fault",
            12: "stack fault", 13: "general protection fault", 14: "page fault", 16: "floating-point error", 19: "SIMD floating-point error"}


@dataclass(frozen=True)
class Run:
    """What became of a run.

    `stopped` is "exit" (the guest wrote to the exit port; `exit_status` is what it wrote), "fault" (`fault` says what, `listing` shows the
    instructions around it), "halt", "budget" or "interrupt". `blocks` is the guest's work, in blocks of code.
    """

    stopped: str
    exit_status: int | None
    fault: GuestFault | None
    listing: tuple[str, ...]
    console: str
    blocks: int
    calls: int
    frames_written: int
    frames_verified: int
    corrupted: int
    refused: int
    performed: Performed | None

    @property
    def ok(self) -> bool:
        """Whether the guest came to its end and said that all was well."""
        return self.stopped == "exit" and self.exit_status == 0


class Machine:
    """An emulated x86-64 machine with a manager's memory.

    `guest` is a program of the SDK by name, or the path of an ELF image. `seed` and up to four `arguments` are handed to it. `budget` bounds its
    work, in blocks of code. BadInput for a guest that cannot be loaded. A machine runs once.
    """

    def __init__(self, manager: FrameManager, guest: str | Path = "hello", *, seed: int = 0, arguments: Sequence[int] = (),
                 budget: int = DEFAULT_BUDGET) -> None:
        self.manager = manager
        self.segments = SegmentTable(manager)
        self.image = read_image(find_guest(str(guest)))
        self.ram = Ram(join([part for zone in manager.zones for part in zone.ranges]))
        self.image.load(self.ram)
        self._write_boot_info(seed, arguments)
        self._console = np.zeros(_CONSOLE_BYTES, np.uint8)
        self._box = self.ram.shared(abi.CALL_BOX, abi.dtype(abi.CallBox))[0]
        self._window = self.ram.shared(abi.WINDOW, OPERATION, abi.WINDOW_OPERATIONS)
        self._results = self.ram.shared(abi.RESULTS, np.dtype("<i8"), abi.WINDOW_OPERATIONS)
        self._raised: BaseException | None = None
        self._interrupted = False
        self._board = np.zeros(BOARD_WORDS, np.int64)
        self.cpu = self._assemble(budget)

    def run(self, operations: Array | None = None, progress: Callable[[int], None] | None = None, watch: Callable[[str], None] | None = None) -> Run:
        """Boot, and run until the guest exits, faults, halts or has used up its budget; Ctrl-C ends the run at once and leaves a report.

        `operations` are streamed to a guest that asks for them; `progress` is told how many it has finished. `watch` gets every instruction, as
        text, before its block runs. BrokenInvariant when the books disagree; BadPolicy for nonsense from a plain policy.
        """
        stream = None if operations is None else Stream(operations)
        self._board[board.B_STREAMS] = stream is not None
        if watch is not None:
            self.cpu.watch_blocks(lambda address, size: self._show(address, size, watch))
        error: list[EngineError | None] = [None]
        worker = threading.Thread(target=lambda: self._guarded(lambda: error.append(self._loop(stream, progress))), daemon=True)
        worker.start()
        self._wait_for(worker)
        if self._raised is not None:
            raise self._raised
        if self._why == board.BROKE:
            raise self.manager.error_for(events.BROKEN, None)
        return self._report(error[-1], stream)

    # -- putting together -------------------------------------------------------------------------------------------------------------

    def _assemble(self, budget: int) -> Cpu:
        """The processor, its memory, and the hooks with the board they work on."""
        cpu = Cpu()
        for physical, size, host in self.ram.mappings():
            cpu.map(physical, size, host)
        box = address_of(self.ram.firmware)
        self._board[:board.B_BUDGET + 1] = (
            cpu.engine, cpu.stop_function, address_of(self.manager.root), box + abi.CALL_BOX, box + abi.BATCH, self.segments.address, MAX_SEGMENTS,
            address_of(self._console), _CONSOLE_BYTES, address_of(self.ram.bytes), self.ram.size, box, self.ram.firmware_base,
            build_page_tables(self.ram, self.image.code), budget)
        where = address_of(self._board)
        cpu.set_page_table(int(self._board[board.B_PAGE_TABLE]))
        cpu.hook_out(self._out_hook(), where)
        cpu.hook_miss(callback(on_miss, "bool", "int64", "int64", "int32", "int64", "int64"), where)
        cpu.hook_block(callback(on_block, "void", "int64", "int64", "uint32", "int64"), where)
        cpu.hook_interrupt(callback(on_interrupt, "void", "int64", "uint32", "int64"), where)
        return cpu

    def _out_hook(self) -> Callback:
        """The doorbell, compiled, or in the interpreter, where exceptions must not be lost, for a plain policy."""
        hook = bind_hook(self.manager)
        arguments = ("int64", "uint32", "int32", "uint32", "int64")
        if not self.manager.policy.plain:
            return callback(hook, "void", *arguments)

        def guarded(*values: int) -> None:
            self._guarded(lambda: hook(*values))
        return callback(guarded, "void", *arguments, jit=False)

    def _write_boot_info(self, seed: int, arguments: Sequence[int]) -> None:
        if len(arguments) > abi.N_ARGUMENTS:
            raise BadInput(f"a guest takes up to {abi.N_ARGUMENTS} arguments, not {len(arguments)}")
        info = self.ram.shared(abi.BOOT_INFO, abi.dtype(abi.BootInfo))[0]
        ranges = self.ram.frames[:abi.MAX_RANGES]
        values = {"magic": abi.BOOT_MAGIC, "direct_map": abi.DIRECT_MAP, "seed": seed & 0xFFFF_FFFF_FFFF_FFFF}
        for name, value in values.items():
            info[name] = np.uint64(value).astype(np.int64)
        info["n_frames"] = sum(end - first for first, end in self.ram.frames)
        info["arguments"][:len(arguments)] = arguments
        info["n_ranges"] = len(ranges)
        for i, frames in enumerate(ranges):
            info["ranges"][i] = frames

    # -- running ----------------------------------------------------------------------------------------------------------------------

    @property
    def _why(self) -> int:
        return int(self._board[board.B_WHY])

    def _loop(self, stream: Stream | None, progress: Callable[[int], None] | None) -> EngineError | None:
        """Run the engine; whenever it stops for a window of operations, fill it and go on. In a thread of its own."""
        address = self.image.entry
        while not self._interrupted:
            self._board[board.B_WHY] = board.RUNNING
            error = self.cpu.start(address)
            if self._why != board.WANTS_WINDOW or stream is None or error is not None:
                return error
            self._box["n_frames"] = stream.next_window(self._window, self._results)
            self._box["status"] = events.OK
            if progress:
                progress(stream.done)
            address = self.cpu.rip
        return None

    def _guarded(self, work: Callable[[], object]) -> None:
        """Keep an exception for later, and stop: the engine would lose it."""
        try:
            work()
        except BaseException as error:
            self._raised = self._raised or error
            self.cpu.stop()

    def _wait_for(self, worker: threading.Thread) -> None:
        """Wait, and be there for Ctrl-C, which the engine's own thread would not see."""
        while worker.is_alive():
            try:
                worker.join(0.1)
            except KeyboardInterrupt:
                self._interrupted = True
                while worker.is_alive():
                    self.cpu.stop()
                    worker.join(0.01)

    def _show(self, address: int, size: int, watch: Callable[[str], None]) -> None:
        for at, _, text in disassemble(self.ram, address, size):
            watch(f"{place(self.image, at)}  {text}")

    # -- reporting --------------------------------------------------------------------------------------------------------------------

    def _report(self, error: EngineError | None, stream: Stream | None) -> Run:
        stopped, fault = self._outcome(error)
        listing = tuple(listing_around(self.ram, self.image, fault.rip)) if fault else ()
        counted = self.ram.shared(abi.GUEST_REPORT, abi.dtype(abi.GuestReport))[0]
        return Run(stopped, int(self._board[board.B_EXIT_STATUS]) if stopped == "exit" else None, fault, listing, self.console,
                   int(self._board[board.B_BLOCKS]), int(self._board[board.B_CALLS]),
                   *(int(counted[name]) for name in ("frames_written", "frames_verified", "corrupted", "refused")),
                   performed=stream.finish(self._results) if stream else None)

    @property
    def console(self) -> str:
        """What the guest has printed so far."""
        used = int(self._board[board.B_CONSOLE_USED])
        text = self._console[:min(used, _CONSOLE_BYTES)].tobytes().decode("utf-8", errors="replace")
        return text + (f"\n[{used - _CONSOLE_BYTES} more bytes were dropped]\n" if used > _CONSOLE_BYTES else "")

    def _outcome(self, error: EngineError | None) -> tuple[str, GuestFault | None]:
        """Why the machine stopped, and the fault if it was one."""
        if self._why == board.EXITED:
            return "exit", None
        if self._interrupted:
            return "interrupt", None
        if self._why == board.OUT_OF_BUDGET:
            return "budget", None
        rip = self.cpu.rip
        if self._why == board.PAGE_FAULT:
            address = int(self._board[board.B_FAULT_ADDRESS]) & 0xFFFF_FFFF_FFFF_FFFF
            return "fault", self._fault(f"page fault: {_ACCESS.get(int(self._board[board.B_FAULT_ACCESS]), 'access to')} {address:#x}", rip)
        if self._why == board.INTERRUPT:
            vector = int(self._board[board.B_VECTOR])
            return "fault", self._fault(_VECTORS.get(vector, f"interrupt {vector}"), rip)
        if error is not None:
            return "fault", self._fault(error.text, rip)
        return "halt", None

    def _fault(self, what: str, rip: int) -> GuestFault:
        return GuestFault(f"{what}, by `{instruction_at(self.ram, rip)}` at {place(self.image, rip)}", rip=rip)

