"""Every wrong free, for every policy: refused by its name, with the facts in it, and nothing changed."""

from __future__ import annotations

import pytest
from contract.specs import DEFAULTS, PLAIN, short
from hypothesis import Phase, given, settings

from kernel_sim import FrameManager, OutOfRange, load_policy
from kernel_sim.study.contract import games
from kernel_sim.study.contract.driver import Driver
from kernel_sim.study.contract.laws import BrokenLaw
from kernel_sim.study.contract.memories import MEMORIES, SHARED_SEQUENCES, Memory, Operation
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
        def free(self, pfn: int, n_frames: int | None = None, owner: int = 0) -> None:
            if pfn not in (0x0B, 0x40):
                super().free(pfn, n_frames, owner)

    for misuse in ("interior", "reserved"):
        with pytest.raises(BrokenLaw, match=r"^wrong frees: free\(0x(b|40)\) is not refused$"):
            MISUSES[misuse](Lenient(memory_for("first-fit").zones, "first-fit", in_use=[IN_USE]))


class FreesAtOnce(FrameManager):
    """Frees what is shared with the first user who gives it back."""

    def free(self, pfn: int, n_frames: int | None = None, owner: int = 0) -> None:
        super().free(pfn, n_frames, owner)
        while self.owner_of(pfn) is not None and self.users_of(pfn):
            super().free(pfn)


class AsksNobody(FrameManager):
    """Lets anybody free what is shared, in the name of whoever came first."""

    def free(self, pfn: int, n_frames: int | None = None, owner: int = 0) -> None:
        super().free(pfn, n_frames, owner if 0 <= pfn < self.n_table_frames and self.holds(pfn, owner) else 0)


class CountsOwners(FrameManager):
    """Counts an owner once, however often he shares."""

    def share(self, pfn: int, owner: int) -> int:
        if self.holds(pfn, owner) and self.owner_of(pfn) is not None and self.users_of(pfn):
            return sum(self.users_of(pfn).values())
        return super().share(pfn, owner)


class ForgetsTheHeir(FrameManager):
    """When the first user is gone, the frame's record still names him."""

    def free(self, pfn: int, n_frames: int | None = None, owner: int = 0) -> None:
        before = self.owner_of(pfn) if 0 <= pfn < self.n_table_frames else None
        super().free(pfn, n_frames, owner)
        if self.owner_of(pfn) is not None:
            self.table.frames[pfn]["owner"] = before


@pytest.mark.parametrize("wrong", [FreesAtOnce, AsksNobody, CountsOwners, ForgetsTheHeir])
def test_a_manager_that_shares_wrongly_is_found_out(wrong: type[FrameManager], monkeypatch: pytest.MonkeyPatch) -> None:
    """By the game of the last user, within a few examples."""
    monkeypatch.setattr("kernel_sim.study.contract.driver.FrameManager", wrong)
    policy = load_policy("first-fit", uncompiled=True)

    @settings(max_examples=30, phases=(Phase.generate,))
    @given(memory=MEMORIES, operations=SHARED_SEQUENCES)
    def play(memory: Memory, operations: list[Operation]) -> None:
        games.last_user(Driver(policy, memory), operations)

    with pytest.raises(BrokenLaw) as caught:
        play()
    assert caught.value.law in ("last user", "wrong frees", "audit", "figures"), caught.value


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
