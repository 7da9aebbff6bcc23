"""The worst case, exactly: against brute force on Python tuples, one engine against the other, and replayed on real managers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import pytest
from contract.specs import PLAIN

from kernel_sim import BadInput, BadPolicy, FrameManager, load_policy
from kernel_sim.errors import Unsettled
from kernel_sim.study.worst_case import compact, generic, layouts, optimal
from kernel_sim.study.worst_case.adversaries import ADVERSARIES, Requester, reach
from kernel_sim.study.worst_case.boards import ManagerBoard, RuleBoard, rule_of
from kernel_sim.study.worst_case.game import Alloc, Free, Game, parse_operations, play, replay_command
from kernel_sim.study.worst_case.placings import PLACINGS
from kernel_sim.study.worst_case.smallest import smallest_for_the_best, smallest_memory

COMPACT = sorted(PLACINGS)
STATELESS = [name for name in COMPACT if name != "buddy"]      # what the brute force below knows: all but lists
GAMES = [(3, (1, 2, 3)), (4, (1, 2, 3)), (4, (1, 3)), (5, (2, 3)), (5, (1, 2)), (4, (4,))]

Layout = tuple[tuple[int, int], ...]    # live allocations, (pfn, n_frames), ascending


def uncompiled(spec: str, n_frames: int) -> FrameManager:
    return FrameManager(n_frames, load_policy(spec, uncompiled=True))


# -- brute force: nothing but tuples ------------------------------------------------------------------------------------------------------


def holes(layout: Layout, n_frames: int, granted: Callable[[int], int] = lambda n: n) -> list[tuple[int, int]]:
    taken = {frame for pfn, n in layout for frame in range(pfn, pfn + granted(n))}
    runs: list[tuple[int, int]] = []
    for frame in range(n_frames):
        if frame in taken:
            continue
        if runs and runs[-1][1] == frame:
            runs[-1] = (runs[-1][0], frame + 1)
        else:
            runs.append((frame, frame + 1))
    return runs


def power_of_two(n: int) -> int:
    return 1 << (n - 1).bit_length()


def place(policy: str, layout: Layout, rover: int, n_frames: int, size: int) -> int | None:
    """Where a policy puts a request."""
    if policy == "buddy:order=address":
        blocks = []
        for first, end in holes(layout, n_frames, power_of_two):
            while first < end:
                block = max(2**k for k in range(7) if first % 2**k == 0 and first + 2**k <= end)
                blocks.append((block, first))
                first += block
        return min(((block, first) for block, first in blocks if block >= size), default=(0, None))[1]
    fits = [hole for hole in holes(layout, n_frames) if hole[1] - hole[0] >= size]
    key = {"first-fit": lambda hole: hole, "best-fit": lambda hole: (hole[1] - hole[0], hole), "worst-fit": lambda hole: (hole[0] - hole[1], hole),
           "next-fit": lambda hole: (hole[0] < rover, hole)}[policy]
    return min(fits, key=key)[0] if fits else None


def brute_force(policy: str, n_frames: int, game: Game) -> int | None:
    """Operations of the shortest defeat, or None."""
    level: set[tuple[Layout, int]] = {((), 0)}
    seen, n_operations = set(level), 0
    while level:
        n_operations += 1
        following: set[tuple[Layout, int]] = set()
        for layout, rover in level:
            following |= {(tuple(kept for kept in layout if kept != gone), rover) for gone in layout}
            for size in game.sizes:
                if sum(n for _, n in layout) + size <= game.live:
                    pfn = place(policy, layout, rover, n_frames, size)
                    if pfn is None:
                        return n_operations
                    following.add((tuple(sorted([*layout, (pfn, size)])), pfn + size if policy == "next-fit" else 0))
        level = following - seen
        seen |= level
    return None


def brute_force_optimal(n_frames: int, game: Game) -> bool:
    """Whether the requester wins against every allocator: what is lost grows until it grows no more."""
    def spread(layout: Layout) -> Iterator[Layout]:
        yield layout
        end = max((pfn + n for pfn, n in layout), default=0)
        for size in game.sizes:
            if sum(n for _, n in layout) + size <= game.live:
                for pfn in range(end, n_frames - size + 1):
                    yield from spread((*layout, (pfn, size)))

    def is_lost(layout: Layout) -> bool:
        if any(tuple(kept for kept in layout if kept != gone) in lost for gone in layout):
            return True
        for size in game.sizes:
            if sum(n for _, n in layout) + size <= game.live:
                places = [pfn for first, end in holes(layout, n_frames) for pfn in range(first, end - size + 1)]
                if all(tuple(sorted([*layout, (pfn, size)])) in lost for pfn in places):
                    return True
        return False

    everything = list(spread(()))
    assert len(everything) == len(set(everything)) == optimal.count_layouts(n_frames, game)
    lost: set[Layout] = set()
    while more := {layout for layout in everything if layout not in lost and is_lost(layout)}:
        lost |= more
    return () in lost


@pytest.mark.parametrize("policy", STATELESS)
@pytest.mark.parametrize("live, sizes", GAMES, ids=str)
def test_brute_force_agrees(policy: str, live: int, sizes: tuple[int, ...]) -> None:
    game = Game(live, sizes)
    answer = smallest_memory(policy, game)
    assert brute_force(policy, answer.n_frames, game) is None
    assert all(brute_force(policy, n_frames, game) for n_frames in range(1, answer.n_frames))
    if answer.defeating:
        assert len(answer.defeating) == brute_force(policy, answer.n_frames - 1, game)


@pytest.mark.parametrize("live, sizes", [*GAMES, (5, (1, 2, 3)), (6, (1, 2)), (5, (1, 4))], ids=str)
def test_brute_force_agrees_on_the_best_allocator(live: int, sizes: tuple[int, ...]) -> None:
    game = Game(live, sizes)
    answer = smallest_for_the_best("first-fit", game)
    assert not brute_force_optimal(answer.n_frames, game)
    assert answer.n_frames == 1 or brute_force_optimal(answer.n_frames - 1, game)


# -- the engines ----------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", COMPACT)
@pytest.mark.parametrize("live, sizes, count_granted", [(4, (1, 2, 3), False), (4, (1, 3), False), (5, (2, 3), True), (8, (3, 5), True)], ids=str)
def test_the_engines_agree(policy: str, live: int, sizes: tuple[int, ...], count_granted: bool) -> None:
    """The bits, the placement rule, and (where its states are few) the real manager: memory by memory, to the length of the shortest defeat."""
    game, loaded = Game(live, sizes, count_granted), load_policy(policy, uncompiled=True)
    rule = rule_of(loaded)
    assert rule is not None
    for n_frames in range(1, smallest_memory(policy, game).n_frames + 1):
        found = compact.search(policy, n_frames, game, 10**6)
        boards = [RuleBoard(rule, n_frames), *([ManagerBoard(loaded, n_frames)] if n_frames < 5 else [])]
        for board in boards:
            other = generic.search(board, n_frames, game, 10**5)
            assert (found.operations is None) == (other.operations is None)
            assert found.operations is None or len(found.operations) == len(other.operations or ())


@pytest.mark.parametrize("live, sizes", [(5, (1, 2)), (6, (1, 3)), (5, (1, 2, 3))], ids=str)
def test_a_buddys_lists_are_one_number(live: int, sizes: tuple[int, ...]) -> None:
    """The compact form tells apart what the rule, whose lists are lists, tells apart; the rule also knows whether anything was ever freed."""
    game, rule = Game(live, sizes), rule_of(load_policy("buddy"))
    assert rule is not None
    n_frames = smallest_memory("buddy", game).n_frames
    for memory in (n_frames - 1, n_frames):
        found, other = compact.search("buddy", memory, game, 10**6), generic.search(RuleBoard(rule, memory), memory, game, 10**6)
        assert found.operations == other.operations
        assert found.n_states <= other.n_states < found.n_states + 20


def test_a_search_may_outgrow_its_room(monkeypatch: pytest.MonkeyPatch) -> None:
    game = Game(8, (1, 2, 3))
    roomy = compact.search("first-fit", 14, game, 10**6)
    monkeypatch.setattr(compact, "_FIRST_ROOM", 32)
    assert compact.search("first-fit", 14, game, 10**6) == roomy
    assert compact.search("first-fit", 15, game, 10**6) == (None, 8157)


def test_a_plain_class() -> None:
    ours, theirs = smallest_memory("first-fit", Game(5, (1, 2, 3))), smallest_memory(PLAIN, Game(5, (1, 2, 3)))
    assert (theirs.engine, theirs.n_frames) == ("generic", ours.n_frames)
    assert len(theirs.defeating or ()) == len(ours.defeating or ())


class Downwards:
    """First fit from the other end, in slots, with a counter: the mirror image of first fit, so its worst case is the same."""

    __slots__ = ("_free", "steps")

    def __init__(self, zone: object) -> None:
        self._free, self.steps = {frame for first, end in zone.free_runs for frame in range(first, end)}, 0  # type: ignore[attr-defined]

    def alloc(self, n_frames: int) -> int | None:
        self.steps += 1
        for first in sorted(self._free, reverse=True):
            if self._free.issuperset(range(first, first + n_frames)):
                self._free -= set(range(first, first + n_frames))
                return first
        return None

    def free(self, pfn: int, n_frames: int) -> None:
        self._free |= set(range(pfn, pfn + n_frames))


class Secretive(Downwards):
    def __init__(self, zone: object) -> None:
        super().__init__(zone)
        self.secret = lambda: 0


class Forgetful(Downwards):
    def alloc(self, n_frames: int) -> int | None:
        return None if n_frames == 2 else super().alloc(n_frames)


@pytest.mark.parametrize("game", [Game(4, (1, 2, 3)), Game(5, (1, 2)), Game(5, (2, 3))], ids=str)
def test_a_policy_and_its_mirror_image(game: Game) -> None:
    assert smallest_memory(Downwards, game).n_frames == smallest_memory("first-fit", game).n_frames


def test_a_policy_that_cannot_be_copied() -> None:
    with pytest.raises(BadPolicy, match="policy Secretive: its state cannot be copied") as caught:
        smallest_memory(Secretive, Game(2, (1, 2)))
    assert "\n" not in str(caught.value)


def test_a_policy_that_refuses_in_any_memory() -> None:
    with pytest.raises(Unsettled, match="even a memory of 16 frames is defeated; the policy seems to refuse such requests"):
        smallest_memory(Forgetful, Game(2, (1, 2)))


def test_a_memory_of_more_frames_than_a_word_has_bits() -> None:
    """The policy's rule has no such limit; the best allocator's search has."""
    answer = smallest_memory("first-fit", Game(100, (50,)))
    assert (answer.engine, answer.n_frames) == ("rule", 100)
    with pytest.raises(Unsettled, match="memories of more than 57 frames are not searched, and 100 can be live"):
        smallest_for_the_best("first-fit", Game(100, (50,)))
    with pytest.raises(Unsettled, match="even a memory of 57 frames is defeated; the search ends there"):
        smallest_memory("first-fit", Game(56, (14, 28)))


@pytest.mark.parametrize("search", [partial(smallest_memory, "first-fit"), partial(smallest_memory, "buddy", engine="rule"),
                                    partial(smallest_for_the_best, "first-fit")], ids=["compact", "rule", "optimal"])
def test_a_search_that_grows_too_large(search: Callable[..., object]) -> None:
    with pytest.raises(Unsettled, match=r"a memory of \d+ frames has more than 50 states; allow more \(--max-states\)"):
        search(Game(8, (1, 2, 3)), max_states=50)


# -- sequences ----------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", [*COMPACT, PLAIN])
@pytest.mark.parametrize("game", [Game(5, (1, 2, 3)), Game(6, (1, 3))], ids=str)
def test_the_sequence_fails_exactly_at_its_end(policy: str, game: Game) -> None:
    answer = smallest_memory(policy, game)
    assert answer.defeating is not None
    again = parse_operations(map(str, answer.defeating))
    assert play(uncompiled(policy, answer.n_frames - 1), again) == len(again) - 1
    assert play(uncompiled(policy, answer.n_frames), again) is None


@pytest.mark.parametrize("policy", [*COMPACT, PLAIN])
@pytest.mark.parametrize("game", [Game(6, (1, 2, 3)), Game(8, (1, 2))], ids=str)
def test_the_winning_strategy_defeats_every_policy(policy: str, game: Game) -> None:
    answer = smallest_for_the_best(policy, game)
    assert answer.defeating is not None
    assert play(uncompiled(policy, answer.n_frames - 1), answer.defeating) == len(answer.defeating) - 1
    assert smallest_memory("first-fit", game).n_frames >= answer.n_frames


def test_one_frame_may_be_enough() -> None:
    assert smallest_memory("best-fit", Game(1, (1,))).defeating is None
    assert smallest_for_the_best("best-fit", Game(1, (1,))).n_frames == 1


def test_operations_as_text() -> None:
    operations = [Alloc(3), Free(0)]
    assert list(map(str, operations)) == ["a:3", "f:0"] and parse_operations(["a:3", "f:0"]) == operations
    assert replay_command("first-fit", 12, operations) == "kernel-sim step --memory 48K --policy first-fit a:3 f:0"
    for wrong in ("a", "a:", "b:3", "a:x", "a:3 f:0", "A:3"):
        with pytest.raises(BadInput, match="not an operation: "):
            parse_operations([wrong])


# -- rules ----------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("live, sizes, complaint", [
    (0, (1,), "live frames: at least 1, not 0"), (4, (), "sizes: at least one"), (4, (0, 1), "each at least 1 frame"),
    (4, (2, 1), "in ascending order"), (4, (1, 1), "each once"), (4, (1, 5), "5 frames can never be asked for when at most 4 are live"),
])
def test_a_game_that_makes_no_sense(live: int, sizes: tuple[int, ...], complaint: str) -> None:
    with pytest.raises(BadInput, match=complaint):
        Game(live, sizes)


@pytest.mark.parametrize("live, sizes, most", [(8, (3,), 6), (8, (1, 3), 8), (8, (3, 5), 8), (7, (3, 5), 6), (2, (2,), 2)])
def test_the_most_that_can_be_live(live: int, sizes: tuple[int, ...], most: int) -> None:
    assert Game(live, sizes).most == most
    assert smallest_memory("first-fit", Game(live, sizes)).n_frames >= most


def test_layouts_are_found_again() -> None:
    """The set against Python's own."""
    solved = optimal.solve(9, Game(6, (1, 2, 3)), 10**6)
    pairs = set(zip(solved.layouts.starts.tolist(), solved.layouts.used.tolist(), strict=True))
    assert len(pairs) == len(solved.lost)
    numbers = [optimal._number_of(*solved.layouts, starts, used) for starts, used in pairs]
    assert sorted(numbers) == list(range(len(pairs)))
    assert optimal._number_of(*solved.layouts, 1 << 8, 3 << 8) == layouts.ABSENT


