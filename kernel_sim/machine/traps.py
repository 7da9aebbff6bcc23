"""Exceptions and interrupts: into the guest's handlers, through its interrupt-descriptor table and, from ring 3, onto the stack its TSS names.

Source: AMD64 Architecture Programmer's Manual, volume 2, sections 8.9 (what is pushed) and 12.2.5 (the TSS); Intel SDM, volume 3A, 6.14 and 6.15.

The engine delivers nothing, and nobody but its own far call can bring it from ring 3 to ring 0. So the machine has *microcode*: three pages of
its own, which every address space has while a trap is on its way. From ring 3 it goes

    enter_trap     the engine has stopped: GDTR and the TSS's stack are set aside, and the microcode's own put in their place
    trampoline     runs in ring 3: a far call through the microcode's gate, which leads to ring 0
    stub           turns interrupts off and rings
    finish_trap    the hook of that bell: GDTR and TSS as they were; the exception frame goes where the guest's gate and TSS say
    stub           takes the stack pointer, and jumps to the handler

Nothing of this is seen by the guest. From ring 0 the frame can be pushed at once.
"""

from __future__ import annotations

from typing import NamedTuple

from kernel_sim.compiled import Array, call_address_5, compiled, entry, int64, outlined
from kernel_sim.frames import words_at
from kernel_sim.machine.abi import FIRMWARE, MICROCODE, TRAP_PORT
from kernel_sim.machine.board import (
    B_ADDRESS,
    B_BLOCKS,
    B_BUDGET,
    B_CONTROL_FUNCTION,
    B_ENGINE,
    B_ERROR_CODE,
    B_FAULT_ADDRESS,
    B_FIRMWARE,
    B_GRANTS,
    B_IN_MICROCODE,
    B_INTERRUPTED,
    B_INTERVAL,
    B_MOVED,
    B_N_GRANTS,
    B_NEXT_RIP,
    B_NEXT_TICK,
    B_PAGE_FAULTS,
    B_START_FUNCTION,
    B_TICKS,
    B_TRAP_BLOCKS,
    B_TRAP_CODE,
    B_TRAP_FLAGS,
    B_TRAP_GDT,
    B_TRAP_GDT_LIMIT,
    B_TRAP_RIP,
    B_TRAP_STACK,
    B_TRAP_TSS,
    B_TRAP_VECTOR,
    B_TRAPS,
    B_VECTOR,
    B_WHY,
    BOARD_WORDS,
    MAX_GRANTS,
    MOVED,
    OUT_OF_BUDGET,
    PAGE_FAULT,
    RUNNING,
    TICK,
    TRIPLE_FAULT,
)
from kernel_sim.machine.cpu import CR2, CS, EXCEPTION, FORGET_CODE, GDTR, IDTR, RFLAGS, RIP, RSP, SS, TR
from kernel_sim.machine.devices import stop
from kernel_sim.machine.far_call import TSS_RSP0, is_of_far_call
from kernel_sim.machine.guest_words import byte_at, peek, poke
from kernel_sim.machine.journal import TRAPPED, note
from kernel_sim.machine.paging import count_miss, need_task_state
from kernel_sim.machine.ram import Ram
from kernel_sim.machine.registers import RFLAGS_IF, RFLAGS_NT, RFLAGS_RF, RFLAGS_TF, register, set_register, set_table_register, table_register
from kernel_sim.machine.translation import (
    ERROR_USER,
    GENERAL_PROTECTION,
    PAGE_FAULT_VECTOR,
)

DIVISION, BREAKPOINT, INVALID, DOUBLE_FAULT, NOT_PRESENT, TIMER = 0, 3, 6, 8, 11, 32
ENTERED, NO_HANDLERS, TRIPLE, OUT_OF_TIME = 0, 1, 2, 3
"""What `enter_trap` returns: the guest goes on in its handler; it has none; it has none that can be reached; none has begun since the last trap, and
the budget is used up."""

