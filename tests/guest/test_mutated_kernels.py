"""The guest kernel with one line of it wrong: what the sanitizer says of each. The mistakes are those that kernels have had.

Each mutant is made from the kernel's sources and compiled here; where there is no compiler there is nothing to test.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

import pytest
from kernel_sim.firmware.build import KERNEL, build

from kernel_sim import FrameManager
from kernel_sim.machine.machine import Machine, Run
from kernel_sim.machine.modules import find_program

pytestmark = [pytest.mark.slow, pytest.mark.skipif(find_spec("ziglang") is None, reason="needs the compiler of the extra `guest`")]
BUDGET = 50_000_000      # blocks: a kernel with a mistake may run for ever
SOURCES = Path(str(files("kernel_sim.firmware"))) / "kernel"


@dataclass(frozen=True)
class Mutant:
    """A line (of a text that stands once in a file) and what it becomes; what runs on that kernel, and what must be said of it."""

    file: str
    line: str
    becomes: str
    said: str
    program: str = "forktree"
    argument: str = ""
    translation: str = "paging"


DROP = "        drop_frames(task, pfn_in(*entry), frames_in(*entry));\n        *entry = 0;"

MUTANTS = {
    "a fork that leaves the parent its translations": Mutant(
        "vm.c", "    load_root(physical_of(parent->root));       /*", "    /*", "stale rights"),
    "a fork that leaves the parent its right to write": Mutant(
        "vm.c", "            from[i] &= ~(uint64_t)CAN_WRITE;\n            to[i] = from[i];",
        "            to[i] = from[i] & ~(uint64_t)CAN_WRITE;", "write to a shared frame"),
    "a fork that counts no references": Mutant(
        "vm.c", "            if (share_frames(child, pfn_in(from[i]), frames_in(from[i])) != DONE)\n                return NO_MEMORY;\n",
        "",
        "use of another's frame"),
    "an unmapping that the processor is not told of": Mutant(
        "vm.c",
        "    clear(task, task->root, TOP_LEVEL, 0, first, end);\n    load_root(physical_of(task->root));\n",
        "    clear(task, task->root, TOP_LEVEL, 0, first, end);\n", "stale translation after unmap", "generated", "3"),
    "an unmapping that leaves the entries": Mutant("vm.c", "        *entry = 0;\n    }\n}", "    }\n}", "use after free", "generated", "3"),
    "pages that are not given back": Mutant(
        "vm.c", DROP,
        "        if (level > 1 && !(*entry & LARGE))\n    " + DROP, "leaked"),
    "page tables that are not given back": Mutant(
        "vm.c", DROP,
        "        if (level == 1 || *entry & LARGE)\n    " + DROP, "leaked"),
    "a copy on write that keeps the old page": Mutant(
        "vm.c", "    drop_frames(task, old, n_frames);\n    return DONE;", "    return DONE;", "leaked"),
    "pages with what was left in them": Mutant(
        "vm.c", "    zero_frame(frame_address(pfn));\n    *entry = page_entry(pfn, region);", "    *entry = page_entry(pfn, region);",
        "uninitialised read", "malloc"),
    "a switch that stays in the old address space": Mutant(
        "schedule.c", "        load_root(physical_of(turn->root));\n",
        "        if (pid_of(turn) % 2)\n            load_root(physical_of(turn->root));\n",
        "wrong address space"),
    "a segment that has moved, and is looked for where it was": Mutant(
        "segments.c", "        segment->base = (uint64_t)box.base;\n", "", "use after free", "stackgrow", translation="segmentation"),
}


def play(mutant: Mutant, folder: Path) -> Run:
    """Without a timer: a parent goes on after its fork."""
    kernel = folder / "kernel"
    shutil.copytree(SOURCES, kernel)
    text = (kernel / mutant.file).read_text(encoding="utf-8")
    assert text.count(mutant.line) == 1, "the kernel has changed: say anew what is to be wrong in it"
    (kernel / mutant.file).write_text(text.replace(mutant.line, mutant.becomes), encoding="utf-8")
    image = build(kernel, folder, KERNEL)
    return Machine(FrameManager(4096), image, programs=[find_program(mutant.program, mutant.argument)], translation=mutant.translation,
                   budget=BUDGET, sanitize=True, uninitialised=mutant.said == "uninitialised read").run()


@pytest.mark.parametrize("name", MUTANTS)
def test_what_is_said_of_a_kernel_with_a_mistake(name: str, tmp_path: Path) -> None:
    mutant = MUTANTS[name]
    done = play(mutant, tmp_path)
    assert not done.ok
    if mutant.said == "leaked":
        assert done.stopped == "exit" and any(leak.has_ended for leak in done.leaks)
    else:
        assert mutant.said in [found.kind for found in done.findings], done.fault
