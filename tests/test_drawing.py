"""Pictures tell the truth: every cell against the frames it stands for."""

from __future__ import annotations

import io
import itertools
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from rich.console import Console
from rich.text import Text

from kernel_sim.errors import BadInput
from kernel_sim.fragmentation import cut_aligned
from kernel_sim.study import framemap as maps
from kernel_sim.study.drawing import SUFFIXES, curve, layout, svg, write_map
from kernel_sim.study.drawing.cells import N_CLASSES, count_cells, mix
from kernel_sim.study.drawing.layout import lay_out
from kernel_sim.study.drawing.palette import CLASS_COLOURS, PAPER
from kernel_sim.study.drawing.png import to_png
from kernel_sim.study.drawing.terminal import MAX_LINES, print_map, render_terminal
from kernel_sim.study.framemap import FREE, HOLE, RESERVED, USED, FrameMap

CODES = st.lists(st.tuples(st.integers(0, 3), st.integers(1, 90)), min_size=1, max_size=25).map(
    lambda stretches: [code for code, n in stretches for _ in range(n)])


def map_of(codes: list[int]) -> FrameMap:
    return FrameMap.from_codes(np.array(codes, np.uint8))


def classes_of(framemap: FrameMap) -> list[int]:
    """The class of every frame: its kind, or FREE and the order of its block."""
    classes: list[int] = framemap.codes().tolist()
    for first, end in framemap.free_runs().tolist():
        for pfn, order in cut_aligned(first, end):
            classes[pfn:pfn + (1 << order)] = [FREE + order] * (1 << order)
    return classes


@settings(deadline=None)
@given(CODES, st.integers(0, 12), st.integers(0, 5))
def test_cells_count_the_frames_they_stand_for(codes: list[int], shift: int, first_cell: int) -> None:
    framemap = map_of(codes)
    first = min(first_cell, (len(codes) - 1) >> shift) << shift
    classes = classes_of(framemap)
    size = 1 << shift
    expected = [np.bincount(classes[at:at + size], minlength=N_CLASSES).tolist() for at in range(first, len(codes), size)]
    assert count_cells(framemap, shift, first, len(codes)).tolist() == expected
    assert count_cells(framemap, shift, first, min(first + (3 << shift), len(codes))).tolist() == expected[:3]


def test_cells_of_noise() -> None:
    framemap = map_of(np.random.default_rng(5).integers(0, 4, 50_000).tolist())
    classes = np.array(classes_of(framemap))
    for shift in (0, 3, 7, 11, 20):
        cells = count_cells(framemap, shift, 0, framemap.n_frames)
        expected = np.zeros_like(cells)
        np.add.at(expected, (np.arange(len(classes)) >> shift, classes), 1)
        assert np.array_equal(cells, expected)


def test_a_mixed_cell_is_the_mean_of_its_frames_colours() -> None:
    colours = np.array(CLASS_COLOURS, np.int64)
    cells = np.random.default_rng(6).integers(0, 9, (200, N_CLASSES)).astype(np.uint32)
    mean = cells @ colours / cells.sum(axis=1, keepdims=True)
    assert np.abs(mix(cells, colours) - mean).max() <= 0.5


@pytest.mark.parametrize("side", [1, 2, 4, 16, 64])
def test_hilbert_visits_every_place_once_in_steps_of_one(side: int) -> None:
    path = curve.path(side)
    assert sorted(path) == [(x, y) for x in range(side) for y in range(side)]
    assert all(abs(x - u) + abs(y - v) == 1 for (x, y), (u, v) in itertools.pairwise(path))
    assert (path[0], path[-1]) == ((0, 0), (0, side - 1))


@pytest.mark.parametrize("log", [0, 1, 2, 3, 4])
def test_aligned_powers_of_four_are_squares_on_the_hilbert_curve(log: int) -> None:
    grid, width = curve.hilbert(32), 1 << log
    for first in range(0, 1024, 4**log):
        rows, columns = ((grid >= first) & (grid < first + 4**log)).nonzero()
        assert np.ptp(rows) == np.ptp(columns) == width - 1


@pytest.mark.parametrize(("n_frames", "side", "shift"), [
    (1, 1, 0), (2, 2, 0), (5, 4, 0), (65536, 256, 0), (1 << 20, 1024, 0), ((1 << 20) + 1, 1024, 1), (10**8, 1024, 7),
    (1 << 32, 1024, 12)])
