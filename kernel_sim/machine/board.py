"""The board: the words through which the compiled hooks find everything, and what they leave there for the machine to read."""

from __future__ import annotations

# Addresses and sizes, set before the machine starts.
(B_ENGINE, B_STOP_FUNCTION, B_MANAGER_ROOT, B_CALL_BOX, B_BATCH, B_SEGMENTS, B_N_SEGMENTS, B_CONSOLE, B_CONSOLE_BYTES, B_RAM, B_RAM_BYTES,
 B_FIRMWARE, B_FIRMWARE_BASE, B_PAGE_TABLE, B_BUDGET) = range(15)
# Set for each window of a stream: where its allocations' placements go, and how many it has.
B_STREAMS, B_PLACEMENTS, B_PLACEMENTS_DUE = range(15, 18)
# State, written by the hooks.
(B_WHY, B_EXIT_STATUS, B_CONSOLE_USED, B_BLOCKS, B_BLOCK, B_BLOCK_BYTES, B_CALLS, B_PLACED, B_MISS_ADDRESS, B_MISS_ACCESS, B_VECTOR) = range(18, 29)
BOARD_WORDS = 29

# B_WHY: whether the machine is to go on, and why it is not.
RUNNING, WANTS_WINDOW, EXITED, OUT_OF_BUDGET, INTERRUPT, BROKE, PAGE_FAULT = range(7)
