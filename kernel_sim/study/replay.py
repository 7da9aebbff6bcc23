"""Replay: a trace's operations on a manager, without a guest. The placements are those of the guest's run, to the frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kernel_sim.allocators.base import Policy
from kernel_sim.manager import FrameManager
from kernel_sim.operations import Performed, perform
from kernel_sim.study import slots
from kernel_sim.study.report import memory_report, operations_report
from kernel_sim.study.setting import settle
from kernel_sim.zones import Range

if TYPE_CHECKING:
    from kernel_sim.study.framemap import FrameMap
    from kernel_sim.study.trace import Trace


@dataclass(frozen=True)
class Replay:
    """A replay that is done: the manager as it was left, the plan, and what became of it."""

    manager: FrameManager
    plan: slots.SlotPlan
    performed: Performed

    @property
    def complete(self) -> bool:
        """Whether it came to the end of the trace, uninterrupted."""
        return self.performed.n_performed == len(self.plan.operations)

    def report(self) -> dict[str, Any]:
        """The numbers of `kernel-sim replay --json`."""
        return {**memory_report(self.manager), **operations_report(self.plan.counts, self.performed)}


def replay(trace: Trace, policy: str | type | Policy = "buddy", *, n_frames: int | None = None, memory_map: Sequence[Range] | None = None,
           start: FrameMap | None = None, progress: Callable[[int], None] | None = None) -> Replay:
    """Play a trace on a memory of its own, of another size (`n_frames`), or with another memory map or start map (`kernel_sim.study.setting`).

    BadInput for a memory that does not fit the trace, BadPolicy for a policy. An interrupt ends the replay early; see `Replay.complete`.
    """
    setting = settle(trace, n_frames, memory_map, start)
    plan = slots.operations(trace, setting.start, setting.usable)
    manager = FrameManager(setting.zones, policy, setting.in_use)
    return Replay(manager, plan, perform(manager, plan.operations, plan.n_slots, progress))
