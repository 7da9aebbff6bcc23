"""What a workload is described by: ``key=value`` words on one line, or the same keys in a TOML file.

``sizes``       what is asked for: `kernel_sim.study.workload.sizes`
``lifetimes``   how long it lives: `kernel_sim.study.workload.lifetimes`
``protocol``    instead of both, ``llfree(order,rounds)``: `kernel_sim.study.workload.llfree`
``memory``      the memory it is made for, one plain zone: ``64M``
``operations``  how many allocations and frees there are in all
``load``        the share of the memory that is held in use, above 0, at most 1; without it requests arrive as a Poisson process
``seed``        of all chance (0)
``cpus``        how many processors ask, in turn or, but for ``llfree``, at random (1)
``owners``      how many owners ask, at random (1)
``mobility``    migratetypes with their weights, ``histogram(0:2,1:7,2:1)`` (all 0)
``name``        what the trace is called (the description)
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kernel_sim.errors import BadInput
from kernel_sim.study.workload import sizes as size_distributions
from kernel_sim.study.workload.lifetimes import LIFETIMES, Lifetimes
from kernel_sim.study.workload.sizes import SIZES, Sizes
from kernel_sim.units import MAX_FRAMES, MAX_ORDER, format_size, parse_memory

SUFFIX = ".toml"
MAX_OPERATIONS = 100_000_000
_KEYS = ("sizes", "lifetimes", "protocol", "memory", "operations", "load", "seed", "cpus", "owners", "mobility", "name")
_WORD = re.compile(r"\s*([a-z]+)=((?:[^\s()]|\([^()]*\))+)(?=\s|$)")
_CALL = re.compile(r"([a-z-]+)(?:\(([^()]*)\))?")


@dataclass(frozen=True)
class Workload:
    """A workload as it was described; `generate` makes the trace. Either `protocol`, (order, rounds), or sizes and lifetimes."""

    name: str
    n_frames: int
    seed: int = 0
    sizes: Sizes | None = None
    lifetimes: Lifetimes | None = None
    n_operations: int = 0
    load: float | None = None
    protocol: tuple[int, int] | None = None
    n_cpus: int = 1
    n_owners: int = 1
    mobility: tuple[tuple[int, float], ...] = ((0, 1.0),)

    @property
    def target(self) -> int:
        """The most frames that may be in use at a time, for a load that is held; all frames, if none is."""
        return self.n_frames if self.load is None else int(self.load * self.n_frames)


def parse(text: str) -> Workload:
    """The workload that a line describes. BadInput, naming the key, for one that makes no sense."""
    return describe(_words(text), "workload", Path())


def load(path: str | Path, more: str = "") -> Workload:
    """The workload of a TOML file; what the line `more` says is meant instead of what the file says. BadInput, naming file and key."""
    try:
        keys: dict[str, Any] = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror or error}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: not TOML: {str(error).splitlines()[0]}") from None
    for key, value in keys.items():
        if isinstance(value, bool) or not isinstance(value, (str, int, float)):
            raise BadInput(f"{path}: {key}: a number or a text is wanted, not {value!r}")
    return describe({**{key: str(value) for key, value in keys.items()}, **_words(more)}, str(path), Path(path).parent)


def describe(keys: Mapping[str, str], source: str, folder: Path) -> Workload:
    """The workload that keys and values describe; `source` is named in what is wrong, and files are looked for in `folder`."""
    unknown = [key for key in keys if key not in _KEYS]
    if unknown:
        raise BadInput(f"{source}: {unknown[0]}: there is no such key; there are {' '.join(_KEYS)}")
    said = " ".join(f"{key}={keys[key]}" for key in _KEYS if key in keys and key != "name")

    def read(key: str, reader: Callable[[str], Any], default: Any = None) -> Any:
        try:
            return reader(keys[key]) if key in keys else default
        except BadInput as error:
            raise BadInput(f"{source}: {key}: {error}") from None

    if "memory" not in keys:
        raise BadInput(f"{source}: memory: how large it is must be said, such as memory=64M")
    workload = Workload(
        keys.get("name", said), read("memory", parse_memory), read("seed", _whole(0, (1 << 64) - 1), 0),
        read("sizes", lambda text: _sizes(text, folder)), read("lifetimes", _lifetimes), read("operations", _whole(1, MAX_OPERATIONS), 0),
        read("load", _load), read("protocol", _protocol), read("cpus", _whole(1, 1 << 16), 1), read("owners", _whole(1, 1 << 16), 1),
        read("mobility", _mobility, ((0, 1.0),)),
    )
    try:
        _check(workload)
    except BadInput as error:
        raise BadInput(f"{source}: {error}") from None
    return workload


def _check(workload: Workload) -> None:
    """BadInput, naming a key, for things that do not go together."""
    sizes, lifetimes = workload.sizes, workload.lifetimes
    if workload.protocol is not None:
        if sizes or lifetimes or workload.n_operations or workload.load is not None:
            raise BadInput("protocol: a protocol says itself what the sizes, lifetimes, operations and load are")
        if workload.n_frames >> workload.protocol[0] < 2 * workload.n_cpus:
            raise BadInput("memory: too small for two allocations a processor")
        return
    for key, value in (("sizes", sizes), ("lifetimes", lifetimes), ("operations", workload.n_operations)):
        if not value:
            raise BadInput(f"{key}: it must be said, or a protocol")
    assert sizes is not None
    assert lifetimes is not None
    if workload.load is None and lifetimes.mean is None:
        raise BadInput("lifetimes: without a load there must be a mean of time, as exponential(1000) has")
    largest = workload.target
    if (sizes.bound if sizes.bound is not None else sizes.mean) > largest:
        raise BadInput(f"sizes: larger than what may be in use at a time ({largest:,} of {workload.n_frames:,} frames)")


def _words(text: str) -> dict[str, str]:
    """The ``key=value`` words of a line."""
    keys: dict[str, str] = {}
    at = 0
    while text[at:].strip():
        word = _WORD.match(text, at)
        if word is None:
            raise BadInput(f"workload: {text[at:].split(maxsplit=1)[0]!r} is not key=value, such as sizes=uniform(1,16)")
        if word[1] in keys:
            raise BadInput(f"workload: {word[1]}: said twice")
        keys[word[1]] = word[2]
        at = word.end()
    return keys


def _sizes(text: str, folder: Path) -> Sizes:
    name, inside = _call(text, (*SIZES, "histogram", "trace"))
    if name == "histogram" and ":" in inside:
        return size_distributions.histogram(_pairs(inside))
    if name == "histogram":
        return size_distributions.histogram_of_file(folder / inside)
    if name == "trace":
        return size_distributions.of_trace(str(folder / inside) if (folder / inside).exists() else inside)
    made: Sizes = _made(SIZES[name], text, inside)
    if made.bound is not None and made.bound > MAX_FRAMES:
        raise BadInput(f"more than the {format_size(MAX_FRAMES * 4096)} that a frame table can describe")
    return made


def _lifetimes(text: str) -> Lifetimes:
    name, inside = _call(text, LIFETIMES)
    made: Lifetimes = _made(LIFETIMES[name], text, inside)
    return made


def _protocol(text: str) -> tuple[int, int]:
    _, inside = _call(text, ("llfree",))
    order, rounds = (*_numbers(inside), *(0, 7)[len(_numbers(inside)):])[:2] if len(_numbers(inside)) <= 2 else (-1, -1)
    if order not in range(MAX_ORDER + 1) or rounds not in range(1 << 20):
        raise BadInput(f"llfree(order,rounds) has an order up to {MAX_ORDER} and a number of rounds, unlike {text}")
    return int(order), int(rounds)


def _mobility(text: str) -> tuple[tuple[int, float], ...]:
    _, inside = _call(text, ("histogram",))
    pairs = _pairs(inside)
    if any(not 0 <= kind < 256 or kind != int(kind) or weight < 0 for kind, weight in pairs) or not sum(weight for _, weight in pairs) > 0:
        raise BadInput("migratetypes are whole numbers from 0 to 255, with weights that are not negative and not all 0")
    return tuple((int(kind), weight) for kind, weight in pairs)


def _load(text: str) -> float:
    (value,) = _numbers(text, 1)
    if not 0 < value <= 1:
        raise BadInput(f"a load is a share of the memory, above 0 and at most 1, and not {text}")
    return float(value)


def _whole(lowest: int, highest: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = lowest - 1
        if not lowest <= value <= highest:
            raise BadInput(f"a whole number from {lowest} to {highest} is wanted, not {text}")
        return value
    return read


def _call(text: str, names: Any) -> tuple[str, str]:
    """``name(inside)`` or ``name``: (name, inside)."""
    match = _CALL.fullmatch(text)
    if match is None or match[1] not in names:
        raise BadInput(f"{text} is none of {' '.join(names)}")
    return match[1], (match[2] or "").strip()


def _made(make: Callable[..., Any], text: str, inside: str) -> Any:
    """What `make` makes of the numbers inside; its annotations say which are whole."""
    import inspect

    wanted = inspect.signature(make).parameters
    numbers = _numbers(inside)
    required = [name for name, parameter in wanted.items() if parameter.default is inspect.Parameter.empty]
    if not len(required) <= len(numbers) <= len(wanted):
        raise BadInput(f"{text}: it takes ({', '.join(wanted)})")
    for number, (name, parameter) in zip(numbers, wanted.items(), strict=False):
        if parameter.annotation == "int" and not isinstance(number, int):
            raise BadInput(f"{text}: {name} is a whole number of frames")
    return make(*numbers)


def _pairs(text: str) -> list[tuple[float, float]]:
    """``1:50,2:30``."""
    pairs = []
    for part in text.split(","):
        key, _, weight = part.partition(":")
        (key_number,), (weight_number,) = _numbers(key, 1), _numbers(weight, 1)
        pairs.append((key_number, weight_number))
    return pairs


def _numbers(text: str, n: int | None = None) -> list[int | float]:
    """Numbers with commas between: whole ones as int."""
    numbers: list[int | float] = []
    for word in text.split(",") if text.strip() else []:
        try:
            numbers.append(int(word) if word.strip().lstrip("+-").isdigit() else float(word))
        except ValueError:
            raise BadInput(f"{word.strip()!r} is not a number") from None
        if numbers[-1] != numbers[-1] or abs(numbers[-1]) == float("inf"):
            raise BadInput(f"{word.strip()!r} is not a number")
    if n is not None and len(numbers) != n:
        raise BadInput(f"a number is wanted, not {text!r}")
    return numbers