NO_CODE = -1        # a trap without an error code
INSTRUCTION = -2    # one that an instruction asked for, `int`: without an error code, and the gate says from which ring
NO_TRAP = -1        # no vector
NOT_ENTERED = -1

_CODE = int64(FIRMWARE + MICROCODE - (1 << 64))
_DATA, _TABLE = _CODE + 0x1000, _CODE + 0x2000
_STACK_TOP = _DATA + 0xFF0
_STUB, _POINTER, _GATE = 0x40, 0x80, 0xFE0      # the pointer that the trampoline calls through names the gate, a selector
_DATA_OFFSET, _TABLE_OFFSET = MICROCODE + 0x1000, MICROCODE + 0x2000

_TSS_RSP0, _TSS_IST = TSS_RSP0, 0x1C
_INT3 = 0xCC
_NOT_ON_THE_WAY = RFLAGS_TF | RFLAGS_NT | RFLAGS_RF
_OF_TABLE, _EXTERNAL = 2, 1             # of an error code that blames a gate
_PRESENT_BYTE, _GATE_TYPE_CALL, _GATE_TYPE_INTERRUPT, _GATE_TYPE_TRAP = 0x80, 12, 14, 15
_CODE_DESCRIPTOR = 0x00AF_9B00_0000_FFFF        # 64-bit code of ring 0, accessed


def write_microcode(ram: Ram) -> None:
    """Lay the microcode into the firmware's memory: trampoline, stub and the pointer between them. The gate is made when it is needed."""
    def relative(end: int, target: int) -> bytes:
        return (target - end).to_bytes(4, "little", signed=True)
    trampoline = b"\x48\xff\x1d" + relative(7, _POINTER)                                        # rex.W lcall *pointer(%rip)
    stub = b"\xfa\xe6" + bytes([TRAP_PORT])                                                     # cli; out %al, $TRAP_PORT
    stub += b"\x48\x8b\x25" + relative(_STUB + 10, 0x1000)                                      # mov data(%rip), %rsp
    stub += b"\xff\x25" + relative(_STUB + 16, 0x1008)                                          # jmp *data+8(%rip)
    page = bytearray(0x1000)
    page[:len(trampoline)], page[_STUB:_STUB + len(stub)] = trampoline, stub
    page[_POINTER + 8:_POINTER + 10] = (_GATE | 3).to_bytes(2, "little")
    ram.firmware[MICROCODE:MICROCODE + len(page)] = memoryview(bytes(page))


# -- the guest's tables -----------------------------------------------------------------------------------------------------------------


class Gate(NamedTuple):
    """An entry of the interrupt-descriptor table; `selector` is 0 for one that leads nowhere."""

    handler: int
    selector: int
    stack: int              # 1 to 7: one of the TSS's interrupt stacks
    privilege: int          # the ring from which `int` may go through it
    keeps_interrupts: bool  # a trap gate
    refusal: int            # for one that leads nowhere: the vector of the exception that this is


@compiled
def gate_of(board: Array, vector: int) -> Gate:
    """The gate of a vector."""
    base, limit = table_register(board, IDTR)
    refusal, privilege = int64(GENERAL_PROTECTION), int64(3)
    if vector * 16 + 15 <= limit:
        is_there, low = peek(board, base + vector * 16)
        is_whole, high = peek(board, base + vector * 16 + 8)
        kind = (low >> 40) & 31
        if is_there and is_whole and (kind == _GATE_TYPE_INTERRUPT or kind == _GATE_TYPE_TRAP):
            handler = (low & 0xFFFF) | ((low >> 32) & 0xFFFF_0000) | (high << 32)
            privilege = int64((low >> 45) & 3)
            if (low >> 40) & _PRESENT_BYTE:
                return Gate(int64(handler), int64((low >> 16) & 0xFFF8), int64((low >> 32) & 7), privilege, kind == _GATE_TYPE_TRAP, int64(0))
            refusal = int64(NOT_PRESENT)
    return Gate(int64(0), int64(0), int64(0), privilege, False, refusal)


