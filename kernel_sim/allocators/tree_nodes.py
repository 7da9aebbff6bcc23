"""The nodes of the tree of holes (`hole_tree`): sorted columns of numbers in an array of int64.

A node is 56 words, and is known by the number of its first word:

    COUNT     how many entries it has
    KEY       16 keys, ascending; above the count FREE_KEY
    SIZE      16 sizes; above the count 0
    DOWN      16 nodes below; in a leaf 0

Nodes are taken from the array one after the other, those given up before new ones.
"""

from __future__ import annotations

import numpy as np

from kernel_sim.compiled import Array, compiled, int64

WIDTH = 16
COUNT, KEY, SIZE, DOWN = 0, 8, 24, 40
NODE_WORDS = 56
SPARE, UNUSED = 10, 11
"""Words: the nodes that were given up (a chain through their first keys), and where those begin that were never used."""

FREE_KEY = (1 << 63) - 1


@compiled
def get(words: Array, at: int) -> int:
    """A word. The index is unsigned: compiled code then need not ask whether it counts from the end."""
    return int64(words[np.uint64(at)])


@compiled
def set_entry(words: Array, node: int, slot: int, key: int, size: int, down: int) -> None:
    words[np.uint64(node + KEY + slot)] = key
    words[np.uint64(node + SIZE + slot)] = size
    words[np.uint64(node + DOWN + slot)] = down


@compiled
def new_node(words: Array) -> int:
    """An empty node."""
    node = get(words, SPARE)
    if node:
        words[SPARE] = get(words, node + KEY)
    else:
        node = get(words, UNUSED)
        words[UNUSED] = node + NODE_WORDS
    words[np.uint64(node + COUNT)] = 0
    for slot in range(WIDTH):
        set_entry(words, node, slot, FREE_KEY, 0, 0)
    return node


@compiled
def give_up(words: Array, node: int) -> None:
    """Add a node to the chain of the spare ones."""
    words[np.uint64(node + KEY)] = get(words, SPARE)
    words[SPARE] = node


@compiled
def rank(words: Array, node: int, key: int) -> int:
    """How many of a node's keys are not above a key. All 16 are looked at: that is faster than to ask after each whether it was the last."""
    n = int64(0)
    for slot in range(WIDTH):
        n += int64(words[np.uint64(node + KEY + slot)] <= key)
    return n


@compiled
def largest(words: Array, node: int) -> int:
    """The largest size in a node."""
    size = int64(0)
    for slot in range(WIDTH):
        size = max(size, get(words, node + SIZE + slot))
    return size


@compiled
def slot_of(words: Array, node: int, size: int) -> int:
    """The first entry of at least that size, in a node that has one."""
    slot = int64(0)
    while get(words, node + SIZE + slot) < size:
        slot += 1
    return slot


@compiled
def put_in(words: Array, node: int, slot: int, key: int, size: int, down: int) -> None:
    """Put an entry into a node that has room; those behind it move up."""
    for i in range(get(words, node + COUNT), slot, -1):
        set_entry(words, node, i, get(words, node + KEY + i - 1), get(words, node + SIZE + i - 1), get(words, node + DOWN + i - 1))
    set_entry(words, node, slot, key, size, down)
    words[np.uint64(node + COUNT)] += 1


@compiled
def take_out(words: Array, node: int, slot: int) -> None:
    """Take an entry out of a node; those behind it move down."""
    last = get(words, node + COUNT) - 1
    for i in range(slot, last):
        set_entry(words, node, i, get(words, node + KEY + i + 1), get(words, node + SIZE + i + 1), get(words, node + DOWN + i + 1))
    set_entry(words, node, last, FREE_KEY, 0, 0)
    words[np.uint64(node + COUNT)] = last


@compiled
def move_entries(words: Array, node: int, slot: int, to: int) -> None:
    """Move the entries from a slot on behind those of another node."""
    n, n_there = get(words, node + COUNT), get(words, to + COUNT)
    for i in range(slot, n):
        set_entry(words, to, n_there + i - slot, get(words, node + KEY + i), get(words, node + SIZE + i), get(words, node + DOWN + i))
        set_entry(words, node, i, FREE_KEY, 0, 0)
    words[np.uint64(to + COUNT)] = n_there + n - slot
    words[np.uint64(node + COUNT)] = slot


@compiled
def summarise(words: Array, parent: int, slot: int) -> bool:
    """Write into a parent what is true of the node below: least key and largest size. Whether that is news."""
    node = get(words, parent + DOWN + slot)
    key, size = get(words, node + KEY), largest(words, node)
    news = key != get(words, parent + KEY + slot) or size != get(words, parent + SIZE + slot)
    set_entry(words, parent, slot, key, size, node)
    return bool(news)
