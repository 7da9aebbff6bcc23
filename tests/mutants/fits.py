"""Fits in plain Python that keep the contract, and broken ones, each with one mistake."""

# mypy: allow-untyped-defs


class FirstFit:
    """Holes are [first, end] pairs in order of address."""

    rule = "first-fit"

    def __init__(self, zone):
        self.zone = zone
        self.holes = [list(run) for run in zone.free_runs]
        self.steps = 0

    def choose(self, n_frames):
        for hole in self.holes:
            self.steps += 1
            if self.fits(hole, n_frames):
                return hole
        return None

    def fits(self, hole, n_frames):
        return hole[1] - hole[0] >= n_frames

    def alloc(self, n_frames):
        hole = self.choose(n_frames)
        return None if hole is None else self.carve(hole, n_frames)

    def carve(self, hole, n_frames):
        first = hole[0]
        hole[0] += n_frames
        if hole[0] == hole[1]:
            self.holes.remove(hole)
        return first

    def free(self, pfn, n_frames):
        self.holes.append([pfn, pfn + n_frames])
        self.holes.sort()
        self.coalesce()

    def coalesce(self):
        joined = []
        for first, end in self.holes:
            if joined and self.touch(joined[-1], first):
                joined[-1][1] = end
            else:
                joined.append([first, end])
        self.holes = joined

    def touch(self, hole, first):
        return hole[1] == first


class BestFit(FirstFit):
    """The smallest, the lowest of equals."""

    rule = "best-fit"

    def choose(self, n_frames):
        self.steps += len(self.holes)
        return min((hole for hole in self.holes if self.fits(hole, n_frames)), key=lambda hole: (hole[1] - hole[0], hole[0]), default=None)


class WorstFit(FirstFit):
    """The largest, the lowest of equals."""

    rule = "worst-fit"

    def choose(self, n_frames):
        self.steps += len(self.holes)
        return min((hole for hole in self.holes if self.fits(hole, n_frames)), key=lambda hole: (hole[0] - hole[1], hole[0]), default=None)


class NextFit(FirstFit):
    """From the end of the last allocation on, then from the start."""

    rule = "next-fit"

    def __init__(self, zone):
        super().__init__(zone)
        self.rover = zone.first_pfn

    def choose(self, n_frames):
        onwards = [hole for hole in self.holes if hole[0] >= self.rover]
        for hole in onwards + [hole for hole in self.holes if hole not in onwards]:
            self.steps += 1
            if self.fits(hole, n_frames):
                return hole
        return None

    def carve(self, hole, n_frames):
        first = super().carve(hole, n_frames)
        self.rover = first + n_frames
        return first


class IndexedBestFit(BestFit):
    """Best fit with an index: holes by their size."""

    def __init__(self, zone):
        super().__init__(zone)
        self.steps = 0
        self.by_size = {}
        self.index()

    def index(self):
        self.by_size = {}
        for hole in self.holes:
            self.by_size.setdefault(hole[1] - hole[0], []).append(hole)

    def choose(self, n_frames):
        size = min((size for size in self.by_size if size >= n_frames), default=None)
        return None if size is None else min(self.by_size[size])

    def carve(self, hole, n_frames):
        first = super().carve(hole, n_frames)
        self.index()
        return first

    def free(self, pfn, n_frames):
        super().free(pfn, n_frames)
        self.index()


class NeverCoalesces(FirstFit):
    """Holes that touch stay two."""

    breaks = ("placement",)

    def coalesce(self):
        pass


class CoalescesToTheLeftOnly(FirstFit):
    """The hole behind what is freed stays on its own."""

    breaks = ("placement",)

    def free(self, pfn, n_frames):
        for hole in self.holes:
            if hole[1] == pfn:
                hole[1] += n_frames
                return
        self.holes = sorted([*self.holes, [pfn, pfn + n_frames]])


class CoalescesOverAGap(FirstFit):
    """Holes with one frame between them are taken to touch."""

    breaks = ("own frames", "placement")

    def touch(self, hole, first):
        return first - hole[1] <= 1


