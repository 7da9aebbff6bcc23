"""Replay: a trace's operations on a manager, without a guest. The placements are those of the guest's run, to the frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kernel_sim.allocators.base import Policy
from kernel_sim.manager import FrameManager
from kernel_sim.operations import Performed, perform
from kernel_sim.study import slots
from kernel_sim.study.report import first_failure_report, memory_report, operations_report
from kernel_sim.study.setting import settle
from kernel_sim.zones import Range

if TYPE_CHECKING:
    from kernel_sim.study.framemap import FrameMap
    from kernel_sim.study.metrics import Samples
    from kernel_sim.study.trace import Trace


@dataclass(frozen=True)
class Replay:
    """A replay that is done: the manager as it was left, the plan, and what became of it."""

    manager: FrameManager
    plan: slots.SlotPlan
    performed: Performed
    samples: Samples | None = None

    @property
    def complete(self) -> bool:
        """Whether it came to the end of the trace, uninterrupted."""
        return self.performed.n_performed == len(self.plan.operations)

    def report(self) -> dict[str, Any]:
        """The numbers of `kernel-sim replay --json`."""
        samples = {"samples": self.samples.as_json()} if self.samples is not None else {}
        return {**memory_report(self.manager), **operations_report(self.plan.counts, self.performed),
                **first_failure_report(self.manager, self.plan.operations, self.performed), **samples}


def replay(trace: Trace, policy: str | type | Policy = "buddy", *, n_frames: int | None = None, memory_map: Sequence[Range] | None = None,
           start: FrameMap | None = None, progress: Callable[[int], None] | None = None, every: int = 0) -> Replay:
    """Play a trace on a memory of its own, of another size (`n_frames`), or with another memory map or start map (`kernel_sim.study.setting`).

    With `every`, the memory is looked at after so many operations each (`Replay.samples`). BadInput for a memory that does not fit the trace,
    BadPolicy for a policy. An interrupt ends the replay early; see `Replay.complete`.
    """
    setting = settle(trace, n_frames, memory_map, start)
    plan = slots.operations(trace, setting.start, setting.usable)
    return play(FrameManager(setting.zones, policy, setting.in_use), plan, progress, every)


def play(manager: FrameManager, plan: slots.SlotPlan, progress: Callable[[int], None] | None = None, every: int = 0) -> Replay:
    """Carry a plan out on a manager, with a sample after every `every` operations if that is not 0."""
    from kernel_sim.study.metrics import Sampler, telling_both

    sampler = Sampler(manager, every) if every else None
    performed = perform(manager, plan.operations, plan.n_slots, telling_both(sampler, progress), every)
    return Replay(manager, plan, performed, sampler.samples(performed.n_performed) if sampler else None)
