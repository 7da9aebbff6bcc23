"""Before a step a question, after it whether the answer was right."""

from __future__ import annotations

from dataclasses import dataclass

from kernel_sim.study.stepping.stepper import Step

_NOWHERE = ("-", "no", "none", "nowhere")


@dataclass(frozen=True)
class Question:
    """What is asked about a step, and the answer: a frame, a block as (first, end), or None for nowhere."""

    text: str
    block: tuple[int, int] | None
    with_length: bool       # whether the answer may give the block's length, too

    @property
    def solution(self) -> str:
        """The answer as people write it."""
        if self.block is None:
            return "-"
        return f"{self.block[0]}:{self.block[1] - self.block[0]}" if self.with_length else str(self.block[0])

    def is_right(self, text: str) -> bool:
        """Whether an answer is right: a frame number (``8``, ``0x8``), or ``-`` for nowhere. A length behind it counts where one is asked for."""
        text = text.strip().lower()
        if self.block is None or text in _NOWHERE:
            return self.block is None and text in _NOWHERE
        first, colon, length = text.partition(":")
        if _number(first) != self.block[0]:
            return False
        return not colon or not self.with_length or _number(length) == self.block[1] - self.block[0]


def question_about(step: Step) -> Question | None:
    """Where an allocation goes, or which free block the freed frames are in then; None for a free that finds nothing to free."""
    if step.operation.allocates:
        return Question("where does it go? (its first frame, or - for nowhere)", step.range, False)
    if step.range is None:
        return None
    holding = next(block for block in step.free_after if block[0] <= step.range[0] < block[1])
    return Question("which free block is it in then? (first, or first:frames)", holding, True)


def _number(text: str) -> int | None:
    try:
        return int(text, 0)
    except ValueError:
        return None
