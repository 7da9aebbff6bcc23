"""Bitmap: one bit a frame, and summaries of it; the lowest free run that is long enough.

Source: A. S. Tanenbaum, H. Bos, Modern Operating Systems, "Memory management with bitmaps"; the *bitmapped fits* of P. R. Wilson et al., "Dynamic
storage allocation: a survey and critical review", IWMM 1995. Summaries above the bits, in another form, has the Go runtime's page allocator (M.
Knyszek, A. Clements, "Scaling the Go page allocator", 2019).

Idea: a set bit for each frame in use, and nothing else, so nothing is written into the frames' records. The search for a run of clear bits, slow by
itself, is led by summaries that tell for each word of 64 frames whether a stretch of 1, 2, 4, … 64 free frames starts in it
(`kernel_sim.allocators.frame_bits`): the summary of the largest power of two that is not above the request names the words worth looking at.
A freed run joins its neighbours by itself: there is nothing to split and nothing to merge.

Invariant: a bit is clear exactly where a frame is free, and each summary is what the bits below it make it.

Cost: 1.13 bits a frame. For a power of two up to 64 the first word looked at will do: constant, but for a word of the summaries a level (up to six
levels). Other requests look at each word that the summary names until one will do, in the worst case at all of the zone's; those above 64 frames
read the runs that start there, one word for 64 frames. `examined` counts words of bits.

Use: where memory for links is dear or the frames themselves must not be written, and requests are small: the state is one bit a frame, easy to save
and to inspect.

Parameters: ``search=first`` takes the lowest run, ``search=next`` the first from the end of the last allocation on, then the lowest.
"""

from __future__ import annotations

from collections.abc import Iterator

from kernel_sim.allocators.base import Place, Policy, Request, examine
from kernel_sim.allocators.frame_bits import (
    N_SUMMARIES,
    NONE,
    ROVER,
    BitArea,
    bits_between,
    check,
    free_in,
    free_runs,
    lay_out,
    n_words,
    next_word,
    open_area,
    set_free,
    set_used,
    shifted,
    starts_of_twice,
)
from kernel_sim.allocators.holes import granted
from kernel_sim.compiled import Array, bind, bit_length, compiled, int64, trailing_zeros
from kernel_sim.frames import NO_FRAMES

PARAMETERS = {"search": ("first", "next")}


@compiled
def lowest_from(area: BitArea, position: int, n_frames: int) -> int:
    """The lowest position, from `position` on, where a run of so many free frames starts; NONE."""
    order = min(bit_length(n_frames) - 1, N_SUMMARIES - 1)
    at = next_word(area, position >> 6, order)
    while at != NONE:
        examine(area, at)
        starts = starts_in(area, at, min(n_frames, 64), order)
        if at == position >> 6:
            starts &= int64(-1) << (position & 63)
        after = at + 1
        if starts:
            found = 64 * at + trailing_zeros(starts)
            end = end_of_run(area, found, n_frames) if n_frames > 64 else found + n_frames
            if end == found + n_frames:
                return int64(found)
            after = end >> 6
        at = next_word(area, after, order)
    return NONE


@compiled
def starts_in(area: BitArea, at: int, n_frames: int, order: int) -> int:
    """The frames of a word, as bits, at which a stretch of so many free frames starts. At most 64, and 2^order is the power of two below."""
    here, there = free_in(area, at), free_in(area, at + 1)
    for doubling in range(order):
        here, there = starts_of_twice(here, there, int64(1) << doubling)
    more = n_frames - (int64(1) << order)       # a stretch that starts here, and one that starts so much later
    if more:
        here &= shifted(here, more) | there << (64 - more)
    return int64(here)


