"""The memory's part of a timeline: how many frames are free and whose they are, and in words what happened to them at one moment.

All that happens in one block of guest code is one moment: a compaction moves many segments, a batch of calls allocates many times. Viewers draw
instants of one moment in a column, one below the other, so they are told together.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

Args = dict[str, Any]
NOBODY = 0


class Move(NamedTuple):
    """Frames taken or given back; `owner` and `taker`, who took them, are names.

    They differ when others used the frames longer; and, of frees, when the frames have a new owner at the end of the moment.
    """

    verb: str
    owner: str
    pfn: int
    n_frames: int
    taker: str

    def __str__(self) -> str:
        return f"{self.verb} {self.n_frames} at {hex(self.pfn)} ({self.taker})"


@dataclass
class TraceMemory:
    """The frames as time goes on. Frames count for who took them until they are given back, by whomever."""

    n_free: int
    n_used: int
    owned: dict[int, int] = field(default_factory=dict)     # frames, by owner
    moves: list[Move] = field(default_factory=list)         # of this moment
    compaction: Args | None = None                          # of this moment
    changed: set[int] = field(default_factory=set)          # whose number of frames is not what it was before this moment
    _takers: dict[int, int] = field(default_factory=dict)   # who took a frame, by pfn
    _names: dict[int, str] = field(default_factory=dict)    # of those who took any

    def move(self, is_taken: bool, owner: int, name: str, pfn: int, n_frames: int) -> None:
        """Frames are taken by an owner, or given back."""
        taker = self._names.get(self._takers.get(pfn, NOBODY), name)
        self.moves.append(Move("alloc", name, pfn, n_frames, name) if is_taken else Move("free", name, pfn, n_frames, taker))
        if is_taken:
            self._names[owner] = name
        for frame in range(pfn, pfn + n_frames):
            if is_taken:
                self._takers[frame] = owner
            whose = owner if is_taken else self._takers.pop(frame, NOBODY)
            self.owned[whose] = self.owned.get(whose, 0) + (1 if is_taken else -1)
            self.changed.add(whose)
        self.n_free -= n_frames if is_taken else -n_frames
        self.n_used += n_frames if is_taken else -n_frames

    def told(self) -> Iterator[tuple[str, Args]]:
        """What happened at this moment, a name and the details: one thing, or none."""
        each: Args = {"each": [str(move) for move in self.moves]}
        verbs, owners = sorted({move.verb for move in self.moves}), sorted({move.taker if len(self.moves) > 1 else move.owner for move in self.moves})
        if self.compaction:
            yield "compaction", {**self.compaction, **each}
        elif len(self.moves) == 1:
            yield f"{verbs[0]} {owners[0]}", {"owner": owners[0], "pfn": hex(self.moves[0].pfn), "frames": self.moves[0].n_frames}
        elif self.moves:
            yield f"{' and '.join(verbs)} {owners[0] if len(owners) == 1 else 'several'}", {"owner": ", ".join(owners), **each}

    def next_moment(self) -> None:
        """Time goes on."""
        self.moves, self.compaction = [], None
        self.changed.clear()
