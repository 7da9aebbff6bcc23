"""A step as lines for the terminal: the memory before and after, a frame a cell, and the policy's free list in its search order.

The characters alone tell everything; colour only adds to them. A free block is written ``first:frames``.

    A … Z a … z   an allocation         .   free         +   padding: granted, but not asked for
    ^   placed or freed now             -   free, and part of a block that was split or merged now
    ?   looked at                       !   taken from
    ~   where a request that failed would most nearly have fitted
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, pairwise
from typing import TYPE_CHECKING

from kernel_sim.allocators.base import Place
from kernel_sim.study.stepping.script import LETTERS
from kernel_sim.study.stepping.stepper import FREE_SIGN, PAD_SIGN, Change, Step, Stepper
from kernel_sim.zones import Range

if TYPE_CHECKING:
    from rich.text import Text

Block = tuple[int, int]

_LABEL = 9          # columns of a line's name
_LONGEST_ROW = 64   # cells
_LONGEST_LIST = 12  # blocks of a named list
_HUES = ("red", "green", "yellow", "blue", "magenta", "cyan")
_NOW, _CHANGED, _LOOKED, _TAKEN = "bold", "cyan", "yellow", "bold green"


def head(stepper: Stepper) -> Iterator[Text]:
    """The policy, the memory, and what the signs mean."""
    from rich.text import Text

    manager = stepper.manager
    order = "in the order it searches" if stepper.has_order else "by address" if manager.policy.plain else "as the policy lists them"
    yield Text(f"{manager.policy.name}, {manager.n_table_frames} frames", style="bold")
    yield Text("  A an allocation   . free   + padding   ^ placed or freed   - split or merged")
    yield Text(f"  free blocks as first:frames, {order}   ? looked at   ! taken")


def question(step: Step, width: int) -> Iterator[Text]:
    """What is known before the step: the operation, the memory, the free list."""
    yield from (_title(step), *_rows("before", step.before, "", width), *_free_list("free", step.places, (), (), width))


def answer(step: Step, width: int) -> Iterator[Text]:
    """What the step did, after its question."""
    if marks_tell_all(step):
        yield from _free_list("looked at", step.looked_at, step.looked_at, step.taken, width)
    else:
        yield from _looks(step, width)
    yield from _outcome(step, width)


def whole(step: Step, width: int) -> Iterator[Text]:
    """A step at once."""
    yield from (_title(step), *_rows("before", step.before, "", width))
    if marks_tell_all(step):
        yield from _free_list("free", step.places, step.looked_at, step.taken, width)
    else:
        yield from _free_list("free", [place for place in step.places if place.blocks], step.looked_at, step.taken, width)
        yield from _looks(step, width)
    yield from _outcome(step, width)


def foot(stepper: Stepper, width: int) -> Iterator[Text]:
    """What is free at the end."""
    yield from (*_rows("end", stepper.picture(), "", width), *_free_list("free", stepper.places(), (), (), width))


def _title(step: Step) -> Text:
    from rich.text import Text

    operation, what = step.operation, f"free {step.operation.letter}"
    if operation.allocates:
        what = f"allocate {_frames(operation.n_frames)} for {operation.letter}"
    elif operation.n_frames:
        what = f"free {_frames(operation.n_frames)} of {operation.letter}, from offset {operation.offset}"
    return Text(f"step {step.number}  {operation.text}: {what}", style="bold")


def _outcome(step: Step, width: int) -> Iterator[Text]:
    """After, with marks under what changed; then in words."""
    if step.problem:
        if step.nearest:
            first, end = step.nearest
            yield from _rows("nearest", step.before, " " * first + "~" * (end - first), width)
        yield from _wrapped("fails", [(step.problem, "")], width, "; ")
    else:
        yield from _rows("after", step.after, _marks(step), width)
        yield from _wrapped("so", [(sentence, "") for sentence in _sentences(step)], width, "; ")
    yield _line("counted", "examined {}, splits {}, merges {}".format(*step.tallies))


def _sentences(step: Step) -> Iterator[str]:
    """What was done, in words."""
    assert step.range is not None
    where = f"{step.operation.letter} {'has' if step.operation.allocates else 'gives back'} {_span(step.range)}"
    padding = step.range[1] - step.range[0] - step.operation.n_frames
    yield where + (f", {padding} of them padding" if step.operation.allocates and padding else "")
    for split in step.splits:
        yield f"{_block(split.whole)} is split into {_parts(split)}"
    if step.operation.allocates and not step.splits and len(step.taken) == 1:
        yield f"{_block(step.taken[0])} is taken {'whole' if step.taken[0] == step.range else 'in part'}"
    for join in step.joins:
        yield f"{_parts(join)} become {_block(join.whole)}"


def _marks(step: Step) -> str:
    """A row to stand under `after`: ``^`` for the frames placed or freed, ``-`` for the rest of what was split or merged."""
    marks = [" "] * len(step.after)
    for first, end in [part for split in step.splits for part in split.parts] + [join.whole for join in step.joins]:
        marks[first:end] = "-" * (end - first)
    if step.range:
        first, end = step.range
        marks[first:end] = "^" * (end - first)
    return "".join(marks)


def _rows(label: str, picture: str, marks: str, width: int) -> Iterator[Text]:
    """The memory, wrapped, each row with the frame it begins at; marks stand below the row they belong to."""
    from rich.text import Text

    digits = len(str(len(picture)))
    n_cells = 1 << max(3, min(_LONGEST_ROW, width - _LABEL - digits - 3).bit_length() - 1)
    for first in range(0, len(picture), n_cells):
        row = Text(f"  {label if not first else '':{_LABEL}}{first:>{digits}} ")
        for sign in picture[first:first + n_cells]:
            row.append(sign, _style(sign))
        yield row
        below = marks[first:first + n_cells].rstrip()
        if below:
            line = Text(" " * (_LABEL + digits + 3))
            for sign in below:
                line.append(sign, _NOW if sign == "^" else _CHANGED)
            yield line


def _style(sign: str) -> str:
    """An allocation keeps its colour; free frames and padding recede."""
    return "dim" if sign in (FREE_SIGN, PAD_SIGN) else f"bold {_HUES[LETTERS.index(sign) % len(_HUES)]}"


def _free_list(label: str, places: Iterable[Place], looked_at: Iterable[Place], taken: Iterable[Range], width: int) -> Iterator[Text]:
    """Named lists on a line each, with `?` behind the name of one that was looked at; blocks without a name in a row, marked one by one."""
    looked, gone = {_key(place) for place in looked_at}, set(taken)
    single = [(place.blocks[0], _key(place) in looked) for place in places if not place.name]
    named = [place for place in places if place.name and (place.blocks or _key(place) in looked)]
    if single or not named:
        words = [_entry(block, gone, was_looked_at) for block, was_looked_at in single]
        if words or label == "free":
            yield from _wrapped(label, words or [("nothing", "")], width, "  ")
        return
    rows = list(_lists(named, looked))
    longest = max(len(name) for name, _, _ in rows)
    for number, (name, blocks, was_looked_at) in enumerate(rows):
        shown = [block for at, block in enumerate(blocks) if at < _LONGEST_LIST or (block[0], sum(block)) in gone]
        words = [_entry(block, gone, block in looked) for block in shown] or [("empty", "dim")]
        if len(shown) < len(blocks):
            words.append((f"and {len(blocks) - len(shown)} more", "dim"))
        yield from _wrapped(label if not number else "", [(f"{name:{longest}}", _LOOKED if was_looked_at else ""), *words], width, "  ")


def _lists(places: Iterable[Place], looked_at: set[str | Block]) -> Iterator[tuple[str, Sequence[tuple[int, int]], bool]]:
    """Name, blocks, and whether it was looked at, of each list; empty ones, which were looked at, are drawn together where their names count on."""
    for empty, group in groupby(places, lambda place: not place.blocks):
        lists = list(group)
        if empty:
            yield from ((f"{name}?", (), True) for name in _counted_on([place.name for place in lists]))
        else:
            yield from ((place.name + ("?" if _key(place) in looked_at else ""), place.blocks, _key(place) in looked_at) for place in lists)


def _key(place: Place) -> str | Block:
    """What tells a place from others, whatever is in it now: a list's name, or a block."""
    return place.name or place.blocks[0]


