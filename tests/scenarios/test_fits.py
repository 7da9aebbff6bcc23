"""What the four fits are known for, each in a memory of a few holes."""

from __future__ import annotations

import pytest

from kernel_sim import FrameManager, OutOfFrames

FITS = ["first-fit", "best-fit", "worst-fit", "next-fit"]


def with_holes(policy: str, *sizes: int) -> FrameManager:
    """Holes of these sizes in order of address, with one frame in use behind each."""
    in_use, pfn = [], 0
    for size in sizes:
        pfn += size + 1
        in_use.append((pfn - 1, pfn))
    return FrameManager(pfn, policy, in_use=in_use)


def served(policy: str, sizes: tuple[int, ...], requests: tuple[int, ...]) -> list[int | None]:
    """Where requests are placed in such a memory; None for one that is refused."""
    manager = with_holes(policy, *sizes)
    placed: list[int | None] = []
    for n_frames in requests:
        try:
            placed.append(manager.alloc(n_frames))
        except OutOfFrames:
            placed.append(None)
    manager.check()
    return placed


def test_best_fit_leaves_slivers() -> None:
    """Holes of 10 and 6; wanted are 5, 5 and 6. Best fit takes the first 5 from the hole of 6, and a sliver of one frame remains; then the 10 are
    cut, too, and no 6 is left though 6 frames are free. First fit cuts the 10 in two halves, and all are served."""
    assert served("best-fit", (10, 6), (5, 5, 6)) == [11, 0, None]
    assert served("first-fit", (10, 6), (5, 5, 6)) == [0, 5, 11]


def test_first_fit_spoils_the_large_hole() -> None:
    """Holes of 8 and 4; wanted are 4 and 8. First fit cuts the 8, because it stands first."""
    assert served("first-fit", (8, 4), (4, 8)) == [0, None]
    assert served("best-fit", (8, 4), (4, 8)) == [9, 0]


def test_worst_fit_eats_the_large_hole() -> None:
    """Holes of 4, 4 and 12; wanted are 4, 4 and 12. Worst fit cuts the 12 twice while two holes fit to the frame."""
    assert served("worst-fit", (4, 4, 12), (4, 4, 12)) == [10, 14, None]
    for other in ("first-fit", "best-fit", "next-fit"):
        assert served(other, (4, 4, 12), (4, 4, 12)) == [0, 5, 10]


def test_worst_fit_keeps_what_is_left_of_use() -> None:
    """Holes of 7 and 12; wanted are 6, 6 and 6. What best fit leaves of the 7 is of no use to anyone; nor is what is left of it here, but worst fit
    gets the two halves of the 12 first. Nobody is refused, and only the order differs."""
    assert served("worst-fit", (7, 12), (6, 6, 6)) == [8, 0, 14]
    assert served("best-fit", (7, 12), (6, 6, 6)) == [0, 8, 14]


def test_ties_go_to_the_lowest() -> None:
    for policy in FITS:
        assert served(policy, (5, 5, 5), (5, 5, 5)) == [0, 6, 12]


def test_next_fit_roams() -> None:
    """One frame at a time, given back at once. First fit uses the same frame for ever; next fit goes through the whole memory and begins again.
    What is given back coalesces with the hole behind it, so the search goes on at its end only where something is in use."""
    assert roam("first-fit") == [0] * 6
    assert roam("next-fit") == [0, 3, 6, 9, 0, 3]


def roam(policy: str) -> list[int]:
    """Six times a request for 2, given back at once, in four holes of 2."""
    manager = with_holes(policy, 2, 2, 2, 2)
    placed = []
    for _ in range(6):
        placed.append(int(manager.alloc(2)))
        manager.free(placed[-1])
    return placed


def test_next_fit_goes_on_in_the_same_hole() -> None:
    """As long as nothing is given back it is first fit; a hole that opens behind it must wait until it comes round."""
    manager = FrameManager(12, "next-fit")
    assert [manager.alloc(4), manager.alloc(4)] == [0, 4]
    manager.free(0)
    assert manager.alloc(2) == 8
    assert manager.alloc(2) == 10
    assert [manager.alloc(2), manager.alloc(2)] == [0, 2]


def test_effort() -> None:
    """Twenty holes of one frame, then one of 8, wanted by a request for 8. First fit and the exhaustive ones look at all; next fit, the second
    time, only at what comes behind the last allocation."""
    for policy, first, second in (("first-fit", 21, 21), ("best-fit", 21, 21), ("worst-fit", 21, 21), ("next-fit", 21, 1)):
        manager = with_holes(policy, *[1] * 20, 8)
        manager.alloc(4)
        assert manager.stats().examined == first
        manager.alloc(4)
        assert manager.stats().examined - first == second, policy


@pytest.mark.parametrize("policy", FITS)
def test_checkerboard(policy: str) -> None:
    """Every other frame is given back: half of the memory is free, and no two frames in one piece. When the others follow it is whole again."""
    manager = FrameManager(64, policy)
    frames = [manager.alloc(1) for _ in range(64)]
    for pfn in frames[::2]:
        manager.free(pfn)
    assert (manager.stats().n_free, manager.largest_free_run()) == (32, 1)
    assert manager.unusable_index(1) == 1000
    with pytest.raises(OutOfFrames, match="32 free but scattered"):
        manager.alloc(2)
    for pfn in frames[1::2]:
        manager.free(pfn)
        manager.check()
    assert manager.free_runs() == [(0, 64)]
    assert manager.stats().merges == 63
