"""Frames, orders, sizes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel_sim.errors import BadInput
from kernel_sim.units import FRAME_BYTES, MAX_FRAMES, MAX_ORDER, N_ORDERS, format_size, order_for, parse_memory, parse_size


def test_constants() -> None:
    assert FRAME_BYTES == 4096
    assert (MAX_ORDER, N_ORDERS) == (10, 11)
    assert MAX_FRAMES == 2**32 - 1


@given(st.integers(1, 1 << 40))
def test_order_for_is_the_smallest_that_holds(n_frames: int) -> None:
    order = order_for(n_frames)
    assert 2**order >= n_frames
    assert order == 0 or 2 ** (order - 1) < n_frames


def test_order_for_small_numbers() -> None:
    assert [order_for(n) for n in range(1, 10)] == [0, 1, 2, 2, 3, 3, 3, 3, 4]


@pytest.mark.parametrize("n_frames", [0, -1])
def test_no_block_of_no_frames(n_frames: int) -> None:
    with pytest.raises(ValueError, match="at least one frame"):
        order_for(n_frames)


@pytest.mark.parametrize("text, size_bytes", [
    ("0", 0), ("1", 1), ("4096", 4096), ("4k", 4096), ("4K", 4096), ("4KB", 4096), ("4KiB", 4096), ("64M", 67_108_864), ("64 MiB", 67_108_864),
    ("2g", 2_147_483_648), ("1T", 1_099_511_627_776), (" 1t ", 1_099_511_627_776), ("5B", 5),
])
def test_parse_size(text: str, size_bytes: int) -> None:
    assert parse_size(text) == size_bytes


@pytest.mark.parametrize("text", ["", "M", "-1", "1.5G", "64X", "64 M M", "0x10", "1e6", "64M,", "١K٢"])
def test_not_a_size(text: str) -> None:
    with pytest.raises(BadInput, match=r"^not a size: "):
        parse_size(text)


@pytest.mark.parametrize("text, n_frames", [("4096", 1), ("64M", 16384), ("1T", 2**28), ("16777215M", 4_294_967_040)])
def test_parse_memory(text: str, n_frames: int) -> None:
    assert parse_memory(text) == n_frames


@pytest.mark.parametrize("text, complaint", [
    ("0", "at least one frame"), ("1", "not a whole number of frames"), ("4097", "not a whole number of frames"),
    ("16T", "more than the 16 TiB that a frame table can describe"), ("many", "not a size"),
])
def test_not_a_memory(text: str, complaint: str) -> None:
    with pytest.raises(BadInput, match=complaint):
        parse_memory(text)


@pytest.mark.parametrize("size_bytes, text", [
    (0, "0 B"), (1023, "1023 B"), (4096, "4 KiB"), (1536 << 20, "1.5 GiB"), (256 << 20, "256 MiB"), (1 << 40, "1 TiB"), (3 << 50, "3072 TiB"),
])
def test_format_size(size_bytes: int, text: str) -> None:
    assert format_size(size_bytes) == text


@given(st.integers(1, 999), st.sampled_from(["KiB", "MiB", "GiB", "TiB"]))
def test_what_is_formatted_can_be_parsed(number: int, unit: str) -> None:
    assert format_size(parse_size(f"{number} {unit}")) == f"{number} {unit}"