class CoalescesOverAnEdge(FirstFit):
    """One list of holes for all zones: holes grow over a zone's edge."""

    breaks = ("own frames", "placement", "no nonsense")
    shared = None

    def __init__(self, zone):
        super().__init__(zone)
        if zone.first_pfn == 0 or CoalescesOverAnEdge.shared is None:
            CoalescesOverAnEdge.shared = self
        else:
            CoalescesOverAnEdge.shared.holes += self.holes

    def alloc(self, n_frames):
        return super().alloc(n_frames) if self is CoalescesOverAnEdge.shared else CoalescesOverAnEdge.shared.alloc(n_frames)

    def free(self, pfn, n_frames):
        FirstFit.free(CoalescesOverAnEdge.shared, pfn, n_frames)


class LosesAHoleWhenCarvingExactly(FirstFit):
    """When a hole is used up, the hole behind it goes, too."""

    breaks = ("effort", "no refusal without a reason", "placement", "nothing lost")

    def carve(self, hole, n_frames):
        at = self.holes.index(hole)
        if hole[1] - hole[0] == n_frames:
            del self.holes[at + 1:at + 2]
        return super().carve(hole, n_frames)


class RefusesAnExactFit(FirstFit):
    """A hole must be larger than what is asked for."""

    breaks = ("no refusal without a reason", "placement", "nothing lost")

    def fits(self, hole, n_frames):
        return hole[1] - hole[0] > n_frames


class FitsOneFrameTooMany(FirstFit):
    """A hole may be a frame too short."""

    breaks = ("own frames", "placement", "no nonsense")

    def fits(self, hole, n_frames):
        return hole[1] - hole[0] >= n_frames - 1


class RemainderBeginsAFrameEarly(FirstFit):
    """What is left of a hole has the last frame that was given out."""

    breaks = ("own frames", "placement")

    def carve(self, hole, n_frames):
        first = super().carve(hole, n_frames)
        if n_frames > 1 and hole in self.holes:
            hole[0] -= 1
        return first


class CarvesTheHighEnd(FirstFit):
    """The request is taken from the high end."""

    breaks = ("placement",)

    def carve(self, hole, n_frames):
        hole[1] -= n_frames
        if hole[0] == hole[1]:
            self.holes.remove(hole)
        return hole[1]


class ForgetsPartsOfAllocations(FirstFit):
    """It takes allocations back only as it gave them: parts are forgotten."""

    breaks = ("no refusal without a reason", "placement", "nothing lost")

    def __init__(self, zone):
        super().__init__(zone)
        self.given = {}

    def carve(self, hole, n_frames):
        first = super().carve(hole, n_frames)
        self.given[first] = n_frames
        return first

    def free(self, pfn, n_frames):
        if self.given.get(pfn, n_frames) == n_frames:
            super().free(pfn, n_frames)


class BestFitOfTheHighest(BestFit):
    """Of equal holes the highest."""

    breaks = ("placement",)

    def choose(self, n_frames):
        self.steps += len(self.holes)
        return min((hole for hole in self.holes if self.fits(hole, n_frames)), key=lambda hole: (hole[1] - hole[0], -hole[0]), default=None)


class WorstFitIsBestFit(WorstFit):
    """The smallest instead of the largest."""

    breaks = ("placement",)

    def choose(self, n_frames):
        return BestFit.choose(self, n_frames)


class RoverNotMoved(NextFit):
    """The rover stays where it was."""

    breaks = ("placement", "effort")

    def carve(self, hole, n_frames):
        return FirstFit.carve(self, hole, n_frames)


class RoverDoesNotComeRound(NextFit):
    """The search ends at the end of memory."""

    breaks = ("placement", "no refusal without a reason", "nothing lost")

    def choose(self, n_frames):
        return next((hole for hole in self.holes if hole[0] >= self.rover and self.fits(hole, n_frames)), None)


class IndexNotUpdatedOnFree(IndexedBestFit):
    """What is freed stands in the list of holes, and not in the index."""

    breaks = ("placement", "no refusal without a reason", "own frames", "nothing lost", "no nonsense")

    def free(self, pfn, n_frames):
        BestFit.free(self, pfn, n_frames)


class IndexNotUpdatedOnCarve(IndexedBestFit):
    """The index goes by the size that a hole once had."""

    breaks = ("own frames", "placement", "no nonsense")

    def carve(self, hole, n_frames):
        return BestFit.carve(self, hole, n_frames)


class CountsTooLittle(FirstFit):
    """It does not count the hole that fits."""

    breaks = ("effort",)

    def choose(self, n_frames):
        found = super().choose(n_frames)
        self.steps -= (found is not None) and self.steps > 1
        return found
