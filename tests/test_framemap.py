"""The frame map against a list of frames, and its files."""

from __future__ import annotations

import gzip
import itertools
import json
import lzma
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernel_sim.errors import BadInput
from kernel_sim.study import framemap as maps
from kernel_sim.study.framemap import FREE, HOLE, RESERVED, USED, FrameMap
from kernel_sim.study.runs import RunBuilder
from kernel_sim.units import MAX_ORDER, N_ORDERS

CODES = st.lists(st.tuples(st.integers(0, 3), st.integers(1, 40)), min_size=1, max_size=30).map(
    lambda stretches: [code for code, n in stretches for _ in range(n)])


def map_of(codes: list[int], cuts: tuple[int, ...] = ()) -> FrameMap:
    edges = sorted({0, len(codes), *(cut % len(codes) for cut in cuts)})
    zones = [(f"Z{n}", first, end) for n, (first, end) in enumerate(itertools.pairwise(edges))]
    return FrameMap.from_codes(np.array(codes, np.uint8), zones)


def free_runs_of(codes: list[int], first: int, end: int) -> list[tuple[int, int]]:
    runs, pfn = [], first
    for free, group in itertools.groupby(codes[first:end], lambda code: code == FREE):
        length = len(list(group))
        if free:
            runs.append((pfn, pfn + length))
        pfn += length
    return runs


def buddies_of(codes: list[int], first: int, end: int) -> tuple[int, ...]:
    """Free blocks by order, found by merging pairs of free buddies from single frames up."""
    heads, counts = {pfn for pfn in range(first, end) if codes[pfn] == FREE}, []
    for order in range(MAX_ORDER):
        paired = {pfn for pfn in heads if pfn ^ 1 << order in heads}
        counts.append(len(heads) - len(paired))
        heads = {pfn for pfn in paired if not pfn >> order & 1}
    return (*counts, len(heads))


@settings(deadline=None)
@given(CODES, st.tuples(st.integers(0, 10_000), st.integers(0, 10_000)))
def test_a_map_says_what_a_list_of_frames_says(codes: list[int], cuts: tuple[int, int]) -> None:
    framemap = map_of(codes, cuts)
    expected = [run for _, first, end in framemap.zones for run in free_runs_of(codes, first, end)]
    assert framemap.codes().tolist() == codes
    assert framemap.counts == tuple(codes.count(kind) for kind in range(4))
    assert [tuple(run) for run in framemap.free_runs().tolist()] == expected
    assert framemap.n_free_runs == len(expected)
    assert framemap.longest_free_range == max(expected, key=lambda run: run[1] - run[0], default=(0, 0))
    assert framemap.largest_free_run == max((end - first for first, end in expected), default=0)
    assert framemap.buddyinfo() == {name: buddies_of(codes, first, end) for name, first, end in framemap.zones}


@settings(deadline=None)
@given(CODES)
def test_runs_and_codes_make_the_same_map(codes: list[int]) -> None:
    framemap = map_of(codes)
    assert (np.diff(framemap.kind.astype(int)) != 0).all()
    assert FrameMap.from_runs(len(codes), framemap.runs(), framemap.zones) == framemap
    single = [(pfn, pfn + 1, code) for pfn, code in enumerate(codes) if code != HOLE]
    assert FrameMap.from_runs(len(codes), single, framemap.zones) == framemap


@settings(deadline=None)
@given(CODES, st.lists(st.integers(1, 50), min_size=1))
def test_a_map_in_pieces_is_the_map_of_the_whole(codes: list[int], lengths: list[int]) -> None:
    built, at = RunBuilder(), 0
    for length in itertools.cycle(lengths):
        if at >= len(codes):
            break
        built.add(np.array(codes[at:at + length], np.uint8))
        at += length
    assert FrameMap(built.n_frames, built.first_pfn, built.kind) == FrameMap.from_codes(np.array(codes, np.uint8))


def test_linux_zones_are_the_populated_ones() -> None:
    memory = FrameMap.from_runs((1 << 20) + 8, [(1, 10, FREE), (1 << 20, (1 << 20) + 4, USED)])
    assert memory.zones == (("DMA", 0, 4096), ("Normal", 1 << 20, (1 << 20) + 8))


def test_a_zone_edge_cuts_free_runs_and_blocks() -> None:
    memory = FrameMap.from_runs(8192, [(0, 8192, FREE)], [("Low", 0, 3), ("High", 3, 8192)])
    assert memory.free_runs().tolist() == [[0, 3], [3, 8192]]
    assert memory.buddyinfo()["Low"] == (1, 1) + (0,) * 9
    assert memory.longest_free_range == (3, 8192)


def test_sixteen_terabytes_in_no_time() -> None:
    memory = FrameMap.from_runs(1 << 32, [(0, 1 << 32, FREE)])
    assert memory.counts == (0, 0, 0, 1 << 32)
    assert sum(memory.buddyinfo()["Normal"]) == (1 << 22) - (1 << 10)
    assert memory.longest_free_range == (1 << 20, 1 << 32)


