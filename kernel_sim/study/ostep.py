"""The heap of a textbook's homework: a list of free chunks, searched, cut and mended, one printed line after the other.

Source: R. H. and A. C. Arpaci-Dusseau, "Operating Systems: Three Easy Pieces", chapter 17 (Free-Space Management), and the simulator
``malloc.py`` of its homework (ostep-homework, vm-freespace). For the same flags the text here is the same, to the byte, so that the book's answers
and a student's can be compared line by line. What the simulator decides, and not every allocator would:

- a request is rounded up to the alignment first, and the header is added to that, so that chunks need not begin at an aligned address;
- best and worst fit look at the whole list, first fit stops where it finds; of equals the first in the list is taken;
- what remains of a cut chunk keeps its place in the list, however the list is sorted, until the next free sorts it again;
- coalescing goes through the list once and joins an entry to the one before it in the *list*, if it begins where that one ends;
- a failure is the address -1; random operations print addresses behind the header (so -1 plus the header), given ones the chunk's own.

This heap is in bytes and for the classroom; the policies of `kernel_sim.allocators` are in frames, and share nothing with it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from kernel_sim.errors import BadInput

NO_ADDRESS = -1


class Chunk(NamedTuple):
    """Free bytes from `address` on."""

    address: int
    size: int


def _first(free: Sequence[Chunk], size: int) -> tuple[int, int]:
    """The first that is large enough."""
    found = next((at for at, chunk in enumerate(free) if chunk.size >= size), -1)
    return found, found + 1 if found >= 0 else len(free)


def _best(free: Sequence[Chunk], size: int) -> tuple[int, int]:
    """The smallest that is large enough."""
    enough = [at for at, chunk in enumerate(free) if chunk.size >= size]
    return min(enough, key=lambda at: free[at].size, default=-1), len(free)


def _worst(free: Sequence[Chunk], size: int) -> tuple[int, int]:
    """The largest."""
    enough = [at for at, chunk in enumerate(free) if chunk.size >= size]
    return max(enough, key=lambda at: free[at].size, default=-1), len(free)


SEARCHES: dict[str, Callable[[Sequence[Chunk], int], tuple[int, int]]] = {"BEST": _best, "WORST": _worst, "FIRST": _first}
"""By name: (free list, size) -> where the chosen chunk stands in the list, -1 for none, and how many were looked at."""


def _sorted_by(key: Callable[[Chunk], int]) -> Callable[[list[Chunk], Chunk], list[Chunk]]:
    return lambda free, chunk: sorted([*free, chunk], key=key)


ORDERS: dict[str, Callable[[list[Chunk], Chunk], list[Chunk]]] = {
    "ADDRSORT": _sorted_by(lambda chunk: chunk.address),
    "SIZESORT+": _sorted_by(lambda chunk: chunk.size),
    "SIZESORT-": _sorted_by(lambda chunk: -chunk.size),
    "INSERT-FRONT": lambda free, chunk: [chunk, *free],
    "INSERT-BACK": lambda free, chunk: [*free, chunk],
}
"""By name: (free list, freed chunk) -> the list with the chunk in it. Sorting leaves equals in the order they stand in."""


@dataclass(frozen=True)
class Settings:
    """What the homework's flags say; the defaults are the homework's. Sizes are in bytes, `alignment` is -1 for none."""

    seed: int = 0
    size: int = 100
    base: int = 1000
    header: int = 0
    alignment: int = -1
    policy: str = "BEST"
    order: str = "ADDRSORT"
    coalesce: bool = False
    n_operations: int = 10
    largest: int = 10           # what a random request asks for at most
    percent_allocs: int = 50
    operations: str = ""        # "+10,-0": allocate 10 bytes, free the first; random ones when empty
    answers: bool = False

    def check(self) -> None:
        """BadInput, naming the flag, for a number that makes no sense."""
        wrong = (
            (self.size < 0, "-S: a heap has no fewer than 0 bytes"), (self.base < 0, "-b: an address is not negative"),
            (self.header < 0, "-H: a header has no fewer than 0 bytes"),
            (self.alignment < 1 and self.alignment != -1, "-a: an alignment is 1 or more, or -1 for none"),
            (self.n_operations < 0, "-n: there are no fewer than 0 operations"), (self.largest < 0, "-r: a range is not negative"),
            (self.percent_allocs < 1, "-P: at least 1 percent of the operations allocates"),
        )
        for is_wrong, why in wrong:
            if is_wrong:
                raise BadInput(why)


class Heap:
    """A free list and the chunks that are out."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.free_list = [Chunk(settings.base, settings.size)]
        self._sizes: dict[int, int] = {}

    def alloc(self, size: int) -> tuple[int, int]:
        """The address of a chunk for so many bytes, its header first, or NO_ADDRESS; and how many entries of the list were looked at."""
        size = self._rounded(size) + self.settings.header
        at, n_searched = SEARCHES[self.settings.policy](self.free_list, size)
        if at < 0:
            return NO_ADDRESS, n_searched
        chosen = self.free_list[at]
        if chosen.address in self._sizes:
            raise BadInput(f"two chunks at address {chosen.address}: a request for no bytes leaves its address to the next one")
        self.free_list[at:at + 1] = [Chunk(chosen.address + size, chosen.size - size)] if chosen.size > size else []
        self._sizes[chosen.address] = size
        return chosen.address, n_searched

    def _rounded(self, size: int) -> int:
        unit = self.settings.alignment
        return size if unit == -1 else -(-size // unit) * unit

    def free(self, address: int) -> int:
        """Put a chunk back on the list: 0, or -1 when no chunk of that address is out."""
        if address not in self._sizes:
            return -1
        self.free_list = ORDERS[self.settings.order](self.free_list, Chunk(address, self._sizes.pop(address)))
        if self.settings.coalesce:
            self.free_list = coalesced(self.free_list)
        return 0

    def __str__(self) -> str:
        entries = "".join(f"[ addr:{chunk.address} sz:{chunk.size} ]" for chunk in self.free_list)
        return f"Free List [ Size {len(self.free_list)} ]: {entries}"


def coalesced(free: Sequence[Chunk]) -> list[Chunk]:
    """The list with every entry joined to the one before it that it continues. What lies side by side in memory but not in the list stays apart."""
    joined = [free[0]]
    for chunk in free[1:]:
        last = joined[-1]
        if last.address + last.size == chunk.address:
            joined[-1] = Chunk(last.address, last.size + chunk.size)
        else:
            joined.append(chunk)
    return joined


def homework(settings: Settings) -> str:
    """All that the simulator prints for these settings. BadInput for settings or operations that make no sense; nothing is printed then."""
    settings.check()
    played = _given(settings) if settings.operations else _random(settings)
    return "\n".join([*_head(settings), "", *played]) + "\n"


def _head(settings: Settings) -> Iterator[str]:
    """The settings, by the simulator's names."""
    names = ("seed", "size", "baseAddr", "headerSize", "alignment", "policy", "listOrder", "coalesce", "numOps", "range", "percentAlloc",
             "allocList", "compute")
    for name, field in zip(names, settings.__dataclass_fields__, strict=True):
        yield f"{name} {getattr(settings, field)}"


def _random(settings: Settings) -> Iterator[str]:
    """Operations by the dice. A free that finds nothing to free is no operation, and the dice are thrown again."""
    heap, dice = Heap(settings), random.Random(settings.seed)
    addresses: dict[int, int] = {}      # of the chunks that are out, by number
    n_allocs = n_done = 0
    while n_done < settings.n_operations:
        if dice.random() < settings.percent_allocs / 100:
            size = int(dice.random() * settings.largest) + 1
            address, n_searched = heap.alloc(size)
            if address != NO_ADDRESS:
                addresses[n_allocs] = address
            yield _alloc_line(settings, n_allocs, size, address + settings.header, n_searched)
            n_allocs += 1
        elif addresses:
            number = list(addresses)[int(dice.random() * len(addresses))]
            yield from _free_lines(settings, number, heap.free(addresses.pop(number)))
        else:
            continue
        n_done += 1
        yield from (str(heap) if settings.answers else "List? ", "")


def _given(settings: Settings) -> Iterator[str]:
    """The operations of the settings."""
    heap = Heap(settings)
    addresses: dict[int, int] = {}      # of all chunks that were ever given out, by number
    n_allocs = 0
    for text in settings.operations.split(","):
        allocates, number = _parse(text)
        if allocates:
            address, n_searched = heap.alloc(number)
            if address != NO_ADDRESS:
                addresses[n_allocs] = address
            yield _alloc_line(settings, n_allocs, number, address, n_searched)
            n_allocs += 1
        elif number >= len(addresses):
            yield "Invalid Free: Skipping"
            continue
        elif number not in addresses:
            raise BadInput(f"-A: {text} frees what was never allocated: request {number} failed")
        else:
            yield from _free_lines(settings, number, heap.free(addresses[number]))
        yield from (str(heap) if settings.answers else "List?", "")


def _parse(text: str) -> tuple[bool, int]:
    """``+10`` as an allocation of 10 bytes, ``-0`` as a free of the first."""
    if text[:1] not in ("+", "-") or not (text[1:].isascii() and text[1:].isdigit()):
        raise BadInput(f"-A: {text!r} is no operation; +10 allocates 10 bytes, -0 frees the first allocation, and commas stand between them")
    return text[0] == "+", int(text[1:])


def _alloc_line(settings: Settings, number: int, size: int, address: int, n_searched: int) -> str:
    answer = f"{address} (searched {n_searched} elements)" if settings.answers else "?"
    return f"ptr[{number}] = Alloc({size}) returned {answer}"


def _free_lines(settings: Settings, number: int, status: int) -> tuple[str, str]:
    return f"Free(ptr[{number}])", f"returned {status if settings.answers else '?'}"