@compiled
def has_error_code(vector: int) -> bool:
    return vector == DOUBLE_FAULT or 10 <= vector <= 14 or vector == 17


@compiled
def push_frame(board: Array, gate: Gate, is_user: int, stack: int, selectors: int, flags: int, rip: int, code: int) -> int:
    """Push an exception frame: the new stack pointer, or 0 when that cannot be done. `stack` is the interrupted one, `selectors` SS << 16 | CS."""
    tss, _ = table_register(board, TR)
    top, is_there = stack, True
    if gate.stack > 0:
        is_there, top = peek(board, tss + _TSS_IST + 8 * gate.stack)
    elif is_user:
        is_there, top = peek(board, tss + _TSS_RSP0)
    top &= ~int64(15)
    done = is_there and poke(board, top - 8, selectors >> 16) and poke(board, top - 16, stack) and poke(board, top - 24, flags)
    done = done and poke(board, top - 32, selectors & 0xFFFF) and poke(board, top - 40, rip)
    if not done:
        return int64(0)
    if code == NO_CODE:
        return int64(top - 40)
    return int64(top - 48) if poke(board, top - 48, code) else int64(0)


@outlined
def deliver(board_address: int, is_user: int, stack: int, selectors: int, flags: int) -> tuple[int, int, int]:
    """Push the frame of the trap on the board, or of the double fault that it becomes: (stack pointer, handler, flags), or (0, 0, 0)."""
    board = words_at(board_address, BOARD_WORDS)
    vector, code = board[B_TRAP_VECTOR], board[B_TRAP_CODE]
    for _ in range(3):
        gate = gate_of(board, vector)
        pointer = int64(0)
        if gate.selector:
            pointer = push_frame(board, gate, is_user, stack, selectors, flags, board[B_TRAP_RIP], code)
        if pointer:
            board[B_TRAP_VECTOR] = vector
            off = _NOT_ON_THE_WAY | (0 if gate.keeps_interrupts else RFLAGS_IF)
            return pointer, gate.handler, int64(flags & ~int64(off))
        if vector == DOUBLE_FAULT:
            break
        is_serious = vector == DIVISION or 10 <= vector <= 14
        code = int64(0) if is_serious or gate.selector else int64(vector * 8 + (_OF_TABLE | _EXTERNAL))
        vector = int64(DOUBLE_FAULT) if is_serious or gate.selector else gate.refusal
    return int64(0), int64(0), int64(0)


# -- the way in ---------------------------------------------------------------------------------------------------------------------------


@outlined
def enter_trap(board_address: int, vector: int, code: int, address: int, rip_back: int) -> int:
    """The engine has stopped for a trap: begin to deliver it. The engine goes on at B_NEXT_RIP when this returns ENTERED.

    `code` is the error code or NO_CODE, `address` what CR2 shall say of a page fault; `rip_back` is how far the engine has run past the instruction.
    """
    board = words_at(board_address, BOARD_WORDS)
    _, limit = table_register(board, IDTR)
    if limit == 0:
        return NO_HANDLERS
    if board[B_IN_MICROCODE]:
        return TRIPLE       # on the way in: the TSS is none
    rip = register(board, RIP) - rip_back
    if vector == PAGE_FAULT_VECTOR and code >= 0 and code & ERROR_USER and board[B_N_GRANTS] < MAX_GRANTS and is_of_far_call(
            board_address, rip, address):
        board[B_GRANTS + board[B_N_GRANTS]] = address & ~int64(4095)
        board[B_N_GRANTS] += 1
        board[B_NEXT_RIP] = rip
        return ENTERED
    board[B_N_GRANTS] = 0
    board[B_TRAPS] += 1
    if is_out_of_time(board):
        return OUT_OF_TIME
    if code == INSTRUCTION:
        vector, code, rip = asked_for(board, vector, rip)
    if vector == PAGE_FAULT_VECTOR and code != NO_CODE:
        count_miss(board)
        board[B_PAGE_FAULTS] += 1
        set_register(board, CR2, address)
    board[B_TRAP_VECTOR] = vector
    board[B_TRAP_CODE] = code
    board[B_TRAP_RIP] = rip
    flags, selector = register(board, RFLAGS), register(board, CS) & 0xFFFF
    note(board, TRAPPED, selector & 3, vector, address)
    if selector & 3:
        board[B_TRAP_FLAGS] = flags
        return begin_trap(board)
    pointer, handler, flags = deliver(board[B_ADDRESS], int64(0), register(board, RSP), (register(board, SS) & 0xFFFF) << 16 | selector, flags)
    if pointer == 0:
        return TRIPLE
    set_register(board, RSP, pointer)
    set_register(board, RFLAGS, flags)
    board[B_NEXT_RIP] = handler
    return ENTERED


