"""The choices that the fits share: the index decides as the list does, some choices come to the same, and each does what its name says."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from random import Random

import numpy as np
import pytest

from kernel_sim import BrokenInvariant, FrameManager, OutOfFrames, Zone, load_policy
from kernel_sim.allocators import hole_tags, hole_tree, tree_nodes
from kernel_sim.operations import ALLOC, FREE, OPERATION, perform

FITS = ["first-fit", "next-fit", "best-fit", "worst-fit"]
ORDERS = ["address", "insert-front", "insert-back", "size-ascending", "size-descending"]
ZONES = [Zone("Low", ((5, 700),), reserved=((400, 420),)), Zone("High", ((1500, 2600), (2610, 2800)))]


class Worn:
    """A manager in the interpreter whose memory is two hundred holes from the start, in two zones; and what is live in it."""

    def __init__(self, policy: str) -> None:
        random = Random(7)
        self.live: list[tuple[int, int]] = []
        for first, end in ((5, 400), (1500, 2600)):
            pfn = first
            while pfn < end - 20:
                self.live.append((pfn, pfn + random.randrange(1, 9)))
                pfn = self.live[-1][1] + random.randrange(1, 7)
        self.manager = FrameManager(ZONES, load_policy(policy, uncompiled=True), in_use=self.live)

    def play(self, seed: int = 1, n: int = 400) -> list[int]:
        """Where all allocations were placed, -1 for those that were not. What was in use at the start can be freed, too, and parts of things."""
        placed = []
        for what, a, b in lives(seed, n):
            if what == "alloc":
                try:
                    placed.append(int(self.manager.alloc(a)))
                    self.live.append((placed[-1], placed[-1] + a))
                except OutOfFrames:
                    placed.append(-1)
            elif self.live:
                first, end = self.live.pop(a % len(self.live))
                at = first + b % (end - first)
                self.manager.free(at, end - at)
                if at > first:
                    self.live.append((first, at))
        return placed

    def holes(self) -> list[list[tuple[int, int]]]:
        """Every hole, zone by zone."""
        return [sorted(self.manager.policy.blocks(self.manager.area(zone))) for zone in range(2)]


def lives(seed: int, n: int) -> Iterator[tuple[str, int, int]]:
    """Operations for all who are asked the same: ("alloc", n_frames, 0) or ("free", which, part)."""
    random = Random(seed)
    for _ in range(n):
        if random.random() < 0.5:
            yield "alloc", random.choice((1, 1, 1, 2, 2, 3, 4, 5, 6, 9, 17, 40)), 0
        else:
            yield "free", random.randrange(1 << 30), random.randrange(1 << 30)


@pytest.mark.parametrize("carve", ["low", "high"])
@pytest.mark.parametrize("coalesce", ["immediate", "deferred", "never"])
@pytest.mark.parametrize("fit", FITS)
def test_the_index_decides_as_the_list_does(fit: str, coalesce: str, carve: str) -> None:
    """To the frame, with the same splits and merges, over hundreds of operations and of holes."""
    on_list, in_tree = (Worn(f"{fit}:coalesce={coalesce},carve={carve},search={search}") for search in ("linear", "indexed"))
    assert on_list.play() == in_tree.play()
    in_tree.manager.check()
    assert on_list.holes() == in_tree.holes()
    one, other = on_list.manager.stats(), in_tree.manager.stats()
    assert other.n_failed > 0 and len(in_tree.holes()[1]) > 50
    assert (one.splits, one.merges) == (other.splits, other.merges)
    assert other.examined < one.examined


def random_operations(n: int, seed: int) -> np.ndarray:
    """Allocations of 1 to 64 frames, mostly few, and frees of random slots; at the end there are tens of thousands live."""
    rng = np.random.default_rng(seed)
    operations = np.zeros(n, OPERATION)
    live: list[tuple[int, int]] = []
    n_slots = 0
    for i, coin in enumerate(rng.random(n)):
        if not live or coin < 0.55:
            n_frames = int(rng.choice([1, 1, 1, 2, 3, 7, 16, 64]))
            operations[i] = (ALLOC, 0, 0, 0, 0, n_frames, 0, n_slots)
            live.append((n_slots, n_frames))
            n_slots += 1
        else:
            slot, n_frames = live.pop(int(rng.integers(len(live))))
            operations[i] = (FREE, 0, 0, 0, 0, n_frames, 0, slot)
    return operations


@pytest.mark.slow
@pytest.mark.parametrize("fit", FITS)
def test_the_same_over_tens_of_thousands_of_operations(fit: str) -> None:
    """Compiled, in a memory that becomes too small."""
    operations = random_operations(40_000, 3)
    on_list, in_tree = (perform(FrameManager(30_000, policy), operations) for policy in (fit, f"{fit}:search=indexed"))
    assert on_list.failed > 100
    assert np.array_equal(on_list.placements, in_tree.placements)


# -- choices that come to the same ------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("other, same", [
    ("first-fit:order=size-ascending", "best-fit"),
    ("first-fit:order=size-descending", "worst-fit"),
    ("best-fit:order=size-ascending", "best-fit"),
    ("best-fit:order=size-descending", "best-fit"),
    ("worst-fit:order=size-ascending", "worst-fit"),
    ("worst-fit:order=size-descending", "worst-fit"),
])
@pytest.mark.parametrize("coalesce", ["immediate", "deferred", "never"])
def test_one_rule_said_in_two_ways(other: str, same: str, coalesce: str) -> None:
    """Knuth's remark: on a list by size, first fit is best fit. Equals stand by address in both orders, so ties go the same way, too."""
    assert Worn(f"{other},coalesce={coalesce}").play() == Worn(f"{same}:coalesce={coalesce}").play()


