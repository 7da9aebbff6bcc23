"""Memory maps as zones: the arithmetic of ranges against sets of frames, and real kernels' own zone totals."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel_sim.errors import BadInput
from kernel_sim.units import MAX_FRAMES
from kernel_sim.zones import Range, Zone, check_ranges, count, cut_zones, intersect, join, plain_zone, read_memory_map, subtract

KERNELS = sorted((Path(__file__).parent / "data" / "kernel").iterdir())


def ascending(lengths: list[int]) -> list[Range]:
    """Ranges and gaps in turn, from 0 on."""
    edges = [sum(lengths[:at]) for at in range(len(lengths) + 1)]
    return [(edges[at], edges[at + 1]) for at in range(0, len(lengths) - 1, 2)]


RANGES = st.lists(st.integers(1, 9), max_size=12).map(ascending)


def frames(ranges: list[Range]) -> set[int]:
    return {pfn for first, end in ranges for pfn in range(first, end)}


@given(RANGES, RANGES)
def test_ranges_are_sets(one: list[Range], other: list[Range]) -> None:
    assert frames(intersect(one, other)) == frames(one) & frames(other)
    assert frames(subtract(one, other)) == frames(one) - frames(other)
    assert count(one) == len(frames(one))
    for result in (intersect(one, other), subtract(one, other)):
        check_ranges(result, "result")


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4)), max_size=8))
def test_join(gaps_and_lengths: list[tuple[int, int]]) -> None:
    ranges, at = [], 0
    for gap, length in gaps_and_lengths:
        ranges.append((at + gap, at + gap + length))
        at += gap + length
    joined = join(ranges)
    assert frames(joined) == frames(ranges)
    assert all(before[1] < after[0] for before, after in pairwise(joined))


@pytest.mark.parametrize("ranges, complaint", [
    ([(5, 5)], "the range 0x5 to 0x5 is empty"), ([(6, 5)], "is empty"), ([(-1, 5)], "overlaps the one before it, or stands out of order"),
    ([(0, 5), (4, 8)], "0x4 to 0x8 overlaps"), ([(8, 9), (0, 5)], "0x0 to 0x5 overlaps"), ([(0, MAX_FRAMES + 1)], "ends beyond frame 0xffffffff"),
])
def test_bad_ranges(ranges: list[Range], complaint: str) -> None:
    with pytest.raises(BadInput, match=f"^here: .*{complaint}"):
        check_ranges(ranges, "here")


def test_touching_ranges_are_fine() -> None:
    check_ranges([(0, 5), (5, 8)], "here")


def test_zone() -> None:
    zone = Zone("Normal", ((4, 10), (20, 30)), reserved=((6, 8), (20, 21)))
    assert (zone.first_pfn, zone.end_pfn, zone.n_frames) == (4, 30, 16)


@pytest.mark.parametrize("ranges, reserved, complaint", [
    ((), (), "at least one frame"), (((0, 0),), (), "is empty"), (((0, 9),), ((8, 10),), "a reserved range lies outside the zone's memory"),
    (((0, 9), (12, 20)), ((8, 13),), "outside the zone's memory"), (((0, 9),), ((5, 6), (2, 3)), "reserved: .*out of order"),
])
def test_bad_zone(ranges: tuple[Range, ...], reserved: tuple[Range, ...], complaint: str) -> None:
    with pytest.raises(BadInput, match=f"^zone Odd.*{complaint}"):
        Zone("Odd", ranges, reserved)


def test_plain_zone() -> None:
    assert plain_zone(7) == [Zone("Memory", ((0, 7),))]


@pytest.mark.parametrize("n_frames", [0, -1, MAX_FRAMES + 1])
def test_no_plain_zone(n_frames: int) -> None:
    with pytest.raises(BadInput, match="between 1 and 4294967295 frames"):
        plain_zone(n_frames)


def test_cut_where_linux_cuts() -> None:
    """16 MiB is frame 4096, 4 GiB frame 0x100000."""
    zones = cut_zones([(1, 0xA0), (0x100, 0x140000)])
    assert zones == [Zone("DMA", ((1, 0xA0), (0x100, 4096))), Zone("DMA32", ((4096, 0x100000),)), Zone("Normal", ((0x100000, 0x140000),))]
    assert [zone.name for zone in cut_zones([(4096, 5000)])] == ["DMA32"]


def e820(*lines: str) -> str:
    return "".join(f"[    0.000000] BIOS-e820: [mem {line}\n" for line in lines)


def test_ranges_are_rounded_inwards_and_the_first_megabyte_trimmed(tmp_path: Path) -> None:
    log = tmp_path / "dmesg"
    log.write_text(e820("0x0000000000000000-0x000000000009fbff] usable", "0x000000000009fc00-0x000000000009ffff] reserved",
                        "0x0000000000100000-0x00000000007fe7ff] usable", "0x0000000000900800-0x0000000000900fff] usable"))
    assert read_memory_map(log) == [(1, 0x9F), (0x100, 0x7FE)]


def test_adjacent_ranges_become_one(tmp_path: Path) -> None:
    map_file = tmp_path / "iomem"
    map_file.write_text("00100000-001fffff : System RAM\n  00100000-0010ffff : Kernel code\n00200000-002fffff : System RAM\n"
                        "00300000-003fffff : PCI Bus 0000:00\n")
    assert read_memory_map(map_file) == [(0x100, 0x300)]


@pytest.mark.parametrize("text, complaint", [
    ("nothing here\n", "no usable memory in this memory map"), ("", "no usable memory"),
    (e820("0x0000000000100000-0x00000000000fffff] usable"), ":1: the range 0x100000-0xfffff ends before it begins"),
    ("00000000-00000000 : System RAM\n", ":1: a range of zero size .*root only"),
    (e820("0x100000-0x1fffff] usable", "0x180000-0x2fffff] usable"), ":2: usable memory overlaps an earlier range"),
    ("00000000-00000fff : System RAM\n", "no usable memory"),
    ("00100000-ffffffffffff0fff : System RAM\n", "ends beyond frame"),
])
def test_bad_memory_map(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "map"
    path.write_text(text)
    with pytest.raises(BadInput, match=complaint) as caught:
        read_memory_map(path)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


def test_no_memory_map(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="No such file"):
        read_memory_map(tmp_path / "absent")
    with pytest.raises(BadInput, match="directory"):
        read_memory_map(tmp_path)


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda path: path.name)
@pytest.mark.parametrize("source", ["iomem", "dmesg_mem.txt"])
def test_the_kernels_own_totals(kernel: Path, source: str) -> None:
    """What /proc/zoneinfo calls present and spanned, of every zone."""
    zoneinfo = (kernel / "start.zoneinfo").read_text()
    totals = re.findall(r"zone +(\w+)$.*?spanned +(\d+)$.*?present +(\d+)$", zoneinfo, re.MULTILINE | re.DOTALL)
    want = {name: (int(spanned), int(present)) for name, spanned, present in totals if int(present)}
    assert {zone.name for zone in cut_zones(read_memory_map(kernel / source))} == set(want)
    for zone in cut_zones(read_memory_map(kernel / source)):
        assert (zone.end_pfn - zone.first_pfn <= want[zone.name][0], zone.n_frames) == (True, want[zone.name][1])
