"""Print what the homework of "Operating Systems: Three Easy Pieces", chapter 17, prints: a heap's free list, operation by operation.

The flags are those of the book's simulator, malloc.py, and for the same flags the text is the same: without -c the questions, with it the answers.
"""

from __future__ import annotations

import argparse
import re


def configure(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    from kernel_sim.study.ostep import ORDERS, SEARCHES, Settings

    usual = Settings()
    parser.add_argument("-s", "--seed", type=number, default=usual.seed, help="the random seed (default: 0)")
    parser.add_argument("-S", "--size", type=number, default=usual.size, help="size of the heap (default: 100)")
    parser.add_argument("-b", "--baseAddr", type=number, default=usual.base, help="base address of heap (default: 1000)")
    parser.add_argument("-H", "--headerSize", type=number, default=usual.header, help="size of the header (default: 0)")
    parser.add_argument("-a", "--alignment", type=number, default=usual.alignment, help="round requests up to multiples of it (default: -1, no)")
    parser.add_argument("-p", "--policy", choices=SEARCHES, default=usual.policy, help="which free chunk (default: BEST)")
    parser.add_argument("-l", "--listOrder", choices=ORDERS, default=usual.order, help="the order of the free list (default: ADDRSORT)")
    parser.add_argument("-C", "--coalesce", action="store_true", help="coalesce the free list")
    parser.add_argument("-n", "--numOps", type=number, default=usual.n_operations, help="number of random operations (default: 10)")
    parser.add_argument("-r", "--range", type=number, default=usual.largest, help="largest size asked for (default: 10)")
    parser.add_argument("-P", "--percentAlloc", type=number, default=usual.percent_allocs, help="percent that allocates (default: 50)")
    parser.add_argument("-A", "--allocList", default="", metavar="LIST", help="operations instead of random ones: +10,-0 allocates 10 and frees it")
    parser.add_argument("-c", "--compute", action="store_true", help="print the answers")


def number(text: str) -> int:
    """A whole number as the book's simulator reads it: decimal, or with 0x, 0b or a leading 0 hexadecimal, binary or octal."""
    bare = text.lstrip("-").lower()
    base = 16 if bare.startswith("0x") else 2 if bare.startswith("0b") else 8 if re.fullmatch("0[0-9]+", bare) else 10
    return int(text, base)


def run(args: argparse.Namespace) -> int:
    """Print the text. Exit status 0."""
    from kernel_sim.study.ostep import Settings, homework

    print(homework(Settings(
        seed=args.seed, size=args.size, base=args.baseAddr, header=args.headerSize, alignment=args.alignment, policy=args.policy,
        order=args.listOrder, coalesce=args.coalesce, n_operations=args.numOps, largest=args.range, percent_allocs=args.percentAlloc,
        operations=args.allocList, answers=args.compute)), end="")
    return 0
