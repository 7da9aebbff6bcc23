"""First fit as a student would write it: a plain class, no import, no compiler."""

# mypy: allow-untyped-defs


class PlainFirstFit:
    """The lowest hole that is large enough; holes are [first, end] pairs in order of address."""

    def __init__(self, zone):
        self.holes = [[first, end] for first, end in zone.free_runs]
        self.steps = 0

    def alloc(self, n_frames):
        for hole in self.holes:
            self.steps += 1
            first, end = hole
            if end - first >= n_frames:
                hole[0] += n_frames
                if hole[0] == end:
                    self.holes.remove(hole)
                return first
        return None

    def free(self, pfn, n_frames):
        self.holes.append([pfn, pfn + n_frames])
        self.holes.sort()
        joined = [self.holes[0]]
        for first, end in self.holes[1:]:
            if joined[-1][1] == first:
                joined[-1][1] = end
            else:
                joined.append([first, end])
        self.holes = joined

    def check(self):
        for (_, end), (first, _) in zip(self.holes, self.holes[1:], strict=False):
            assert end < first, "two holes touch or overlap"
