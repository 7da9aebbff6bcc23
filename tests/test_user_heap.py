"""The heap of the user SDK, its C compiled for this machine, beside models that keep their blocks in Python lists."""

from __future__ import annotations

import ctypes
import random
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from kernel_sim.firmware.build import HERE

PAGE, MAPPED = 4096, 32 << 20
FITS = ("first-fit", "next-fit", "best-fit", "worst-fit")
SOURCES = [HERE / "user" / "lib" / name for name in ("heap.c", "fits.c", "buddy.c", "bytes.c", "calls.c")]
ARENA = Path(__file__).parent / "guest" / "user" / "arena.c"


class FitModel:
    """A row of blocks [offset, size, whether it is in use]; a word before the first one is kept. Offsets are those of blocks, not of contents."""

    def __init__(self, policy: str) -> None:
        self.policy, self.blocks, self.rover = policy, list[list[int]](), 0

    @staticmethod
    def size_for(n: int) -> int:
        return max(32, -(-(n + 16) // 16) * 16)

    def _find(self, size: int) -> list[int] | None:
        fitting = [block for block in self.blocks if not block[2] and block[1] >= size]
        if self.policy == "next-fit":
            fitting = [block for block in fitting if block[0] >= self.rover] or fitting
        elif self.policy == "best-fit":
            fitting.sort(key=lambda block: (block[1], block[0]))
        elif self.policy == "worst-fit":
            fitting.sort(key=lambda block: (-block[1], block[0]))
        return fitting[0] if fitting else None

    def _grow(self, size: int) -> list[int]:
        there = self.blocks[-1][1] if self.blocks and not self.blocks[-1][2] else 0
        end = sum(self.blocks[-1][:2]) if self.blocks else 8
        self.blocks.append([end, -(-(size - there) // PAGE) * PAGE, 0])
        self._merge()
        return self.blocks[-1]

    def _merge(self) -> None:
        merged: list[list[int]] = []
        for block in self.blocks:
            if merged and not merged[-1][2] and not block[2]:
                merged[-1][1] += block[1]
            else:
                merged.append(block)
        self.blocks = merged

    def _cut(self, block: list[int], size: int) -> None:
        block[2] = 1
        if block[1] - size >= 32:
            self.blocks.insert(self.blocks.index(block) + 1, [block[0] + size, block[1] - size, 0])
            block[1] = size
        self._merge()

    def malloc(self, n: int) -> int:
        size = self.size_for(n)
        block = self._find(size) or self._grow(size)
        self._cut(block, size)
        self.rover = block[0] + block[1]
        return block[0] + 8

    def free(self, address: int) -> None:
        self._block(address)[2] = 0
        self._merge()

    def _block(self, address: int) -> list[int]:
        return next(block for block in self.blocks if block[0] == address - 8)

    def realloc(self, address: int, n: int) -> int:
        block = self._block(address)
        at = self.blocks.index(block) + 1
        above = self.blocks[at] if at < len(self.blocks) and not self.blocks[at][2] else [0, 0, 0]
        if block[1] + above[1] >= self.size_for(n):
            if above[1]:
                self.blocks.pop(at)
            block[1] += above[1]
            self._cut(block, self.size_for(n))
            return address
        larger = self.malloc(n)
        self.free(address)
        return larger

    def size(self) -> int:
        return 16 + sum(block[1] for block in self.blocks)


class BuddyModel:
    """For every order a stack of the offsets of free blocks."""

    def __init__(self) -> None:
        self.lists: list[list[int]] = [[] for _ in range(30)]
        self.orders: dict[int, int] = {}
        self.order = 0

    @staticmethod
    def order_for(n: int) -> int:
        return max(5, (n + 15).bit_length())

    def malloc(self, n: int) -> int:
        wanted = self.order_for(n)
        while not any(self.lists[wanted:]):
            self._grow()
        order = next(order for order in range(wanted, 30) if self.lists[order])
        offset = self.lists[order].pop()
        self._halve(offset, order, wanted)
        return offset + 16

    def _grow(self) -> None:
        if self.order == 0:
            self.order = 12
            self.lists[12].append(0)
        else:
            self.order += 1
            self._release(1 << self.order - 1, self.order - 1)

    def _halve(self, offset: int, order: int, wanted: int) -> None:
        for smaller in range(order - 1, wanted - 1, -1):
            self.lists[smaller].append(offset + (1 << smaller))
        self.orders[offset] = wanted

    def _release(self, offset: int, order: int) -> None:
        while order < self.order and offset ^ 1 << order in self.lists[order]:
            self.lists[order].remove(offset ^ 1 << order)
            offset &= ~(1 << order)
            order += 1
        self.lists[order].append(offset)

    def free(self, address: int) -> None:
        self._release(address - 16, self.orders.pop(address - 16))

    def realloc(self, address: int, n: int) -> int:
        order, wanted = self.orders[address - 16], self.order_for(n)
        if wanted <= order:
            self._halve(address - 16, order, wanted)
            return address
        larger = self.malloc(n)
        self.free(address)
        return larger

    def size(self) -> int:
        return 1 << self.order


def model(policy: str) -> FitModel | BuddyModel:
    return BuddyModel() if policy == "buddy" else FitModel(policy)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    gcc = shutil.which("gcc")
    if gcc is None:
        pytest.skip("needs gcc")
    path = tmp_path_factory.mktemp("heap") / "heap.so"
    subprocess.run([gcc, "-O1", "-std=c11", "-Wall", "-Wextra", "-Werror", "-ffreestanding", "-fPIC", "-shared", "-nostdlib", "-Wl,-Bsymbolic",
                    f"-I{HERE}/include", f"-I{HERE}/user/include", "-o", str(path), *map(str, SOURCES), str(ARENA)], check=True)
    return path


Opened = Callable[[str], ctypes.CDLL]


@pytest.fixture
def opened(library: Path, tmp_path: Path) -> Opened:
    """A heap of a policy that nobody has used: a library of its own, since the state is the library's."""
    def fresh(policy: str) -> ctypes.CDLL:
        heap, size = ctypes.CDLL(str(shutil.copy(library, tmp_path / f"{policy}.so"))), ctypes.c_size_t
        heap.malloc.argtypes, heap.calloc.argtypes, heap.realloc.argtypes = [size], [size, size], [ctypes.c_void_p, size]
        heap.malloc.restype = heap.calloc.restype = heap.realloc.restype = ctypes.c_void_p
        heap.free.argtypes, heap.heap_room.argtypes = [ctypes.c_void_p], [ctypes.c_void_p]
        heap.heap_check.restype = ctypes.c_char_p
        heap.heap_size.restype = heap.heap_room.restype = size
        assert heap.heap_choose(policy.encode()) == 1
        return heap
    return fresh


def limit(heap: ctypes.CDLL) -> ctypes.c_size_t:
    return ctypes.c_size_t.in_dll(heap, "limit")


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("policy", [*FITS, "buddy"])
def test_placement_and_contents(policy: str, seed: int, opened: Opened) -> None:
    """Every block where the model puts it, the heap as large as the model's, nothing overwritten, the heap's own check silent."""
    heap, expected, chosen = opened(policy), model(policy), random.Random(seed)
    start, held = None, dict[int, bytes]()
    for _ in range(1200):
        n = chosen.choice([chosen.randrange(64), chosen.randrange(400), chosen.randrange(6000)])
        kind = chosen.random()
        old = chosen.choice(sorted(held)) if held else None
        if old is None or kind < 0.45:
            where, address, kept = expected.malloc(n), heap.malloc(n), b""
        elif kind < 0.6:
            kept = held.pop(old)[:n]
            where, address = expected.realloc(old, n), heap.realloc(start + old, n)
        else:
            assert ctypes.string_at(start + old, len(held[old])) == held.pop(old)
            expected.free(old)
            heap.free(start + old)
            continue
        start = address - where if start is None else start
        assert address - start == where
        assert address % 16 == 0 and heap.heap_room(address) >= n
        assert ctypes.string_at(address, len(kept)) == kept
        held[where] = chosen.randbytes(n)
        ctypes.memmove(address, held[where], n)
        assert heap.heap_check() is None
        assert heap.heap_size() == expected.size()
    for where, content in held.items():
        assert ctypes.string_at(start + where, len(content)) == content
        heap.free(start + where)
    assert heap.heap_check() is None


@pytest.mark.parametrize("policy", [*FITS, "buddy"])
def test_at_the_edges(policy: str, opened: Opened) -> None:
    heap = opened(policy)
    heap.free(None)
    assert heap.malloc((1 << 64) - 1) is None and heap.malloc(1 << 43) is None
    assert heap.calloc(1 << 33, 1 << 33) is None
    empty = heap.malloc(0)
    assert empty and heap.malloc(0) not in (None, empty)
    block = heap.realloc(None, 100)
    ctypes.memset(block, 0xEE, 100)
    assert heap.realloc(block, (1 << 64) - 1) is None and ctypes.string_at(block, 100) == b"\xee" * 100
    heap.free(block)
    assert ctypes.string_at(heap.calloc(10, 10), 100) == bytes(100)
    assert heap.heap_check() is None


@pytest.mark.parametrize("policy", [*FITS, "buddy"])
def test_when_the_kernel_has_no_more(policy: str, opened: Opened) -> None:
    """The heap is served up to the limit, then NULL; and again when something was freed."""
    heap = opened(policy)
    limit(heap).value = 16 * PAGE
    blocks = []
    while (block := heap.malloc(1000)) is not None:
        blocks.append(block)
    assert len(blocks) >= 60 and heap.heap_check() is None and heap.heap_size() <= 16 * PAGE
    assert heap.realloc(blocks[0], 5000) is None
    heap.free(blocks[30])
    assert heap.malloc(1000) == blocks[30] and heap.malloc(1000) is None
    for block in blocks:
        heap.free(block)
    assert heap.heap_check() is None and heap.malloc(14 * PAGE) is not None


@pytest.mark.parametrize("policy", FITS)
def test_a_block_that_grows_where_it_is(policy: str, opened: Opened) -> None:
    heap = opened(policy)
    low, high = heap.malloc(1000), heap.malloc(1000)
    heap.free(high)
    assert heap.realloc(low, 2000) == low and heap.heap_room(low) >= 2000
    assert heap.realloc(low, 10) == low and heap.heap_room(low) < 100
    assert heap.heap_check() is None


@pytest.mark.parametrize(("policy", "offset", "value", "words"), [
    ("first-fit", -8, 0x101, b"the tags of a block differ"),
    ("first-fit", -8, 7, b"a block has an impossible size"),
    ("best-fit", 112, 0x80, b"the tags of a block differ"),
    ("worst-fit", -16, 0, None),
    ("buddy", -16, 0, b"a block lies at no multiple of its size"),
    ("buddy", -16, 7, b"a free block is in no list"),
])
def test_the_check_sees_damage(policy: str, offset: int, value: int, words: bytes | None, opened: Opened) -> None:
    """A tag or a head overwritten, as by a program that writes beyond its block."""
    heap = opened(policy)
    heap.malloc(100)
    block = heap.malloc(100)
    heap.malloc(100)
    ctypes.c_uint64.from_address(block + offset).value = value
    assert heap.heap_check() is not None if words is None else heap.heap_check() == words
