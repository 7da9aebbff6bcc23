"""Python that runs as machine code: with `compiled_steps`, the only file that imports numba.

Ways to write a compiled function, from the inside out:

``@compiled``   a small step. It is inlined into whoever calls it and never stands alone.
``outlined``    a large step that several call, compiled once. Its arguments are numbers.
``bind``        the same text with other functions under some of its names: one loop, made anew for every policy.
``entry``       the door from the interpreter: compiled at the first call, kept on disk for the next process.
``callback``    the door from the engine: a C function pointer.
``interpreted`` none of it: the same text in the interpreter, to be mixed with plain Python policies.

With ``NUMBA_DISABLE_JIT=1`` all of them run in the interpreter, in a debugger if you like; with ``NUMBA_BOUNDSCHECK=1`` every
index is checked. Compiled code checks none otherwise: whatever comes from outside is range-checked before it is an index.
"""

from __future__ import annotations

import atexit
import ctypes
import hashlib
import os
import re
import tempfile
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast
from weakref import WeakKeyDictionary

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, event
from numba.core.registry import CPUDispatcher
from numba.extending import intrinsic

from kernel_sim.compiled_steps import StepCompiler

F = TypeVar("F", bound=Callable[..., Any])
Array = np.ndarray[Any, Any]

if TYPE_CHECKING:
    def int64(value: Any) -> int:
        """A 64-bit signed integer: an int, for the reader and the type checker."""
else:
    int64 = np.int64

JIT: bool = not numba.config.DISABLE_JIT
"""False when NUMBA_DISABLE_JIT=1 makes every function here an ordinary Python function."""


class _Step(CPUDispatcher):  # type: ignore[misc]
    """A step. Compiled code inlines it; the interpreter has it interpreted, for it is nothing by itself (`compiled_steps`)."""

    def __init__(self, function: Callable[..., Any], **options: Any) -> None:
        super().__init__(function, targetoptions={"nopython": True, "error_model": "numpy", "no_cpython_wrapper": True, "no_cfunc_wrapper": True,
                                                  **options}, pipeline_class=StepCompiler)

    def __call__(self, *arguments: Any) -> Any:
        return interpreted(self)(*arguments)


def _two_ways(function: Callable[..., Any], in_interpreter: Callable[..., Any]) -> Any:
    """A step that is another function in the interpreter."""
    step = _Step(function, forceinline=True)
    step.in_interpreter = in_interpreter
    return step


def compiled(function: F) -> F:
    """A step of compiled code, inlined into its callers (worth a factor of two to three)."""
    return cast(F, _Step(function, forceinline=True)) if JIT else function


def outlined(function: F) -> F:
    """A step of compiled code that is called, not inlined: for large ones that many call. Its arguments are numbers, which cost nothing to pass."""
    return cast(F, _Step(function, forceinline=False)) if JIT else function      # numba hands a caller's own down where nothing is said


def entry(function: F) -> F:
    """Compiled code called from the interpreter; the machine code is kept on disk."""
    with _cache_folder():
        return cast(F, numba.njit(cache=True, error_model="numpy", nogil=True)(function))


def plain(function: F) -> F:
    """The Python function that was compiled."""
    return cast(F, getattr(function, "py_func", function))


_interpreted: WeakKeyDictionary[Callable[..., Any], Callable[..., Any]] = WeakKeyDictionary()     # what is made for a plain policy goes with it


