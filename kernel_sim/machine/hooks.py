"""The compiled hooks that are the same for all machines, whatever their policy."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from kernel_sim.compiled import Callback, callback
from kernel_sim.machine.common_calls import serve_common_in
from kernel_sim.machine.devices import on_block, on_in, on_interrupt, on_system_call
from kernel_sim.machine.paging import MISS_TYPES, on_miss, on_page_dropped
from kernel_sim.machine.traps import finish_trap


class Hooks(NamedTuple):
    """What the engine calls; `finish_trap` is what the microcode's bell calls, `common_calls` what the doorbell does."""

    miss: Callback
    page_dropped: Callback
    block: Callback
    interrupt: Callback
    system_call: Callback
    finish_trap: Callback
    common_calls: Callback
    port_read: Callback


@cache
def device_hooks() -> Hooks:
    """They are compiled, or loaded, once."""
    at_block = ("void", "int64", "int64", "uint32", "int64")
    return Hooks(callback(on_miss, *MISS_TYPES), callback(on_page_dropped, *at_block), callback(on_block, *at_block),
                  callback(on_interrupt, "void", "int64", "uint32", "int64"), callback(on_system_call, "void", "int64", "int64"),
                  callback(finish_trap, "void", "int64"), callback(serve_common_in, "void", "int64"),
                  callback(on_in, "uint32", "int64", "uint32", "int32", "int64"))