@pytest.mark.parametrize("fit", FITS)
def test_every_order_places_otherwise(fit: str) -> None:
    """Unless it is one of those above."""
    placed = {order: tuple(Worn(f"{fit}:order={order}").play()) for order in ORDERS}
    assert len(set(placed.values())) == (5 if fit in {"first-fit", "next-fit"} else 3)


# -- each choice by itself ---------------------------------------------------------------------------------------------------------------------

def holes_of(manager: FrameManager) -> list[tuple[int, int]]:
    """Its holes in the order in which they are searched, as (first, end)."""
    return [(pfn, pfn + n_frames) for pfn, n_frames in manager.policy.blocks(manager.area(0))]


def with_holes(policy: str) -> FrameManager:
    """Sixteen frames: . A A . . . B B . . C C D D D D with A, B, C and D in use."""
    return FrameManager(16, load_policy(policy, uncompiled=True), in_use=[(1, 3), (6, 8), (10, 12), (12, 16)])


@pytest.mark.parametrize("order, start, later, joined, carved", [
    ("address", [(0, 1), (3, 6), (8, 10)], [(0, 1), (3, 6), (8, 10), (12, 14)], [(0, 1), (3, 10), (12, 14)], [(0, 1), (5, 10), (12, 14)]),
    ("insert-front", [(0, 1), (3, 6), (8, 10)], [(12, 14), (0, 1), (3, 6), (8, 10)], [(3, 10), (12, 14), (0, 1)], [(5, 10), (12, 14), (0, 1)]),
    ("insert-back", [(0, 1), (3, 6), (8, 10)], [(0, 1), (3, 6), (8, 10), (12, 14)], [(0, 1), (12, 14), (3, 10)], [(0, 1), (3, 10)]),
    ("size-ascending", [(0, 1), (8, 10), (3, 6)], [(0, 1), (8, 10), (12, 14), (3, 6)], [(0, 1), (12, 14), (3, 10)], [(0, 1), (3, 10)]),
    ("size-descending", [(3, 6), (8, 10), (0, 1)], [(3, 6), (8, 10), (12, 14), (0, 1)], [(3, 10), (12, 14), (0, 1)], [(5, 10), (12, 14), (0, 1)]),
])
def test_the_order_of_the_list(order: str, start: list, later: list, joined: list, carved: list) -> None:
    """At the start; after two frames of D are freed; after B is, between two holes; after two frames are taken."""
    manager = with_holes(f"first-fit:order={order}")
    assert holes_of(manager) == start
    manager.free(12, 2)
    assert holes_of(manager) == later
    manager.free(6, 2)
    assert holes_of(manager) == joined
    manager.alloc(2)
    assert holes_of(manager) == carved
    manager.check()


def test_the_rest_of_a_carved_hole_is_put_where_its_size_belongs() -> None:
    manager = with_holes("first-fit:order=size-descending")
    manager.alloc(2)
    assert holes_of(manager) == [(8, 10), (0, 1), (5, 6)]
    assert [manager.alloc(1), manager.alloc(1)] == [8, 0]


@pytest.mark.parametrize("search", ["linear", "indexed"])
def test_carving_from_the_high_end(search: str) -> None:
    manager = with_holes(f"best-fit:carve=high,search={search}")
    assert [manager.alloc(1), manager.alloc(1), manager.alloc(2), manager.alloc(1)] == [0, 9, 4, 3]
    assert holes_of(manager) == [(8, 9)]


@pytest.mark.parametrize("search", ["linear", "indexed"])
def test_never_coalesced(search: str) -> None:
    """Sixteen free frames that are sixteen holes for ever: whoever asks for two gets none."""
    manager = FrameManager(16, load_policy(f"first-fit:coalesce=never,search={search}", uncompiled=True))
    for pfn in [manager.alloc(1) for _ in range(16)]:
        manager.free(pfn)
    assert len(holes_of(manager)) == 16
    with pytest.raises(OutOfFrames):
        manager.alloc(2)
    assert (manager.stats().merges, manager.free_runs()) == (0, [(0, 16)])


