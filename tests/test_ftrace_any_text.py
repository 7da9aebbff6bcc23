"""Texts nobody would write, and any bytes at all, read as an independent reading of the same rules reads them: with regular expressions."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import Any

import pytest
from ftrace_texts import ALLOC_LINE, FORMATS, FREE_LINE, NAMES, OTHER_LINE, lines_counted, read, window
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kernel_sim.errors import BadInput
from kernel_sim.operations import ALLOC, FREE
from kernel_sim.units import MAX_FRAMES

BLANKS = rb"[\x00-\x09\x0b-\x20]"
HEADER = re.compile(
    rb"[- ]" + BLANKS + rb"*\d+(?:/\d*)?(?:" + BLANKS + rb"*\([ \d-]*\)" + BLANKS + rb"*|" + BLANKS + rb"+)\[(\d+)\]"
)
WORD = re.compile(BLANKS + rb"*([^\x00-\x20]*)")
NUMBER = re.compile(rb"0x[0-9a-fA-F]+|\d+")


def header(line: bytes) -> tuple[int, int]:
    """(position behind ``[cpu]``, cpu) of a line; (-1, 0) without."""
    first = len(line) - len(line.lstrip(bytes(range(33))))
    for column in [16, *range(first + 1, 64)]:
        if (found := HEADER.match(line, column)) and (column != 16 or line[16:17] in (b"-", b" ")):
            return found.end(), min(int(found[1]), 65535)
    return -1, 0


def event_of(line: bytes) -> tuple[bytes, bytes]:
    """(event's name, what follows it)."""
    after, _ = header(line)
    if after < 0 and line[:1] == b"#":
        return b"", b""
    rest = line[max(after, 0) :]
    if not (end := re.search(rb":(?=[\x00-\x20]|\Z)", rest)):
        return b"", b""
    word = re.split(BLANKS, rest[: end.start()])[-1]
    if word and not word[:1].isdigit():
        return word, rest[end.end() :]
    rest = rest[end.end() :]
    found = WORD.match(rest)
    if found and found[1] and not found[1].strip(b"0123456789"):
        rest = rest[found.end() :]
        found = WORD.match(rest)
    if not found or not found[1].endswith(b":"):
        return b"", b""
    return found[1][:-1], rest[found.end() :]


def field(words: list[bytes], name: bytes) -> tuple[int | None, list[bytes]]:
    """The number in the first word that begins with `name` (-1: none, None: no such word), and the words behind it."""
    for i, text in enumerate(words):
        if text.startswith(name):
            value = text[len(name) :] if name != b"migratet" else text[len(b"migratetype=") :]
            return (int(value, 16 if value[:2] == b"0x" else 10) if NUMBER.fullmatch(value) else -1), words[i + 1 :]
    return None, []


def model(data: bytes) -> list[tuple[int, int, int, int, int]] | int:
    """(kind, pfn, n_frames, mobility, cpu) of every event; or the line that is wrong."""
    found = []
    lines = data.split(b"\n")
    for number, line in enumerate(lines, 1):
        name, rest = event_of(line)
        own = name.rsplit(b":", 1)[-1]
        if own not in (b"mm_page_alloc", b"mm_page_free"):
            continue
        words = [word for word in re.split(BLANKS, rest) if word]
        page = b""
        if words and words[0].startswith(b"page="):
            if words[0] == b"page=":
                words.pop(0)
                page = words[0] if words else b""
            else:
                page = words[0][5:]
            words = words[1:]
        pfn, words = field(words, b"pfn=")
        order, words = field(words, b"order=")
        mobility, _ = field(words, b"migratet") if own == b"mm_page_alloc" else (0, words)
        if pfn is None or order is None or pfn < 0 or order < 0:
            return number
        null = page.startswith((b"(null)", b"(nil)", b"0x(nil)")) or (
            NUMBER.fullmatch(page) and int(page, 16 if b"x" in page else 10) == 0
        )
        if pfn == 0 and null:
            continue
        if order > 10 or pfn + (1 << order) > MAX_FRAMES:
            return number
        found.append(
            (ALLOC if own == b"mm_page_alloc" else FREE, pfn, 1 << order, min(max(mobility or 0, 0), 255), header(line)[1])
        )
    return found


def outcome(data: bytes) -> list[Any] | int | str:
    try:
        found = read(data)
    except BadInput as error:
        line = re.match(r"t.txt:(\d+):", str(error))
        return int(line[1]) if line else []
    trace = found.trace
    assert lines_counted(found.report) == found.report.lines == data.count(b"\n") + (data[-1:] != b"\n")
    return list(
        zip(
            trace.kind.tolist(),
            trace.pfn.tolist(),
            trace.n_frames.tolist(),
            trace.mobility.tolist(),
            trace.cpu.tolist(),
            strict=True,
        )
    )


PIECES = [
    b" ",
    b"  ",
    b"\t",
    b"\r",
    b"\0",
    b":",
    b": ",
    b"-",
    b"[",
    b"]",
    b"[0]",
    b"[000] ",
    b"-1 ",
    b"3.119021: ",
    b"1: ",
    b"(",
    b")",
    b"#",
    b"/",
    b"0x",
    b"page=",
    b"pfn=",
    b"order=",
    b"migratetype=",
    b"gfp_flags=",
    b"mm_page_alloc: ",
    b"mm_page_free: ",
    b"kmem:",
    b"print: ",
    b"\n",
    b"\xff",
    b"0",
    b"9",
    b"f",
    b"CPU:0 [LOST 1 EVENTS]",
    ALLOC_LINE,
    FREE_LINE,
    OTHER_LINE,
    *NAMES,
    *FORMATS.values(),
]


@st.composite
def texts(draw: st.DrawFn) -> bytes:
    """Lines of traces with pieces put in, taken out and swapped."""
    text = bytearray(b"".join(draw(st.lists(st.sampled_from(PIECES), min_size=1, max_size=8))))
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, len(text)))
        text[at : at + draw(st.integers(0, 12))] = draw(st.one_of(st.sampled_from(PIECES[:34]), st.binary(max_size=3)))
    return bytes(text)


