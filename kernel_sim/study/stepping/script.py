"""A handful of operations, as people write them: ``a:5`` allocates 5 frames, ``f:0`` or ``f:A`` frees the first of them, ``f:A+1:2`` two in it."""

from __future__ import annotations

import random
import re
import string
from collections.abc import Sequence
from dataclasses import dataclass

from kernel_sim.errors import BadInput

LETTERS = string.ascii_uppercase + string.ascii_lowercase
"""What allocations are called, in order; after the last the first comes again."""

_ALLOC = re.compile(r"a:(\d+)((?:,(?:owner|cpu|mobility)=\d+)*)")
_FREE = re.compile(r"f:(\d+|[A-Za-z])(?:\+(\d+):(\d+))?")
_SYNTAX = "a:5 allocates 5 frames (a:5,owner=1,cpu=0,mobility=2 says for whom), f:0 or f:A frees the first allocation, f:A+1:2 two frames of it"
_MAX_NUMBER = 0xFFFF
_SHARE_OF_ALLOCS = 0.55


@dataclass(frozen=True)
class Operation:
    """One thing to do. Allocations are numbered from 0 in order (`slot`); a free is of `n_frames` at an offset of one, or of all of it (0)."""

    text: str
    allocates: bool
    slot: int
    n_frames: int = 0
    offset: int = 0
    owner: int = 0
    cpu: int = 0
    mobility: int = 0

    @property
    def letter(self) -> str:
        """The allocation's name in a drawing."""
        return LETTERS[self.slot % len(LETTERS)]


def parse(words: Sequence[str]) -> list[Operation]:
    """BadInput, naming the operation, for one that is misspelt, asks for nothing, or frees what is not there."""
    made: list[Operation] = []
    live: list[set[int]] = []       # of each allocation the offsets that are still out
    for number, word in enumerate(words, 1):
        operation = _alloc(word, len(live)) or _free(word)
        if operation is None:
            raise BadInput(f"operation {number}, {word!r}: {_SYNTAX}")
        wrong = _wrong(operation, live)
        if wrong:
            raise BadInput(f"operation {number}, {word!r}: {wrong}")
        made.append(operation)
    return made


def _alloc(word: str, slot: int) -> Operation | None:
    match = _ALLOC.fullmatch(word)
    if match is None:
        return None
    named = {name: int(value) for name, value in (part.split("=") for part in match[2].split(",") if part)}
    return Operation(word, True, slot, int(match[1]), **named)


def _free(word: str) -> Operation | None:
    match = _FREE.fullmatch(word)
    if match is None:
        return None
    slot = LETTERS.index(match[1]) if match[1] in LETTERS else int(match[1])
    return Operation(word, False, slot, int(match[3] or 0), int(match[2] or 0))


def _wrong(operation: Operation, live: list[set[int]]) -> str:
    """What is wrong with an operation after those before it, or nothing; then it is noted in `live`."""
    if operation.allocates:
        live.append(set(range(min(operation.n_frames, _MAX_NUMBER))))
        if max(operation.owner, operation.cpu, operation.mobility) > _MAX_NUMBER:
            return f"owner, cpu and mobility are no more than {_MAX_NUMBER}"
        return "" if operation.n_frames else "an allocation has at least one frame"
    if operation.slot >= len(live):
        return "there is no such allocation before it"
    out = live[operation.slot]
    freed = set(range(operation.offset, operation.offset + operation.n_frames)) if operation.n_frames else set(out)
    if not freed or not freed <= out or (not operation.n_frames and 0 not in out):
        return "that is not all there to be freed" if out else f"allocation {operation.letter} was freed before"
    out -= freed
    return ""


def at_random(n_operations: int, seed: int, sizes: Sequence[int]) -> list[Operation]:
    """Operations by the dice: a little more than half allocate one of `sizes` frames, the others free one of the allocations before."""
    dice = random.Random(seed)
    made: list[Operation] = []
    live: list[int] = []
    n_allocs = 0
    for _ in range(n_operations):
        if not live or dice.random() < _SHARE_OF_ALLOCS:
            n_frames = dice.choice(sizes)
            made.append(Operation(f"a:{n_frames}", True, n_allocs, n_frames))
            live.append(n_allocs)
            n_allocs += 1
        else:
            slot = live.pop(dice.randrange(len(live)))
            made.append(Operation(f"f:{slot}", False, slot))
    return made