@pytest.mark.parametrize("order", [*(f"order={order}" for order in ORDERS), "search=indexed"])
def test_coalesced_when_a_request_would_fail(order: str) -> None:
    """Not before, all at once, and not again until something touches."""
    manager = FrameManager(16, load_policy(f"first-fit:coalesce=deferred,{order}", uncompiled=True))
    for pfn in [manager.alloc(1) for _ in range(16)]:
        manager.free(pfn)
    assert len(holes_of(manager)) == 16
    assert (manager.alloc(5), manager.stats().merges) == (0, 15)
    assert holes_of(manager) == [(5, 16)]
    with pytest.raises(OutOfFrames):
        manager.alloc(12)
    assert manager.stats().merges == 15
    manager.free(0)
    assert sorted(holes_of(manager)) == [(0, 5), (5, 16)]
    manager.check()


@pytest.mark.parametrize("search", ["linear", "indexed"])
def test_coalesced_before_another_zone_is_asked(search: str) -> None:
    """Two zones of 4 frames. The higher one is all holes of one frame; a request for 4 coalesces them, though the lower zone has 4 in one piece."""
    zones = [Zone("Low", ((0, 4),)), Zone("High", ((4, 8),))]
    manager = FrameManager(zones, load_policy(f"best-fit:coalesce=deferred,search={search}", uncompiled=True))
    for pfn in [manager.alloc(1) for _ in range(4)]:
        manager.free(pfn)
    assert manager.alloc(4) == 4
    assert (manager.alloc(4), manager.stats().merges) == (0, 3)


def test_next_fit_keeps_its_place_in_the_list() -> None:
    """Holes of 2, 2, 2 and 2, the last freed in front. The search goes on at what is left, then at the hole behind, then from the front again."""
    manager = FrameManager(12, load_policy("next-fit:order=insert-front", uncompiled=True), in_use=[(2, 3), (5, 6), (8, 12)])
    manager.free(9, 2)
    assert holes_of(manager) == [(9, 11), (0, 2), (3, 5), (6, 8)]
    assert [manager.alloc(1) for _ in range(3)] == [9, 10, 0]
    manager.free(9)
    assert [manager.alloc(2), manager.alloc(1), manager.alloc(1), manager.alloc(1)] == [3, 6, 7, 9]


def test_next_fit_goes_on_behind_the_last_allocation() -> None:
    """By address, what is left below a run that was carved from the high end lies behind the search."""
    manager = with_holes("next-fit:carve=high")
    assert [manager.alloc(1) for _ in range(6)] == [0, 5, 9, 4, 8, 3]


# -- the audit ---------------------------------------------------------------------------------------------------------------------------------

def corrupted(policy: str, word: int, value: int, n_holes: int = 20) -> str:
    """What the audit says when a word of the policy's is overwritten."""
    manager = FrameManager(3 * n_holes, load_policy(policy, uncompiled=True), in_use=[(pfn, pfn + 1) for pfn in range(2, 3 * n_holes, 3)])
    manager.free(5)
    manager.check()
    manager.area(0).words[word] = value
    with pytest.raises(BrokenInvariant) as caught:
        manager.check()
    return str(caught.value)


def test_an_index_that_is_wrong_is_found_out() -> None:
    """Of twenty holes: two leaves were made, then a node above them. Of five: one leaf."""
    above = hole_tree.NODES + 2 * tree_nodes.NODE_WORDS
    for policy, key in (("first-fit:search=indexed", -7), ("best-fit:search=indexed", -(1 << 63))):
        assert "a wrong summary" in corrupted(policy, above + tree_nodes.KEY, 1)
        assert "the boundary tags another or none" in corrupted(policy, hole_tree.NODES + tree_nodes.KEY, key, 5)
    assert "the boundary tags another or none" in corrupted("first-fit:search=indexed", hole_tree.NODES + tree_nodes.SIZE + 1, 1, 5)


def test_a_list_that_is_wrong_is_found_out() -> None:
    assert "the list of holes does not end where it should, at frame 0x0" in corrupted("first-fit:order=insert-back", hole_tags.TAIL, 0)
    assert "torn" in corrupted("first-fit:coalesce=deferred,search=indexed", hole_tags.HEAD, 3)


def test_all_combinations_are_there() -> None:
    """Every order, coalescing and carving on the list; and those by address in the tree."""
    for fit, order, coalesce, carve in product(FITS, ORDERS, ("immediate", "deferred", "never"), ("low", "high")):
        load_policy(f"{fit}:order={order},coalesce={coalesce},carve={carve}")
        if order == "address":
            load_policy(f"{fit}:coalesce={coalesce},carve={carve},search=indexed")


@pytest.mark.parametrize("fit", FITS)
def test_an_index_of_a_terabyte_is_one_node(fit: str) -> None:
    """What the index takes is by the hole: a node for one hole, be it as long as it may."""
    manager = FrameManager(1 << 28, load_policy(f"{fit}:search=indexed", uncompiled=True))
    assert [manager.alloc(7), manager.alloc(5)] == [0, 7]
    manager.free(0)
    words = manager.area(0).words
    assert words[tree_nodes.UNUSED] == hole_tree.NODES + tree_nodes.NODE_WORDS
    assert len(holes_of(manager)) == 2
