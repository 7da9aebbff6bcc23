"""Random games with segments under every policy: contents, places, books and counts hold after every step."""

from __future__ import annotations

import pytest
from contract.specs import ALWAYS, DEFAULTS, ONE_CHANGE, PLAIN, short, stands_for_others
from segments_game import SLIDING, Game, interpreter

from kernel_sim.manager import Stats
from kernel_sim.zones import Zone

ZONES = [Zone("Low", ((2, 30), (34, 60)), reserved=((20, 22),)), Zone("High", ((60, 110),)), Zone("Top", ((128, 200),))]
OTHERS = [spec for spec in ONE_CHANGE if stands_for_others(spec)]


@pytest.mark.parametrize("spec", ALWAYS)
def test_a_random_game(spec: str) -> None:
    for seed in range(3):
        Game(spec, seed).play(150)
    Game(spec, 9, ZONES).play(200)


@pytest.mark.parametrize("spec", [*DEFAULTS, PLAIN, *SLIDING[8:]], ids=short)
def test_a_random_game_in_the_interpreter(spec: str) -> None:
    for seed, memory in ((11, 90), (12, ZONES)):
        Game(interpreter(spec), seed, memory).play(60)


@pytest.mark.slow
@pytest.mark.parametrize("spec", OTHERS)
def test_more_games_in_the_interpreter(spec: str) -> None:
    for seed, memory in ((21, 90), (22, ZONES), (23, 300)):
        Game(interpreter(spec), seed, memory).play(150)


def test_statistics_stay_consistent() -> None:
    """Every event is one of the four kinds of the statistics, also those of moves."""
    game = Game(interpreter("best-fit"), 5)
    game.play(120)
    stats: Stats = game.manager.stats()
    clock = int(game.manager.events()["number"][-1])
    assert stats.n_allocs + stats.n_failed + stats.n_frees + stats.n_refused + stats.n_shares == clock