@compiled
def end_of_run(area: BitArea, found: int, n_frames: int) -> int:
    """Where the free run at a position ends, or is long enough: word for word, from the next one on."""
    at = (found >> 6) + 1
    free_here = int64(64)
    while free_here == 64 and 64 * at < found + n_frames:
        examine(area, at)
        free_here = trailing_zeros(~free_in(area, at))
        at += 1
    return int64(min(64 * (at - 1) + free_here, found + n_frames))


@compiled
def first_fit(area: BitArea, n_frames: int) -> int:
    """The lowest run of all."""
    return lowest_from(area, int64(0), n_frames)


@compiled
def next_fit(area: BitArea, n_frames: int) -> int:
    """The lowest from where the last allocation ended, then the lowest of all."""
    start = area.header[ROVER]
    while True:
        found = lowest_from(area, start, n_frames)
        if found != NONE or start == 0:
            return found
        start = int64(0)


@compiled
def search(area: BitArea, n_frames: int) -> int:
    """The policy's choice: where a run of so many free frames starts, or NONE."""
    raise NotImplementedError


@compiled
def alloc(area: BitArea, request: Request) -> int:
    """Find a run, and set its bits."""
    found = search(area, request.n_frames)
    if found == NONE:
        return NO_FRAMES
    end = found + request.n_frames
    set_used(area, found, end)
    area.header[ROVER] = end
    return int64(area.base + found)


@compiled
def free(area: BitArea, pfn: int, request: Request) -> None:
    """Clear the bits."""
    set_free(area, pfn - area.base, pfn - area.base + request.n_frames)


@compiled
def take(area: BitArea, pfn: int, n_frames: int) -> bool:
    """Give up just these frames, if all of them are free, and say whether they were."""
    first, end = pfn - area.base, pfn - area.base + n_frames
    for at in range(first >> 6, ((end - 1) >> 6) + 1):
        if area.words[at] & bits_between(at, first, end):
            return False
    set_used(area, first, end)
    return True


@compiled
def setup(area: BitArea, firsts: Array, ends: Array) -> None:
    """Only what is in use is written."""
    lay_out(area)
    first = area.base
    for i in range(len(firsts) + 1):
        end = firsts[i] if i < len(firsts) else area.base + 64 * area.n_words
        if first < end:
            set_used(area, first - area.base, end - area.base)
        if i < len(firsts):
            first = ends[i]


def word_at(area: BitArea, at: int) -> Place:
    """A word as a place to look at: the runs of free frames in it."""
    return next((place for number, place in words(area) if number == at), Place(word_name(area, at), ()))


def words(area: BitArea) -> Iterator[tuple[int, Place]]:
    """The words that have free frames, ascending, each as (number, place); a run that goes on from one into the next is cut there."""
    runs: dict[int, list[tuple[int, int]]] = {}
    for pfn, n_frames in free_runs(area):
        for at in range((pfn - area.base) // 64, (pfn - area.base + n_frames - 1) // 64 + 1):
            first, end = max(pfn, area.base + 64 * at), min(pfn + n_frames, area.base + 64 * at + 64)
            runs.setdefault(at, []).append((first, end - first))
    yield from ((at, Place(word_name(area, at), tuple(found))) for at, found in runs.items())


def word_name(area: BitArea, at: int) -> str:
    """The frames that a word has bits for."""
    first = max(area.base + 64 * at, area.first)
    return f"frames {first}-{min(area.base + 64 * at + 64, area.end) - 1}" if first < area.end else "beyond the end"


def build(name: str, search: str) -> Policy:
    def search_order(area: BitArea, request: Request) -> list[Place]:
        start = int(area.header[ROVER]) // 64 if search == "next" else 0
        return [place for _, place in sorted(words(area), key=lambda word: word[0] < start)]

    chosen = {"first": first_fit, "next": next_fit}[search]
    return Policy(name, open_area=open_area, setup=setup, alloc=compiled(bind(alloc, name, search=chosen)), free=free, granted=granted,
                  n_words=n_words, blocks=free_runs, check=check, take=take, search_order=search_order, place=word_at)
