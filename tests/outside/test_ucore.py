"""uCore's own test of its first fit: `default_check` in kern/mm/default_pmm.c (Tsinghua University, os_kernel_lab, lab 2).

Five frames, all taken; parts of them are given back and asked for again. uCore's `free_pages(p0 + a, n)` is `free(a, n)` here.
"""

from __future__ import annotations

import pytest
from contract.specs import PLAIN, short

from kernel_sim import FrameManager, OutOfFrames


def fails(manager: FrameManager, n_frames: int) -> bool:
    with pytest.raises(OutOfFrames):
        manager.alloc(n_frames)
    return True


@pytest.mark.parametrize("spec", ["first-fit", PLAIN], ids=short)
def test_default_check(spec: str) -> None:
    manager = FrameManager(5, spec)
    assert manager.alloc(5) == 0
    assert fails(manager, 1)

    manager.free(2, 3)
    assert fails(manager, 4)
    assert manager.alloc(3) == 2
    assert fails(manager, 1)

    manager.free(0, 1)
    manager.free(2, 3)
    assert manager.free_runs() == [(0, 1), (2, 5)]
    assert manager.alloc(1) == 0
    manager.free(0, 1)
    assert manager.alloc(2) == 2

    manager.free(2, 2)
    manager.free(1, 1)
    assert manager.alloc(5) == 0
    assert fails(manager, 1)
    assert manager.stats().n_free == 0
    manager.check()
