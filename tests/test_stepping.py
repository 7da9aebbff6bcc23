"""Steps on a small memory: every policy there is, drawn as it is, against a picture that the test keeps itself."""

from __future__ import annotations

import io
import json
from itertools import pairwise
from pathlib import Path

import pytest
from contract.specs import DEFAULTS, PLAIN, short
from kernel_sim.tools.cli import main

from kernel_sim import BadInput, BadPolicy
from kernel_sim.study.stepping import script
from kernel_sim.study.stepping.quiz import Question, question_about
from kernel_sim.study.stepping.stepper import MAX_FRAMES, Change, Step, Stepper

N_FRAMES = 48
FITS = ("first-fit", "best-fit", "worst-fit", "next-fit")


def play(policy: str, operations: str, n_frames: int = N_FRAMES) -> list[Step]:
    """The steps of operations, written as on the command line."""
    stepper = Stepper(policy, n_frames)
    return [stepper.step(operation) for operation in script.parse(operations.split())]


def at_random(policy: str, seed: int) -> list[Step]:
    """Steps by the dice."""
    stepper = Stepper(policy, N_FRAMES)
    return [stepper.step(operation) for operation in script.at_random(30, seed, stepper.sizes())]


def tiles(change: Change) -> bool:
    """Whether the parts make the whole, without a gap."""
    return (change.parts[0][0], change.parts[-1][1]) == change.whole and all(one[1] == other[0] for one, other in pairwise(change.parts))


# -- every policy ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", [*DEFAULTS, PLAIN], ids=short)
def test_every_policy_is_drawn_as_it_is(spec: str) -> None:
    """What is placed has its letter and the rest keeps its own, the free blocks cover the free frames, and parts make wholes."""
    picture = "." * N_FRAMES
    for step in at_random(spec, seed=5):
        assert step.before == picture
        if step.range:
            first, end = step.range
            sign = step.operation.letter if step.operation.allocates else "."
            drawn = sign * (step.operation.n_frames if step.operation.allocates else end - first)
            picture = picture[:first] + drawn.ljust(end - first, "+") + picture[end:]
        assert step.after == picture
        assert step.range or step.problem
        covered = sorted(pfn for first, end in step.free_after for pfn in range(first, end))
        assert covered == [pfn for pfn, sign in enumerate(picture) if sign == "."]
        assert all(tiles(change) for change in (*step.splits, *step.joins))


@pytest.mark.parametrize("spec", FITS)
def test_the_splits_and_merges_drawn_are_those_counted(spec: str) -> None:
    """A fit cuts a hole once, and joins a freed range with up to two."""
    for step in at_random(spec, seed=11):
        assert (len(step.splits), sum(len(join.parts) - 1 for join in step.joins)) == step.tallies[1:]


@pytest.mark.parametrize("spec", ["buddy", "buddy:order=address"])
def test_a_buddy_splits_and_merges_once_an_order(spec: str) -> None:
    for step in at_random(spec, seed=11):
        assert (sum(len(split.parts) - 1 for split in step.splits), sum(len(join.parts) - 1 for join in step.joins)) == step.tallies[1:]


# -- the order of the search ----------------------------------------------------------------------------------------------------------


def test_first_fit_stops_where_it_finds_and_best_fit_looks_everywhere() -> None:
    """Free are 5 frames at 0, 4 at 8 and the rest from 15; 4 are asked for."""
    ends = {}
    for policy in ("first-fit", "best-fit"):
        step = play(policy, "a:5 a:3 a:4 a:3 f:A f:C a:4")[-1]
        assert [place.blocks for place in step.places] == [((0, 5),), ((8, 4),), ((15, 33),)]
        ends[policy] = ([place.blocks[0][0] for place in step.looked_at], step.taken, step.splits)
    assert ends["first-fit"] == ([0], ((0, 5),), (Change((0, 5), ((0, 4), (4, 5))),))
    assert ends["best-fit"] == ([0, 8, 15], ((8, 12),), ())


def test_next_fit_begins_where_it_left_off() -> None:
    """After an allocation that ended at 10, the holes from there on come first."""
    step = play("next-fit", "a:5 a:5 f:A a:2")[-1]
    assert [place.blocks[0] for place in step.places] == [(10, 38), (0, 5)]
    assert step.range == (10, 12)


def test_a_buddy_looks_from_the_order_it_needs_upwards() -> None:
    """Of 64 frames one block of 2 and larger ones are left; 3 frames need a block of 4."""
    step = play("buddy", "a:5 a:3 a:2 a:3", n_frames=64)[-1]
    assert {place.name: place.blocks for place in step.places if place.blocks} == {
        "order 1": ((14, 2),), "order 4": ((16, 16),), "order 5": ((32, 32),)}
    assert [place.name for place in step.looked_at] == ["order 2", "order 3", "order 4"]
    assert step.splits == (Change((16, 32), ((16, 20), (20, 24), (24, 32))),)


