"""The guest kernel and its processes under the sanitizer: all is as it should be, and nothing is reported.

Each program of the SDK, and the ones that a seed makes up: whatever is reported about them is a mistake of the sanitizer's, or of the kernel's.
"""

from __future__ import annotations

import pytest

from kernel_sim import FrameManager
from kernel_sim.machine.machine import Machine
from kernel_sim.machine.modules import find_program

TRANSLATIONS = ("paging", "segmentation")
FRAMES, QUANTUM = 4096, 2000


def passed_over(programs: list[tuple[str, str]], translation: str, *, frames: int = FRAMES, uninitialised: bool = False) -> None:
    """Run programs, (name, argument), as processes side by side; there must be nothing to report."""
    manager = FrameManager(frames)
    done = Machine(manager, "kernel", programs=[find_program(*program) for program in programs], translation=translation, quantum=QUANTUM,
                   sanitize=True, uninitialised=uninitialised).run()
    what = f"{programs}, {translation}: {done.fault}\n" + "\n".join(line for found in done.findings for line in found.details)
    assert (done.fault, done.findings, done.leaks) == (None, (), ()), what
    assert done.ok, what
    manager.check()


@pytest.mark.parametrize("translation", TRANSLATIONS)
@pytest.mark.parametrize("program", ["hello", "forktree", "malloc", "matrix", "big", "stackgrow", "wild", "refused", "segments", "spin"])
def test_the_programs(program: str, translation: str) -> None:
    passed_over([(program, "")], translation)


@pytest.mark.parametrize("translation", TRANSLATIONS)
def test_side_by_side_with_little_memory(translation: str) -> None:
    """Copies on write, the ends of processes for lack of memory, the moves of segments: all of it at once."""
    passed_over([("forktree", ""), ("malloc", "best-fit"), ("generated", "3"), ("stackgrow", "")], translation, frames=700)


@pytest.mark.parametrize("translation", TRANSLATIONS)
def test_programs_that_a_seed_makes_up(translation: str) -> None:
    passed_over([("generated", str(seed)) for seed in range(1, 4)], translation)


@pytest.mark.slow
@pytest.mark.parametrize("translation", TRANSLATIONS)
def test_a_thousand_programs_that_a_seed_makes_up(translation: str) -> None:
    """A thousand, five side by side in each machine; half of them with pages, half with segments."""
    begin = 1000 + 500 * TRANSLATIONS.index(translation)
    for seed in range(begin, begin + 500, 5):
        passed_over([("generated", str(seed + i)) for i in range(5)], translation, frames=16384)
