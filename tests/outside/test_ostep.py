"""The answers that "Operating Systems: Three Easy Pieces" publishes with the homework of its chapter 17 (Free-Space Management).

R. H. and A. C. Arpaci-Dusseau, https://pages.cs.wisc.edu/~remzi/OSTEP/vm-freespace.pdf, and the README of the homework's simulator, ``malloc.py``
(https://github.com/remzi-arpacidusseau/ostep-homework, vm-freespace). Addresses and sizes below are theirs.
"""

from __future__ import annotations

import re

import pytest
from kernel_sim.tools.cli import main

README_FLAGS = "-S 100 -b 1000 -H 4 -a 4 -l ADDRSORT -p BEST -n 5 -c"


def answers(capsys: pytest.CaptureFixture[str], flags: str) -> str:
    """What the command prints."""
    assert main(["ostep", *flags.split()]) == 0
    return capsys.readouterr().out


def returned(text: str) -> list[int]:
    """The address of every allocation."""
    return [int(address) for address in re.findall(r"Alloc\(\d+\) returned (-?\d+)", text)]


def searched(text: str) -> list[int]:
    """How many entries every allocation looked at."""
    return [int(n) for n in re.findall(r"searched (\d+) elements", text)]


def last_list(text: str) -> list[tuple[int, int]]:
    """The free list at the end: (address, size)."""
    last = text.strip().splitlines()[-1]
    entries = [(int(address), int(size)) for address, size in re.findall(r"\[ addr:(\d+) sz:(\d+) \]", last)]
    assert last.startswith(f"Free List [ Size {len(entries)} ]: ")
    return entries


def test_the_readme_without_coalescing(capsys: pytest.CaptureFixture[str]) -> None:
    """Three requests of 3, 5 and 8 bytes, two of them freed in between: each leaves a chunk that the next cannot use."""
    text = answers(capsys, README_FLAGS)
    assert re.findall(r"Alloc\((\d+)\)", text) == ["3", "5", "8"]
    assert returned(text) == [1004, 1012, 1012]
    assert searched(text) == [1, 2, 3]
    assert last_list(text) == [(1000, 8), (1020, 80)]


def test_the_readme_with_coalescing(capsys: pytest.CaptureFixture[str]) -> None:
    text = answers(capsys, README_FLAGS + " -C")
    assert returned(text) == [1004, 1004, 1004]
    assert searched(text) == [1, 1, 1]
    assert last_list(text) == [(1012, 88)]


@pytest.mark.parametrize(("policy", "looked_at"), [("BEST", [1, 2, 3, 4, 4, 4]), ("FIRST", [1, 2, 3, 3, 1, 3])])
def test_best_and_first_fit_end_alike_but_first_fit_searches_less(policy: str, looked_at: list[int], capsys: pytest.CaptureFixture[str]) -> None:
    text = answers(capsys, f"-n 10 -s 0 -c -p {policy}")
    assert searched(text) == looked_at
    assert last_list(text) == [(1002, 1), (1003, 5), (1015, 1), (1016, 84)]


def test_worst_fit_cuts_the_large_chunk_again_and_again(capsys: pytest.CaptureFixture[str]) -> None:
    assert last_list(answers(capsys, "-n 10 -s 0 -c -p WORST")) == [(1000, 3), (1003, 5), (1008, 8), (1016, 8), (1033, 67)]


def test_the_questions_are_the_answers_without_what_is_asked(capsys: pytest.CaptureFixture[str]) -> None:
    """A student's sheet and the solution have the same operations, line by line."""
    questions, solution = (answers(capsys, "-n 30 -s 7 -r 20" + end).splitlines() for end in ("", " -c"))
    assert len(questions) == len(solution)
    for question, answer in zip(questions[13:], solution[13:], strict=True):
        assert question in ("List? ", "") or answer.startswith(question.rstrip("?"))