def test_a_freed_block_that_merges_all_the_way_up() -> None:
    step = play("buddy", "a:1 f:A", n_frames=8)[-1]
    assert step.joins == (Change((0, 8), ((0, 1), (1, 2), (2, 4), (4, 8))),)


def test_the_stack_has_its_last_freed_frame_on_top() -> None:
    step = play("page-stack", "a:1 a:1 f:A f:B a:1", n_frames=5)[-1]
    assert step.places[0].blocks == ((1, 1), (0, 1), (2, 1), (3, 1), (4, 1))
    assert step.range == (1, 2)


class Backwards:
    """A plain policy that says in which order it searches: the highest frame first, one at a time."""

    def __init__(self, zone: object) -> None:
        self.free_frames = [pfn for first, end in zone.free_runs for pfn in range(first, end)]      # type: ignore[attr-defined]

    def alloc(self, n_frames: int) -> int | None:
        return self.free_frames.pop() if n_frames == 1 and self.free_frames else None

    def free(self, pfn: int, n_frames: int) -> None:
        self.free_frames.append(pfn)

    def search_order(self) -> list[tuple[int, int]]:
        return [(pfn, 1) for pfn in reversed(self.free_frames)]


class Talkative(Backwards):
    def search_order(self) -> list[tuple[int, int]]:
        return ["everywhere"]       # type: ignore[list-item]


def test_a_plain_policy_may_show_its_own_order() -> None:
    stepper = Stepper(Backwards, 3)
    assert stepper.has_order
    assert [place.blocks for place in stepper.places()] == [((2, 1),), ((1, 1),), ((0, 1),)]
    with pytest.raises(BadPolicy, match="search_order returned something else than"):
        Stepper(Talkative, 3).places()


@pytest.mark.parametrize("policy, looked_at", [
    ("tlsf", ["from 3"]), ("half-fit", ["from 2"]), ("fibonacci-buddy", ["size 1", "size 2"]), ("segregated-fit", ["from 2"]),
])
def test_policies_of_many_lists_show_the_lists_they_look_at(policy: str, looked_at: list[str]) -> None:
    """Three frames are free between two allocations, or the two that a Fibonacci buddy splits off; one is asked for."""
    stepper = Stepper(policy, 20)
    for operation in script.parse(["a:3", "a:2", "f:A", "a:1"]):
        step = stepper.step(operation)
    assert [place.name for place in step.looked_at] == looked_at


def test_a_plain_policy_without_one_is_shown_by_address() -> None:
    stepper = Stepper(PLAIN, 20)
    for operation in script.parse(["a:5", "a:5", "f:A"]):
        step = stepper.step(operation)
    assert not stepper.has_order
    assert [place.blocks for place in step.places] == [((10, 10),)]
    assert step.free_after == ((0, 5), (10, 20))


# -- failures -------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy, operations, problem, nearest", [
    ("first-fit", "a:49", "it never gives so many at once here", None),
    ("first-fit", "a:48 a:1", "only 0 free", None),
    ("first-fit", "a:5 a:3 a:40 f:A f:C a:42", "45 free, but scattered: the longest free run has 40; nearest fit 6:42, 2 of it taken (B)", (6, 48)),
    ("first-fit:coalesce=never", "a:24 a:24 f:A f:B a:30",
     "48 free, but scattered: the longest free run has 48; 0:30 is free, but the policy did not find it in one piece", (0, 30)),
    ("first-fit", "a:49 f:A", "A was never placed, so there is nothing to free", None),
    ("buddy", "a:3 a:4 a:4 a:4 a:32 f:B f:C a:5",
     "8 free, 8 of them in one run, but not as an aligned block; nearest fit 32:8, 4 of it taken (A)", (32, 40)),
])
def test_why_a_step_fails(policy: str, operations: str, problem: str, nearest: tuple[int, int] | None) -> None:
    step = play(policy, operations)[-1]
    assert (step.problem, step.nearest, step.range) == (problem, nearest, None)
    assert step.after == step.before


# -- the script -----------------------------------------------------------------------------------------------------------------------


def test_what_is_thrown_can_be_typed() -> None:
    thrown = script.at_random(60, 3, range(1, 9))
    assert script.parse([operation.text for operation in thrown]) == thrown
    assert thrown == script.at_random(60, 3, range(1, 9))
    assert thrown != script.at_random(60, 4, range(1, 9))


def test_a_part_by_letter_and_for_whom() -> None:
    operations = script.parse(["a:5,owner=3,mobility=1", "f:A+1:2", "f:0+3:2", "f:A"])
    assert (operations[0].owner, operations[0].cpu, operations[0].mobility) == (3, 0, 1)
    assert [(it.slot, it.offset, it.n_frames) for it in operations[1:]] == [(0, 1, 2), (0, 3, 2), (0, 0, 0)]