@pytest.mark.parametrize("runs", [
    [(0, 0, USED)], [(3, 2, USED)], [(0, 9, USED)], [(4, 6, USED), (5, 7, FREE)], [(4, 6, FREE), (0, 2, FREE)], [(0, 1, 4)],
    [(0, 1, -1)], [(-1, 1, USED)]])
def test_runs_that_cannot_be_are_refused(runs: list[tuple[int, int, int]]) -> None:
    with pytest.raises(BadInput):
        FrameMap.from_runs(8, runs)


@pytest.mark.parametrize("zones", [
    [("A", 0, 4)], [("A", 0, 0), ("B", 0, 8)], [("A", 0, 5), ("B", 4, 8)], [("A", 0, 9)], [("A", 0, 4), ("A", 4, 8)]])
def test_zones_that_cannot_be_are_refused(zones: list[tuple[str, int, int]]) -> None:
    with pytest.raises(BadInput):
        FrameMap.from_runs(8, [(0, 8, FREE)], zones)


def test_reserved_frames_may_lie_outside_the_zones() -> None:
    memory = FrameMap.from_runs(8, [(0, 1, RESERVED), (1, 8, FREE)], [("A", 1, 8)])
    assert memory.buddyinfo() == {"A": (1, 1, 1) + (0,) * (N_ORDERS - 3)}


@pytest.mark.parametrize("codes", [[], [4], [0, 255]])
def test_codes_that_are_no_kinds_are_refused(codes: list[int]) -> None:
    with pytest.raises(BadInput):
        FrameMap.from_codes(np.array(codes, np.uint8))


EXAMPLE = FrameMap.from_runs(5000, [(0, 1, RESERVED), (1, 100, FREE), (100, 4000, USED), (4090, 5000, FREE)],
                             [("Low", 0, 4500), ("High", 4500, 5000)])


@pytest.mark.parametrize("pack", [bytes, gzip.compress, lzma.compress])
def test_saved_maps_come_back(tmp_path: Path, pack: object) -> None:
    maps.save(EXAMPLE, tmp_path / "a.ksmap")
    (tmp_path / "a.json").write_text(maps.to_json(EXAMPLE))
    for path in (tmp_path / "a.ksmap", tmp_path / "a.json"):
        path.write_bytes(pack(path.read_bytes()))  # type: ignore[operator]
        assert maps.load(path) == EXAMPLE


def test_json_is_as_documented() -> None:
    said = json.loads(maps.to_json(EXAMPLE))
    assert said["version"] == 1 and said["n_frames"] == 5000
    assert said["zones"] == [["Low", 0, 4500], ["High", 4500, 5000]]
    assert said["runs"] == [[0, 1, "reserved"], [1, 100, "free"], [100, 4000, "used"], [4000, 4090, "hole"], [4090, 5000, "free"]]


GOOD = {"version": 1, "n_frames": 8, "zones": [["A", 0, 8]], "runs": [[0, 8, "free"]]}


@pytest.mark.parametrize("wrong", [
    {"version": 2}, {"n_frames": 7}, {"n_frames": "8"}, {"n_frames": 8.0}, {"n_frames": True}, {"zones": [["A", 0]]},
    {"zones": 3}, {"runs": [[0, 8, "busy"]]}, {"runs": [[0, 8]]}, {"runs": [[0, 1e400, "free"]]},
    {"runs": [[0, 1 << 70, "free"]]}, {"runs": None}])
def test_json_that_is_no_map_is_refused(tmp_path: Path, wrong: dict[str, object]) -> None:
    (tmp_path / "a.json").write_text(json.dumps({**GOOD, **wrong}))
    with pytest.raises(BadInput, match="a.json: ") as caught:
        maps.load(tmp_path / "a.json")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["{", '{"version": 1}', "{" * 50_000, '{"version": 1, "n_frames"'])
def test_text_that_only_begins_like_json_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(BadInput, match="a.json: "):
        maps.load(tmp_path / "a.json")


def test_damage_anywhere_in_a_saved_map_is_noticed(tmp_path: Path) -> None:
    maps.save(EXAMPLE, tmp_path / "a.ksmap")
    whole = (tmp_path / "a.ksmap").read_bytes()
    for at in range(0, len(whole), 7):
        (tmp_path / "a.ksmap").write_bytes(whole[:at] + bytes([whole[at] ^ 64]) + whole[at + 1:])
        with pytest.raises(BadInput):
            maps.load(tmp_path / "a.ksmap")


@pytest.mark.parametrize("n_bytes", [0, 7, 20, 100])
def test_a_map_cut_short_is_refused(tmp_path: Path, n_bytes: int) -> None:
    maps.save(EXAMPLE, tmp_path / "a.ksmap")
    (tmp_path / "a.ksmap").write_bytes((tmp_path / "a.ksmap").read_bytes()[:n_bytes])
    with pytest.raises(BadInput, match="a.ksmap: "):
        maps.load(tmp_path / "a.ksmap")
