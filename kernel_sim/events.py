"""What the manager records: one event of fixed size for every request, served or refused.

Observers read the ring afterwards; nothing in it is needed to go on. Time is counted in events: the first is number 1.

A SHARE gives nobody frames, so its ``granted`` is 0; its ``owner`` is the new user, and ``n_frames`` how many users there are now. A FREE by one of
several users frees nothing: OK, and ``granted`` 0.
"""

from __future__ import annotations

import numpy as np

ALLOC, FREE, SEGMENT_ALLOC, SEGMENT_FREE, SHARE = 1, 2, 3, 4, 5
KINDS = {ALLOC: "alloc", FREE: "free", SEGMENT_ALLOC: "segment alloc", SEGMENT_FREE: "segment free", SHARE: "share"}

# The statuses: what became of a request. The guest sees them in its call box, Python as exceptions.
OK = 0
OUT_OF_FRAMES = 1
DOUBLE_FREE = 2
NOT_ALLOCATED = 3
INTERIOR_FREE = 4
OUT_OF_RANGE = 5
RESERVED = 6
BAD_COUNT = 7
NO_SUCH_SEGMENT = 8
NO_SUCH_CALL = 9
BAD_ARGUMENT = 10
NOT_SERVED = 11         # the machine was started without what the call needs
SHARED = 12             # part of an allocation that others use, too
TOO_MANY_USERS = 13     # of one allocation, or of all together
BROKEN = 255            # our own books disagree; the machine stops, no guest ever sees this

STATUS_NAMES = {
    OK: "ok", OUT_OF_FRAMES: "out of frames", DOUBLE_FREE: "double free", NOT_ALLOCATED: "not allocated", INTERIOR_FREE: "interior free",
    OUT_OF_RANGE: "out of range", RESERVED: "reserved", BAD_COUNT: "bad count", NO_SUCH_SEGMENT: "no such segment",
    NO_SUCH_CALL: "no such call", BAD_ARGUMENT: "bad argument", NOT_SERVED: "not served", SHARED: "shared",
    TOO_MANY_USERS: "too many users", BROKEN: "broken invariant",
}

EVENT = np.dtype([
    ("number", "<u4"),      # the event's number, modulo 2^32
    ("kind", "<u1"),
    ("status", "<u1"),
    ("owner", "<u2"),
    ("pfn", "<i8"),         # of the first frame; -1 for a request that was not served
    ("n_frames", "<u4"),    # asked for
    ("granted", "<u4"),     # given or given back, with what rounding added
    ("steps", "<u4"),       # the policy's effort: holes examined, splits, merges
    ("cpu", "<u2"),
    ("mobility", "<u2"),
])
"""32 bytes an event."""

RING_EVENTS = 1 << 10
"""How many of the latest events are kept."""
