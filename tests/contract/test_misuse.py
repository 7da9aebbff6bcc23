"""Every wrong free, for every policy: refused by its name, with the facts in it, and nothing changed."""

from __future__ import annotations

import pytest
from contract.specs import DEFAULTS, PLAIN, short

from kernel_sim import FrameManager, OutOfRange, load_policy
from kernel_sim.study.contract.laws import BrokenLaw
from kernel_sim.study.contract.misuse import IN_USE, MISUSES, memory_for


@pytest.mark.parametrize("misuse", MISUSES)
@pytest.mark.parametrize("spec", [*DEFAULTS, PLAIN], ids=short)
def test_misuse(spec: str, misuse: str) -> None:
    MISUSES[misuse](memory_for(load_policy(spec, uncompiled=True)))


@pytest.mark.parametrize("misuse", MISUSES)
def test_misuse_of_compiled_books(misuse: str) -> None:
    """Refusals are the manager's, not the policy's: one policy stands for all."""
    MISUSES[misuse](memory_for("buddy"))


def test_a_manager_that_does_not_refuse_is_found_out() -> None:
    class Lenient(FrameManager):
        def free(self, pfn: int, n_frames: int | None = None) -> None:
            if pfn not in (0x0B, 0x40):
                super().free(pfn, n_frames)

    for misuse in ("interior", "reserved"):
        with pytest.raises(BrokenLaw, match=r"^wrong frees: free\(0x(b|40)\) is not refused$"):
            MISUSES[misuse](Lenient(memory_for("first-fit").zones, "first-fit", in_use=[IN_USE]))


def test_owner_of() -> None:
    manager = memory_for("buddy")
    pfn = manager.alloc(1, owner=7)
    assert manager.owner_of(pfn) == 7
    assert manager.owner_of(0x0C) == 0
    assert manager.owner_of(0x41) is None
    manager.free(pfn)
    assert manager.owner_of(pfn) is None
    with pytest.raises(OutOfRange, match="there is no frame 0x90"):
        manager.owner_of(0x90)