def interpreted(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function in the interpreter, together with every compiled function that it calls by name."""
    if hasattr(function, "in_interpreter"):
        return cast(Callable[..., Any], function.in_interpreter)
    if function not in _interpreted:
        source = plain(function)
        called: dict[str, Any] = {name: source.__globals__.get(name) for name in source.__code__.co_names}
        own = {name: interpreted(value) for name, value in called.items() if hasattr(value, "py_func")}
        _interpreted[function] = bind(source, "in_interpreter", **own)
    return _interpreted[function]


def bind(function: Callable[..., Any], name: str, **names: Any) -> Callable[..., Any]:
    """A copy of a function in which `names` mean something else, under a qualified name of its own.

    The name matters: numba's cache on disk tells functions apart by file, line and qualified name.
    """
    source = plain(function)
    scope = {**source.__globals__, **names}
    clone = types.FunctionType(source.__code__, scope, source.__name__, source.__defaults__, source.__closure__)
    clone.__qualname__ = source.__qualname__ + "_" + re.sub(r"\W", "_", name)
    clone.__module__ = source.__module__
    return clone


class _FirstCompile(event.Listener):  # type: ignore[misc]
    """Says once that something is being compiled which no folder had."""

    def __init__(self, say: Callable[[], None]) -> None:
        self.say: Callable[[], None] | None = say

    def on_start(self, event: object) -> None:
        say, self.say = self.say, None
        if say:
            say()

    def on_end(self, event: object) -> None:
        pass


def before_compiling(say: Callable[[], None]) -> None:
    """Call `say` when the compiler is started for the first time from now on: it takes a while, and what it made before is on the disk."""
    event.register("numba:compile", _FirstCompile(say))


class Callback:
    """A C function pointer. Keep the object as long as the pointer is in use."""

    def __init__(self, address: int, keep: object) -> None:
        self.address = address
        self._keep = keep


_C_TYPES = {"void": (numba.void, None), "int32": (numba.int32, ctypes.c_int32), "uint32": (numba.uint32, ctypes.c_uint32),
            "int64": (numba.int64, ctypes.c_int64), "uint64": (numba.uint64, ctypes.c_uint64), "bool": (numba.boolean, ctypes.c_bool)}


def callback(function: Callable[..., Any], result: str, *arguments: str, jit: bool = JIT) -> Callback:
    """`function` as a C function pointer. Types are the names above; pointers travel as ``int64`` or ``uint64``.

    With `jit` false the pointer leads into the interpreter, for policies written in plain Python.
    """
    if not jit:
        c_types: list[Any] = [_C_TYPES[name][1] for name in (result, *arguments)]
        prototype = ctypes.CFUNCTYPE(*c_types)
        pointer = prototype(plain(function))
        return Callback(ctypes.cast(pointer, ctypes.c_void_p).value or 0, pointer)
    signature = _C_TYPES[result][0](*(_C_TYPES[name][0] for name in arguments))
    with _cache_folder():
        made = numba.cfunc(signature, cache=True, error_model="numpy")(function)
    return Callback(made.address, made)


def array_view(dtype: Any) -> Callable[[int, int], Array]:
    """A function (address, length) -> array over memory that somebody else owns and keeps alive.

    In compiled code such an array carries no reference count, which makes structures of them free to pass around.
    """
    dtype = np.dtype(dtype)
    if not JIT:
        return lambda address, length: memory_at(address, length, dtype)
    pointer_type = numba.types.CPointer(numba.from_dtype(dtype))

    @intrinsic  # type: ignore[untyped-decorator]  # numba has no types
    def pointer(typing_context: Any, address: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.inttoptr(arguments[0], context.get_value_type(pointer_type))
        return pointer_type(numba.int64), generate

    def view(address: int, length: int) -> Array:
        return numba.carray(pointer(address), length)  # type: ignore[no-any-return]
    return cast(Callable[[int, int], Array], _two_ways(view, lambda address, length: memory_at(address, length, dtype)))


def _instruction(in_interpreter: Callable[[int], Any], result: str, generate: Callable[[Any, Any], Any]) -> Callable[[int], Any]:
    """A compiled function of one 64-bit number that numba has no word for: `generate` writes it for LLVM."""
    if not JIT:
        return in_interpreter

    @intrinsic  # type: ignore[untyped-decorator]
    def emit(typing_context: Any, argument: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            value = generate(builder, arguments[0])
            return context.get_dummy_value() if result == "void" else value
        return _C_TYPES[result][0](numba.int64), code

    def instruction(argument: int) -> Any:
        return emit(argument)
    return cast(Callable[[int], Any], _two_ways(instruction, in_interpreter))


def only_interpreted(function: Callable[[int, int], None]) -> Callable[[int, int], None]:
    """A step of two numbers that is `function` in the interpreter, and nothing at all in compiled code."""
    if not JIT:
        return function

    def nothing(one: int, other: int) -> None:
        pass
    return cast(Callable[[int, int], None], _two_ways(nothing, function))


def _emit_prefetch(builder: Any, address: Any) -> None:
    word, pointer = ir.IntType(32), ir.IntType(8).as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [pointer, word, word, word])
    function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
    builder.call(function, [builder.inttoptr(address, pointer), word(0), word(3), word(1)])


def _caller(n_arguments: int, result: str) -> Callable[..., Any]:
    """A compiled function (address, arguments...) that calls the C function of 64-bit arguments at an address; `result` is "void" or "int64"."""
    def in_interpreter(address: int, *arguments: int) -> Any:
        return ctypes.CFUNCTYPE(_C_TYPES[result][1], *[ctypes.c_int64] * n_arguments)(int(address))(*map(int, arguments))
    if not JIT:
        return in_interpreter

    word = ir.IntType(64)
    kind = ir.FunctionType(ir.VoidType() if result == "void" else word, [word] * n_arguments)

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        value = builder.call(builder.inttoptr(arguments[0], kind.as_pointer()), arguments[1:])
        return context.get_dummy_value() if result == "void" else value

    @intrinsic  # type: ignore[untyped-decorator]
    def emit_1(typing_context: Any, address: Any, first: Any) -> Any:
        return _C_TYPES[result][0](*[numba.int64] * 2), code

    @intrinsic  # type: ignore[untyped-decorator]
    def emit_3(typing_context: Any, address: Any, first: Any, second: Any, third: Any) -> Any:
        return _C_TYPES[result][0](*[numba.int64] * 4), code

    @intrinsic  # type: ignore[untyped-decorator]
    def emit_5(typing_context: Any, address: Any, first: Any, second: Any, third: Any, fourth: Any, fifth: Any) -> Any:
        return _C_TYPES[result][0](*[numba.int64] * 6), code

    def call_1(address: int, first: int) -> Any:
        return emit_1(address, first)

    def call_3(address: int, first: int, second: int, third: int) -> Any:
        return emit_3(address, first, second, third)

    def call_5(address: int, first: int, second: int, third: int, fourth: int, fifth: int) -> Any:
        return emit_5(address, first, second, third, fourth, fifth)

    calls: dict[int, Callable[..., Any]] = {1: call_1, 3: call_3, 5: call_5}
    return cast(Callable[..., Any], _two_ways(calls[n_arguments], in_interpreter))


call_address = _caller(1, "void")
call_address_3 = _caller(3, "int64")
call_address_5 = _caller(5, "int64")

prefetch = _instruction(lambda address: None, "void", _emit_prefetch)
"""(address): asks the processor to fetch what will soon be read there. It changes nothing else."""

def _mover() -> Callable[[int, int, int], None]:
    """A compiled function (to, source, n_bytes): C's memmove."""
    def in_interpreter(to: int, source: int, n_bytes: int) -> None:
        ctypes.memmove(int(to), int(source), int(n_bytes))
    if not JIT:
        return in_interpreter

    @intrinsic  # type: ignore[untyped-decorator]
    def emit(typing_context: Any, to: Any, source: Any, n_bytes: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            pointer = ir.IntType(8).as_pointer()
            where, what = (builder.inttoptr(argument, pointer) for argument in arguments[:2])
            cgutils.raw_memmove(builder, where, what, arguments[2], 1)
            return context.get_dummy_value()
        return numba.types.void(numba.int64, numba.int64, numba.int64), code

    def move(to: int, source: int, n_bytes: int) -> None:
        emit(to, source, n_bytes)
    return cast(Callable[[int, int, int], None], _two_ways(move, in_interpreter))


move_memory = _mover()
"""(to, source, n_bytes): copies memory from one address to another; the two may overlap."""

_leading_zeros = _instruction(lambda value: 64 - int(value).bit_length(), "int64", lambda builder, value: builder.ctlz(value, ir.IntType(1)(0)))

trailing_zeros = _instruction(lambda value: (int(value) & -int(value)).bit_length() - 1 if value else 64, "int64",
                              lambda builder, value: builder.cttz(value, ir.IntType(1)(0)))
"""(value): the number of the lowest bit that is set; 64 for 0."""


@compiled
def bit_length(value: int) -> int:
    """How many bits a number takes that is not negative: 0 for 0, 1 for 1, 2 for 2 and 3."""
    return int64(64 - _leading_zeros(value))


@lru_cache(maxsize=1024)
def memory_at(address: int, length: int, dtype: np.dtype[Any]) -> Array:
    """The interpreter's form of `array_view`."""
    if length == 0:
        return np.zeros(0, dtype)
    memory: Any = (ctypes.c_char * (length * dtype.itemsize)).from_address(int(address))
    return np.frombuffer(memory, dtype)


def address_of(array: Array) -> int:
    """Where an array's memory begins."""
    return int(array.ctypes.data)


@cache
def cache_folder() -> str:
    """Where machine code is kept: a folder named after a hash of every source it could be made from.

    numba looks only at the file that holds a function; an edited helper in another file would leave stale machine code.
    Where no such folder can be written the code is kept for this process only.
    """
    digest = hashlib.sha256(f"{numba.__version__} {numba.config.BOUNDSCHECK}".encode())
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    base = os.environ.get("KERNEL_SIM_CACHE_DIR") or os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    folder = Path(base) / "kernel_sim" / digest.hexdigest()[:16]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return str(folder)
    except OSError:
        pass
    private = tempfile.TemporaryDirectory(prefix="kernel_sim-")
    atexit.register(private.cleanup)
    return private.name


@contextmanager
def _cache_folder() -> Iterator[None]:
    """numba's own setting, changed only while one of our functions is made: other users of numba keep theirs."""
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = cache_folder()
    try:
        yield
    finally:
        numba.config.CACHE_DIR = before
