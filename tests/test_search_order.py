"""What `kernel-sim step` marks as looked at is what EXAMINED counts, for every policy there is, and what was given out was there to be seen."""

from __future__ import annotations

import random
import zlib
from itertools import pairwise

import pytest
from contract.specs import EVERY
from kernel_sim.tools.cli import main

from kernel_sim import FrameManager, load_policy
from kernel_sim.allocators.base import Place, watching
from kernel_sim.study.stepping import script
from kernel_sim.study.stepping.script import Operation
from kernel_sim.study.stepping.stepper import Step, Stepper


def game(spec: str, n_frames: int, n_operations: int, sizes: list[int]) -> list[Step]:
    """Steps by dice of the policy's own: two processors, three types, and frees of parts."""
    dice = random.Random(zlib.crc32(spec.encode()))
    stepper, steps, live = Stepper(spec, n_frames), [], []
    for number in range(n_operations):
        if not live or dice.random() < 0.6:
            operation = Operation("a", True, number, dice.choice(sizes), cpu=dice.randrange(2), mobility=dice.randrange(3))
            live.append((number, 0, operation.n_frames))
        else:
            slot, offset, n = live.pop(dice.randrange(len(live)))
            part = n if offset or dice.random() < 0.5 else dice.randint(1, n)
            operation = Operation("f", False, slot, part, offset)
            if part < n:
                live.append((slot, offset + part, n - part))
        steps.append(stepper.step(operation))
        if operation.allocates and not steps[-1].range:
            live.pop()
    return steps


def holds(place: Place, pfn: int) -> bool:
    return any(first <= pfn < first + n for first, n in place.blocks)


def holds_what_it_shows(step: Step) -> None:
    """As many looks as were counted, at places one of which had what was given out; the places have each free frame once."""
    assert len(step.looked_at) == step.tallies[0]
    if step.operation.allocates and step.range:
        assert any(holds(place, step.range[0]) for place in step.looked_at)
    shown = sorted(pfn for place in step.places for first, n in place.blocks for pfn in range(first, first + n))
    assert shown == [pfn for pfn, sign in enumerate(step.before) if sign == "."]


@pytest.mark.parametrize("spec", EVERY)
def test_what_is_marked_is_what_is_counted(spec: str) -> None:
    for step in game(spec, 96, 40, [1] if spec == "page-stack" else [1, 1, 2, 3, 5, 8, 11, 40]):
        holds_what_it_shows(step)


@pytest.mark.parametrize("spec", [f"{fit}-fit:search=indexed" for fit in ("first", "best", "worst", "next")])
def test_a_descent_ends_at_the_hole(spec: str) -> None:
    """Of 120 holes the tree has nodes below its root; each node that is looked at is a child of the one before or where the search starts anew."""
    stepper = Stepper(spec, 600)
    allocs = [f"a:{2 + number % 3}" for number in range(180)]
    steps = [stepper.step(operation) for operation in script.parse([*allocs, *(f"f:{number}" for number in range(0, 180, 2)), *["a:2", "a:3"] * 20])]
    for step in steps[-40:]:
        holds_what_it_shows(step)
        names = [place.name for place in step.looked_at]
        assert names[0] == "root"
        assert len(names) > 1 or spec.startswith("best-fit")       # the least key below an entry stands in the entry itself
        if spec.startswith(("first", "worst", "best")):
            assert all(name.rpartition(".")[0] in (before, "") for before, name in pairwise(names))


@pytest.mark.parametrize("spec, n_frames, sizes", [
    ("bitmap", 700, [1, 7, 40, 64, 65, 130, 200]), ("bitmap:search=next", 700, [1, 7, 40, 64, 65, 130, 200]),
    ("linux", 2100, [1, 2, 8, 16, 100, 512]), ("linux:cpus=2", 4096, [1, 2, 8, 16, 100, 512, 700]),
    ("llfree:cpus=2", 4096, [1, 4, 64, 200, 256, 512, 900]),
])
def test_larger_memories_too(spec: str, n_frames: int, sizes: list[int]) -> None:
    """Runs of several words; pageblocks of several types that are claimed and stolen; bit fields that are full."""
    for step in game(spec, n_frames, 60, sizes):
        holds_what_it_shows(step)


def looks(policy: str, operations: str, n_frames: int) -> list[str]:
    """Where the last of the operations looked: lists by name, blocks as first:frames."""
    stepper = Stepper(policy, n_frames)
    for operation in script.parse(operations.split()):
        step = stepper.step(operation)
    holds_what_it_shows(step)
    return [place.name or "{}:{}".format(*place.blocks[0]) for place in step.looked_at]


