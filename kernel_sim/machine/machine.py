"""Machine: an emulated computer put together, run, and what it reports."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from weakref import ref

import numpy as np

from kernel_sim import events
from kernel_sim.compiled import Array, Callback, address_of, callback, interpreted
from kernel_sim.errors import BadInput, Finding, GuestFault
from kernel_sim.frames import lazy_zeros
from kernel_sim.machine import abi, board
from kernel_sim.machine.board import BOARD_WORDS
from kernel_sim.machine.boot import write_boot_info
from kernel_sim.machine.cpu import INVALID_INSTRUCTION, Cpu
from kernel_sim.machine.devices import tick_is_due
from kernel_sim.machine.faults import Scene
from kernel_sim.machine.hooks import device_hooks
from kernel_sim.machine.hypercalls import HOOK_TYPES, bind_hook, bind_moves, bind_rare, compiled_doorbell, when_asked
from kernel_sim.machine.journal import MAX_RECORDS, RECORD
from kernel_sim.machine.listing import disassemble, listing_around, place
from kernel_sim.machine.loader import find_guest, read_image
from kernel_sim.machine.modules import Program, load_modules, program_of, read_modules, size_of
from kernel_sim.machine.paging import build_page_tables
from kernel_sim.machine.processes import ProcessRecord, processes_of
from kernel_sim.machine.ram import Ram
from kernel_sim.machine.sanitizer import Leak, Sanitizer, is_asked_for, watched_miss
from kernel_sim.machine.stream import Stream
from kernel_sim.machine.translation import GENERAL_PROTECTION
from kernel_sim.machine.traps import INSTRUCTION, INVALID, NO_CODE, NO_TRAP, NOT_ENTERED, TIMER, has_error_code, run_guest, write_microcode
from kernel_sim.manager import FrameManager
from kernel_sim.operations import OPERATION, Performed
from kernel_sim.segments import MAX_SEGMENTS, SegmentTable
from kernel_sim.zones import join

DEFAULT_BUDGET = 2_000_000_000
"""Blocks of guest code: a guest that loops for ever is stopped within seconds."""

_CONSOLE_BYTES = 1 << 20
_LARGEST = (1 << 63) - 1
_WORD = (1 << 64) - 1
_LONGEST_TURN = (1 << 32) - 1
_NO_TRAP = (NO_TRAP, NO_CODE, 0, 0)
TRANSLATIONS = ("paging", "segmentation")
_COUNTS = {"misses": board.B_MISSES, "pages_4k": board.B_PAGES, "pages_2m": board.B_LARGE_PAGES, "pages_1g": board.B_HUGE_PAGES,
           "page_faults": board.B_PAGE_FAULTS, "traps": board.B_TRAPS, "ticks": board.B_TICKS}
_ENDS = {board.EXITED: "exit", board.OUT_OF_BUDGET: "budget"}


@dataclass(frozen=True)
class Run:
    """What became of a run.

    `stopped` is "exit" (the guest wrote to the exit port; `exit_status` is what it wrote), "fault" (`fault` says what, `listing` shows the
    instructions around it), "halt", "budget" or "interrupt". What the sanitizer found is in `findings`; one that stopped the run is the `fault`, too.
    `leaks` is what was still allocated when the guest exited under the sanitizer. `blocks` is the guest's work, in blocks of code.
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
    findings: tuple[Finding, ...] = ()
    leaks: tuple[Leak, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether the guest came to its end and said that all was well, and the sanitizer, if there was one, did not say otherwise."""
        return self.stopped == "exit" and self.exit_status == 0 and not self.findings and not any(leak.has_ended for leak in self.leaks)


class Machine:
    """An emulated x86-64 machine with a manager's memory.

    `guest` is a program of the SDK by name, or the path of an ELF image. `seed` and up to four `arguments` are handed to it. `budget` bounds its
    work, in blocks of code; with None, blocks are not counted, and there is no timer. For a guest kernel, `programs` are the user programs to start
    (``forktree:2*3``: three processes of forktree with the argument 2), `translation` says how their addresses become physical ones ("paging" or
    "segmentation"), `quantum` how many blocks a process's turn has, and `journal` keeps a journal for the timeline. `sanitize` stops the guest at its
    first access to a frame that is not its user's, and tells at the end what was never freed (None: as KERNEL_SIM_SANITIZE says); `uninitialised`
    reports, besides, reads of memory that was never written (slow). BadInput for a guest that cannot be loaded, or for a number that is none of 64
    bits. A machine runs once.
    """

    def __init__(self, manager: FrameManager, guest: str | Path = "hello", *, seed: int = 0, arguments: Sequence[int] = (),
                 budget: int | None = DEFAULT_BUDGET, programs: Sequence[Program | str] = (), translation: str = "paging", quantum: int = 0,
                 journal: bool = False, sanitize: bool | None = None, uninitialised: bool = False) -> None:
        if budget is not None and not 1 <= budget <= _LARGEST:
            raise BadInput(f"a budget of {budget} blocks: it is a positive number of 64 bits")
        if translation not in TRANSLATIONS:
            raise BadInput(f"no translation {translation!r}: one of {', '.join(TRANSLATIONS)}")
        if not 0 <= quantum <= _LONGEST_TURN:
            raise BadInput(f"a quantum of {quantum} blocks: 0 for no timer, or up to {_LONGEST_TURN}")
        if quantum and budget is None:
            raise BadInput("a quantum without a budget: a machine that counts no blocks has no timer")
        self.manager = manager
        self.image = read_image(find_guest(str(guest)))
        self.programs = [program_of(program) if isinstance(program, str) else program for program in programs]
        images = read_modules(self.programs)
        self.ram = Ram(join([part for zone in manager.zones for part in zone.ranges]), size_of(images))
        self.segments = SegmentTable(manager, self.ram.bytes)
        self.image.load(self.ram)
        write_microcode(self.ram)
        info = write_boot_info(self.ram, seed, arguments)
        info["translation"], info["quantum"] = TRANSLATIONS.index(translation), quantum
        load_modules(self.ram, info, self.programs, images)
        self._journal = lazy_zeros(MAX_RECORDS if journal else 0, RECORD)
        self._misses = np.zeros(abi.MAX_PROCESSES, np.int64)
        self._console = np.zeros(_CONSOLE_BYTES, np.uint8)
        self._box = self.ram.shared(abi.CALL_BOX, abi.dtype(abi.CallBox))[0]
        self._window = self.ram.shared(abi.WINDOW, OPERATION, abi.WINDOW_OPERATIONS)
        self._raised: BaseException | None = None
        self._interrupted = False
        self._has_run = False
        self._error: str | None = None
        self._board = np.zeros(BOARD_WORDS, np.int64)
        is_watched = uninitialised or (is_asked_for() if sanitize is None else sanitize)
        self.sanitizer = Sanitizer(manager, self.image, self.ram, self._board, self.programs, uninitialised) if is_watched else None
        self.cpu = self._assemble(budget)

    def run(self, operations: Array | None = None, progress: Callable[[int], None] | None = None, watch: Callable[[str], None] | None = None) -> Run:
        """Boot, and run until the guest exits, faults, halts or has used up its budget; Ctrl-C ends the run at once and leaves a report.
        (A second one is for a plain policy that does not come back; it is raised, and there is no report.)

        `operations` are streamed to a guest that asks for them; `progress` is told how many it has finished. `watch` gets every instruction, as
        text, before its block runs. BrokenInvariant when the books disagree; BadPolicy for nonsense from a plain policy.
        """
        if self._has_run:
            raise ValueError("a machine runs once: make another")
        self._has_run = True
        stream = None if operations is None else Stream(operations)
        self._board[board.B_STREAMS] = stream is not None
        if watch is not None:
            self.cpu.watch_blocks(lambda address, size: self._guarded(lambda: self._show(address, size, watch)))
        self._in_thread(lambda: self._loop(stream, progress))
        if self._raised is not None:
            raise self._raised
        if self._why == board.BROKE:
            raise self.manager.error_for(events.BROKEN, None)
        return self._report(stream)

    # -- putting together -------------------------------------------------------------------------------------------------------------

    def _assemble(self, budget: int | None) -> Cpu:
        """The processor, its memory, and the hooks with the board they work on."""
        cpu = Cpu()
        for physical, size, host in self.ram.mappings():
            cpu.map(physical, size, host)
        box = address_of(self.ram.firmware)
        stop, read, write, start = cpu.functions
        self._board[:board.B_BUDGET + 1] = (
            cpu.engine, stop, address_of(self.manager.root), box + abi.CALL_BOX, box + abi.BATCH, self.segments.address, MAX_SEGMENTS,
            address_of(self._console), _CONSOLE_BYTES, address_of(self.ram.bytes), self.ram.size, box, self.ram.firmware_base,
            build_page_tables(self.ram, self.image.code), budget or 0)
        where = address_of(self._board)
        self._board[[board.B_ADDRESS, board.B_READ_FUNCTION, board.B_WRITE_FUNCTION, board.B_START_FUNCTION, board.B_FAULT_ADDRESS]] = (
            where, read, write, start, cpu.fault_address_at)
        self._board[board.B_CONTROL_FUNCTION] = cpu.control_function
        self._board[board.B_TRANSLATION] = self.ram.shared(abi.BOOT_INFO, abi.dtype(abi.BootInfo))[0]["translation"]
        self._board[[board.B_JOURNAL, board.B_JOURNAL_RECORDS]] = address_of(self._journal), len(self._journal)
        self._board[[board.B_JOURNALLED, board.B_MISSES_OF]] = self.manager.clock, address_of(self._misses)
        cpu.set_page_table(int(self._board[board.B_PAGE_TABLE]))
        cpu.hook_out(self._out_hook(), where)
        self._rare, self._moves = (when_asked(self.manager, bound_by, self._board, word, self._guard())
                                   for bound_by, word in ((bind_rare, board.B_RARE_CALLS), (bind_moves, board.B_MOVES)))
        self._board[[board.B_RARE_CALLS, board.B_MOVES]] = self._rare.address, self._moves.address
        self._hook_devices(cpu, where, counts_blocks=budget is not None)
        return cpu

    def _hook_devices(self, cpu: Cpu, where: int, counts_blocks: bool) -> None:
        """Everything but the doorbell."""
        hooks = device_hooks()
        self._board[[board.B_FINISH_TRAP, board.B_COMMON_CALLS]] = hooks.finish_trap.address, hooks.common_calls.address
        if counts_blocks:
            cpu.hook_block(hooks.block, where)
        cpu.hook_in(hooks.port_read, where)
        cpu.hook_interrupt(hooks.interrupt, where)
        cpu.hook_system_call(hooks.system_call, where)
        if self.sanitizer is not None:
            cpu.hook_miss(watched_miss(), where)
            self.sanitizer.attach(cpu)
            return
        cpu.hook_miss(hooks.miss, where)
        for address in self.image.page_flushes():
            cpu.hook_instruction(hooks.page_dropped, address, where)

    def _out_hook(self) -> Callback:
        """The hook for `out`: compiled, or in the interpreter, where exceptions must not be lost, for a plain policy."""
        if not self.manager.policy.in_interpreter:
            return compiled_doorbell(self.manager)
        hook, guarded = bind_hook(self.manager), self._guard()
        return callback(lambda *values: guarded(lambda: hook(*values)), *HOOK_TYPES, jit=False)

    # -- running ----------------------------------------------------------------------------------------------------------------------

    @property
    def _why(self) -> int:
        return int(self._board[board.B_WHY])

    def _loop(self, stream: Stream | None, progress: Callable[[int], None] | None) -> None:
        """Run the engine; whenever it stops for a window of operations or for a trap, see to that and go on. In a thread of its own."""
        rip, trap, where = _signed(self.image.entry), _NO_TRAP, address_of(self._board)
        while not self._interrupted and self._raised is None:
            status = int(run_guest(where, rip, *trap))
            if status == NOT_ENTERED:
                return
            self._error = self.cpu.words_of(status)
            if self._why == board.WANTS_WINDOW and stream is not None and self._error is None:
                self._error = self._next_window(stream)
                if self._error is not None:
                    return
                if progress:
                    progress(stream.done)
                rip, trap = _signed(self.cpu.rip), _NO_TRAP
            else:
                trap = self._trap()
                if trap == _NO_TRAP:
                    return

    def _trap(self) -> tuple[int, int, int, int]:
        """Why the engine has stopped, if that is a trap to deliver: vector, error code, address, and how far past the instruction it stands."""
        why = self._why
        if why == board.INTERRUPT:
            vector = int(self._board[board.B_VECTOR])
            code, is_instruction = self.cpu.take_exception()
            return vector, INSTRUCTION if is_instruction else code if interpreted(has_error_code)(vector) else NO_CODE, 0, 0
        if why == board.SYSTEM_CALL:
            return INVALID, NO_CODE, 0, 2
        if why == board.FORBIDDEN_PORT:
            self.cpu.take_exception()       # of what came behind it in the block, if anything did
            return GENERAL_PROTECTION, 0, 0, 0
        if why == board.RUNNING and self._error == INVALID_INSTRUCTION:
            return INVALID, NO_CODE, 0, 0
        if why == board.RUNNING and self._error is None and self._raised is None and self._wait_for_tick():
            return TIMER, NO_CODE, 0, 0
        return _NO_TRAP

    def _wait_for_tick(self) -> bool:
        """The guest has halted: whether there is a tick to come, to which time then passes."""
        now = self._board
        if now[board.B_INTERVAL] and now[board.B_BUDGET]:
            now[board.B_BLOCKS] = max(now[board.B_BLOCKS], now[board.B_NEXT_TICK])
        is_due = bool(interpreted(tick_is_due)(now)) and now[board.B_BLOCKS] < now[board.B_BUDGET]
        if is_due:
            now[board.B_TICKS] += 1
            now[board.B_NEXT_TICK] = now[board.B_BLOCKS] + now[board.B_INTERVAL]
        return is_due

    def _next_window(self, stream: Stream) -> str | None:
        """Fill in the next window, if the guest has made the allocations of the last one; else what is wrong."""
        placed, due = int(self._board[board.B_PLACED]), len(stream.due)
        if placed != due and stream.began:
            return f"{placed} allocations made of the window's {due}"
        self._box["n_frames"], self._box["status"] = stream.next_window(self._window), events.OK
        self._board[[board.B_PLACEMENTS, board.B_PLACEMENTS_DUE, board.B_PLACED]] = address_of(stream.due), len(stream.due), 0
        return None

    def _guarded(self, work: Callable[[], object]) -> None:
        """Keep an exception for later, and stop: the engine would lose it."""
        try:
            work()
        except BaseException as error:
            self._raised = self._raised or error
            self._stop()

    def _guard(self) -> Callable[[Callable[[], object]], None]:
        """`_guarded` for what the machine itself keeps: weakly, so that a machine goes when the last who needs it does, and not when Python looks
        for cycles. Nothing more is done when something has been raised."""
        weakly = ref(self)

        def guarded(work: Callable[[], object]) -> None:
            machine = weakly()
            if machine is not None and machine._raised is None:
                machine._guarded(work)
        return guarded

    def _in_thread(self, work: Callable[[], None]) -> None:
        """Work in another thread, and be here for Ctrl-C, which the engine's own thread would not see."""
        ended = threading.Event()       # not the thread's end: a join that Ctrl-C interrupts takes the thread for ended (Python 3.11)

        def guarded() -> None:
            try:
                self._guarded(work)
            finally:
                ended.set()
        worker = threading.Thread(target=guarded, daemon=True)
        worker.start()
        while not ended.is_set():
            try:
                ended.wait(0.1)
            except KeyboardInterrupt:
                if self._interrupted:
                    _interrupt_python(worker)
                self._interrupted = True
            if self._interrupted:
                self._stop()

    def _stop(self) -> None:
        """Stop the guest, from any thread."""
        self._board[board.B_INTERRUPTED] = 1
        self.cpu.stop()

    def _show(self, address: int, size: int, watch: Callable[[str], None]) -> None:
        for at, text in disassemble(self.ram, address, size):
            watch(f"{place(self.image, at)}  {text}")

    # -- reporting --------------------------------------------------------------------------------------------------------------------

    def _report(self, stream: Stream | None) -> Run:
        stopped = _ENDS.get(self._why, "")
        findings = self.sanitizer.findings(self.cpu) if self.sanitizer else ()
        leaks = self.sanitizer.leaks(self.cpu) if self.sanitizer and stopped == "exit" else ()
        is_finding = self._why == board.FINDING
        fault = None if stopped else findings[0] if is_finding else Scene(self._board, self.cpu, self.ram, self.image).fault(self._error)
        stopped = stopped or ("fault" if fault else "interrupt" if self._interrupted else "halt")
        counted = self.ram.shared(abi.GUEST_REPORT, abi.dtype(abi.GuestReport))[0]
        return Run(
            stopped=stopped, fault=fault, findings=findings, leaks=leaks, console=self.console,
            exit_status=int(self._board[board.B_EXIT_STATUS]) if stopped == "exit" else None,
            listing=self._listing(fault.rip) if fault else (),
            blocks=int(self._board[board.B_BLOCKS]), calls=int(self._board[board.B_CALLS]),
            performed=stream.finish(int(self._board[board.B_PLACED])) if stream else None,
            **{name: int(counted[name]) for name in ("frames_written", "frames_verified", "corrupted", "refused")},
        )

    @property
    def translation(self) -> str:
        """How user addresses become physical ones: one of TRANSLATIONS."""
        return TRANSLATIONS[int(self._board[board.B_TRANSLATION])]

    @property
    def boot_root(self) -> int:
        """The physical address of the top page table that the machine starts with."""
        return int(self._board[board.B_PAGE_TABLE])

    @property
    def blocks(self) -> int:
        """The guest's work so far, in blocks of code."""
        return int(self._board[board.B_BLOCKS])

    @property
    def counts(self) -> dict[str, int]:
        """Misses of the translation buffer, those that found a page, by its size, page faults, traps delivered to the guest, ticks of the timer."""
        return {name: int(self._board[word]) for name, word in _COUNTS.items()}

    @property
    def processes(self) -> list[ProcessRecord]:
        """What the guest kernel has told of its processes so far, by pid."""
        return processes_of(self.ram)

    def misses_of(self, pid: int) -> int:
        """Misses of the translation buffer while a process ran, as the guest kernel says who runs; 0: while none did."""
        return int(self._misses[pid])

    @property
    def journal_dropped(self) -> int:
        """How many records no longer fitted into the journal."""
        return int(self._board[board.B_JOURNAL_USED]) - len(self.journal) if len(self._journal) else 0

    @property
    def journal(self) -> Array:
        """What was written down so far (`kernel_sim.machine.journal.RECORD`), in order; nothing when the machine keeps no journal."""
        return self._journal[:min(int(self._board[board.B_JOURNAL_USED]), len(self._journal))]

    def _listing(self, rip: int) -> tuple[str, ...]:
        """The instructions around a fault."""
        if self.sanitizer is not None and rip >> 47 == 0:
            return self.sanitizer.listing(self.cpu, rip)
        return tuple(listing_around(self.ram, self.image, rip))

    @property
    def console(self) -> str:
        """What the guest has printed so far."""
        used = int(self._board[board.B_CONSOLE_USED])
        text = self._console[:min(used, _CONSOLE_BYTES)].tobytes().decode("utf-8", errors="replace")
        return text + (f"\n[{used - _CONSOLE_BYTES} more bytes were dropped]\n" if used > _CONSOLE_BYTES else "")


def _signed(address: int) -> int:
    """A number of 64 bits as compiled code has it."""
    return address - (1 << 64) if address >> 63 else address


def _interrupt_python(worker: threading.Thread) -> None:
    """Raise KeyboardInterrupt in a thread: out of a plain policy that does not come back, where the engine's own stop is of no use."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(worker.ident or 0), ctypes.py_object(KeyboardInterrupt))