def marks_tell_all(step: Step) -> bool:
    """Whether marks on the free list say all about where it was looked: there alone, from its begin to its end, nowhere twice."""
    shown = [key for place in step.places for key in (_key(place), *(place.blocks if place.name else ()))]
    at = [shown.index(_key(place)) if _key(place) in shown else -1 for place in step.looked_at]
    return all(one < other for one, other in pairwise([-1, *at]))


def _looks(step: Step, width: int) -> Iterator[Text]:
    """Where it was looked, one after the other; names that only count on are drawn together."""
    words: list[tuple[str, str]] = []
    for named, places in groupby(step.looked_at, lambda place: bool(place.name)):
        words += ((name, "") for name in (_counted_on([place.name for place in places]) if named else map(_listed, places)))
    yield from _wrapped("looked at", words, width, ", ")


def _counted_on(names: Sequence[str]) -> Iterator[str]:
    """``order 3 to 5`` for order 3, order 4, order 5, and the same downwards."""
    at = 0
    while at < len(names):
        what, number = _number_in(names[at])
        last, by = at, 0
        while last + 1 < len(names) and number is not None:
            other, following = _number_in(names[last + 1])
            by = by or (-1 if following is not None and following < number else 1)
            if other != what or following != number + by * (last + 1 - at):
                break
            last += 1
        yield names[at] if last == at else f"{names[at]} to {_number_in(names[last])[1]}"
        at = last + 1