# -- adversaries --------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name, policy, live, largest", [
    ("robson", "worst-fit", 16, 4), ("knuth", "buddy", 16, 4), ("robson-best-fit", "best-fit", 28, 6), ("every-size", "first-fit", 30, 7),
])
def test_an_adversary_defeats_and_keeps_to_the_rules(name: str, policy: str, live: int, largest: int) -> None:
    reached = reach(name, load_policy(policy, uncompiled=True), live, largest)
    n_live, sizes = 0, []
    for operation in reached.defeating:
        if isinstance(operation, Alloc):
            sizes.append(operation.n_frames)
            n_live += operation.n_frames
        else:
            n_live -= sizes[operation.slot]
        assert n_live <= live
    assert max(sizes) <= largest
    assert play(uncompiled(policy, reached.defeated), reached.defeating) == len(reached.defeating) - 1
    assert play(uncompiled(policy, reached.roomy), reached.defeating) is None


def test_an_adversary_that_cheats_is_stopped() -> None:
    requester = Requester(uncompiled("first-fit", 64), 4)
    requester.alloc(3)
    with pytest.raises(AssertionError, match="more live frames than the game allows"):
        requester.alloc(2)


@pytest.mark.parametrize("name, live, largest, complaint", [
    ("nobody", 8, 2, "no adversary 'nobody'; there are robson, knuth, robson-best-fit, every-size"), ("robson", 8, 3, "a power of two, not 3"),
    ("robson", 9, 2, "a multiple of 2, not 9"), ("knuth", 12, 8, "a multiple of 16, not 12"), ("robson", 0, 1, "at least 1 frame"),
    ("robson-best-fit", 64, 5, "at least 6 frames, not 5"), ("robson-best-fit", 20, 6, "at least 24 frames are live"),
    ("every-size", 8, 9, "9 frames can never be asked for when at most 8 are live"),
])
def test_a_game_that_is_not_an_adversarys(name: str, live: int, largest: int, complaint: str) -> None:
    with pytest.raises(BadInput, match=complaint):
        reach(name, "first-fit", live, largest)


def test_an_adversary_that_always_wins() -> None:
    with pytest.raises(Unsettled, match="robson defeats Forgetful even in a memory of 64 frames"):
        reach("robson", Forgetful, 8, 2)


def test_the_adversaries_are_told_apart() -> None:
    assert {adversary.against for adversary in ADVERSARIES.values()} == {"every allocator", "buddies", "best fit", "first fit"}
