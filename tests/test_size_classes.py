"""The policies that keep holes by size: tlsf, half-fit and segregated-fit. The classes, what is refused, the effort, and their own check."""

from __future__ import annotations

import re
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from contract.damage import record, word
from hypothesis import given
from hypothesis import strategies as st

from kernel_sim import BadPolicy, BrokenInvariant, FrameManager, OutOfFrames, load_policy
from kernel_sim.allocators.hole_tags import tag
from kernel_sim.allocators.size_classes import Steps, least_size
from kernel_sim.compiled import interpreted
from kernel_sim.frames import NIL

LISTED = ["tlsf", "half-fit", "segregated-fit", "segregated-fit:order=fifo"]
STEPS = {second_level: Steps(f"test-{second_level}", second_level) for second_level in range(7)}


def step(name: str, second_level: int) -> Callable[..., Any]:
    return interpreted(STEPS[second_level].names[name])


def with_holes(spec: str, *lengths: int) -> FrameManager:
    """A memory whose free runs have these lengths, in this order, with one frame in use behind each."""
    in_use, pfn = [], 0
    for length in lengths:
        pfn += length
        in_use.append((pfn, pfn + 1))
        pfn += 1
    return FrameManager(pfn, load_policy(spec, uncompiled=True), in_use=in_use)


# -- classes --------------------------------------------------------------------------------------------------------------------------


def conte_mapping(size_bytes: int) -> tuple[int, int]:
    """`mapping_insert` of M. Conte's tlsf.c for 64 bits: sizes below 256 bytes by 8, above that 32 classes to a power of two."""
    if size_bytes < 256:
        return 0, size_bytes // 8
    first_level = size_bytes.bit_length() - 1
    return first_level - 7, (size_bytes >> (first_level - 5)) ^ 32


@given(st.integers(1, 2**32 - 1))
def test_a_frame_is_eight_of_contes_bytes(n_frames: int) -> None:
    """With 2^5 classes to a power of two, frames are classed as his 64-bit allocator classes multiples of 8 bytes."""
    first_level, second_level = conte_mapping(8 * n_frames)
    assert step("class_of", 5)(n_frames) == 32 * first_level + second_level


def test_the_example_of_the_paper() -> None:
    """Of size 460 with four bits of second level: 2^8 and, of 16 parts of the way to 2^9, the twelfth."""
    at = step("class_of", 4)(460)
    assert (at % 16, least_size(at, 4)) == (12, 256 + 12 * 16)


@pytest.mark.parametrize("second_level", range(7))
@given(data=st.data())
def test_rounding_up_is_safe_and_close(second_level: int, data: st.DataObject) -> None:
    """Every hole of the rounded class is large enough; the class below has one that is not; and rounding adds less than 1/2^N."""
    n_frames = data.draw(st.integers(1, 2**31) | st.integers(1, 300))
    wanted = step("class_from", second_level)(n_frames)
    assert least_size(wanted, second_level) >= n_frames > least_size(wanted - 1, second_level)
    assert (least_size(wanted, second_level) - n_frames) << second_level < n_frames


@pytest.mark.parametrize("second_level", range(7))
@given(n_frames=st.integers(1, 2**32 - 1))
def test_a_size_has_one_class(second_level: int, n_frames: int) -> None:
    at = step("class_of", second_level)(n_frames)
    assert least_size(at, second_level) <= n_frames < least_size(at + 1, second_level)


# -- what is refused ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec, served", [
    ("half-fit", False), ("tlsf:second_level=0", False), ("tlsf:second_level=1", True), ("tlsf", True), ("tlsf:fallback=own-class", True),
    ("tlsf:fallback=own-class,second_level=0", True), ("segregated-fit", True), ("segregated-fit:tries=1", True)])
def test_a_hole_of_the_own_class(spec: str, served: bool) -> None:
    """A hole of 7 frames and a request for 6: of the same power of two. Half fit does not look there (Ogasawara's incomplete memory use)."""
    manager = with_holes(spec, 7)
    if served:
        assert manager.alloc(6) == 0
    else:
        with pytest.raises(OutOfFrames, match="the largest free run has 7"):
            manager.alloc(6)
    manager.check()


@pytest.mark.parametrize("second_level", [0, 1, 3, 5])
def test_what_rounding_refuses_is_bounded(second_level: int) -> None:
    """A hole that is longer than the request by the request over 2^N is always found."""
    for n_frames in (1, 2, 3, 5, 9, 17, 33, 65, 100, 129):
        manager = with_holes(f"tlsf:second_level={second_level}", n_frames + (n_frames >> second_level))
        assert manager.alloc(n_frames) == 0


def test_tlsf_wants_no_closer_fit_than_its_classes() -> None:
    """Holes of 70, 64 and 66 frames, and a request for 33. Coarse classes have all three, and the lowest is in front; fine ones tell 64 from 66."""
    for second_level in (0, 3):
        assert with_holes(f"tlsf:second_level={second_level}", 70, 64, 66).alloc(33) == 0
    assert with_holes("tlsf:second_level=5", 70, 64, 66).alloc(33) == 71


@pytest.mark.parametrize("order, expected", [("lifo", [8, 4, 0]), ("fifo", [0, 4, 8])])
def test_the_order_of_a_list(order: str, expected: list[int]) -> None:
    """Three holes of two frames, freed from the lowest up."""
    manager = FrameManager(12, load_policy(f"segregated-fit:order={order}", uncompiled=True), in_use=[(0, 12)])
    for pfn in (0, 4, 8):
        manager.free(pfn, 2)
    assert [manager.alloc(2) for _ in range(3)] == expected


