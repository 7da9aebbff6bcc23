"""Frames, page-frame numbers, orders and sizes."""

from __future__ import annotations

import re
from typing import NewType

from kernel_sim.errors import BadInput

FRAME_BYTES = 4096
MAX_ORDER = 10
"""The largest block of Linux' buddy allocator and of ``/proc/buddyinfo``: 2^10 frames, 4 MiB."""

N_ORDERS = MAX_ORDER + 1
MAX_FRAMES = (1 << 32) - 1
"""A frame table's links are 32 bits wide, and one value means "none": a frame less than 16 TiB of memory."""

Pfn = NewType("Pfn", int)
"""A page-frame number: a physical address divided by FRAME_BYTES. The type checker keeps the two apart."""

_SIZE = re.compile(r"(\d+)\s*([kmgt]?)i?b?", re.IGNORECASE)
_SHIFT = {"": 0, "k": 10, "m": 20, "g": 30, "t": 40}


def order_for(n_frames: int) -> int:
    """The order of the smallest block that holds `n_frames` frames: 0 for 1, 2 for 3 and 4. ValueError below 1."""
    if n_frames < 1:
        raise ValueError(f"a block has at least one frame, not {n_frames}")
    return (n_frames - 1).bit_length()


def parse_size(text: str) -> int:
    """Bytes in ``"64M"``, ``"1T"``, ``"4096"``: powers of 1024. BadInput for anything else."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise BadInput(f"not a size: {text!r} (a size is a number and K, M, G or T, such as 64M)")
    return int(match[1]) << _SHIFT[match[2].lower()]


def parse_memory(text: str) -> int:
    """Frames in a memory of that size. BadInput unless it is a whole, positive number of frames that fits the table."""
    size_bytes = parse_size(text)
    n_frames, rest = divmod(size_bytes, FRAME_BYTES)
    if size_bytes == 0:
        raise BadInput(f"memory of {text}: there must be at least one frame of {FRAME_BYTES} bytes")
    if rest:
        raise BadInput(f"memory of {text}: not a whole number of frames of {FRAME_BYTES} bytes")
    if n_frames > MAX_FRAMES:
        raise BadInput(f"memory of {text}: more than the {format_size(MAX_FRAMES * FRAME_BYTES)} that a frame table can describe")
    return n_frames


def format_size(size_bytes: int) -> str:
    """A size as people say it: ``256 MiB``, ``1.5 GiB``, ``4 KiB``."""
    for unit, shift in (("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)):
        if size_bytes >= 1 << shift:
            return f"{size_bytes / (1 << shift):.4g} {unit}"
    return f"{size_bytes} B"