@compiled
def is_out_of_time(board: Array) -> bool:
    """Whether the budget is used up. A trap takes time only when no block has run since the last one: a handler that cannot be fetched, on a stack
    of its own, would be tried for ever."""
    if board[B_BUDGET] == 0:
        return False
    if board[B_BLOCKS] == board[B_TRAP_BLOCKS]:
        if board[B_BLOCKS] >= board[B_BUDGET]:
            return True
        board[B_BLOCKS] += 1
    board[B_TRAP_BLOCKS] = board[B_BLOCKS]
    return False


@compiled
def asked_for(board: Array, vector: int, rip: int) -> tuple[int, int, int]:
    """A trap that an instruction has asked for: (vector, error code, RIP) of that, or of the exception that it is where no gate, or none for this
    ring, is there. That one blames the instruction, behind which `rip` stands."""
    gate = gate_of(board, vector)
    refusal = int64(GENERAL_PROTECTION) if register(board, CS) & 3 > gate.privilege else gate.refusal
    if refusal == 0:
        return int64(vector), int64(NO_CODE), int64(rip)
    is_short = vector == BREAKPOINT and byte_at(board, rip - 1) == _INT3
    return refusal, int64(vector * 8 + _OF_TABLE), int64(rip - (1 if is_short else 2))


@entry
def run_guest(board_address: int, rip: int, vector: int, code: int, address: int, rip_back: int) -> int:
    """Run the engine from `rip`, or from the handler of a trap (`vector` is then not NO_TRAP), and go on by itself after page faults, ticks and
    moves of memory, until there is something else to see to, which B_WHY names; the engine's status, or NOT_ENTERED for a trap that could not be
    delivered."""
    board = words_at(board_address, BOARD_WORDS)
    status = int64(0)
    while True:
        if vector != NO_TRAP:
            entered = enter_trap(board_address, int64(vector), int64(code), int64(address), int64(rip_back))
            if entered != ENTERED:
                board[B_WHY] = TRIPLE_FAULT if entered == TRIPLE else OUT_OF_BUDGET if entered == OUT_OF_TIME else board[B_WHY]
                return NOT_ENTERED
            rip = board[B_NEXT_RIP]
        board[B_WHY] = RUNNING
        status = call_address_5(board[B_START_FUNCTION], board[B_ENGINE], rip, int64(0), int64(0), int64(0)) & 0xFFFF_FFFF
        if board[B_MOVED]:
            call_address_5(board[B_CONTROL_FUNCTION], board[B_ENGINE], int64(FORGET_CODE), int64(0), int64(0), int64(0))
            board[B_MOVED] = 0
        if board[B_INTERRUPTED]:
            return int64(status)
        rip_back = int64(0)
        if board[B_WHY] == MOVED:
            board[B_WHY] = RUNNING
            if status == 0:
                vector, rip = int64(NO_TRAP), register(board, RIP)
                continue
        if board[B_WHY] == PAGE_FAULT and status == EXCEPTION:
            vector, code, address = board[B_VECTOR], board[B_ERROR_CODE], words_at(board[B_FAULT_ADDRESS], 1)[0]
        elif board[B_WHY] == TICK:
            board[B_TICKS] += 1
            board[B_NEXT_TICK] = board[B_BLOCKS] + board[B_INTERVAL]
            vector, code, address = int64(TIMER), int64(NO_CODE), int64(0)
        else:
            return int64(status)


