"""The sanitizer's notebook: the words through which its compiled hooks find what they know, and where they write down what they have found."""

from __future__ import annotations

# Addresses, set before the machine starts; 0 for what is not asked for.
(N_SHADOW, N_STACKS, N_STACK_OF_ALLOC, N_STACK_OF_FREE, N_TABLES, N_ENDED, N_WRITTEN, N_READS, N_CODE, N_CODE_END) = range(10)
# State.
N_CROSSED = 10          # how many bytes, at most, a write over the border of two pages has put behind it; where, is not known
N_EPOCH = 11            # of the shadow: entries of another one are no more
N_TABLES_OPEN = 12      # whether a page table may have been written to since the engine's buffer was emptied
N_CACHED = 13           # whether the engine's buffer may hold a translation that came out of a table in a frame
N_SEEN = 14             # the manager's latest event that has been looked at
N_RUNNING = 15          # whose turn the guest says it is; 0 for nobody's
N_IN_SEGMENT = 16       # whether the address that is looked at lies in a live segment, within its bound
N_COPIED = 17           # what a `movs` has just read and not yet written: the bits of its bytes, and one that says so
N_N_READS = 18          # uninitialised reads that have been written down
# What was found.
N_KIND, N_FRAME, N_VIRTUAL, N_ACCESS, N_OWNER, N_OTHER, N_IS_USER, N_STACK = range(19, 27)
# How the host is asked which frames it has memory for.
N_MINCORE, N_ANSWER = 27, 28
NOTEBOOK_WORDS = 29

NOTHING = 0
(USE_AFTER_FREE, NEVER_ALLOCATED, OVERRUN, PADDING, RESERVED_FRAME, IN_A_HOLE, FOREIGN, WRITE_TO_SHARED, STALE, STALE_RIGHTS, STALE_UNMAPPED,
 WRONG_SPACE, FREED_TABLE, FOREIGN_TABLE, EXPOSED_TABLE, BEYOND_SEGMENT, BAD_FREE, UNINITIALISED) = range(1, 19)
KINDS = {
    USE_AFTER_FREE: "use after free",
    NEVER_ALLOCATED: "use of a frame that was never allocated",
    OVERRUN: "overrun",                                     # the same, right behind an allocation
    PADDING: "use of padding",                              # granted by a policy that rounds up, and not asked for
    RESERVED_FRAME: "use of a reserved frame",
    IN_A_HOLE: "use of a hole",
    FOREIGN: "use of another's frame",
    WRITE_TO_SHARED: "write to a shared frame",
    STALE: "stale translation",
    STALE_RIGHTS: "stale rights",
    STALE_UNMAPPED: "stale translation after unmap",
    WRONG_SPACE: "wrong address space",
    FREED_TABLE: "page table in a freed frame",
    FOREIGN_TABLE: "another's page table",
    EXPOSED_TABLE: "page table writable from ring 3",
    BEYOND_SEGMENT: "descriptor beyond its segment",
    BAD_FREE: "bad free",                                   # told apart by the manager's refusal
    UNINITIALISED: "uninitialised read",
}
"""What the sanitizer finds, by its name."""
