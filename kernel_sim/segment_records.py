"""The segment table's records: which frames each segment has, and how they are known again. Everything here is compiled and looks only.

Record 0 is no segment; in its place stands the table's own, the head.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from kernel_sim.compiled import Array, array_view, compiled, int64
from kernel_sim.events import NOT_ALLOCATED, SHARED
from kernel_sim.frames import CHUNK_SHIFT, FREE, HEAD, PAD, SHARED_HEAD, TAIL, Table, frame
from kernel_sim.units import FRAME_BYTES

SEGMENT = np.dtype([
    ("base", "<i8"), ("bound", "<i8"),      # bytes
    ("users", "<i8"),       # how many have it; 0 for an id that is free
    ("next", "<i8"),        # of a free id: the next free one, 0 at the end of the chain
    ("start", "<i8"),       # while segments are moved together: its base when that began
    ("rank", "<u4"),        # while segments are moved together: record 1 + i has here the id of the i-th segment by base
    ("event", "<u4"),       # the event that put its first frame into its state, by which it knows its frames again
])
HEAD_RECORD = np.dtype([
    ("n_ids", "<i8"),       # ids that were ever used: 1 to this
    ("free_id", "<i8"),     # the id that was freed last, 0 for none
    ("copied_growing", "<i8"), ("copied_compacting", "<i8"),    # frames, since the beginning
    ("copied_now", "<i8"),  # frames, while segments were last moved together
    ("moved_now", "<i8"),   # segments that stand lower than before it
])
assert SEGMENT.itemsize == HEAD_RECORD.itemsize

segments_at = array_view(SEGMENT)
heads_at = array_view(HEAD_RECORD)


@compiled
def is_segment(segments: Array, segment: int) -> bool:
    """Whether an id names a live segment."""
    return bool(0 < segment < len(segments) and segments[segment]["users"] > 0)


@compiled
def frames_for(bound: int) -> int:
    """How many frames hold so many bytes, at least 1."""
    return int64((bound - 1) // FRAME_BYTES + 1)


@compiled
def is_intact(table: Table, segment: Any) -> bool:
    """Whether a segment's frames are its own still, and all of them: nobody freed or shared them behind its back."""
    first, end = segment["base"] // FRAME_BYTES, segment["base"] // FRAME_BYTES + frames_for(segment["bound"])
    if frame(table.frames, first)["state"] != HEAD or frame(table.frames, first)["event"] != segment["event"]:
        return False
    pfn = first + 1
    while pfn < end and frame(table.frames, pfn)["state"] == TAIL:
        pfn += 1
    return bool(pfn == end and (end == len(table.frames) or frame(table.frames, end)["state"] != TAIL))


@compiled
def why_not(table: Table, segment: Any) -> int:
    """What is wrong with the frames of a segment that is not intact: SHARED, when they have users of their own (FRAME_SHARE), or NOT_ALLOCATED."""
    first = frame(table.frames, segment["base"] // FRAME_BYTES)
    return int64(SHARED if first["state"] == SHARED_HEAD and first["event"] == segment["event"] else NOT_ALLOCATED)


@compiled
def end_of_padding(table: Table, pfn: int) -> int:
    """Where the padding that begins at a frame ends; there, if there is none."""
    while pfn < len(table.frames) and frame(table.frames, pfn)["state"] == PAD:
        pfn += 1
    return int64(pfn)


@compiled
def is_touched(table: Table, pfn: int) -> bool:
    """Whether the chunk that a frame is in was ever anything but free."""
    return bool(table.touched[np.uint64(pfn >> CHUNK_SHIFT)] != 0)


@compiled
def next_chunk(pfn: int) -> int:
    """The first frame of the chunk behind a frame's own."""
    return int64(((pfn >> CHUNK_SHIFT) + 1) << CHUNK_SHIFT)


@compiled
def are_free(table: Table, pfn: int, end: int) -> bool:
    """Whether all frames of a range are free."""
    while pfn < end:
        if not is_touched(table, pfn):
            pfn = next_chunk(pfn)
        elif frame(table.frames, pfn)["state"] == FREE:
            pfn += 1
        else:
            return False
    return True


@compiled
def look_below(table: Table, first: int, end: int) -> tuple[int, int]:
    """Of the frames of a range: where the free run begins that reaches to its end, and how long the longest of the other free runs is."""
    begin, longest, pfn = int64(first), int64(0), int64(first)
    while pfn < end:
        if not is_touched(table, pfn):
            pfn = next_chunk(pfn)
            continue
        if frame(table.frames, pfn)["state"] != FREE:
            longest = max(longest, pfn - begin)
            begin = pfn + 1
        pfn += 1
    return begin, longest


@compiled
def zone_of(zones: Array, pfn: int) -> int:
    """The number of the zone that a frame lies in. It lies in one."""
    zone = int64(0)
    while zone + 1 < len(zones) and pfn >= zones[zone]["end"]:
        zone += 1
    return zone


@compiled
def sort_by_base(table: Table, segments: Array, n_ids: int) -> int:
    """Rank the segments that are intact by their base, the lowest first (Shell's sort, with Knuth's gaps). How many there are."""
    n, gap = int64(0), int64(1)
    for segment in range(1, n_ids + 1):
        if segments[segment]["users"] > 0 and is_intact(table, segments[segment]):
            n += 1
            segments[n]["rank"] = segment
    while gap < n // 3:
        gap = 3 * gap + 1
    while gap > 0:
        for i in range(gap, n):
            sink(segments, i, gap)
        gap //= 3
    return n


@compiled
def sink(segments: Array, i: int, gap: int) -> None:
    """Move the i-th of the ranked segments forward in steps of `gap`, as far as those there have a higher base."""
    segment = int64(segments[1 + i]["rank"])
    base = segments[segment]["base"]
    while i >= gap:
        before = int64(segments[1 + i - gap]["rank"])
        if segments[before]["base"] <= base:
            break
        segments[1 + i]["rank"] = before
        i -= gap
    segments[1 + i]["rank"] = segment
