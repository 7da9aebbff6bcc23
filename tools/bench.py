"""Measure the ratios this project promises, here and now: each against a reference in the same run.

hypercall_over_empty_hook   an allocation or free by the guest, over an empty hook on the same doorbell (at most 1.5)
naive_over_hypercall        the obvious way, a Python hook and a buddy in plain Python, over that (at least 20)
replay_over_c               a replay of 2,000,000 buddy operations, over a textbook in C (at most 3; needs gcc)
import_over_regex           lines a second of the import, over a regular expression's (at least 3)
start_over_numba            to the guest's first instruction, over `python -c "import numba"` (at most 3)
miss_over_empty_fill        a miss of the translation buffer with a walk of four levels, over one with an empty fill hook (at most 3)
no_misses_over_bare         a guest without misses, timer and budget, over the bare engine (at most 1.05); and with the sanitizer
fault_over_restart          a demand-zero page fault from ring 3 and back, over leaving and entering the bare engine (at most 3)

With --all, also:

indexed_over_linear:FIT     operations a second among 100,000 holes, search=indexed over search=linear (at least 100)
index_growth                a table: first fit with search=indexed among 10^3 to 10^6 holes, at random places and in order of address, over C that
                            only walks down such nodes (the ratio about the same for all; needs gcc)
replay_over_c:POLICY        the same replay with each policy but the linear fits (at most 3 for buddy, 8 for tlsf and bitmap, 25 for others)
terabyte_over_64m           a replay in a machine of 1 TiB, over one of 64 MiB (at most 2)
map_png_cpu_seconds         a map of 10^8 frames as a PNG, in seconds of processor time (at most 3)
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from typing import Any

_MEANING = {
    "hypercall_over_empty_hook": "at most 1.5", "naive_over_hypercall": "at least 20", "replay_over_c": "at most 3",
    "import_over_regex": "at least 3", "start_over_numba": "at most 3", "terabyte_over_64m": "at most 2", "map_png_cpu_seconds": "at most 3",
    "miss_over_empty_fill": "at most 3", "no_misses_over_bare": "at most 1.05", "no_misses_sanitized_over_bare": "at most 1.05",
    "fault_over_restart": "at most 3",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("--json", action="store_true", help="print the ratios as JSON, null for one that cannot be measured here")
    parser.add_argument("--all", action="store_true", help="the longer ones, too: search, policies, 1 TiB over 64 MiB, and a map of 10^8 frames")


def run(args: argparse.Namespace) -> int:
    """Exit status 0: a benchmark measures, it does not judge."""
    os.environ["KERNEL_SIM_SANITIZE"] = "0"     # but where it is measured
    ratios: dict[str, Any] = {}
    for measure in _measures(args.all):
        for name, value in measure():
            ratios[name] = None if value is None else round(value, 2)
            if not args.json:
                print(f"{name:<30} {'not measured: no gcc here' if value is None else f'{value:8.2f}'}   ({_meaning(name)})", flush=True)
    if args.all and shutil.which("gcc"):
        ratios["index_growth"] = list(_growth(args.json))
    if args.json:
        print(json.dumps(ratios, indent=2))
    return 0


def _growth(quietly: bool) -> Iterator[dict[str, float]]:
    """A table: what first fit with search=indexed costs, by the number of holes, beside C that only walks. Nanoseconds an operation."""
    from kernel_sim.bench.searching import growth

    def say(*cells: str) -> None:
        if not quietly:
            print("index_growth" + "".join(f"{cell:>12}" for cell in cells), flush=True)

    say("holes", "nodes", "at random", "in C", "ratio", "in order", "in C", "ratio")
    for row in growth("first-fit"):
        ordered = row.in_order / row.c_in_order
        say(f"{row.n_holes:,}", f"{row.nodes:.1f}", f"{row.at_random:.0f} ns", f"{row.c_at_random:.0f} ns", f"{row.ratio:.2f}",
            f"{row.in_order:.0f} ns", f"{row.c_in_order:.0f} ns", f"{ordered:.2f}")
        yield {"holes": row.n_holes, "nodes": round(row.nodes, 2), "at_random_ns": round(row.at_random, 1),
               "c_at_random_ns": round(row.c_at_random, 1), "in_order_ns": round(row.in_order, 1), "c_in_order_ns": round(row.c_in_order, 1)}


def _meaning(name: str) -> str:
    """What is promised of a ratio."""
    if name in _MEANING:
        return _MEANING[name]
    if name.startswith("indexed_over_linear"):
        return "at least 100"
    from kernel_sim.bench.policies import bound_of

    return f"at most {bound_of(name.partition(':')[2]):g}"


def _measures(more: bool) -> Iterator[Callable[[], Iterator[tuple[str, float | None]]]]:
    yield from (_doorbell, _replay, _import, _start, _virtual_memory)
    if more:
        yield from (_search, _policies, _terabyte, _map)


def _doorbell() -> Iterator[tuple[str, float | None]]:
    from kernel_sim.bench.doorbell import doorbell_ratios

    ours, naive = doorbell_ratios()
    yield "hypercall_over_empty_hook", ours
    yield "naive_over_hypercall", naive


def _virtual_memory() -> Iterator[tuple[str, float | None]]:
    from kernel_sim.bench.virtual_memory import fault_over_restart, miss_over_empty_fill, no_misses_over_bare

    yield "miss_over_empty_fill", miss_over_empty_fill()
    yield "no_misses_over_bare", no_misses_over_bare()
    yield "no_misses_sanitized_over_bare", no_misses_over_bare(sanitize=True)
    yield "fault_over_restart", fault_over_restart()


def _replay() -> Iterator[tuple[str, float | None]]:
    from kernel_sim.bench.replaying import replay_over_c

    if shutil.which("gcc") is None:
        print("kernel-sim: replay_over_c needs gcc, for the reference", file=sys.stderr)
        yield "replay_over_c", None
    else:
        yield "replay_over_c", replay_over_c()


def _search() -> Iterator[tuple[str, float | None]]:
    from kernel_sim.bench.searching import FITS, indexed_over_linear

    for fit in FITS:
        yield f"indexed_over_linear:{fit}", indexed_over_linear(fit)


def _policies() -> Iterator[tuple[str, float | None]]:
    from kernel_sim.bench.policies import measured_policies, policies_over_c

    names = measured_policies()
    no_ratios = ((name, None) for name in names)
    for name, ratio in policies_over_c(names) if shutil.which("gcc") else no_ratios:
        yield f"replay_over_c:{name}", ratio


def _import() -> Iterator[tuple[str, float | None]]:
    from kernel_sim.bench.importing import import_over_regex

    yield "import_over_regex", import_over_regex()


def _start() -> Iterator[tuple[str, float | None]]:
    from kernel_sim.bench.starting import start_over_numba

    yield "start_over_numba", start_over_numba()


def _terabyte() -> Iterator[tuple[str, float | None]]:
    from kernel_sim.bench.starting import terabyte_over_64m

    yield "terabyte_over_64m", terabyte_over_64m()


def _map() -> Iterator[tuple[str, float | None]]:
    from kernel_sim.bench.mapping import map_png_seconds

    yield "map_png_cpu_seconds", map_png_seconds()
