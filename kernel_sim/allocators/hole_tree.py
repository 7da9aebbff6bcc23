"""A B-tree of numbers, each with a size: the index under ``search=indexed``.

Source: R. Bayer and E. McCreight, "Organization and maintenance of large ordered indices", Acta Informatica 1, 1972; nodes are split on the
way down, as in Cormen, Leiserson, Rivest, Stein, Introduction to Algorithms, chapter 18. An entry of an inner node has, beside the least key of
the subtree under it, the *largest size* there (the augmentation, chapter 14 of the third edition), so that the first entry of at least some size
is found in one descent. Wide nodes (`tree_nodes`), because one is two cache lines for each of its columns, and a binary tree would read a line
for every bit.

Two neighbours under one parent have more than FEW entries together: nodes have three and a third on average at the very least, and nine as a
rule, and so the tree's memory follows the number of entries.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np

from kernel_sim.allocators.base import tell
from kernel_sim.allocators.tree_nodes import (
    COUNT,
    DOWN,
    FREE_KEY,
    KEY,
    NODE_WORDS,
    SIZE,
    SPARE,
    UNUSED,
    WIDTH,
    get,
    give_up,
    largest,
    move_entries,
    new_node,
    put_in,
    rank,
    set_entry,
    slot_of,
    summarise,
    take_out,
)
from kernel_sim.compiled import Array, compiled, int64, outlined
from kernel_sim.errors import BrokenInvariant
from kernel_sim.frames import words_at

FEW = WIDTH // 2

MAX_LEVELS = 24
ROOT, LEVELS, PATH = 8, 9, 16
"""Words: the root, how many levels are above the leaves, and (node, slot) of the latest descent, by level."""
NODES = PATH + 2 * MAX_LEVELS
MISSING = -1


def n_words(n_entries: int) -> int:
    """Enough for so many entries at once. Only what is used is ever touched."""
    return NODES + NODE_WORDS * (n_entries // 2 + 2 * MAX_LEVELS)


# -- the tree -------------------------------------------------------------------------------------------------------------------------------

@compiled
def clear_tree(words: Array) -> None:
    """A tree of one empty leaf."""
    words[SPARE] = 0
    words[UNUSED] = NODES
    words[LEVELS] = 0
    words[ROOT] = new_node(words)


@compiled
def step_to(words: Array, level: int, node: int, slot: int) -> None:
    """Remember a step of a descent."""
    words[np.uint64(PATH + 2 * level)] = node
    words[np.uint64(PATH + 2 * level + 1)] = slot


@compiled
def find(words: Array, key: int) -> int:
    """Descend to the last entry whose key is not above a key, and remember the way. Its slot is -1 where there is none. The nodes looked at."""
    node = get(words, ROOT)
    levels = get(words, LEVELS)
    for level in range(levels, 0, -1):
        slot = max(rank(words, node, key) - 1, int64(0))
        step_to(words, level, node, slot)
        node = get(words, node + DOWN + slot)
    step_to(words, int64(0), node, rank(words, node, key) - 1)
    return levels + 1


@compiled
def refresh(words: Array, level: int) -> None:
    """Summarise upwards from the node on a level of the latest descent, as far as there is news."""
    while level < get(words, LEVELS):
        level += 1
        if not summarise(words, get(words, PATH + 2 * level), get(words, PATH + 2 * level + 1)):
            return


@outlined
def insert(address: int, n_words: int, key: int, size: int) -> None:
    """Add an entry. Full nodes are split on the way down, so that there is always room above."""
    words = words_at(address, n_words)
    node = get(words, ROOT)
    if get(words, node + COUNT) == WIDTH:
        node = new_node(words)
        set_entry(words, node, int64(0), get(words, get(words, ROOT) + KEY), largest(words, get(words, ROOT)), get(words, ROOT))
        words[np.uint64(node + COUNT)] = 1
        words[ROOT] = node
        words[LEVELS] += 1
    for _ in range(get(words, LEVELS)):
        slot = max(rank(words, node, key) - 1, int64(0))
        if get(words, get(words, node + DOWN + slot) + COUNT) == WIDTH:
            split(words, node, slot)
            slot += int64(get(words, node + KEY + slot + 1) <= key)
        child = get(words, node + DOWN + slot)
        set_entry(words, node, slot, min(key, get(words, node + KEY + slot)), max(size, get(words, node + SIZE + slot)), child)
        node = child
    put_in(words, node, rank(words, node, key), key, size, int64(0))


@compiled
def split(words: Array, parent: int, slot: int) -> None:
    """Move the upper half of a full node into a new one."""
    upper = new_node(words)
    move_entries(words, get(words, parent + DOWN + slot), WIDTH // 2, upper)
    put_in(words, parent, slot + 1, get(words, upper + KEY), int64(0), upper)
    summarise(words, parent, slot)
    summarise(words, parent, slot + 1)


@outlined
def remove(address: int, n_words: int, key: int) -> None:
    """Take an entry out. A node that is empty then goes; one that has few entries together with a neighbour becomes one with it."""
    words = words_at(address, n_words)
    find(words, key)
    take_out(words, get(words, PATH), get(words, PATH + 1))
    level = int64(0)
    while level < get(words, LEVELS) and shrink(words, level):
        level += 1
    refresh(words, level)
    while get(words, LEVELS) > 0 and get(words, get(words, ROOT) + COUNT) == 1:
        root = get(words, ROOT)
        words[ROOT] = get(words, root + DOWN)
        words[LEVELS] -= 1
        give_up(words, root)


@compiled
def shrink(words: Array, level: int) -> bool:
    """After the node on a level of the latest descent has lost an entry: whether its parent lost one, too."""
    node, parent, slot = get(words, PATH + 2 * level), get(words, PATH + 2 * level + 2), get(words, PATH + 2 * level + 3)
    if get(words, node + COUNT) == 0:
        take_out(words, parent, slot)
        give_up(words, node)
        return True
    if slot + 1 < get(words, parent + COUNT) and few(words, parent, slot):
        absorb(words, parent, slot, level)
        return True
    if slot > 0 and few(words, parent, slot - 1):
        absorb(words, parent, slot - 1, level)
        return True
    return False


@compiled
def few(words: Array, parent: int, slot: int) -> bool:
    """Whether a node and the one behind it have few entries together."""
    return bool(get(words, get(words, parent + DOWN + slot) + COUNT) + get(words, get(words, parent + DOWN + slot + 1) + COUNT) <= FEW)


@compiled
def absorb(words: Array, parent: int, slot: int, level: int) -> None:
    """Move all entries of a node of that level into the one before it. Where they meet, two below may now have few: the same with those."""
    while True:
        node, upper = get(words, parent + DOWN + slot), get(words, parent + DOWN + slot + 1)
        seam = get(words, node + COUNT)
        move_entries(words, upper, int64(0), node)
        take_out(words, parent, slot + 1)
        give_up(words, upper)
        summarise(words, parent, slot)
        if level == 0 or not few(words, node, seam - 1):
            return
        parent, slot, level = node, seam - 1, level - 1


@outlined
def change(address: int, n_words: int, key: int, now: int, size: int) -> None:
    """Give an entry another key, between the same neighbours, and another size."""
    words = words_at(address, n_words)
    find(words, key)
    set_entry(words, get(words, PATH), get(words, PATH + 1), now, size, int64(0))
    refresh(words, int64(0))


# -- questions -------------------------------------------------------------------------------------------------------------------------------

@compiled
def first_under(words: Array, node: int, level: int, size: int) -> int:
    """The key of the first entry of at least that size below a node of that level; there is one."""
    tell(node, int64(1))
    for _ in range(level):
        node = get(words, node + DOWN + slot_of(words, node, size))
        tell(node, int64(1))
    return get(words, node + KEY + slot_of(words, node, size))


@compiled
def first(words: Array, size: int) -> tuple[int, int]:
    """(nodes looked at, key of the first entry of at least that size or MISSING)."""
    root, levels = get(words, ROOT), get(words, LEVELS)
    if largest(words, root) < size:
        tell(root, int64(1))
        return int64(1), int64(MISSING)
    return levels + 1, first_under(words, root, levels, size)


@compiled
def tell_of_path(words: Array) -> None:
    """The nodes of the latest descent were looked at."""
    for level in range(get(words, LEVELS), -1, -1):
        tell(get(words, PATH + 2 * level), int64(1))


@compiled
def first_from(words: Array, key: int, size: int) -> tuple[int, int]:
    """The same among the entries from a key on: up from where the key would be, to the first subtree behind it that has one."""
    looked_at = find(words, key - 1)
    tell_of_path(words)
    for level in range(get(words, LEVELS) + 1):
        node = get(words, PATH + 2 * level)
        for slot in range(get(words, PATH + 2 * level + 1) + 1, get(words, node + COUNT)):
            if get(words, node + SIZE + slot) >= size:
                if level == 0:
                    return looked_at, get(words, node + KEY + slot)
                return looked_at + level, first_under(words, get(words, node + DOWN + slot), level - 1, size)
    return looked_at, int64(MISSING)


@compiled
def first_key(words: Array, key: int) -> tuple[int, int]:
    """(nodes looked at, the least key from a key on or MISSING)."""
    looked_at = find(words, key - 1)
    tell_of_path(words)
    for level in range(get(words, LEVELS) + 1):
        node, slot = get(words, PATH + 2 * level), get(words, PATH + 2 * level + 1) + 1
        if slot < get(words, node + COUNT):
            return looked_at, get(words, node + KEY + slot)     # an inner entry's key is the least below it
    return looked_at, int64(MISSING)


# -- looking on -----------------------------------------------------------------------------------------------------------------------------

def entries(words: Any) -> Iterator[tuple[int, int]]:
    """Every (key, size), ascending. BrokenInvariant where the tree is not as it should be."""
    found = list(_entries(words, int(words[ROOT]), int(words[LEVELS])))
    if any(key >= after for (key, _), (after, _) in pairwise(found)):
        raise BrokenInvariant("the tree of holes is out of order")
    yield from found


def nodes(words: Any) -> Iterator[tuple[tuple[int, ...], int, list[tuple[int, int]]]]:
    """Every node, each before those below it: the way down to it from the root, slot by slot; the node; all (key, size) below it."""
    def below(way: tuple[int, ...], node: int) -> Iterator[tuple[tuple[int, ...], int, list[tuple[int, int]]]]:
        level = int(words[LEVELS]) - len(way)
        yield way, node, list(_entries(words, node, level))
        for slot in range(int(words[node + COUNT]) if level else 0):
            yield from below((*way, slot), int(words[node + DOWN + slot]))

    return below((), int(words[ROOT]))


def _entries(words: Any, node: int, level: int) -> Iterator[tuple[int, int]]:
    """Those below a node; its own entries against the nodes below them, and the room above its count."""
    count = int(words[node + COUNT])
    columns = [words[node + column:node + column + WIDTH].tolist() for column in (KEY, SIZE, DOWN)]
    if any((key, size, down) != (FREE_KEY, 0, 0) for key, size, down in list(zip(*columns, strict=True))[count:]):
        raise BrokenInvariant(f"the tree of holes has something in the unused part of node {node}")
    counts = [int(words[down + COUNT]) for down in columns[2][:count]] if level else []
    if any(one + other <= FEW for one, other in pairwise(counts)) or (level and not count):
        raise BrokenInvariant(f"the tree of holes has too few entries below node {node}")
    for key, size, down in list(zip(*columns, strict=True))[:count]:
        below = [(key, size)] if level == 0 else list(_entries(words, down, level - 1))
        if (key, size) != (min(entry[0] for entry in below), max(entry[1] for entry in below)):
            raise BrokenInvariant(f"the tree of holes has a wrong summary of node {down} in node {node}")
        yield from below
