"""What a replay says of its first failure: the request, and what stood in its way then, not at the end."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest
from contract.specs import PLAIN
from kernel_sim.tools.cli import main

from kernel_sim import FrameManager, OutOfFrames, Trace, load_policy, replay
from kernel_sim.operations import ALLOC, FREE
from kernel_sim.study.replay import Replay
from kernel_sim.study.report import first_failure

FIRST_FIT = load_policy("first-fit", uncompiled=True)


def by_hand(done: Replay) -> tuple[int, OutOfFrames]:
    """The replay once more, request by request, up to the first that fails."""
    manager, placed = FrameManager(done.manager.zones, done.manager.policy, done.manager.in_use), list[int]()
    for number, operation in enumerate(done.plan.operations, 1):
        n_frames = int(operation["n_frames"])
        try:
            if operation["kind"] == ALLOC:
                placed.append(int(manager.alloc(n_frames, int(operation["owner"]))))
            else:
                pfn = placed[int(operation["slot"])] + int(operation["offset"]) if operation["kind"] == FREE else int(operation["slot"])
                manager.free(pfn, n_frames)
        except OutOfFrames as failure:
            return number, failure
    raise AssertionError("nothing failed")


@pytest.mark.parametrize("policy", [FIRST_FIT, load_policy("buddy", uncompiled=True), load_policy(PLAIN)], ids=["first-fit", "buddy", "plain"])
def test_the_first_failure_is_that_of_the_moment(policy: object) -> None:
    done = replay(Trace.load("tiny"), policy, n_frames=48)      # type: ignore[arg-type]
    told = done.report()["first_failure"]
    event, failure = by_hand(done)
    assert (told["event"], told["message"]) == (event, str(failure))
    assert (told["reason"], told["n_frames"], told["n_free"]) == (failure.reason, failure.n_frames, failure.n_free)
    assert told["nearest_fit"] == (asdict(failure.nearest_fit) if failure.nearest_fit else None)
    assert done.performed.failed > 0


def test_no_failure_is_none() -> None:
    done = replay(Trace.load("tiny"), FIRST_FIT)
    assert done.performed.failed == 0
    assert done.report()["first_failure"] is None
    assert first_failure(done.manager, done.plan.operations, done.performed) is None


class Fickle:
    """Refuses the first request it ever gets, and no other: not deterministic, as a policy must not be."""

    n_made = 0

    def __init__(self, zone: object) -> None:
        Fickle.n_made += 1
        self.refuses, self.next_pfn = Fickle.n_made == 1, 0

    def alloc(self, n_frames: int) -> int | None:
        if self.refuses:
            self.refuses = False
            return None
        self.next_pfn += n_frames
        return self.next_pfn - n_frames

    def free(self, pfn: int, n_frames: int) -> None:
        pass


def test_a_policy_that_changes_its_mind_has_no_first_failure() -> None:
    done = replay(Trace.load("tiny"), Fickle, n_frames=4096)
    assert done.performed.failed == 1
    assert done.report()["first_failure"] is None


def test_people_and_programs_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("replay", "tiny", "--memory", "192K", "--policy", PLAIN)
    assert main([*arguments, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["first_failure"]
    assert main(arguments) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if "first failure" in line)
    assert line == f"  the first failure, event {told['event']:,}: {told['message'].removeprefix('OutOfFrames: ')}"
