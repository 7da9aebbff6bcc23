"""Bitmap: where it must place."""

from __future__ import annotations

from collections.abc import Sequence

from kernel_sim.study.contract.rules.common import Tallies
from kernel_sim.zones import Range, Zone

WORD = 64


class Bitmap(Tallies):
    """A set of free frames. Words are 64 frames that begin at multiples of 64."""

    def __init__(self, zone: Zone, free_runs: Sequence[Range]) -> None:
        super().__init__()
        self.zone = zone
        self.free_frames = {pfn for run in free_runs for pfn in range(*run)}

    def granted(self, n_frames: int) -> int:
        return n_frames if n_frames <= self.zone.end_pfn - self.zone.first_pfn else 0

    def run_at(self, pfn: int, n_frames: int) -> int:
        """How many of so many frames from pfn on are free before the first that is not."""
        return next((i for i in range(n_frames) if pfn + i not in self.free_frames), n_frames)

    def starts_in(self, word: int, n_frames: int, start: int = 0) -> list[int]:
        """The frames of a word, from `start` on, with so many free ones from there on."""
        free = sorted(pfn for pfn in range(max(start, word * WORD), (word + 1) * WORD) if pfn in self.free_frames)
        return [pfn for pfn in free if self.run_at(pfn, n_frames) == n_frames]

    def lowest_from(self, start: int, n_frames: int) -> int | None:
        """Looks at each word where a stretch of the power of two below starts (at most 64), and at the words behind it for a long run."""
        power = min(2 ** (n_frames.bit_length() - 1), WORD)
        last_word, word = self.zone.end_pfn // WORD, start // WORD
        while word <= last_word:
            word_after = word + 1
            if self.starts_in(word, power):
                self.examined += 1
                found = self.starts_in(word, min(n_frames, WORD), start)
                if found:
                    run = self.run_at(found[0], n_frames)
                    if n_frames > WORD:
                        self.examined += self.words_behind(found[0], run, n_frames)
                    if run == n_frames:
                        return found[0]
                    word_after = (found[0] + run) // WORD
            word = word_after
        return None

    def words_behind(self, pfn: int, run: int, n_frames: int) -> int:
        """How many words behind that of pfn are read until the run ends or is long enough: the end itself is read when it is too soon."""
        last = pfn + n_frames - 1 if run == n_frames else pfn + run
        return last // WORD - pfn // WORD

    def alloc(self, n_frames: int) -> int | None:
        pfn = self.choose(n_frames)
        if pfn is not None:
            self.free_frames -= set(range(pfn, pfn + n_frames))
        return pfn

    def choose(self, n_frames: int) -> int | None:
        return self.lowest_from(self.zone.first_pfn, n_frames)

    def free(self, pfn: int, n_frames: int) -> None:
        self.free_frames |= set(range(pfn, pfn + n_frames))


class NextBitmap(Bitmap):
    """From the end of the last allocation on, then from the start."""

    def __init__(self, zone: Zone, free_runs: Sequence[Range]) -> None:
        super().__init__(zone, free_runs)
        self.rover = zone.first_pfn // WORD * WORD

    def choose(self, n_frames: int) -> int | None:
        pfn = self.lowest_from(self.rover, n_frames)
        if pfn is None and self.rover > self.zone.first_pfn:
            pfn = super().choose(n_frames)
        return pfn

    def alloc(self, n_frames: int) -> int | None:
        pfn = super().alloc(n_frames)
        if pfn is not None:
            self.rover = pfn + n_frames
        return pfn


def rule(search: str) -> type:
    return {"first": Bitmap, "next": NextBitmap}[search]