def test_tries() -> None:
    """Holes of 4, 4, 4 and 6 frames, then 9: a request for 5 looks at so many of its own class before it breaks the larger."""
    assert with_holes("segregated-fit:tries=4", 4, 4, 4, 6, 9).alloc(5) == 15
    assert with_holes("segregated-fit:tries=3", 4, 4, 4, 6, 9).alloc(5) == 22
    assert with_holes("segregated-fit:tries=3", 4, 4, 4, 6, 3).alloc(5) == 15     # no larger one: the own class to its end


@pytest.mark.parametrize("spec", LISTED)
def test_an_end_of_a_hole_can_be_given_up(spec: str) -> None:
    """Its first frames or its last, which changes its class; not those in its middle."""
    manager = with_holes(spec, 100)
    area, take = manager.area(0), interpreted(manager.policy.take)
    assert [take(area, 0, 30), take(area, 90, 10), take(area, 40, 5), take(area, 95, 6)] == [True, True, False, False]
    assert list(manager.policy.blocks(area)) == [(30, 60)]
    manager.policy.check(area)


@pytest.mark.parametrize("spec", ["tlsf:second_level=7", "tlsf:second_level=x", "tlsf:fallback=yes", "half-fit:second_level=1",
                                  "segregated-fit:tries=0", "segregated-fit:classes=fifths"])
def test_wrong_choices(spec: str) -> None:
    with pytest.raises(BadPolicy):
        load_policy(spec)


# -- effort ---------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec, looks", [("tlsf", 1), ("half-fit", 1), ("segregated-fit:tries=4", 5)])
def test_the_effort_does_not_grow_with_the_holes(spec: str, looks: int) -> None:
    """Memories of 50 and of 800 holes: no allocation looks at more, cuts more than once, no free joins more than twice."""
    for n_holes in (50, 800):
        random = Random(n_holes)
        manager = with_holes(spec, *(random.randrange(4, 40) for _ in range(n_holes)), 5000)
        for _ in range(100):
            before = manager.stats()
            pfn = manager.alloc(random.randrange(1, 30))
            after = manager.stats()
            assert after.examined - before.examined <= looks
            assert after.splits - before.splits <= 1
            if random.random() < 0.5:
                manager.free(pfn)
                assert manager.stats().merges - after.merges <= 2
        manager.check()


@pytest.mark.parametrize("spec", LISTED)
def test_words_do_not_grow_with_the_memory(spec: str) -> None:
    """The index is lists and bitmaps by class: as large for a terabyte of any number of runs as for one frame."""
    policy = load_policy(spec)
    assert policy.n_words(0, 1, 1) == policy.n_words(0, 1 << 28, 100_000) < 5000


# -- the check has teeth --------------------------------------------------------------------------------------------------------------

# Holes at 0x0, 0x4, 0x9 and 0xe: of 3, 4, 4 and 6 frames, in three classes.


def dropped(area: Any) -> None:
    """The list of the class of 4 as if it had never been."""
    area.heads[4] = area.tails[4] = NIL


def wrong_class(area: Any) -> None:
    """The hole of 3 frames in the class of 4."""
    step("leave", 5)(area, 0x0, 3)
    step("enter", 5)(area, 0x0, 4)


def cut_in_two(area: Any) -> None:
    """The hole of 6 frames as two of 3 that touch."""
    step("leave", 5)(area, 0xE, 6)
    for hole in (0xE, 0x11):
        step("enter", 5)(area, hole, 3)
        interpreted(tag)(area, hole, 3)


DAMAGE = {
    "a list dropped": (dropped, "disagree about what is free, first at 0x4 to 0x8"),
    "a list without a head": (word("heads", 4, NIL), "class 4 is empty, and has a last hole, 0x9"),
    "a list that ends too soon": (record(0x4, next=NIL), "the last hole of class 4 is 0x4, and not 0x9"),
    "a hole that points back elsewhere": (record(0x9, prev=0x0), "the list of class 4 is torn at frame 0x9"),
    "a link out of the memory": (record(0x4, next=0x4000), "the list of class 4 is torn at frame 0x4000"),
    "a hole without its mark": (record(0x9, order=0), "the list of class 4 is torn at frame 0x9"),
    "a ring": (record(0x9, next=0x4), "the list of class 4 is torn at frame 0x4"),
    "a hole that is too long": (record(0xF, next=7), "the boundary tags of the hole at 0xe do not fit its 7 frames"),
    "a hole that is too short": (record(0xF, next=5), "the boundary tags of the hole at 0xe do not fit its 5 frames"),
    "an end that points elsewhere": (record(0x13, prev=0xF), "the boundary tags of the hole at 0xe do not fit its 6 frames"),
    "an end without its mark": (record(0x13, order=0), "the boundary tags of the hole at 0xe do not fit its 6 frames"),
    "a hole in another's class": (wrong_class, "the hole of 3 frames at 0x0 is in class 4, for 4 to 4 frames"),
    "a hole cut in two": (cut_in_two, "two holes touch at frame 0x11; they should be one"),
    "a class that nobody knows": (word("classes", 0, 0b1011000 & ~(1 << 4)), "the second level's bitmap is wrong about class 4"),
    "a class that is empty": (word("classes", 0, 0b1111000), "the second level's bitmap is wrong about class 5"),
    "powers forgotten": (word("powers", 0, 0), "the first level's bitmap is wrong about power 0"),
    "powers from nowhere": (word("powers", 0, 0b11), "the first level's bitmap is wrong about power 1"),
}


@pytest.mark.parametrize("damage, complaint", DAMAGE.values(), ids=DAMAGE)
def test_the_check_names_what_is_wrong(damage: Callable[[Any], None], complaint: str) -> None:
    manager = with_holes("tlsf", 3, 4, 4, 6)
    manager.check()
    damage(manager.area(0))
    with pytest.raises(BrokenInvariant, match=re.escape(complaint)):
        manager.check()