def orders(what: str, first: int, last: int) -> list[str]:
    return [f"{what} order {order}" for order in range(first, last + 1 if first <= last else last - 1, 1 if first <= last else -1)]


@pytest.mark.parametrize("policy, operations, n_frames, expected", [
    # 0 to 9 and 41 on are free. 64 of 70 frames may start in word 0 and do, at 41; whether 6 more follow is read in word 1.
    ("bitmap", "a:10 a:1 a:30 f:A a:70", 256, ["frames 0-63", "frames 64-127"]),
    # The last allocation ended in word 1; nothing is free from there on, and word 0 has 5 at its start.
    ("bitmap:search=next", "a:5 a:59 a:64 f:A a:3", 128, ["frames 0-63"]),
    ("bitmap", "a:100", 90, []),
    # Both holes are too small until they are one.
    ("best-fit:coalesce=deferred", "a:10 a:10 a:10 f:A f:B a:15", 30, ["0:10", "10:10", "0:20"]),
    ("next-fit", "a:4 a:4 a:4 a:1 f:A f:C a:8", 20, ["13:7", "0:4", "8:4"]),
    ("buddy:merge=lazy", "a:4 a:4 a:8 f:A f:B a:8", 16, [*orders("", 3, 10), "4:4", "0:8", " order 3"]),
    # Own class, then the class above, then the own class again to its end.
    ("segregated-fit", "a:5 a:1 a:6 a:1 a:7 a:44 f:A f:C f:E a:7", 64, ["13:7"]),
    ("segregated-fit:tries=1", "a:7 a:1 a:5 a:51 f:A f:C a:6", 64, ["8:5", "8:5", "0:7"]),
    # Nothing is unmovable yet, so the whole of the largest movable block is claimed.
    ("linux", "a:1", 1024, ["cpu 0 unmovable order 0", *orders("unmovable", 0, 10), "reclaimable or movable order 10"]),
    # All of that is unmovable now. The batch doubles with each refill in a row, so two frames are fetched.
    ("linux", "a:1 a:1", 1024, ["cpu 0 unmovable order 0", "unmovable order 0", "unmovable order 0", "unmovable order 1"]),
    # Below 512 frames no pageblock is there as a whole, so nothing is claimed, and the smallest block is stolen.
    ("linux", "a:8", 64, ["cpu 0 unmovable order 3", *orders("unmovable", 3, 10), *orders("reclaimable or movable", 10, 3),
                          *orders("reclaimable or movable", 3, 6)]),
    ("linux", "a:1,mobility=1 f:A a:1,mobility=1", 1024, ["cpu 0 movable order 0"]),
    # 64 frames are less than a sixteenth of a tree of 16384, and not all of it.
    ("llfree", "a:4", 64, ["tree 0 if partly filled", "tree 0 if all free", "tree 0 as it is", "child 0", "frames 0-63"]),
    ("llfree", "a:4 a:128", 1024, ["child 0", "frames 0-127", "frames 128-255"]),
    ("llfree", "a:4 a:512", 1024, ["child 0", "child 1"]),
])
def test_where_it_looks_by_hand(policy: str, operations: str, n_frames: int, expected: list[str]) -> None:
    assert looks(policy, operations, n_frames) == [name.removeprefix(" ") for name in expected]


def test_what_is_compiled_says_nothing() -> None:
    for uncompiled, heard_of in ((True, [0]), (False, [])):
        heard: list[int] = []
        manager = FrameManager(16, load_policy("page-stack", uncompiled=uncompiled))
        with watching(heard.append):
            manager.alloc(1)
        manager.alloc(1)
        assert heard == heard_of


def printed_by(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["step", *arguments]) == 0
    return capsys.readouterr().out


def test_a_search_that_marks_cannot_tell_has_a_line_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    """Names that count on are drawn together, upwards and downwards."""
    printed = printed_by(capsys, "--policy", "linux", "--memory", "64", "a:8")
    assert "  free      movable order 6  0:64!\n" in printed
    assert " ".join(printed.split("looked at ")[-1].split("after")[0].split()) == (
        "cpu 0 unmovable order 3, unmovable order 3 to 10, reclaimable or movable order 10 to 3, reclaimable or movable order 3 to 6")
    assert "order 3 to 10" in printed_by(capsys, "--policy", "linux", "--memory", "64", "--answers", "a:8")


def test_a_hole_inside_a_list_is_marked_by_itself(capsys: pytest.CaptureFixture[str]) -> None:
    """The list of the request's class has three; the last freed is too short, the next will do."""
    printed = printed_by(capsys, "--policy", "segregated-fit", "--memory", "64", "a:7", "a:1", "a:5", "a:51", "f:A", "f:C", "a:6")
    assert "  free      from 4  8:5?  0:7!\n" in printed.split("step 7")[1]