@compiled
def begin_trap(board: Array) -> int:
    """From ring 3: let the engine make the microcode's far call, whose gate leads to the code segment that the guest's own gate names."""
    gate = gate_of(board, board[B_TRAP_VECTOR])
    if gate.selector == 0:
        gate = gate_of(board, gate.refusal)
    if gate.selector == 0:
        gate = gate_of(board, DOUBLE_FAULT)
    tss, _ = table_register(board, TR)
    is_there, stack = peek(board, tss + _TSS_RSP0)
    selector = gate.selector
    if not 0 < selector < _GATE or not is_there or not poke(board, tss + _TSS_RSP0, _STACK_TOP):
        return TRIPLE
    need_task_state(board)
    board[B_TRAP_TSS], board[B_TRAP_STACK] = tss, stack
    board[B_TRAP_GDT], board[B_TRAP_GDT_LIMIT] = table_register(board, GDTR)
    flags = board[B_TRAP_FLAGS]
    if flags & _NOT_ON_THE_WAY:
        set_register(board, RFLAGS, flags & ~int64(_NOT_ON_THE_WAY))        # the way in is no single step of the guest's
    table = words_at(board[B_FIRMWARE] + _TABLE_OFFSET, 512)
    table[selector >> 3] = _CODE_DESCRIPTOR
    target = _CODE + _STUB
    table[_GATE >> 3] = (target & 0xFFFF) | selector << 16 | (int64(0xE0 | _GATE_TYPE_CALL) << 40) | ((target >> 16) & 0xFFFF) << 48
    table[(_GATE >> 3) + 1] = (target >> 32) & 0xFFFF_FFFF
    set_table_register(board, GDTR, _TABLE, 0xFFF)
    board[B_IN_MICROCODE] = 1
    board[B_NEXT_RIP] = _CODE
    return ENTERED


def finish_trap(board_address: int) -> None:
    """The stub has rung, in ring 0: put everything back, and tell it where to go on. The far call has pushed RIP, CS, RSP and SS."""
    board = words_at(board_address, BOARD_WORDS)
    if board[B_IN_MICROCODE] == 0:
        return      # somebody else wrote to the port
    board[B_IN_MICROCODE] = 0
    set_table_register(board, GDTR, board[B_TRAP_GDT], board[B_TRAP_GDT_LIMIT])
    poke(board, board[B_TRAP_TSS] + _TSS_RSP0, board[B_TRAP_STACK])
    data = words_at(board[B_FIRMWARE] + _DATA_OFFSET, 512)
    top = (_STACK_TOP - _DATA) // 8
    selectors = (data[top - 1] & 0xFFFF) << 16 | (data[top - 3] & 0xFFFF)
    pointer, handler, flags = deliver(board[B_ADDRESS], int64(1), data[top - 2], selectors, board[B_TRAP_FLAGS])
    if pointer == 0:
        stop(board, TRIPLE_FAULT)
        pointer, handler = int64(_STACK_TOP), int64(_CODE + _STUB)
    elif flags & RFLAGS_IF:
        set_register(board, RFLAGS, flags)
    data[0], data[1] = pointer, handler


@compiled
def interrupts_are_on(board: Array) -> bool:
    return bool(register(board, RFLAGS) & RFLAGS_IF)
