"""A frame manager whose memory grows and shrinks at the top while it runs, as a heap's does with ``brk``.

The frames of such a manager are whatever the user counts in: a heap's are granules of 16 bytes. To the policy the zone reaches to the limit
from the start, with every frame in it in use; to the frame table the memory ends at the *break*. Growth moves the break up and frees the new
frames, so that the policy coalesces them with what was free below by its own rules. Nothing beyond the break costs host memory.

The way back needs a policy that can give up certain frames (`Policy.take`): those at the top, so that the break can move down, or those right
behind an allocation, so that it can become longer where it is. A policy without `take` does neither.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from kernel_sim import events, ledger
from kernel_sim.allocators.base import Policy
from kernel_sim.compiled import Array, bind, compiled, entry, interpreted
from kernel_sim.errors import BadInput, OutOfRange
from kernel_sim.frames import CHUNK_SHIFT, FREE, HEAD, PAD, TAIL, Table, mark
from kernel_sim.ledger import area_of, open_state
from kernel_sim.manager import FrameManager
from kernel_sim.units import MAX_FRAMES
from kernel_sim.zones import Zone


class GrowingManager(FrameManager):
    """The frames 0 to `n_frames`, and room for more, up to `limit`. All that a `FrameManager` can do, it can, too.

    `n_frames` is at least 1. BadInput unless 1 <= n_frames <= limit; BadPolicy for a policy.
    """

    def __init__(self, n_frames: int, limit: int, policy: str | type | Policy = "first-fit") -> None:
        if not 1 <= n_frames <= limit <= MAX_FRAMES:
            raise BadInput(f"a memory that grows has at most {MAX_FRAMES} frames, and begins with 1 or more of them, not with {n_frames} of {limit}")
        self.limit = limit
        super().__init__((Zone("Memory", ((0, limit),)),), policy)
        self._whole = self.table
        self._move_break(0)
        self.grow(n_frames)

    @property
    def end(self) -> int:
        """The break: the first frame that is not there."""
        return self.n_table_frames

    @property
    def can_take(self) -> bool:
        """Whether the policy can give up certain frames, so that the break can move down and allocations can grow in place."""
        return self.policy.take is not None and not self.policy.plain

    def try_alloc(self, n_frames: int) -> tuple[int, int] | None:
        """`alloc`, for (pfn, frames granted), or None when the policy has no such run: nobody is told why, which would cost a look at every frame."""
        pfn = int(self.entries.alloc(self.root, n_frames, 0, 0, 0))
        if pfn < 0 and pfn != -events.BROKEN:
            return None
        granted = int(self._ring[int(self._counters[ledger.CLOCK]) % events.RING_EVENTS]["granted"])
        if pfn >= 0 and pfn + granted > self.end:
            self._counters[ledger.WITNESS], pfn = self.end, -events.BROKEN      # the zone goes on behind the break, the memory does not
        if pfn < 0:
            raise self.error_for(events.BROKEN, n_frames)
        return pfn, granted

    def granted(self, n_frames: int) -> int:
        """What the policy takes up for a request, in frames; 0 for more than it ever gives at once."""
        return self.granted_in(0, n_frames)

    def free(self, pfn: int, n_frames: int | None = None, owner: int = 0) -> None:
        if pfn >= self.end:
            raise OutOfRange(f"OutOfRange: there is no frame {pfn:#x}", pfn=pfn)
        super().free(pfn, n_frames, owner)

    def grow(self, n_frames: int, into: int = 0) -> None:
        """Move the break up. The first `into` of the new frames go to the allocation that ends there, padding included; the rest is freed.

        ValueError beyond the limit.
        """
        first = self.end
        if first + n_frames > self.limit:
            raise ValueError(f"the memory can grow to {self.limit} frames, not to {first + n_frames}")
        mark(self._whole, first, first + n_frames, HEAD)
        self._move_break(first + n_frames)
        if into:
            self._join(first, into)
        if into < n_frames:
            self.free(first + into, n_frames - into)

    def shrink(self, n_frames: int) -> bool:
        """Move the break down over free frames. False, and nothing is changed, when the policy cannot give them up."""
        first = self.end - n_frames
        if first < 1 or not self._take(first, n_frames):
            return False
        self._move_break(first)
        return True

    def lengthen(self, end: int, n_frames: int) -> bool:
        """Make the allocation that ends at `end`, padding included, longer by free frames behind it. False when the policy cannot give them up."""
        if end + n_frames > self.end or self.free_from(end, n_frames) < n_frames or not self._take(end, n_frames):
            return False
        self._join(end, n_frames)
        return True

    def free_from(self, pfn: int, most: int) -> int:
        """How many frames are free from `pfn` on, looking no further than at `most`."""
        return int(_run_up(self.table.frames, pfn, min(most, self.end - pfn)))

    def free_at_top(self) -> int:
        """How many frames are free right below the break."""
        return int(_run_down(self.table.frames, self.end))

    # -- the inside -------------------------------------------------------------------------------------------------------------------

    def _mark(self, in_use: Any) -> None:
        """The policy is told of the whole room, and that nothing in it is free."""
        self._words = []
        self._set_up(0, self.zones[0], [])

    def _move_break(self, end: int) -> None:
        """Let the frame table, and all that is read off it, end there. The policy goes on seeing all of the room."""
        self.n_table_frames = end
        self.table = Table(self._whole.frames[:end], self._whole.touched[:(end >> CHUNK_SHIFT) + 1], self._whole.references[:end])
        self.zone_records[0]["n_frames"] = end
        self.zones = (Zone("Memory", ((0, max(end, 1)),)),)

    def _join(self, end: int, n_frames: int) -> None:
        """Enter frames as part of the allocation before them, whose padding is padding no more."""
        frames = self.table.frames
        owner = frames[end - 1]["owner"]
        part = frames[end:end + n_frames]
        part["state"], part["owner"], part["event"] = TAIL, owner, frames[end - 1]["event"]
        while frames[end - 1]["state"] == PAD:
            end -= 1
            frames[end]["state"] = TAIL

    def _take(self, pfn: int, n_frames: int) -> bool:
        """Have the policy give up free frames. In the table they stay as they are."""
        if not self.can_take or not _take_for(self.policy)(self.root, pfn, n_frames):
            return False
        self.zone_records[0]["n_free"] -= n_frames
        return True


@entry
def _run_up(frames: Array, pfn: int, most: int) -> int:
    n_free = 0
    while n_free < most and frames[pfn + n_free]["state"] == FREE:
        n_free += 1
    return n_free


@entry
def _run_down(frames: Array, end: int) -> int:
    first = end
    while first > 0 and frames[first - 1]["state"] == FREE:
        first -= 1
    return end - first


@lru_cache(maxsize=32)
def _take_for(policy: Policy) -> Any:
    """`_take`, made for a policy that has one."""
    make = interpreted if policy.in_interpreter else entry
    open_here = compiled(bind(area_of, policy.name, policy_open=policy.open_area))
    return make(bind(_take, policy.name, area_here=open_here, policy_take=policy.take))


def area_here(state: ledger.State, zone: int) -> Any:
    raise NotImplementedError


def policy_take(area: Any, pfn: int, n_frames: int) -> bool:
    raise NotImplementedError


def _take(root: Array, pfn: int, n_frames: int) -> bool:
    return policy_take(area_here(open_state(root), 0), pfn, n_frames)
