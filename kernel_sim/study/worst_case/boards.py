"""A small memory under a policy, whose state can be saved and set back to: what the generic search plays on.

`ManagerBoard` is a real manager. Its state is what the frame table says of every frame and whatever the policy keeps besides: its links and words,
or a plain policy's attributes (but for its counter ``steps``). Links that a compiled policy left behind and will never read again tell states apart
that are not different: the answer is the same, the search a hundred times as long. `RuleBoard` is a policy's placement rule
(`kernel_sim.study.contract.rules`, which the contract's tests hold to the policy's own placements, to the frame): its lists hold nothing but what
is free.
"""

from __future__ import annotations

import pickle
from typing import Any, Protocol

import numpy as np

from kernel_sim.allocators.base import Policy
from kernel_sim.compiled import Array
from kernel_sim.errors import BadPolicy, OutOfFrames
from kernel_sim.frames import FRAME, HEAD, PAD, TAIL
from kernel_sim.manager import FrameManager
from kernel_sim.study.contract.rules import rule_for
from kernel_sim.zones import plain_zone

_EFFORT = ("steps", "examined", "splits", "merges")
_NOT_THE_POLICYS = ("owner", "event")

Live = dict[int, tuple[int, int]]
"""Every live allocation by its pfn: the frames asked for and the frames given."""


class Board(Protocol):
    """What the search needs of a memory."""

    def save(self) -> tuple[bytes, Any]: ...            # a key that is equal for equal states, and what `load` takes
    def load(self, saved: Any) -> None: ...
    def live(self) -> Live: ...
    def granted(self, n_frames: int) -> int: ...
    def alloc(self, n_frames: int) -> int | None: ...
    def free(self, pfn: int) -> None: ...


class RuleBoard:
    """A policy's placement rule, and what it has given out."""

    def __init__(self, rule: type, n_frames: int) -> None:
        [zone] = plain_zone(n_frames)
        self._rule = rule(zone, [(0, n_frames)])
        self._live: Live = {}

    def save(self) -> tuple[bytes, Any]:
        held = pickle.dumps({name: value for name, value in vars(self._rule).items() if name not in _EFFORT})
        live = tuple(sorted(self._live.items()))
        return held + repr(live).encode(), (held, live)

    def load(self, saved: Any) -> None:
        vars(self._rule).update(pickle.loads(saved[0]))
        self._live = dict(saved[1])

    def live(self) -> Live:
        return self._live

    def granted(self, n_frames: int) -> int:
        return int(self._rule.granted(n_frames))

    def alloc(self, n_frames: int) -> int | None:
        granted = self.granted(n_frames)
        pfn: int | None = self._rule.alloc(n_frames) if granted else None
        if pfn is not None:
            self._live[pfn] = (n_frames, granted)
        return pfn

    def free(self, pfn: int) -> None:
        self._rule.free(pfn, self._live.pop(pfn)[1])


class ManagerBoard:
    """A real manager."""

    def __init__(self, policy: Policy, n_frames: int) -> None:
        self._manager = manager = FrameManager(n_frames, policy)
        self._plain = manager.area(0) if manager.policy.plain else None
        self._arrays: list[Array] = [manager.table.frames, manager.zone_records, *manager._words]
        self._kept = np.array([at for name in FRAME.names or () if name not in _NOT_THE_POLICYS for at in _bytes_of(name)])

    def save(self) -> tuple[bytes, Any]:
        arrays = [array.tobytes() for array in self._arrays]
        table = self._manager.table.frames.view(np.uint8).reshape(-1, FRAME.itemsize)[:, self._kept].tobytes()
        attributes = self._attributes() if self._plain is not None else b""
        return b"".join([table, *arrays[2:], attributes]), (arrays, attributes)

    def load(self, saved: Any) -> None:
        arrays, attributes = saved
        for array, before in zip(self._arrays, arrays, strict=True):
            array[:] = np.frombuffer(before, array.dtype)
        if self._plain is not None:
            for name, value in pickle.loads(attributes).items():
                setattr(self._plain.instance, name, value)

    def live(self) -> Live:
        found: Live = {}
        head = 0
        for pfn, state in enumerate(self._manager.table.frames["state"].tolist()):
            if state == HEAD:
                head, found[pfn] = pfn, (1, 1)
            elif state in (TAIL, PAD):
                asked, given = found[head]
                found[head] = asked + (state == TAIL), given + 1
        return found

    def granted(self, n_frames: int) -> int:
        return self._manager.granted_in(0, n_frames)

    def alloc(self, n_frames: int) -> int | None:
        try:
            return self._manager.alloc(n_frames)
        except OutOfFrames:
            return None

    def free(self, pfn: int) -> None:
        self._manager.free(pfn)

    def _attributes(self) -> bytes:
        """What a plain policy's instance holds, in its slots, too."""
        assert self._plain is not None
        state = self._plain.instance.__getstate__()
        parts = [part for part in (state if isinstance(state, tuple) else (state,)) if part]
        held = {name: value for part in parts for name, value in part.items() if name != "steps"}
        try:
            return pickle.dumps(held)
        except Exception as error:      # whatever a user's class may hold
            raise BadPolicy(f"policy {self._manager.policy.name}: its state cannot be copied ({error})") from error


def _bytes_of(name: str) -> range:
    """Which bytes of a frame's record a field takes."""
    assert FRAME.fields is not None
    dtype, offset = FRAME.fields[name][:2]
    return range(offset, offset + dtype.itemsize)


def rule_of(policy: Policy) -> type | None:
    """The policy's placement rule, if it has one."""
    return None if policy.plain else rule_for(policy.name)
