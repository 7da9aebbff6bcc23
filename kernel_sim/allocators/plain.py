"""Policies written as plain Python classes, and how any policy is loaded by its name.

A plain policy is a class, one instance a zone, with no base class and no import:

    class MyFit:
        def __init__(self, zone): ...               # zone.first_pfn, zone.end_pfn, zone.free_runs: (first, end) pairs, ascending
        def alloc(self, n_frames): ...              # a pfn, or None
        def free(self, pfn, n_frames): ...
        def granted(self, n_frames): ...            # optional: for one that rounds up; 0 for more than it ever gives
        def check(self): ...                        # optional: raise, or assert, where its own structure is wrong
        def search_order(self): ...                 # optional: (pfn, n_frames) of its free blocks, in the order it searches; for `kernel-sim step`
        steps = 0                                   # optional: its effort, for comparisons

It is served through the interpreter: slower, with the same checks.
"""

from __future__ import annotations

import operator
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kernel_sim.allocators.base import EXAMINED, Place, Policy, Request, built_in
from kernel_sim.compiled import Array, int64
from kernel_sim.errors import BadPolicy, SimError
from kernel_sim.frames import NO_FRAMES


@dataclass(frozen=True)
class PlainZone:
    """What a plain policy is told of its zone: half-open frame ranges."""

    first_pfn: int
    end_pfn: int
    free_runs: tuple[tuple[int, int], ...]


class PlainArea:
    """One plain policy at work in one zone: calls it, and accepts no nonsense from it."""

    def __init__(self, name: str, made_of: Callable[[Any], Any], first: int, end: int, tally: Array) -> None:
        self.name, self.made_of, self.first, self.end, self.tally = name, made_of, first, end, tally
        self.instance: Any = None

    def call(self, method: str, *arguments: Any) -> Any:
        """Call one of the policy's methods. BadPolicy, with the place, for whatever it raises."""
        try:
            return getattr(self.instance, method)(*arguments)
        except SimError:
            raise
        except Exception as error:  # whatever a user's code may raise
            called = f"{method}({', '.join(map(str, arguments))})"
            raise BadPolicy(f"policy {self.name}: {called} raised {_describe(error)}") from error

    def setup(self, firsts: Array, ends: Array) -> None:
        runs = tuple((int(first), int(end)) for first, end in zip(firsts, ends, strict=True))
        try:
            self.instance = self.made_of(PlainZone(self.first, self.end, runs))
        except Exception as error:
            raise BadPolicy(f"policy {self.name}: {_describe(error)}") from error
        for method in ("alloc", "free"):
            if not callable(getattr(self.instance, method, None)):
                raise BadPolicy(f"policy {self.name}: it has no method {method}")

    def granted(self, n_frames: int) -> int:
        if not hasattr(self.instance, "granted"):
            return n_frames if n_frames <= self.end - self.first else 0
        granted = self.number(self.call("granted", n_frames), "granted")
        if granted != 0 and granted < n_frames:
            raise BadPolicy(f"policy {self.name}: granted({n_frames}) returned {granted}, which is less")
        return granted

    def alloc(self, n_frames: int) -> int:
        before = self.steps()
        answer = self.call("alloc", n_frames)
        self.tally[EXAMINED] += self.steps() - before
        if answer is None:
            return NO_FRAMES
        pfn = self.number(answer, "alloc")
        if not self.first <= pfn < self.end:
            raise BadPolicy(f"policy {self.name}: alloc({n_frames}) returned {pfn}, which is no frame of its zone ({self.first} to {self.end})")
        return pfn

    def free(self, pfn: int, request: Request) -> None:
        before = self.steps()
        self.call("free", int(pfn), int(request.n_frames))
        self.tally[EXAMINED] += self.steps() - before

    def steps(self) -> int:
        return self.number(getattr(self.instance, "steps", 0), "steps")

    def check(self) -> None:
        if hasattr(self.instance, "check"):
            self.call("check")

    def search_order(self, request: Request) -> list[Place]:
        """Its free blocks, in its own order."""
        try:
            return [Place("", ((self.number(pfn, "search_order"), self.number(n, "search_order")),)) for pfn, n in self.call("search_order")]
        except (TypeError, ValueError):
            raise BadPolicy(f"policy {self.name}: search_order returned something else than (pfn, n_frames) pairs") from None

    def number(self, value: Any, method: str) -> int:
        try:
            return operator.index(value)
        except TypeError:
            raise BadPolicy(f"policy {self.name}: {method} returned {value!r}, which is not a whole number") from None


def plain_policy(name: str, made_of: Callable[[Any], Any]) -> Policy:
    """A policy out of a plain class. Its areas live in the interpreter; the manager runs there, too."""
    areas: dict[int, PlainArea] = {}

    def open_area(frames: Array, words: int, n_words: int, tally: Array, first: int, end: int) -> PlainArea:
        if int(first) not in areas:
            areas[int(first)] = PlainArea(name, made_of, int(first), int(end), tally)
        return areas[int(first)]

    def alloc(area: PlainArea, request: Request) -> int:
        return int64(area.alloc(int(request.n_frames)))

    def blocks(area: PlainArea) -> Iterator[tuple[int, int]]:
        raise NotImplementedError("a plain policy's own lists are its own affair")

    return Policy(name, open_area=open_area, setup=PlainArea.setup, alloc=alloc, free=PlainArea.free,
                  granted=lambda area, n_frames: area.granted(int(n_frames)), n_words=lambda first, end, n_runs: 0, blocks=blocks,
                  check=PlainArea.check, plain=made_of, search_order=PlainArea.search_order if hasattr(made_of, "search_order") else None)


def load_policy(spec: str | type | Policy, *, uncompiled: bool = False) -> Policy:
    """A policy by name (``buddy``, ``buddy:order=address``), by file and class (``path/to/file.py:ClassName``), or from a plain class.

    `uncompiled` makes the manager run in the interpreter with it: no wait for the compiler, and a hundred times slower.
    BadPolicy, in one line, for an unknown name or parameter, a file that does not load, or a class without the methods of a policy.
    """
    if uncompiled:
        return replace(load_policy(spec), uncompiled=True)
    if isinstance(spec, Policy):
        return plain_policy(spec.name, spec.plain) if spec.plain else spec     # a plain policy's areas belong to one manager
    if isinstance(spec, type):
        return plain_policy(spec.__name__, spec)
    path, _, class_name = spec.rpartition(":")
    if path.endswith(".py"):
        return plain_policy(spec, _class_from(path, class_name))
    if spec.endswith(".py"):
        raise BadPolicy(f"policy {spec!r}: say which class of the file, as {spec}:ClassName")
    return built_in(spec)


def _class_from(path: str, class_name: str) -> type:
    """A class out of a file. The file is run under a module name of its own."""
    import importlib.util

    if not Path(path).is_file():
        raise BadPolicy(f"policy {path}: no such file")
    module_name = f"kernel_sim_policy_{Path(path).stem}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise BadPolicy(f"policy {path}: does not load: {_describe(error)}") from error
    found = getattr(module, class_name, None)
    if not isinstance(found, type):
        raise BadPolicy(f"policy {path}: no class {class_name!r} in it")
    return found


def _describe(error: BaseException) -> str:
    """An exception in one line, with the line of the file it came from."""
    text = f"{type(error).__name__}: {error}".splitlines()[0]
    if isinstance(error, SyntaxError):
        return f"SyntaxError: {error.msg} (line {error.lineno})"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename != __file__]
    return f"{text} (line {frames[-1].lineno} of {Path(frames[-1].filename).name})" if frames else text
