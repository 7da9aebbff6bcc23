"""What guest and host share: the generated header, and that both sides see the same bytes."""

from __future__ import annotations

import re
from importlib.resources import files
from itertools import pairwise

import numpy as np
import pytest

from kernel_sim import events, operations
from kernel_sim.machine import abi
from kernel_sim.units import FRAME_BYTES, MAX_FRAMES

HEADER = files("kernel_sim.firmware") / "include" / "abi.h"
C_BYTES = {"uint8_t": 1, "uint16_t": 2, "uint32_t": 4, "int64_t": 8, "uint64_t": 8}


def test_the_header_is_the_generated_one() -> None:
    assert HEADER.read_text(encoding="utf-8") == abi.header()


@pytest.mark.parametrize("name", abi.STRUCTURES)
def test_construct_numpy_and_c_agree(name: str) -> None:
    """Sizes and offsets of every field, three times over."""
    structure, kind = abi.STRUCTURES[name], abi.dtype(abi.STRUCTURES[name])
    assert structure.sizeof() == kind.itemsize
    body = re.search(rf"struct {name} \{{\n(.*?)\n\}};", abi.header(), re.DOTALL)
    assert body is not None
    offset = 0
    for line, field in zip(body[1].splitlines(), structure.subcons, strict=True):
        declared = re.fullmatch(r"    (?:struct )?(\w+) (\w+)(?:\[(\d+)\])?;", line)
        assert declared is not None
        c_type, c_name, length = declared.groups()
        size = C_BYTES[c_type] if c_type in C_BYTES else abi.STRUCTURES[c_type].sizeof()
        assert c_name == field.name and kind.fields[c_name][1] == offset
        assert size * int(length or 1) == field.subcon.sizeof() == kind.fields[c_name][0].itemsize
        assert offset % min(size, 8) == 0       # C adds no padding of its own
        offset += field.subcon.sizeof()
    assert offset == structure.sizeof()


def test_values_come_through() -> None:
    """A box that construct writes is the box that numpy reads."""
    values = {"call": 2**32 - 1, "status": 7, "n_frames": -1, "pfn": 2**63 - 1, "owner": 65535, "cpu": 1, "mobility": 2, "spare": 0,
              "segment": -(2**63), "base": 5, "bound": 6, "reserved": 0}
    box = np.frombuffer(abi.CallBox.build(values), abi.dtype(abi.CallBox))[0]
    assert {name: int(box[name]) for name in values} == values
    assert abi.CallBox.sizeof() == 64


def test_an_operation_is_an_operation() -> None:
    assert abi.dtype(abi.Operation) == operations.OPERATION


def test_nothing_overlaps() -> None:
    """The places in the firmware's memory, each on a page of its own but for the small ones, which share one."""
    places = {
        "image": (0, abi.IMAGE_BYTES), "stack": (abi.STACK_BOTTOM, abi.STACK_TOP), "page tables": (abi.PAGE_TABLES, abi.PAGE_TABLES_END),
        "boot info": (abi.BOOT_INFO, abi.BOOT_INFO + abi.BootInfo.sizeof()),
        "call box": (abi.CALL_BOX, abi.CALL_BOX + abi.CallBox.sizeof()),
        "guest report": (abi.GUEST_REPORT, abi.GUEST_REPORT + abi.GuestReport.sizeof()),
        "batch": (abi.BATCH, abi.BATCH + abi.BATCH_CALLS * abi.CallBox.sizeof()),
        "window": (abi.WINDOW, abi.WINDOW + abi.WINDOW_OPERATIONS * abi.Operation.sizeof()),
    }
    in_order = sorted(places.values())
    assert all(end <= first for (_, end), (first, _) in pairwise(in_order))
    assert in_order[-1][1] <= abi.FIRMWARE_BYTES
    assert abi.CALL_BOX % 64 == abi.BATCH % 64 == 0         # a call is one cache line
    assert abi.STACK_BOTTOM - abi.IMAGE_BYTES >= FRAME_BYTES


def test_the_page_tables_have_room_for_the_largest_memory() -> None:
    largest = MAX_FRAMES * FRAME_BYTES + 2 * abi.FIRMWARE_BYTES
    assert (3 + 1 + -(-largest // (512 << 30))) * FRAME_BYTES <= abi.PAGE_TABLES_END - abi.PAGE_TABLES
    assert abi.DIRECT_MAP + largest <= abi.FIRMWARE


def test_every_call_and_status_is_in_the_header() -> None:
    text = abi.header()
    for number, (name, _) in abi.CALLS.items():
        assert f"#define {name} {number} " in text
    for number, name in events.STATUS_NAMES.items():
        assert f"#define STATUS_{name.upper().replace(' ', '_')} {number}\n" in text
    sdk = (HEADER.parent.parent / "lib" / "print.c").read_text(encoding="utf-8")
    for number, name in events.STATUS_NAMES.items():
        assert number == events.BROKEN or f'return "{name}";' in sdk
