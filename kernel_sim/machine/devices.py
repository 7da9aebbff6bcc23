"""The devices: a debug console, an exit port, a timer, and a budget of guest work. Compiled, called by the engine."""

from __future__ import annotations

from kernel_sim.compiled import Array, call_address, compiled
from kernel_sim.frames import bytes_at, words_at
from kernel_sim.machine.board import (
    B_BLOCK,
    B_BLOCK_BYTES,
    B_BLOCKS,
    B_BUDGET,
    B_CONSOLE,
    B_CONSOLE_BYTES,
    B_CONSOLE_USED,
    B_ENGINE,
    B_EXIT_STATUS,
    B_IN_MICROCODE,
    B_INTERVAL,
    B_NEXT_TICK,
    B_STOP_FUNCTION,
    B_VECTOR,
    B_WHY,
    BOARD_WORDS,
    EXITED,
    FORBIDDEN_PORT,
    INTERRUPT,
    OUT_OF_BUDGET,
    SYSTEM_CALL,
    TICK,
)
from kernel_sim.machine.cpu import CS, RFLAGS
from kernel_sim.machine.registers import RFLAGS_IF, register


@compiled
def has_ended(board: Array) -> bool:
    """Whether there is a reason not to go on. The first one counts: the engine runs its block to the end before it stops."""
    return bool(board[B_WHY] > TICK)


@compiled
def stop(board: Array, why: int) -> None:
    """Stop the engine; the machine reads why."""
    if not has_ended(board):
        board[B_WHY] = why
    call_address(board[B_STOP_FUNCTION], board[B_ENGINE])


@compiled
def may_use_ports(board: Array) -> bool:
    """Whether `in` or `out` is done: in ring 0. The engine asks neither the privilege level of ports in RFLAGS nor the map of ports in the TSS; here,
    no guest gives ring 3 a port by either. What ring 3 tries is a general protection fault. (The engine runs its block to the end before it stops,
    so the fault stands behind it.)"""
    if register(board, CS) & 3 == 0:
        return True
    stop(board, FORBIDDEN_PORT)
    return False


@compiled
def put_on_console(board: Array, value: int) -> None:
    """One byte for the console. What no longer fits is counted and dropped."""
    used = board[B_CONSOLE_USED]
    if used < board[B_CONSOLE_BYTES]:
        bytes_at(board[B_CONSOLE], board[B_CONSOLE_BYTES])[used] = value & 255
    board[B_CONSOLE_USED] = used + 1


@compiled
def exit_machine(board: Array, value: int) -> None:
    """The guest is done."""
    if not has_ended(board):
        board[B_EXIT_STATUS] = value
    stop(board, EXITED)


@compiled
def set_timer(board: Array, interval: int) -> None:
    """The guest wants an interrupt every so many blocks of code, the first of them from now; 0: none."""
    board[B_INTERVAL] = interval
    board[B_NEXT_TICK] = board[B_BLOCKS] + interval


@compiled
def tick_is_due(board: Array) -> bool:
    """Whether the timer's interrupt waits, and the processor takes interrupts."""
    return bool(board[B_INTERVAL] and board[B_BLOCKS] >= board[B_NEXT_TICK] and register(board, RFLAGS) & RFLAGS_IF and not board[B_IN_MICROCODE])


def on_block(engine: int, address: int, size: int, board_address: int) -> None:
    """The engine's hook on every block of guest code: time, as this machine counts it."""
    board = words_at(board_address, BOARD_WORDS)
    if board[B_BLOCKS] >= board[B_BUDGET]:
        stop(board, OUT_OF_BUDGET)
    elif tick_is_due(board):
        stop(board, TICK)
    else:
        board[B_BLOCKS] += 1
        board[B_BLOCK] = address
        board[B_BLOCK_BYTES] = size


def on_interrupt(engine: int, vector: int, board_address: int) -> None:
    """The engine's hook on interrupts and exceptions: it stops, and the machine delivers them."""
    board = words_at(board_address, BOARD_WORDS)
    if not has_ended(board):
        board[B_VECTOR] = vector
    stop(board, INTERRUPT)


def on_in(engine: int, port: int, size: int, board_address: int) -> int:
    """The engine's hook on every `in`. There is nothing to read at any port."""
    may_use_ports(words_at(board_address, BOARD_WORDS))
    return 0


def on_system_call(engine: int, board_address: int) -> None:
    """The engine's hook on `syscall` and `sysenter`, which are not enabled here: invalid instructions."""
    stop(words_at(board_address, BOARD_WORDS), SYSTEM_CALL)
