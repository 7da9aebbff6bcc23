"""The sizes that Linux 6.12 gives a zone: its watermarks, and how many frames its per-processor lists take and hold.

Source: Linux 6.12, mm/page_alloc.c (calculate_min_free_kbytes, __setup_per_zone_wmarks, zone_batchsize, zone_highsize). /proc/zoneinfo shows them.

All are made of two numbers: how many frames the kernel manages in the zone, and its lowest watermark, which is the zone's share of the square root
of the whole memory. Frames are of 4 KiB.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from kernel_sim.compiled import bit_length, compiled, int64

_KB_A_FRAME = 4
_MIN_KB, _MAX_KB = 128, 262144
_WATERMARK_SCALE = 10       # watermark_scale_factor: ten thousandths of the zone between two watermarks
_MAX_BATCH = 256            # frames: 1 MiB
_HIGH_FRACTION = 8          # at most an eighth of a zone on the lists of all processors


class Sizes(NamedTuple):
    """Frames, all of them."""

    low: int            # the watermark at which the kernel wakes kswapd
    high: int           # the watermark at which kswapd sleeps again
    batch: int          # what a per-processor list takes at once
    high_min: int       # what a processor's lists may hold, at least ...
    high_max: int       # ... and at most


@compiled
def min_watermark(managed: int) -> int:
    """The lowest watermark of a zone that is the whole memory: 4 times the square root of its KiB, between 128 KiB and 256 MiB."""
    wanted_kb = int64(math.sqrt(managed * _KB_A_FRAME * 16))
    return int64(min(max(wanted_kb, _MIN_KB), _MAX_KB) // _KB_A_FRAME)


@compiled
def sizes_of(managed: int, minimum: int, n_cpus: int) -> Sizes:
    """The sizes of a zone with so many managed frames and that lowest watermark."""
    gap = max(minimum // 4, managed * _WATERMARK_SCALE // 10000)
    batch = batch_of(managed)
    high_min = max((minimum + gap) // n_cpus, 4 * batch)
    high_max = max(managed // _HIGH_FRACTION // n_cpus, 4 * batch)
    return Sizes(int64(minimum + gap), int64(minimum + 2 * gap), int64(batch), int64(high_min), int64(max(high_max, high_min)))


@compiled
def batch_of(managed: int) -> int:
    """About a 4096th of the zone, as one less than a power of two."""
    quarter = max(min(managed >> 10, _MAX_BATCH) // 4, 1)
    return int64(max((int64(1) << (bit_length(int64(quarter + quarter // 2)) - 1)) - 1, 1))
