"""Ctrl-C, and exceptions on their way out of a policy that the engine calls. Signals are for processes, so a child process gets them."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import hear_interrupts
from guest.workloads import ONES, random_operations

from kernel_sim import BadPolicy, FrameManager
from kernel_sim.machine.machine import Machine
from kernel_sim.operations import ALLOC, OPERATION

TESTS = Path(__file__).parents[1]

CHILD = """
import sys, time
from guest.raw import FOREVER, machine_of
from guest.workloads import ONES, random_operations
from kernel_sim import FrameManager
from kernel_sim.machine.machine import Machine

class Stack:
    def __init__(self, zone):
        self.free_frames = [pfn for first, end in zone.free_runs for pfn in range(first, end)]
    def alloc(self, n_frames):
        return self.free_frames.pop() if n_frames == 1 and self.free_frames else None
    def free(self, pfn, n_frames):
        self.free_frames.extend(range(pfn, pfn + n_frames))

class Stuck(Stack):
    def alloc(self, n_frames):
        while True:
            pass

def run(machine, operations=None):
    told = []
    def ready(done=0):      # with operations, when the guest asks for the first of them
        if not told:
            told.append(done)
            print("ready", flush=True)
    if operations is None:
        ready()
    try:
        done = machine.run(operations, ready if operations is not None else None)
    except KeyboardInterrupt:
        print("KeyboardInterrupt")
        return None
    print(done.stopped, done.exit_status, done.ok, done.fault)
    return done

"""


def interrupted(what: str, *pauses: float) -> list[str]:
    """Run `what` after CHILD, send SIGINT after each pause from when it is ready; the lines it printed after that. It must end well, and soon."""
    with subprocess.Popen([sys.executable, "-X", "faulthandler", "-c", CHILD + what], cwd=TESTS, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=hear_interrupts) as child:
        try:
            assert child.stdout is not None
            line = child.stdout.readline()
            assert line == "ready\n", line + child.communicate()[1]
            for pause in pauses:
                time.sleep(pause)
                child.send_signal(signal.SIGINT)
            out, err = child.communicate(timeout=300)
            assert (child.returncode, err) == (0, "")
        finally:
            child.kill()        # one that hears no interrupt would run for ever
    return out.splitlines()


def test_an_endless_guest() -> None:
    lines = interrupted("""
machine = machine_of(FOREVER, budget=1 << 62)
done = run(machine)
assert 0 < done.blocks < 1 << 62
machine.manager.check()
for _ in range(20):
    assert machine_of(b"\\xf4").run().stopped == "halt"     # the engine is fine
""", 0.5)
    assert lines[0].startswith("interrupt None False None")


def test_a_compiled_replay() -> None:
    lines = interrupted("""
import numpy as np
operations = np.tile(random_operations(1, 2000), 1)
manager = FrameManager(1 << 14)
machine = Machine(manager, "replay", budget=1 << 62)
from kernel_sim.operations import ALLOC, FREE, OPERATION
operations = np.zeros(8_000_000, OPERATION)
operations["n_frames"], operations["kind"][0::2], operations["kind"][1::2] = 1, ALLOC, FREE
operations["slot"] = np.arange(len(operations)) // 2
done = run(machine, operations)
assert done.performed.served == manager.stats().n_allocs > 0, (done.performed, manager.stats())
assert done.performed.failed == 0 and len(done.performed.placements) == done.performed.served < 4_000_000
manager.check()
""", 0.5)
    assert lines[0].startswith("interrupt None False None")


def test_a_replay_with_a_plain_policy() -> None:
    """The doorbell is answered in the interpreter, in the engine's thread."""
    lines = interrupted("""
manager = FrameManager(1 << 12, Stack)
done = run(Machine(manager, "replay"), random_operations(1, 100_000, ONES, live=1000))
assert 0 < done.performed.served == manager.stats().n_allocs < 50_000, (done.performed, manager.stats())
manager.check()
""", 1.0)
    assert lines[0].startswith("interrupt None False None")


def test_a_policy_that_does_not_come_back() -> None:
    """The first Ctrl-C cannot stop it; the second is raised inside it, and the run with it."""
    assert interrupted('run(Machine(FrameManager(64, Stuck), "hello"))', 0.5, 1.0) == ["KeyboardInterrupt"]


class Poor:
    """A policy of single frames that has trouble when it becomes poor."""

    def __init__(self, zone) -> None:  # type: ignore[no-untyped-def]
        self.free_frames = [pfn for first, end in zone.free_runs for pfn in range(first, end)]

    def alloc(self, n_frames):  # type: ignore[no-untyped-def]
        if len(self.free_frames) < 90:
            return self.trouble()
        return self.free_frames.pop() if n_frames == 1 else None

    def free(self, pfn, n_frames) -> None:  # type: ignore[no-untyped-def]
        self.free_frames.extend(range(pfn, pfn + n_frames))

    def trouble(self):  # type: ignore[no-untyped-def]
        raise NotImplementedError


ALLOCATIONS = np.array([(ALLOC, 0, 0, 0, 0, 1, 0, slot) for slot in range(50)], OPERATION)


@pytest.mark.parametrize(("answer", "message"), [
    (KeyError("boo"), r"alloc\(1\) raised KeyError: 'boo' \(line \d+ of test_interrupting.py\)"),
    (RecursionError("deep"), "raised RecursionError: deep"),
    (1 << 70, "returned 1180591620717411303424, which is no frame of its zone"),
    (-5, "returned -5, which is no frame of its zone"),
    (1.5, "returned 1.5, which is not a whole number"),
    ("many", "returned 'many', which is not a whole number"),
    (99, "gave out frame 0x63, which is allocated, by event 1"),
])
def test_nonsense_from_a_plain_policy(answer: object, message: str) -> None:
    """Whatever goes wrong in a policy under the engine comes out of `run`, and no traceback is printed on the way."""
    class Bad(Poor):
        def trouble(self):  # type: ignore[no-untyped-def]
            if isinstance(answer, Exception):
                raise answer
            return answer

    machine = Machine(FrameManager(100, Bad), "replay")
    with pytest.raises(BadPolicy, match=message):
        machine.run(ALLOCATIONS)


def test_nothing_is_printed_on_the_way(capfd: pytest.CaptureFixture[str]) -> None:
    class Bad(Poor):
        def trouble(self):  # type: ignore[no-untyped-def]
            raise SystemExit(7)

    with pytest.raises(SystemExit):
        Machine(FrameManager(100, Bad), "replay").run(ALLOCATIONS)
    assert capfd.readouterr() == ("", "")


def test_no_is_an_answer() -> None:
    class Bad(Poor):
        def trouble(self):  # type: ignore[no-untyped-def]
            return None

    run = Machine(FrameManager(100, Bad), "replay").run(ALLOCATIONS)
    assert run.ok and (run.performed.served, run.performed.failed) == (11, 39)


def test_exceptions_of_those_who_watch() -> None:
    """`progress` and `watch` are called in the engine's thread; what they raise comes out, too."""
    def stop(*_: object) -> None:
        raise BrokenPipeError("no reader")

    with pytest.raises(BrokenPipeError):
        Machine(FrameManager(100), "replay").run(ALLOCATIONS, progress=stop)
    with pytest.raises(BrokenPipeError):
        Machine(FrameManager(100), "hello").run(watch=stop)
    assert Machine(FrameManager(100), "replay").run(random_operations(1, 50, ONES)).ok
