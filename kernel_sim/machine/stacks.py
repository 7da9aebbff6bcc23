"""The guest's stacks: who called whom when frames were allocated and freed, kept for the report.

The guest is compiled with frame pointers: RBP points to the caller's RBP, and above it lies the return address. A stack is up to eight return
addresses, the innermost first. Every different one is kept once, in a table addressed by a hash (the idea is the stack depot of the address
sanitizers), and a frame's stack is its number there: 4 bytes.
"""

from __future__ import annotations

from kernel_sim.compiled import Array, compiled, int64
from kernel_sim.frames import half_words_at, words_at
from kernel_sim.machine.abi import DIRECT_MAP, FIRMWARE, FIRMWARE_BYTES
from kernel_sim.machine.board import B_FIRMWARE, B_RAM, B_RAM_BYTES
from kernel_sim.machine.cpu import RBP, RSP
from kernel_sim.machine.notebook import N_CODE, N_CODE_END, N_STACKS
from kernel_sim.machine.registers import register

DEPTH = 8
STACK_BITS = 16
STACK_WORDS = DEPTH << STACK_BITS           # of 32 bits: offsets from the firmware's beginning, 0 after the last
NO_STACK = 0

_FIRMWARE, _DIRECT_MAP = FIRMWARE - (1 << 64), DIRECT_MAP - (1 << 64)       # as signed numbers
_TRIES = 64
_MIXED = (1 << 44) - 1        # of a hash: 31 times as much is no more than 64 bits


@compiled
def guest_word(board: Array, virtual: int) -> int:
    """Eight bytes of the kernel's memory, as far as it lies in the firmware or in the direct map; 0 elsewhere."""
    offset = virtual - int64(_FIRMWARE)
    if 0 <= offset <= FIRMWARE_BYTES - 8:
        return int64(words_at(board[B_FIRMWARE] + offset, 1)[0])
    offset = virtual - int64(_DIRECT_MAP)
    if 0 <= offset <= board[B_RAM_BYTES] - 8:
        return int64(words_at(board[B_RAM] + offset, 1)[0])
    return int64(0)


@compiled
def read_stack(board: Array, notes: Array, stack: Array, rsp: int, rbp: int) -> int:
    """Write down who called: offsets of return addresses, the innermost first. Returns how many."""
    n_found = int64(0)
    returns = guest_word(board, rsp)        # of a function without a frame, as the SDK's `ring` is
    while n_found < DEPTH:
        if notes[N_CODE] <= returns < notes[N_CODE_END]:
            stack[n_found] = returns - int64(_FIRMWARE)
            n_found += 1
        elif n_found:
            break
        if rbp == 0:
            break
        returns = guest_word(board, rbp + 8)
        above = guest_word(board, rbp)
        rbp = above if above > rbp else int64(0)    # a stack grows down: callers lie above
    for i in range(n_found, DEPTH):
        stack[i] = 0
    return n_found


@compiled
def keep_stack(board: Array, notes: Array) -> int:
    """The number of the guest's stack as it is now; NO_STACK when there is none, or no room for it."""
    stacks = half_words_at(notes[N_STACKS], STACK_WORDS)
    new = stacks[:DEPTH]        # place 0 is for the one that is being looked for
    if read_stack(board, notes, new, register(board, RSP), register(board, RBP)) == 0:
        return int64(NO_STACK)
    mixed = int64(0)
    for i in range(DEPTH):
        mixed = (mixed * 31 + int64(new[i])) & int64(_MIXED)
    for attempt in range(_TRIES):
        number = (mixed + attempt) & ((1 << STACK_BITS) - 1)
        if number == NO_STACK:
            continue
        kept = stacks[number * DEPTH:(number + 1) * DEPTH]
        if kept[0] == 0:
            for i in range(DEPTH):
                kept[i] = new[i]
            return int64(number)
        is_same = True
        for i in range(DEPTH):
            is_same = is_same and kept[i] == new[i]
        if is_same:
            return int64(number)
    return int64(NO_STACK)


def stack_at(stacks: Array, number: int) -> Array:
    """A stack that was kept, by its number; NO_STACK is an empty one."""
    return stacks[number * DEPTH:(number + 1) * DEPTH] if number != NO_STACK else stacks[:0]


def calls_in(stack: Array) -> list[int]:
    """Where a stack's calls stand. A return address is behind its call; one byte less lies within it, which is enough to name the line."""
    return [FIRMWARE + int(offset) - 1 for offset in stack if offset]
