"""A buddy in plain Python that keeps the contract, and broken ones, each with one mistake."""

# mypy: allow-untyped-defs

from collections import defaultdict

TOP = 10


class Buddy:
    """Blocks by order, last in, first out."""

    rule = "buddy"

    def __init__(self, zone):
        self.zone = zone
        self.lists = [[] for _ in range(TOP + 2)]
        self.steps = 0
        for first, end in reversed(zone.free_runs):
            for pfn, order in reversed(self.cut(first, end)):
                self.lists[order].append(pfn)

    def cut(self, first, end):
        """The largest aligned blocks of a range, lowest first."""
        blocks = []
        while first < end:
            order = max(k for k in range(TOP + 1) if first % 2**k == 0 and first + 2**k <= end)
            blocks.append((first, order))
            first += 2**order
        return blocks

    def order_of(self, n_frames):
        return (n_frames - 1).bit_length()

    def granted(self, n_frames):
        return 2 ** self.order_of(n_frames) if n_frames <= 2**TOP else 0

    def alloc(self, n_frames):
        wanted = self.order_of(n_frames)
        for order in range(wanted, len(self.lists)):
            if self.lists[order]:
                pfn = self.take(order)
                while order > wanted:
                    order -= 1
                    pfn = self.split(pfn, order)
                return pfn
        return None

    def take(self, order):
        return self.lists[order].pop()

    def split(self, pfn, order):
        """List the upper half, go on with the lower."""
        self.lists[order].append(pfn + 2**order)
        return pfn

    def free(self, pfn, n_frames):
        for block, order in self.cut(pfn, pfn + n_frames):
            self.merge(block, order)

    def merge(self, pfn, order):
        while order < TOP and self.buddy(pfn, order) in self.lists[order]:
            buddy = self.buddy(pfn, order)
            self.lists[order].remove(buddy)
            pfn, order = min(pfn, buddy), order + 1
        self.lists[order].append(pfn)

    def buddy(self, pfn, order):
        return pfn ^ 2**order

    def check(self):
        for order, blocks in enumerate(self.lists):
            assert order <= TOP or not blocks, f"a block of order {order}"
            assert len(blocks) == len(set(blocks)), f"a block of order {order} is listed twice"
            assert all(pfn % 2**order == 0 for pfn in blocks), f"a block of order {order} is not aligned"


class NeverMerges(Buddy):
    """Freed blocks stay as small as they were."""

    breaks = ("placement",)

    def merge(self, pfn, order):
        self.lists[order].append(pfn)


class MergesPastTheTop(Buddy):
    """Blocks of the top order merge, too."""

    breaks = ("audit", "placement")

    def merge(self, pfn, order):
        while order <= TOP and pfn ^ 2**order in self.lists[order]:
            self.lists[order].remove(pfn ^ 2**order)
            pfn, order = pfn & ~(2**order), order + 1
        self.lists[order].append(pfn)


class WrongBuddyBit(Buddy):
    """The neighbour two blocks away is taken for the buddy."""

    breaks = ("own frames", "audit", "placement")

    def buddy(self, pfn, order):
        return pfn ^ 2 ** (order + 1)


class BuddyIsTheNextBlock(Buddy):
    """The block behind is taken for the buddy, whichever half this one is."""

    breaks = ("own frames", "audit", "placement")

    def buddy(self, pfn, order):
        return pfn + 2**order


class KeepsTheUpperHalf(Buddy):
    """A split goes on with the upper half."""

    breaks = ("placement",)

    def split(self, pfn, order):
        self.lists[order].append(pfn)
        return pfn + 2**order


class LosesTheUpperHalf(Buddy):
    """A split lists nothing."""

    breaks = ("no refusal without a reason", "placement", "nothing lost")

    def split(self, pfn, order):
        return pfn


class FirstInFirstOut(Buddy):
    """The list is a queue."""

    breaks = ("placement",)

    def take(self, order):
        return self.lists[order].pop(0)


class ForgetsATail(Buddy):
    """The last frame of what is freed is not taken back."""

    breaks = ("no refusal without a reason", "placement", "nothing lost")

    def free(self, pfn, n_frames):
        super().free(pfn, max(n_frames - 1, 1))


class OneFrameTooFew(Buddy):
    """It says that it gives one frame less than the block that it takes."""

    breaks = ("placement", "no refusal without a reason", "nothing lost", "own frames")

    def granted(self, n_frames):
        return max(super().granted(n_frames) - 1, n_frames) if n_frames <= 2**TOP else 0


class ListsTwice(Buddy):
    """A block that does not merge is listed twice."""

    breaks = ("audit", "own frames")

    def merge(self, pfn, order):
        if pfn ^ 2**order not in self.lists[order]:
            self.lists[order].append(pfn)
        super().merge(pfn, order)


class MergesWithAPart(Buddy):
    """A buddy of which only the first half is free is taken for free."""

    breaks = ("own frames", "no nonsense", "audit", "placement")

    def merge(self, pfn, order):
        part = order - 1
        if part >= 0 and order < TOP and self.buddy(pfn, order) in self.lists[part]:
            self.lists[part].remove(self.buddy(pfn, order))
            self.lists[order + 1].append(min(pfn, self.buddy(pfn, order)))
        else:
            super().merge(pfn, order)


class DoesNotCutWhatIsFreed(Buddy):
    """A freed range is one block, aligned or not."""

    breaks = ("own frames", "audit", "placement", "no refusal without a reason", "nothing lost")

    def free(self, pfn, n_frames):
        self.merge(pfn, n_frames.bit_length() - 1)


class OneListForAllZones(Buddy):
    """All zones share their lists: frames are handed out, and merged, over a zone's edge."""

    breaks = ("own frames", "no nonsense", "placement")
    shared = defaultdict(list)

    def __init__(self, zone):
        super().__init__(zone)
        if zone.first_pfn == 0:
            OneListForAllZones.shared = self.lists
        elif OneListForAllZones.shared:
            self.lists = OneListForAllZones.shared
