"""The chapter-17 homework: the printed text, byte for byte where it is short, and a heap that loses nothing."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kernel_sim.tools.cli import main

from kernel_sim import BadInput
from kernel_sim.study.ostep import ORDERS, SEARCHES, Chunk, Heap, Settings, coalesced, homework

HEAD = """\
seed 0
size 100
baseAddr 1000
headerSize {header}
alignment -1
policy BEST
listOrder ADDRSORT
coalesce False
numOps 10
range 10
percentAlloc 50
allocList {operations}
compute {answers}

"""


def test_given_operations_to_the_byte() -> None:
    """Given operations print the chunk's own address, header and all; a free of what there is not is skipped, without a list behind it."""
    assert homework(Settings(header=4, operations="+10,-1,-0,-0,+200", answers=True)) == HEAD.format(
        header=4, operations="+10,-1,-0,-0,+200", answers="True") + """\
ptr[0] = Alloc(10) returned 1000 (searched 1 elements)
Free List [ Size 1 ]: [ addr:1014 sz:86 ]

Invalid Free: Skipping
Free(ptr[0])
returned 0
Free List [ Size 2 ]: [ addr:1000 sz:14 ][ addr:1014 sz:86 ]

Free(ptr[0])
returned -1
Free List [ Size 2 ]: [ addr:1000 sz:14 ][ addr:1014 sz:86 ]

ptr[1] = Alloc(200) returned -1 (searched 2 elements)
Free List [ Size 2 ]: [ addr:1000 sz:14 ][ addr:1014 sz:86 ]

"""


def test_questions_to_the_byte() -> None:
    assert homework(Settings(operations="+10,-0")) == HEAD.format(header=0, operations="+10,-0", answers="False") + """\
ptr[0] = Alloc(10) returned ?
List?

Free(ptr[0])
returned ?
List?

"""


def test_a_remainder_keeps_its_place_until_the_next_sort() -> None:
    """In a list sorted by size the chunk that was cut to 2 bytes still stands last; a free sorts it to the front."""
    heap = Heap(Settings(size=30, base=0, order="SIZESORT+", policy="WORST"))
    first, second = heap.alloc(5)[0], heap.alloc(6)[0]
    heap.free(first)
    heap.alloc(17)
    assert heap.free_list == [Chunk(0, 5), Chunk(28, 2)]
    heap.free(second)
    assert heap.free_list == [Chunk(28, 2), Chunk(0, 5), Chunk(5, 6)]


def test_neighbours_in_memory_stay_apart_when_they_are_none_in_the_list() -> None:
    assert coalesced([Chunk(5, 5), Chunk(0, 5)]) == [Chunk(5, 5), Chunk(0, 5)]
    assert coalesced([Chunk(0, 5), Chunk(5, 5), Chunk(10, 1)]) == [Chunk(0, 11)]


def test_the_header_is_added_after_the_alignment() -> None:
    heap = Heap(Settings(header=3, alignment=8))
    heap.alloc(9)
    assert heap.free_list == [Chunk(1019, 81)]


@given(st.builds(Settings, size=st.integers(1, 60), header=st.integers(0, 3), alignment=st.sampled_from([-1, 1, 4]), coalesce=st.booleans(),
                 policy=st.sampled_from(sorted(SEARCHES)), order=st.sampled_from(sorted(ORDERS))),
       st.lists(st.tuples(st.booleans(), st.integers(1, 20)), max_size=30))
def test_every_byte_is_free_or_out_and_none_is_both(settings: Settings, operations: list[tuple[bool, int]]) -> None:
    heap, out = Heap(settings), dict[int, int]()
    for allocates, n in operations:
        if allocates:
            address, n_searched = heap.alloc(n)
            granted = -(-n // max(settings.alignment, 1)) * max(settings.alignment, 1) + settings.header
            assert n_searched <= len(heap.free_list) + 1
            if address >= 0:
                out[address] = granted
            else:
                assert all(chunk.size < granted for chunk in heap.free_list)
        elif out:
            address = sorted(out)[n % len(out)]
            assert heap.free(address) == 0
            del out[address]
        taken = sorted([*out.items(), *heap.free_list])
        assert [(address, size) for address, size in taken if size == 0] == []
        assert taken[0][0] == settings.base
        assert all(one[0] + one[1] == other[0] for one, other in itertools.pairwise(taken))
        assert sum(taken[-1]) == settings.base + settings.size


@pytest.mark.parametrize(("flags", "why"), [
    ("-p NEXT", "invalid choice: 'NEXT'"), ("-l UNSORTED", "invalid choice: 'UNSORTED'"), ("-n x", "invalid number value: 'x'"),
    ("-S -1", "-S: a heap has"), ("-b -1", "-b: an address"), ("-H -4", "-H: a header"), ("-a 0", "-a: an alignment"), ("-n -1", "-n: there are"),
    ("-r -1", "-r: a range"), ("-P 0", "-P: at least 1 percent"), ("-A 10", "-A: '10' is no operation"), ("-A +1,", "-A: '' is no operation"),
    ("-A +1000,+1,-0", "-A: -0 frees what was never allocated: request 0 failed"), ("-A +0,+1", "two chunks at address 1000"),
    ("-x", "unrecognized arguments: -x"),
])
def test_wrong_flags_get_one_line(flags: str, why: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ostep", *flags.split()]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert why in printed.err
    assert printed.err.count("\n") == 1


def test_numbers_are_read_as_the_book_reads_them(capsys: pytest.CaptureFixture[str]) -> None:
    """Hexadecimal, octal and binary, as the standard library's optparse reads numbers."""
    assert main(["ostep", "-S", "0x40", "-b", "010", "-r", "0b11", "-n", "1", "-s", "-2"]) == 0
    assert capsys.readouterr().out.splitlines()[:3] == ["seed -2", "size 64", "baseAddr 8"]


def test_nothing_is_printed_before_everything_is_right() -> None:
    with pytest.raises(BadInput, match="is no operation"):
        homework(Settings(operations="+1,+2,*3"))