def _listed(place: Place) -> str:
    """A block alone, as it is written."""
    return "{}:{}".format(*place.blocks[0])


def _number_in(name: str) -> tuple[str, int | None]:
    """A name without the number at its end, and that number."""
    what, _, number = name.rpartition(" ")
    return (what, int(number)) if number.isdigit() else (name, None)


def _entry(block: tuple[int, int], taken: set[Range], was_looked_at: bool) -> tuple[str, str]:
    """``5:3``, with ``!`` for a block that was taken from and ``?`` for one that was only looked at; and its style."""
    if (block[0], sum(block)) in taken:
        return f"{block[0]}:{block[1]}!", _TAKEN
    return f"{block[0]}:{block[1]}{'?' if was_looked_at else ''}", _LOOKED if was_looked_at else ""


def _wrapped(label: str, words: Iterable[tuple[str, str]], width: int, between: str) -> Iterator[Text]:
    """Words with their styles behind a label, on as many lines as they need."""
    line, empty = _line(label, ""), True
    for word, style in words:
        for number, piece in enumerate(word.split(" ") if between != "  " else [word]):
            space = "" if empty else between if not number else " "
            if not empty and len(line) + len(space) + len(piece) > width:
                line.append(space.rstrip())
                yield line
                line, space = _line("", ""), ""
            line.append(space)
            line.append(piece, style)
            empty = False
    yield line


def _line(label: str, text: str) -> Text:
    from rich.text import Text

    return Text(f"  {label:{_LABEL}} {text}")


def _parts(change: Change) -> str:
    *others, last = map(_block, change.parts)
    return f"{', '.join(others)} and {last}"


def _block(block: Range) -> str:
    return f"{block[0]}:{block[1] - block[0]}"


def _span(frames: Range) -> str:
    first, last = frames[0], frames[1] - 1
    return f"frame {first}" if first == last else f"frames {first} to {last}"


def _frames(n: int) -> str:
    return f"{n} frame{'s' if n != 1 else ''}"
