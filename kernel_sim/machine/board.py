"""The board: the words through which the compiled hooks find everything, and what they leave there for the machine to read."""

from __future__ import annotations

# Addresses and sizes, set before the machine starts.
(B_ENGINE, B_STOP_FUNCTION, B_MANAGER_ROOT, B_CALL_BOX, B_BATCH, B_SEGMENTS, B_N_SEGMENTS, B_CONSOLE, B_CONSOLE_BYTES, B_RAM, B_RAM_BYTES,
 B_FIRMWARE, B_FIRMWARE_BASE, B_PAGE_TABLE, B_BUDGET) = range(15)
# State, written by the hooks.
(B_WHY, B_EXIT_STATUS, B_CONSOLE_USED, B_BLOCKS, B_CALLS, B_FAULT_ADDRESS, B_FAULT_ACCESS, B_VECTOR, B_MISSES, B_STREAMS) = range(15, 25)
BOARD_WORDS = 25

# Why the engine stopped: B_WHY.
RUNNING, EXITED, OUT_OF_BUDGET, WANTS_WINDOW, INTERRUPT, BROKE, PAGE_FAULT, CONSOLE_FULL = range(8)