@pytest.mark.parametrize("words, why", [
    ("a:0", "at least one frame"), ("b:5", "operation 1, 'b:5': a:5 allocates"), ("a:5 f:1", "operation 2, 'f:1': there is no such allocation"),
    ("a:5 f:0 f:A", "allocation A was freed before"), ("a:5 f:A+3:3", "not all there"), ("a:5 f:A+0:1 f:A", "not all there"),
    ("a:1,owner=65536", "no more than 65535"), ("a:", "allocates"), ("f:-1", "allocates"),
])
def test_operations_that_make_no_sense(words: str, why: str) -> None:
    with pytest.raises(BadInput, match=why):
        script.parse(words.split())


# -- the command ----------------------------------------------------------------------------------------------------------------------

FOUR = ("step", "--policy", "best-fit", "--memory", "20", "a:5", "a:3", "f:0", "a:4")

DRAWN = """\
step 4  a:4: allocate 4 frames for C
  before    0 .....BBB............
  free      0:5!  8:12?
  after     0 CCCC.BBB............
              ^^^^-
  so        C has frames 0 to 3; 0:5 is split into 0:4 and 4:1
  counted   examined 2, splits 1, merges 0

  end       0 CCCC.BBB............
  free      4:1  8:12
"""


def test_what_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(FOUR) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("best-fit, 20 frames\n")
    assert printed.endswith(DRAWN)
    assert max(map(len, printed.splitlines())) <= 80
    assert "\x1b" not in printed


def test_a_quiz_from_a_pipe(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("0\n5\n0:5\n8\n"))
    assert main([*FOUR, "--quiz"]) == 1
    printed = capsys.readouterr().out
    assert [line.strip() for line in printed.splitlines() if line.startswith(("  right", "  no:"))] == ["right", "right", "right", "no: 0"]
    assert printed.endswith("\n3 of 4 right\n")
    question = printed.split("where does it go?")[1].split("\nstep")[1]
    assert "!" not in question and "?" not in question.split("which")[0], "the question gives nothing away"
    monkeypatch.setattr("sys.stdin", io.StringIO("0\n0x5\n0\n0\n"))
    assert main([*FOUR, "--quiz"]) == 0


def test_a_quiz_ends_with_its_answers(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """What was not answered is not shown, and is not right."""
    monkeypatch.setattr("sys.stdin", io.StringIO("0\n"))
    assert main([*FOUR, "--quiz"]) == 1
    printed = capsys.readouterr().out
    assert printed.endswith("1 of 1 right, 3 of 4 questions not answered\n")
    assert "BBB" not in printed


def test_answers_are_printed_under_the_questions(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*FOUR, "--answers"]) == 0
    printed = capsys.readouterr().out
    answers = [line.split(") ")[1] for line in printed.splitlines() if "(first, or first:frames)" in line or "(its first frame" in line]
    assert answers == ["0", "5", "0:5", "0"]


@pytest.mark.parametrize("answer, is_right", [("8", True), ("0x8", True), ("8:4", True), (" 8:4 \n", True), ("8:5", False), ("9", False),
                                              ("-", False), ("", False), ("eight", False)])
def test_right_and_wrong_answers(answer: str, is_right: bool) -> None:
    assert Question("?", (8, 12), True).is_right(answer) == is_right


def test_nowhere_is_an_answer() -> None:
    question = question_about(play("first-fit", "a:49")[-1])
    assert question is not None
    assert question.solution == "-"
    assert question.is_right("-") and question.is_right("nowhere") and not question.is_right("0")
    assert question_about(play("first-fit", "a:49 f:A")[-1]) is None


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*FOUR, "--json"]) == 0
    last = json.loads(capsys.readouterr().out)[-1]
    assert (last["operation"], last["letter"], last["frames"], last["examined"]) == ("a:4", "C", [0, 4], 2)
    assert last["free_before"] == last["looked_at"] == [{"list": "", "blocks": [[0, 5]]}, {"list": "", "blocks": [[8, 12]]}]
    assert last["split"] == [[[0, 5], [0, 4], [4, 1]]]


@pytest.mark.parametrize("arguments, why", [
    ("", "give either operations"), ("--random 3 a:1", "give either operations"), ("--random 0", "between 1 and 10000 operations"),
    ("--memory 0 a:1", f"between 1 and {MAX_FRAMES} frames, not 0"), ("--memory 1G a:1", "not 262144"), ("--memory 5X a:1", "not a size: '5X'"),
    ("--policy nope a:1", "no policy 'nope'"), ("--json --quiz a:1", "goes with neither"),
])
def test_wrong_arguments_get_one_line(arguments: str, why: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["step", *arguments.split()]) == 2
    printed = capsys.readouterr()
    assert (printed.out, printed.err.count("\n")) == ("", 1)
    assert why in printed.err


def test_a_size_in_bytes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["step", "--memory", "256K", "--random", "5", "--seed", "2"]) == 0
    assert capsys.readouterr().out.startswith("buddy, 64 frames\n")


def test_a_plain_file_policy(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["step", "--policy", PLAIN, "a:1"]) == 0
    assert Path(PLAIN.rpartition(":")[0]).name in capsys.readouterr().out
