"""The board: the words through which the compiled hooks find everything, and what they leave there for the machine to read."""

from __future__ import annotations

# Addresses and sizes, set before the machine starts.
(B_ENGINE, B_STOP_FUNCTION, B_MANAGER_ROOT, B_CALL_BOX, B_BATCH, B_SEGMENTS, B_N_SEGMENTS, B_CONSOLE, B_CONSOLE_BYTES, B_RAM, B_RAM_BYTES,
 B_FIRMWARE, B_FIRMWARE_BASE, B_PAGE_TABLE, B_BUDGET, B_ADDRESS, B_READ_FUNCTION, B_WRITE_FUNCTION, B_TRANSLATION, B_JOURNAL, B_JOURNAL_RECORDS,
 B_MISSES_OF) = range(22)
# Set for each window of a stream: where its allocations' placements go, and how many it has.
B_STREAMS, B_PLACEMENTS, B_PLACEMENTS_DUE = range(22, 25)
# State, written by the hooks. B_MISS_ADDRESS is the page, B_ERROR_CODE what the processor would push.
(B_WHY, B_EXIT_STATUS, B_CONSOLE_USED, B_BLOCKS, B_BLOCK, B_BLOCK_BYTES, B_CALLS, B_PLACED, B_MISS_ADDRESS, B_MISS_ACCESS, B_VECTOR, B_ERROR_CODE,
 B_JOURNAL_USED, B_INTERVAL, B_NEXT_TICK) = range(25, 40)
# Counted: misses of the TLB, which are the next four together: those that found a page, by its size, and those that became page faults of the guest;
# then what was delivered to the guest, and how much of that were ticks.
B_MISSES, B_PAGES, B_LARGE_PAGES, B_HUGE_PAGES, B_PAGE_FAULTS, B_TRAPS, B_TICKS = range(40, 47)
# A trap on its way from ring 3 to ring 0: what it is, where it happened, and what was set aside for the way.
(B_TRAP_VECTOR, B_TRAP_CODE, B_TRAP_RIP, B_TRAP_FLAGS, B_TRAP_GDT, B_TRAP_GDT_LIMIT, B_TRAP_TSS, B_TRAP_STACK, B_IN_MICROCODE,
 B_NEXT_RIP) = range(47, 57)
B_N_GRANTS, B_GRANTS = 57, 58       # pages that ring 0 alone may see, and that a far call from ring 3 needs
MAX_GRANTS = 4
B_REGISTER = 62     # and two words behind it: what the engine reads and writes registers through
B_JOURNALLED = 65   # the manager's event up to which the journal has told
B_START_FUNCTION, B_FAULT_ADDRESS, B_INTERRUPTED = 66, 67, 68     # the second is where the engine leaves it; the third, whether Ctrl-C came
B_MOVED = 69        # whether the host has moved guest memory behind the engine's back since the engine was last started
B_RUNS = 70         # the process that runs, as the guest kernel says
B_CONTROL_FUNCTION = 71     # the engine's own, for everything else
B_WATCH = 72        # the sanitizer's notebook
B_FINISH_TRAP = 73      # the machine's own function for the microcode's bell
B_LARGE_CACHED = 74     # whether a part of a large page of the user's half may be in the translation buffer
B_COMMON_CALLS, B_RARE_CALLS, B_MOVES = 75, 76, 77      # the functions for calls that no policy has a part in, for rare ones, for what moves memory
B_BOX, B_STATUS = 78, 79        # the call that such a function serves, and what became of it
B_TRAP_BLOCKS = 80      # what the time was at the last trap
BOARD_WORDS = 81

# B_WHY: whether the machine is to go on, and why it is not.
(RUNNING, WANTS_WINDOW, MOVED, TICK, EXITED, OUT_OF_BUDGET, INTERRUPT, BROKE, PAGE_FAULT, SYSTEM_CALL, FORBIDDEN_PORT,
 TRIPLE_FAULT, FINDING) = range(13)