def test_the_finest_square_that_fits(n_frames: int, side: int, shift: int) -> None:
    square = layout.fit(n_frames, 1024)
    assert (square.side, square.shift) == (side, shift)
    assert (square.n_cells - 1) << shift < n_frames <= square.n_cells << shift


@pytest.mark.parametrize("order", curve.CURVES)
def test_pixels_are_the_colours_of_their_frames(order: str) -> None:
    framemap = map_of([RESERVED] * 3 + [FREE] * 61 + [USED] * 500 + [HOLE] * 100 + [FREE] * 136)
    sheet = lay_out(framemap, order)
    image = np.asarray(Image.open(io.BytesIO(to_png(sheet))).convert("RGB"))
    assert image.shape == (sheet.height, sheet.width, 3)
    classes, side = classes_of(framemap), 32
    places = curve.path(side) if order == "hilbert" else [(n % side, n // side) for n in range(side * side)]
    for number, (x, y) in enumerate(places):
        if y >= sheet.grid.shape[0]:
            assert number >= len(classes)
            continue
        expected = CLASS_COLOURS[classes[number]] if number < len(classes) else PAPER
        for dx, dy in ((0, 0), (sheet.cell_px - 1, sheet.cell_px - 1)):
            assert tuple(image[sheet.y + y * sheet.cell_px + dy, sheet.x + x * sheet.cell_px + dx]) == expected


@pytest.mark.parametrize("n_frames", [1, 2, 3, 4096, 5000, 1 << 20, (1 << 20) + 1, (1 << 28) + 7, 1 << 32])
@pytest.mark.parametrize("order", curve.CURVES)
def test_pictures_of_any_size_are_neither_tiny_nor_huge(n_frames: int, order: str) -> None:
    sheet = lay_out(FrameMap.from_runs(n_frames, [(0, n_frames, FREE)]), order)
    assert sheet.right - sheet.x == layout.GRID_PX and 512 <= sheet.height <= 1300
    assert sheet.bottom - sheet.y == sheet.grid.shape[0] * sheet.cell_px <= layout.GRID_PX
    for label in sheet.labels:
        assert 0 < label.x <= sheet.width and 0 < label.y < sheet.height
    for box in sheet.boxes:
        assert sheet.right < box.x and box.x + box.width <= sheet.width and box.y + box.height <= sheet.height


def test_an_svg_is_xml_with_the_same_colours_and_few_rectangles() -> None:
    framemap = map_of(np.random.default_rng(7).integers(0, 4, 300_000).tolist())
    sheet = lay_out(framemap, "row", svg.MAX_SIDE)
    root = ElementTree.fromstring(svg.to_svg(sheet))
    rects = [element for element in root.iter() if element.tag.endswith("rect")]
    assert 10_000 < len(rects) < 66_000
    drawn = np.zeros((*sheet.grid.shape[:2], 3), np.uint8)
    for rect in rects[1:]:
        x, y, width, height = (int(rect.attrib[name]) for name in ("x", "y", "width", "height"))
        column, row = (x - sheet.x) // sheet.cell_px, (y - sheet.y) // sheet.cell_px
        if x < sheet.right:
            drawn[row, column:column + width // sheet.cell_px] = list(bytes.fromhex(rect.attrib["fill"][1:]))
            assert height == sheet.cell_px
    assert np.array_equal(drawn, sheet.grid)
    texts = [element.text for element in root.iter() if element.tag.endswith("text")]
    assert [label.text for label in sheet.labels] == [text or "" for text in texts]


def rows_of(text: str) -> list[str]:
    """The map's lines: between the head and the legend."""
    lines = text.split("\n")
    return lines[3:lines.index("", 3)]


SIZES = [1, 2, 63, 64, 65, 1536, 1537, 32768, 65536, 10**6, 1 << 20, 10**8, 1 << 28, (1 << 32) - 1, 1 << 32]


@pytest.mark.parametrize("n_frames", SIZES)
@pytest.mark.parametrize("width", [60, 80, 100, 200])
def test_a_terminal_shows_any_size(n_frames: int, width: int) -> None:
    text = render_terminal(FrameMap.from_runs(n_frames, [(0, n_frames, USED)]), width)
    assert max(map(len, text.splitlines())) <= min(width, 100)
    assert 1 <= len(rows_of(text)) <= MAX_LINES
    assert n_frames <= 1536 // 2 or len(rows_of(text)) > MAX_LINES // 2
    assert text.count("█") >= min(n_frames, 12 * 32)
    assert "\x1b" not in text


def test_every_character_of_a_terminal_map() -> None:
    stretches = [(RESERVED, 16), (HOLE, 16), (USED, 16), (FREE, 16), (USED, 1), (FREE, 15), (USED, 8), (FREE, 8), (USED, 15),
                 (FREE, 5), (HOLE, 12), (USED, 1), (HOLE, 15), (FREE, 16 * 512)]
    text = render_terminal(map_of([code for code, n in stretches for _ in range(n)]))
    scale, rows = text.split("\n")[1], rows_of(text)
    assert scale == "one cell = 8 frames = 32 KiB, one row = 2 MiB"
    assert rows[0] == " 0 MiB RR  ██44░3█3█▓2 █ " + "44" + "5555" + "66666666" + "8" * 32


def test_free_cells_show_the_order_of_their_blocks() -> None:
    codes = [FREE] * 64
    for pfn in (1, 6, 7, 40):
        codes[pfn] = USED
    [row] = rows_of(render_terminal(map_of(codes)))
    assert row == "  0 KiB 0█1111██33333333" + "4" * 16 + "33333333" + "█0112222" + "4" * 16


def test_memory_far_apart_is_shown_without_the_desert_between() -> None:
    far = 1 << 28
    text = render_terminal(FrameMap.from_runs(far + 300, [(256, 512, FREE), (far, far + 200, USED)]))
    assert text.split("\n")[1].startswith("one cell = 1 frame = 4 KiB")
    rows = rows_of(text)
    assert rows[0].strip() == "... hole of 1 MiB ..." and rows[5].strip() == "... hole of 1024 GiB ..."
    assert [row.split("KiB ")[1] for row in rows[1:5]] == ["8" * 64] * 4
    assert sum(row.count("█") for row in rows) == 200
    assert rows[6].startswith(f"{far * 4} KiB ")


def test_a_terminal_map_of_nothing_but_holes() -> None:
    assert [row.strip() for row in rows_of(render_terminal(FrameMap.from_runs(1 << 20, [])))] == ["... hole of 4 GiB ..."]


def test_colour_adds_to_the_text_and_changes_nothing_in_it() -> None:
    framemap = map_of(np.random.default_rng(8).integers(0, 4, 9000).tolist() + [FREE] * 9000)
    text = render_terminal(framemap, colour=True)
    assert "\x1b[" in text
    assert Text.from_ansi(text).plain.rstrip() == render_terminal(framemap).rstrip()


def test_a_console_without_unicode_gets_ascii() -> None:
    file = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    print_map(map_of([USED, FREE, RESERVED, HOLE] * 5000), Console(file=file, width=80))
    file.flush()
    assert b" # used" in file.buffer.getvalue()


EXAMPLE = FrameMap.from_runs(5000, [(0, 1, RESERVED), (1, 100, FREE), (100, 4000, USED), (4090, 5000, FREE)])


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_form_is_written_and_is_the_same_every_time(tmp_path: Path, suffix: str) -> None:
    for name in ("a", "b"):
        write_map(EXAMPLE, tmp_path / f"{name}{suffix}")
    assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes() != b""
    if suffix in (".json", ".kpageflags", ".ksmap"):
        assert maps.load(tmp_path / f"a{suffix}") == EXAMPLE


@pytest.mark.parametrize("name", ["map", "map.jpg", "map.png.old", ".png"])
def test_an_unknown_suffix_is_refused_and_the_known_ones_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInput, match=r"\.png \.svg \.txt \.json \.buddyinfo \.kpageflags \.ksmap"):
        write_map(EXAMPLE, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_refused_map_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="curve"):
        write_map(EXAMPLE, tmp_path / "a.png", "spiral")
    with pytest.raises(BadInput, match="too many"):
        write_map(FrameMap.from_runs(1 << 32, []), tmp_path / "a.kpageflags")
    with pytest.raises(BadInput, match="missing"):
        write_map(EXAMPLE, tmp_path / "missing" / "a.txt")
    assert list(tmp_path.iterdir()) == []
