"""How the small steps of compiled code are compiled: to the compiler's intermediate code, and no further.

A step (`kernel_sim.compiled.compiled`) is inlined into whoever calls it and never stands alone. Left to itself numba would optimise each step, with
all that it calls, turn it into machine code, and wrap it for the interpreter, before it does all of that again with the function around it: half of
the time that a first run waits. Here a step's library is linked into its caller's and that is all.

The hooks are numba's own: a pipeline of passes, and the library that a compilation puts its code into (numba.core.codegen). Where a version of numba
no longer asks for one of these methods, steps are compiled as everything else is, and only the time is lost.
"""

from __future__ import annotations

import ctypes
from typing import Any

from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import LoweringPass, register_pass
from numba.core.typed_passes import NativeLowering

_NOT_CALLABLE = ctypes.cast(ctypes.pythonapi.PyObject_Call, ctypes.c_void_p).value
"""What the interpreter gets to call as a step: of all that is called like a built-in function, one that raises a TypeError."""


class _WithoutEngine:
    """A code generator, but for what it would tell the engine of a function that is not there."""

    def __init__(self, codegen: Any) -> None:
        self._codegen = codegen

    def __getattr__(self, name: str) -> Any:
        return getattr(self._codegen, name)

    def set_env(self, name: str, environment: object) -> None:
        """An environment is for what is called back into the interpreter, and is looked for in the engine."""


class _StepLibrary(JITCodeLibrary):  # type: ignore[misc]
    """A step's code, and that of all it calls: to be linked, not to be run."""

    @property
    def codegen(self) -> _WithoutEngine:
        return _WithoutEngine(self._codegen)

    def _optimize_final_module(self) -> None:
        """Its caller's will be, with this in it."""

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._finalized = True

    def get_pointer_to_function(self, name: str) -> int | None:
        self._ensure_finalized()
        return _NOT_CALLABLE


@register_pass(mutates_CFG=False, analysis_only=False)
class _IntoAStep(LoweringPass):  # type: ignore[misc]
    """Give the function that is being compiled the library of a step."""

    _name = "kernel_sim_into_a_step"

    def __init__(self) -> None:
        LoweringPass.__init__(self)

    def run_pass(self, state: Any) -> bool:
        state.library = _StepLibrary(state.targetctx.codegen(), state.func_id.func_qualname)
        state.library.enable_object_caching()
        return True


class StepCompiler(CompilerBase):  # type: ignore[misc]
    """numba's pipeline, for a step: a `pipeline_class` of `numba.njit`."""

    def define_pipelines(self) -> list[Any]:
        passes = DefaultPassBuilder.define_nopython_pipeline(self.state)
        before = [made for made, _ in passes.passes].index(NativeLowering)
        passes.passes.insert(before, (_IntoAStep, "into a library that is only linked"))
        passes.finalize()
        return [passes]
