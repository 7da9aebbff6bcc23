"""A stack of frames that keeps the contract; broken ones, and policies that are no policies at all."""

# mypy: allow-untyped-defs

import random


class Stack:
    """Single frames, last in, first out."""

    rule = "page-stack"

    def __init__(self, zone):
        self.frames = [pfn for first, end in reversed(zone.free_runs) for pfn in range(end - 1, first - 1, -1)]

    def granted(self, n_frames):
        return 1 if n_frames == 1 else 0

    def alloc(self, n_frames):
        return self.frames.pop() if self.frames else None

    def free(self, pfn, n_frames):
        self.frames += range(pfn, pfn + n_frames)


class Queue(Stack):
    """First in, first out."""

    breaks = ("placement",)

    def alloc(self, n_frames):
        return self.frames.pop(0) if self.frames else None


class GivesTheSameFrameTwice(Stack):
    """The frame stays on the stack."""

    breaks = ("own frames", "placement")

    def alloc(self, n_frames):
        return self.frames[-1] if self.frames else None


class TakesBackTheFirstFrameOnly(Stack):
    """Of several frames the first is pushed."""

    breaks = ("no refusal without a reason", "placement", "nothing lost")

    def free(self, pfn, n_frames):
        self.frames.append(pfn)


class DropsWhatIsFreed(Stack):
    """It never takes anything back."""

    breaks = ("no refusal without a reason", "placement", "nothing lost")

    def free(self, pfn, n_frames):
        pass


class StartsEmpty(Stack):
    """It knows of no frame at the start."""

    breaks = ("no refusal without a reason", "placement", "nothing lost")

    def __init__(self, zone):
        self.frames = []


class GivesTwoForOne(Stack):
    """It says that it never gives two frames, and is asked for one at a time; then it says that it gave two."""

    breaks = ("own frames", "placement", "no nonsense")

    def granted(self, n_frames):
        return 2 if n_frames == 1 else 0


class AnswersWithText:
    """Not a number."""

    breaks = ("no nonsense",)

    def __init__(self, zone):
        pass

    def alloc(self, n_frames):
        return "frame 0"

    def free(self, pfn, n_frames):
        pass


class RaisesOnFree(Stack):
    """Whatever is freed is looked up in a table where it is not."""

    breaks = ("no nonsense",)

    def free(self, pfn, n_frames):
        {}[pfn]


class ThrowsDice(Stack):
    """Any free frame, and another one every time."""

    rule = None
    breaks = ("same twice",)

    def alloc(self, n_frames):
        return self.frames.pop(random.randrange(len(self.frames))) if self.frames else None


class Liar(Stack):
    """It grants less than what is asked for."""

    breaks = ("no nonsense",)

    def granted(self, n_frames):
        return 1
