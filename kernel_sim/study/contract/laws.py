"""The laws of the contract, each with a name, and the finding that one is broken."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from kernel_sim.errors import BadPolicy, BrokenInvariant

LAWS = {
    "own frames": "what is given out exists, is free, and lies in one zone without a hole",
    "enough": "what is given out is at least what was asked for, and as much as the policy says that it gives",
    "no refusal without a reason": "a single frame is refused only when there is none, and the reason given is the true one",
    "highest zone": "a single frame comes from the highest zone that has one",
    "placement": "an allocation is placed where the written rule of the policy says",
    "effort": "holes examined, splits and merges are as many as the written rule says",
    "audit": "after every operation the policy's own lists and the frame table agree, and its own check finds nothing",
    "figures": "what the manager tells (free runs, blocks, events, counts) is what the books say",
    "wrong frees": "a wrong free is refused by its name, with the facts, and changes nothing",
    "last user": "frames that several use are free when the last of them has given them back, and until then each of them has them",
    "nothing lost": "when all is freed, every frame that is not reserved can be had again, one by one",
    "same twice": "the same operations make the same placements and the same events",
    "no nonsense": "the policy raises nothing, and answers with a frame or with none",
}
"""By name, as a sentence."""


class BrokenLaw(AssertionError):
    """A policy broke the contract: `law` is a name in LAWS, `what` says how, in one line."""

    def __init__(self, law: str, what: str) -> None:
        super().__init__(f"{law}: {what}" if what else f"{law}: {LAWS[law]}")
        self.law = law
        self.what = what or LAWS[law]


def require(holds: object, law: str, what: str = "") -> None:
    """BrokenLaw unless it holds."""
    if not holds:
        raise BrokenLaw(law, what)


@contextmanager
def held_to(law: str) -> Iterator[None]:
    """Whatever the manager complains of in here breaks that law; what it says that the policy gave out, the one about frames."""
    try:
        yield
    except (BrokenInvariant, BadPolicy) as error:
        text = str(error).splitlines()[0]
        raise BrokenLaw("own frames" if "gave out frame" in text else law, text) from error
