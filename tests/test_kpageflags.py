"""The kernel's word a frame, and its text of free blocks: read, written, refused."""

from __future__ import annotations

import gzip
import lzma
import os
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernel_sim.errors import BadInput
from kernel_sim.study import framemap as maps
from kernel_sim.study.drawing import write_map
from kernel_sim.study.formats import buddyinfo, kpageflags
from kernel_sim.study.framemap import FREE, HOLE, RESERVED, USED, FrameMap

BUDDY, NOPAGE, RESERVED_BIT, SLAB, LRU, ANON = 1 << 10, 1 << 20, 1 << 32, 1 << 7, 1 << 5, 1 << 12


@settings(deadline=None)
@given(st.lists(st.integers(0, (1 << 48) - 1), min_size=1, max_size=50))
def test_a_word_says_what_its_frame_is(tmp_path_factory: pytest.TempPathFactory, words: list[int]) -> None:
    path = tmp_path_factory.getbasetemp() / "words"
    path.write_bytes(b"".join(word.to_bytes(8, "little") for word in words))
    expected = [HOLE if word & NOPAGE else FREE if word & BUDDY else RESERVED if word & RESERVED_BIT else USED for word in words]
    assert maps.load(path).codes().tolist() == expected


def test_flags_of_memory_in_use(tmp_path: Path) -> None:
    np.array([SLAB, LRU | ANON, 0, 1 << 40, 1 << 47], "<u8").tofile(tmp_path / "words")
    assert set(maps.load(tmp_path / "words").codes().tolist()) == {USED}


@settings(deadline=None)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=300))
def test_written_words_are_the_four_that_matter_and_read_back(tmp_path_factory: pytest.TempPathFactory, codes: list[int]) -> None:
    path = tmp_path_factory.getbasetemp() / "map.kpageflags"
    framemap = FrameMap.from_codes(np.array(codes, np.uint8))
    write_map(framemap, path)
    word_of = {FREE: BUDDY, HOLE: NOPAGE, RESERVED: RESERVED_BIT, USED: 0}
    assert np.fromfile(path, "<u8").tolist() == [word_of[code] for code in codes]
    assert maps.load(path) == framemap


@pytest.mark.parametrize("pack", [bytes, gzip.compress, lzma.compress])
def test_more_than_one_chunk_packed_or_not(tmp_path: Path, pack: object) -> None:
    codes = np.random.default_rng(3).integers(0, 4, 300_001, np.uint8)
    (tmp_path / "map").write_bytes(pack(kpageflags.to_bytes(codes)))  # type: ignore[operator]
    assert np.array_equal(maps.load(tmp_path / "map").codes(), codes)


def test_a_file_that_says_it_is_empty_is_read_all_the_same(tmp_path: Path) -> None:
    """/proc/kpageflags has size 0; so has a pipe."""
    os.mkfifo(tmp_path / "pipe")
    codes = np.random.default_rng(4).integers(0, 4, 200_000, np.uint8)
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(kpageflags.to_bytes(codes),))
    writer.start()
    try:
        assert np.array_equal(maps.load(tmp_path / "pipe").codes(), codes)
    finally:
        writer.join()


@pytest.mark.parametrize(("data", "complaint"), [
    (b"", "nothing in it"),
    (bytes(12), "not a multiple of 8"),
    (bytes(3), "not a multiple of 8"),
    (b"first_pfn,end_pfn_exclusive\n288,4096\n", "not kpageflags"),
    (b"Node 0, zone      DMA", "not kpageflags"),
    (b"\x7fELF\x02\x01\x01\x00" + b"\x03\x00\x3e\x00\x01\x00\x00\x80", "not kpageflags"),
    (bytes(8) * 1000 + (1 << 48).to_bytes(8, "little"), "not kpageflags"),
    (bytes(8) + (1 << 63).to_bytes(8, "little"), "not kpageflags"),
    (gzip.compress(bytes(8000), mtime=0)[:-9], "damaged"),
    (gzip.compress(bytes(8000), mtime=0)[:12] + bytes(30), "damaged"),
    (lzma.compress(bytes(8000))[:-9], "damaged"),
    (gzip.compress(b"", mtime=0), "nothing in it"),
])
def test_what_is_no_map_is_refused_in_one_line(tmp_path: Path, data: bytes, complaint: str) -> None:
    (tmp_path / "file").write_bytes(data)
    with pytest.raises(BadInput, match=complaint) as caught:
        maps.load(tmp_path / "file")
    assert str(caught.value).startswith(f"{tmp_path / 'file'}: ") and "\n" not in str(caught.value)


def test_what_cannot_be_opened_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(BadInput, match=str(path)):
            maps.load(path)

    def denied(*_: object) -> None:
        raise PermissionError(13, "Permission denied")
    monkeypatch.setattr("builtins.open", denied)
    with pytest.raises(BadInput, match="/proc/kpageflags: permission denied .*sudo"):
        maps.load("/proc/kpageflags")


LINES = st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["DMA", "DMA32", "Normal", "Movable"]),
                           st.lists(st.integers(0, 10**7), min_size=11, max_size=11).map(tuple)), max_size=5)


@settings(deadline=None)
@given(LINES)
def test_buddyinfo_reads_what_it_writes(lines: list[tuple[int, str, tuple[int, ...]]]) -> None:
    written = buddyinfo.to_text(buddyinfo.Line(*line) for line in lines)
    assert buddyinfo.parse(written) == lines


@pytest.mark.parametrize(("text", "complaint"), [
    ("Node 0, zone DMA 1 2 3\n", "b:1: 3 orders"),
    ("\nhello\n", "b:2: not a line of buddyinfo"),
    ("Node 0, zone DMA 1 2 3 4 5 6 7 8 9 10 -1\n", "b:1: not a line"),
])
def test_buddyinfo_that_is_none_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(BadInput, match=complaint):
        buddyinfo.parse(text, "b")
