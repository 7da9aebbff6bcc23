"""The contract between the manager and a policy, and how a policy is found by its name.

A policy is a file of this folder. It defines

    PARAMETERS   {"order": ("lifo", "address"), "max_order": Whole(10, 0, 10)}: the choices inside the policy, the default first
    build        a function that takes the full name and the parameters (as texts) and returns a `Policy`; BadPolicy for choices that exclude
                 each other

and its docstring gives source, idea, invariant, cost and use (`theory`); the first line is what ``kernel-sim policies`` prints. A policy sees
one zone at a time, as its *area*: a NamedTuple with at least the fields of `Area`. It works on the links of the frame table and on words of its
own, and knows nothing of owners, events or other zones.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any, NamedTuple

from kernel_sim.compiled import Array, compiled, only_interpreted
from kernel_sim.errors import BadPolicy

EXAMINED, SPLITS, MERGES = 0, 1, 2
"""What a policy counts: holes or blocks it looked at, cuts, joins. Their sum is its steps."""
N_TALLIES = 3


class Request(NamedTuple):
    """What is asked for. A policy looks at what it cares for."""

    n_frames: int
    owner: int
    cpu: int
    mobility: int


class Area(NamedTuple):
    """The least a policy knows of its zone. It keeps words of its own (int64, zeros at first), as many as it asked for."""

    frames: Array       # the frame table's records, of all zones
    tally: Array        # int64: it begins with EXAMINED, SPLITS, MERGES
    first: int          # the zone's frames, holes included
    end: int


class Whole(Sequence[str]):
    """The choices of a parameter that is a whole number: the default first, then all from `lowest` to `highest`."""

    def __init__(self, default: int, lowest: int, highest: int) -> None:
        self.lowest, self.highest = lowest, highest
        self._values = [str(default), *(str(value) for value in range(lowest, highest + 1) if value != default)]

    def __getitem__(self, at: Any) -> Any:
        return self._values[at]

    def __len__(self) -> int:
        return len(self._values)

    def __str__(self) -> str:
        return f"{self.lowest}..{self.highest}"


class Place(NamedTuple):
    """Where a policy looks for free frames: a list of blocks, (pfn, n_frames) each, with its name, or one block alone, with none."""

    name: str
    blocks: tuple[tuple[int, int], ...]


_watchers: list[Callable[[int], None]] = []


def _tell(place: int, n_places: int) -> None:
    for watcher in _watchers:
        for number in range(int(place), int(place) + int(n_places)):
            watcher(number)


tell = only_interpreted(_tell)
"""(place, n_places): say to those who watch that places were looked at, from this number on. What is compiled says nothing."""


@compiled
def examine(area: Any, place: int, n_places: int = 1) -> None:
    """Count a look at a place, or at several in a row, just before something is taken there. `Policy.place` knows them by these numbers."""
    area.tally[EXAMINED] += n_places
    tell(place, n_places)


@contextmanager
def watching(watcher: Callable[[int], None]) -> Iterator[None]:
    """Hear of every place that policies look at in the interpreter, as they do."""
    _watchers.append(watcher)
    try:
        yield
    finally:
        _watchers.remove(watcher)


@dataclass(frozen=True)
class Policy:
    """A policy as the manager uses it. The first five functions are compiled and work on an area."""

    name: str
    open_area: Callable[..., Any]                       # (frames, address of its words, n_words, tally, first, end) -> area
    setup: Callable[..., Any]                           # (area, firsts, ends): the runs that are free at the start, ascending
    alloc: Callable[..., Any]                           # (area, request) -> pfn, or NO_FRAMES
    free: Callable[..., Any]                            # (area, pfn, request): request.n_frames that it gave out, or that were in use at the start
    granted: Callable[..., Any]                         # (area, n_frames) -> frames that such a request takes up, 0 if it never gives so many
    n_words: Callable[[int, int, int], int]             # (first, end, number of runs) -> words of its own for such a zone
    blocks: Callable[[Any], Iterator[tuple[int, int]]]  # (area) -> what it has to give, as (pfn, n_frames), in no order
    check: Callable[[Any], None]                        # (area) -> BrokenInvariant where its own structure is not as it should be
    plain: Callable[[Any], Any] | None = None           # (zone) -> a policy in plain Python; then the functions above are not used
    aligned: bool = False                               # whether what it grants begins at a multiple of its size, a power of two
    search_order: Callable[[Any, Request], Iterable[Place]] | None = None   # what it has to give, each block once, in the order of its search
    place: Callable[[Any, int], Place] | None = None    # (area, number) -> what it looks at when it calls `examine` with that number, as it is now
    uncompiled: bool = False                            # run in the interpreter what could be compiled: no wait for the compiler, and slower
    take: Callable[..., Any] | None = None              # optional: (area, pfn, n_frames) -> whether it gave up these, an end of a hole

    @property
    def in_interpreter(self) -> bool:
        """Whether the manager runs in the interpreter with it."""
        return self.uncompiled or self.plain is not None


def policy_names() -> list[str]:
    """The policies there are, in alphabetical order."""
    return sorted(name.replace("_", "-") for name in _files() if hasattr(_import(name), "build"))


def policy_module(name: str) -> ModuleType:
    """The file of a policy. BadPolicy when there is none of that name."""
    file = name.replace("-", "_")
    if file not in _files() or not hasattr(_import(file), "build"):
        raise BadPolicy(f"no policy {name!r}; there are {', '.join(policy_names())}, or your own as path/to/file.py:ClassName")
    return _import(file)


def theory(name: str) -> dict[str, str]:
    """What a policy's docstring says, by paragraph: its decision (the first line), Source, Idea, Invariant, Cost, Use, and what else it names."""
    first, *paragraphs = (policy_module(name).__doc__ or "").split("\n\n")
    title, _, decision = first.partition(": ")
    told = {"Name": title.strip(), "Decision": decision.strip()}
    for paragraph in paragraphs:
        key, colon, text = " ".join(paragraph.split()).partition(": ")
        if colon and key.isalpha():
            told[key] = text
    return told


