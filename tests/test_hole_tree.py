"""The tree under search=indexed, against a dictionary."""

from __future__ import annotations

from bisect import bisect_left
from random import Random

import numpy as np
import pytest

from kernel_sim.allocators import hole_tree
from kernel_sim.allocators.hole_tree import MAX_LEVELS, MISSING, NODES, entries
from kernel_sim.allocators.tree_nodes import COUNT, DOWN, KEY, NODE_WORDS, SIZE, UNUSED
from kernel_sim.compiled import Array, address_of
from kernel_sim.errors import BrokenInvariant


class Twin:
    """A tree and a dictionary, told the same."""

    def __init__(self, room: int) -> None:
        self.words: Array = np.zeros(hole_tree.n_words(room), np.int64)
        hole_tree.clear_tree(self.words)
        self.at = address_of(self.words), len(self.words)
        self.sizes: dict[int, int] = {}

    def insert(self, key: int, size: int) -> None:
        hole_tree.insert(*self.at, key, size)
        self.sizes[key] = size

    def remove(self, key: int) -> None:
        hole_tree.remove(*self.at, key)
        del self.sizes[key]

    def change(self, key: int, now: int, size: int) -> None:
        hole_tree.change(*self.at, key, now, size)
        del self.sizes[key]
        self.sizes[now] = size

    def check(self) -> None:
        assert list(entries(self.words)) == sorted(self.sizes.items())

    def ask(self, key: int, size: int) -> None:
        """All that can be asked, with the effort of a descent and, at most, a climb and a descent."""
        answers = {
            hole_tree.first: ((size,), [entry for entry in sorted(self.sizes) if self.sizes[entry] >= size]),
            hole_tree.first_from: ((key, size), [entry for entry in sorted(self.sizes) if entry >= key and self.sizes[entry] >= size]),
            hole_tree.first_key: ((key,), [entry for entry in sorted(self.sizes) if entry >= key])}
        for question, (asked, right) in answers.items():
            looked_at, found = question(self.words, *asked)
            assert found == (right[0] if right else MISSING), (question, asked)
            assert 1 <= looked_at <= 2 * (int(self.words[hole_tree.LEVELS]) + 1)

    def neighbours(self, key: int) -> tuple[int, int]:
        """The keys below and above one, or far away."""
        keys = sorted(self.sizes)
        at = bisect_left(keys, key)
        return keys[at - 1] if at else key - 50, keys[at + 1] if at + 1 < len(keys) else key + 50

    def step(self, random: Random, growing: float) -> None:
        key = random.randrange(100_000)
        if random.random() < growing or not self.sizes:
            if key not in self.sizes:
                self.insert(key, random.randrange(1, 60))
            return
        chosen = random.choice(list(self.sizes))
        if random.random() < 0.3:
            below, above = self.neighbours(chosen)
            self.change(chosen, random.randrange(below + 1, above), random.randrange(1, 60))
        else:
            self.remove(chosen)


@pytest.mark.parametrize("seed", range(2))
def test_it_grows_and_shrinks(seed: int) -> None:
    """To a thousand entries and back, twice, to nothing."""
    random, twin = Random(seed), Twin(2000)
    for phase, growing in enumerate((0.9, 0.2, 0.8, 0.1)):
        for step in range(1500):
            twin.step(random, growing)
            if step % 250 == 0:
                twin.check()
            if step % 25 == 0:
                twin.ask(random.randrange(-5, 100_005), random.randrange(1, 62))
        assert int(twin.words[hole_tree.LEVELS]) >= 2 or phase % 2
    for key in list(twin.sizes):
        twin.remove(key)
        twin.check()
    assert int(twin.words[hole_tree.LEVELS]) == 0
    twin.ask(7, 1)


@pytest.mark.parametrize("keys", [range(3000), range(3000, 0, -1), [i * 7919 % 3001 for i in range(3000)]], ids=["upwards", "downwards", "scattered"])
def test_its_memory_is_that_of_its_entries(keys: list[int]) -> None:
    """Less than nine words an entry, however they come; and those that go leave room for others."""
    twin = Twin(3001)
    for key in keys:
        twin.insert(key, 1)
    twin.check()
    used = int(twin.words[UNUSED]) - NODES
    assert used < 9 * len(twin.sizes)
    for key in list(keys):
        twin.remove(key)
        twin.insert(key + 5000, 1)
    assert int(twin.words[UNUSED]) - NODES <= 1.5 * used


def test_the_thinnest_tree_has_room() -> None:
    """As few entries a node as the rule allows: entries are taken out again wherever none is forced to go."""
    twin = Twin(3000)
    for key in range(3000):
        twin.insert(key, 1)
    random = Random(1)
    for key in random.sample(range(3000), 2000):
        twin.remove(key)
    twin.check()
    nodes = (int(twin.words[UNUSED]) - NODES) // NODE_WORDS
    assert nodes <= 3000 // 2 + MAX_LEVELS


@pytest.mark.parametrize("offset, value, complaint", [
    (KEY, 77, "a wrong summary|out of order"),
    (SIZE + 1, 99, "a wrong summary"),
    (KEY + 15, 5, "something in the unused part"),
    (COUNT, 1, "something in the unused part"),
])
def test_a_tree_that_is_wrong_is_found_out(offset: int, value: int, complaint: str) -> None:
    twin = Twin(100)
    for key in range(40):
        twin.insert(key, 1)
    leaf = int(twin.words[int(twin.words[hole_tree.ROOT]) + DOWN])
    twin.words[leaf + offset] = value
    with pytest.raises(BrokenInvariant, match=complaint):
        list(entries(twin.words))
