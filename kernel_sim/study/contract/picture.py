"""The books as rows of characters, one a frame."""

from __future__ import annotations

from kernel_sim.study.contract.books import Books

LEGEND = ". free   a b c… an allocation each   # in use at the start   + padding   R reserved   _ no such frame"

_WIDTH = 64     # frames a row
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def picture(books: Books) -> tuple[str, ...]:
    """A row for every zone, or several for a large one; each begins with the number of its first frame."""
    rows = []
    for zone in books.zones:
        for first in range(zone.first_pfn, zone.end_pfn, _WIDTH):
            frames = range(first, min(first + _WIDTH, zone.end_pfn))
            rows.append(f"{first:>6} {''.join(_character(books, pfn) for pfn in frames)}")
    return tuple(rows)


def _character(books: Books, pfn: int) -> str:
    if pfn not in books.exists:
        return "_"
    if pfn in books.reserved:
        return "R"
    if pfn in books.free:
        return "."
    if pfn >= books.holder[pfn].end:
        return "+"
    event = books.event.get(pfn, 0)     # the one that allocated it: parts of an allocation keep its letter
    return _LETTERS[(event - 1) % len(_LETTERS)] if event else "#"