@settings(max_examples=10 * settings.default.max_examples)
@given(texts())
@example(b"            a: b-1       [000] .....     3.1: mm_page_free: page= pfn=0x7 order=0\n")
def test_any_text_is_read_as_the_model_reads_it(text: bytes) -> None:
    """With a finished last line: how a text breaks off is another test's."""
    assert outcome(text + b"\n") == model(text + b"\n")


@given(st.one_of(st.binary(max_size=200), texts()))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    outcome(data)


CHECKED = """
import random
from kernel_sim.errors import BadInput
from kernel_sim.study.formats.ftrace import read_text
lines = %r
draw = random.Random(612)
for n in range(%d):
    text = bytearray(b"".join(draw.sample(lines, 2)))
    for _ in range(draw.randrange(4)):
        at = draw.randrange(len(text))
        text[at:at + draw.randrange(9)] = bytes(draw.choice(b" :-[]0x=\\n\\t#(9f\\xff") for _ in range(draw.randrange(4)))
    text = bytes(text[:draw.randrange(len(text) + 1)])
    try:
        print(n, read_text("t", text).trace.pfn.tolist())
    except BadInput as error:
        print(n, error)
"""


@pytest.mark.parametrize("setting, n", [("NUMBA_BOUNDSCHECK", 2000), ("NUMBA_DISABLE_JIT", 60)])
def test_with_every_index_checked(setting: str, n: int) -> None:
    """Broken texts never lead outside their bytes, and are read alike by all ways of running the code."""
    program = CHECKED % ([ALLOC_LINE, FREE_LINE, OTHER_LINE, b"CPU:0 [LOST 7 EVENTS]\n", window(b"GO"), *FORMATS.values()], n)
    plain = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")}
    said = [
        subprocess.run([sys.executable, "-W", "error", "-c", program], env=env, capture_output=True, text=True, check=True).stdout
        for env in (plain, {**plain, setting: "1"})
    ]
    assert said[0] == said[1]
    assert said[0].count("\n") == n
