"""/proc/kpageflags: one little-endian 64-bit word of flags a frame (Documentation/admin-guide/mm/pagemap.rst in Linux).

    bit 20 NOPAGE     no such frame: a hole
    bit 10 BUDDY      free; set on every frame of a free block on 6.1, 6.12 and 6.18, whatever the documentation says
    bit 32 RESERVED   never given out
    any other         in use

Linux has never given a meaning to the bits from 48 up, by which a file that is something else betrays itself.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np

from kernel_sim.compiled import entry
from kernel_sim.errors import BadInput
from kernel_sim.study.runs import FREE, HOLE, MAX_MAP_FRAMES, RESERVED, USED, RunBuilder

Array = np.ndarray[Any, Any]

BUDDY, NOPAGE, RESERVED_PAGE = 1 << 10, 1 << 20, 1 << 32
LRU, SLAB, ANON, PAGE_TABLE = 1 << 5, 1 << 7, 1 << 12, 1 << 26
WORD_BYTES = 8
_UNUSED_BITS = -1 << 48
_CHUNK_FRAMES = 1 << 17  # 1 MiB of words: read, classified and forgotten while it is in the cache


def read(stream: io.BufferedReader, path: str | Path) -> RunBuilder:
    """The runs of the frames, read to the stream's end. BadInput names `path`.

    The size of the file says what to expect and no more: /proc/kpageflags calls itself empty.
    """
    words, codes = np.empty(_CHUNK_FRAMES, "<i8"), np.empty(_CHUNK_FRAMES, np.uint8)
    built = RunBuilder(min(os.fstat(stream.fileno()).st_size // WORD_BYTES, MAX_MAP_FRAMES))
    while n_bytes := stream.readinto(words.data):
        n_words, rest = divmod(n_bytes, WORD_BYTES)
        if _classify(words[:n_words], codes) & _UNUSED_BITS:
            raise BadInput(f"{path}: not kpageflags (it has bits set that no kernel sets), nor any other form of a map")
        if rest:
            raise BadInput(f"{path}: not kpageflags: its size is not a multiple of {WORD_BYTES} bytes")
        if built.n_frames + n_words > MAX_MAP_FRAMES:
            raise BadInput(f"{path}: more than {MAX_MAP_FRAMES} frames")
        built.add(codes[:n_words])
    if not built.n_frames:
        raise BadInput(f"{path}: there is nothing in it")
    return built


def mobility(words: Array) -> Array:
    """How movable each frame looks (int8): 1 for what the kernel could move (LRU, ANON), -1 for what it cannot (SLAB, page tables, no flag)."""
    movable, fixed = words & (LRU | ANON) != 0, (words & (SLAB | PAGE_TABLE) != 0) | (words == 0)
    looks: Array = movable.astype(np.int8) - fixed.astype(np.int8)
    return looks


def to_bytes(codes: Array) -> bytes:
    """The words of frames that are so: free BUDDY, a hole NOPAGE, reserved RESERVED, used 0."""
    word_of = np.zeros(4, "<u8")
    word_of[[FREE, HOLE, RESERVED]] = BUDDY, NOPAGE, RESERVED_PAGE
    return word_of[codes].tobytes()


@entry
def _classify(words: Array, codes: Array) -> int:
    """Write what each word says of its frame; return all bits that any word has set."""
    seen = 0
    for i in range(len(words)):
        word = words[i]
        seen |= word
        if word & NOPAGE:
            codes[i] = HOLE
        elif word & BUDDY:
            codes[i] = FREE
        elif word & RESERVED_PAGE:
            codes[i] = RESERVED
        else:
            codes[i] = USED
    return seen