@cache
def built_in(spec: str) -> Policy:
    """A policy of this folder by its name and parameters: ``buddy``, ``buddy:order=address``. BadPolicy for a wrong one."""
    name, _, rest = spec.partition(":")
    module = policy_module(name)
    parameters = parse_parameters(spec, rest, module.PARAMETERS)
    chosen = {key: value for key, value in parameters.items() if value != module.PARAMETERS[key][0]}
    full_name = name + (":" + ",".join(f"{key}={value}" for key, value in sorted(chosen.items())) if chosen else "")
    policy = module.build(full_name, **parameters)
    assert isinstance(policy, Policy)
    return policy


def parse_parameters(spec: str, text: str, allowed: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """``order=address`` as a dictionary, with the defaults filled in. BadPolicy for what is not among the choices."""
    values = {key: choices[0] for key, choices in allowed.items()}
    given: set[str] = set()
    for part in text.split(",") if text else ():
        key, equals, value = part.partition("=")
        if key not in allowed:
            raise BadPolicy(f"policy {spec!r}: no parameter {key!r}; {_choices(allowed)}")
        if not equals or value not in allowed[key]:
            raise BadPolicy(f"policy {spec!r}: {key} cannot be {value!r}; {_choices(allowed)}")
        if key in given:
            raise BadPolicy(f"policy {spec!r}: {key} is given twice")
        given.add(key)
        values[key] = value
    return values


def _choices(allowed: Mapping[str, Sequence[str]]) -> str:
    if not allowed:
        return "it has none"
    return "there is " + ", ".join(f"{key}={show_choices(choices)}" for key, choices in allowed.items())


def show_choices(choices: Sequence[str]) -> str:
    """``lifo|address``, or ``0..10`` for a whole number."""
    return str(choices) if isinstance(choices, Whole) else "|".join(choices)


def _files() -> Iterable[str]:
    import kernel_sim.allocators as package

    return [name for _, name, _ in pkgutil.iter_modules(package.__path__)]


def _import(file: str) -> ModuleType:
    return importlib.import_module(f"kernel_sim.allocators.{file}")
