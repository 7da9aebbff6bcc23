"""Whole address spaces, read from tables and from descriptors, and the picture of two of them."""

from __future__ import annotations

from xml.etree import ElementTree

from test_walks import FRAME_BYTES, P, Stopped, U, W, paged, segmented

from kernel_sim.machine.spaces import address_space
from kernel_sim.machine.walks import walk_of
from kernel_sim.study.drawing.address_spaces import SHARED, Memory, Region, Run, Space, to_svg
from kernel_sim.study.drawing.palette import hex_of

SVG = "{http://www.w3.org/2000/svg}"


def test_everything_that_is_mapped_can_be_walked_to() -> None:
    machine, at = Stopped(), {}
    for name in ("root", "pdpt", "pd", "pt", "other_pt"):
        at[name] = machine.manager.alloc(1, owner=1) * FRAME_BYTES
    pages = machine.manager.alloc(6, owner=1)
    for table, index, below in (("root", 16, "pdpt"), ("pdpt", 3, "pd"), ("pd", 7, "pt"), ("pd", 8, "other_pt")):
        machine.put(at[table] + 8 * index, at[below] | P | W | U)
    for table, index, page in (("pt", 5, 0), ("pt", 6, 1), ("pt", 7, 3), ("pt", 511, 4), ("other_pt", 0, 5)):
        machine.put(at[table] + 8 * index, (pages + page) * FRAME_BYTES | P | U)
    space = address_space(machine, at["root"])
    base = (16 << 39) + (3 << 30) + (7 << 21)
    assert space.mappings == ((base + 5 * 4096, pages, 2), (base + 7 * 4096, pages + 3, 1), (base + 511 * 4096, pages + 4, 2))
    assert set(space.tables) == {table // FRAME_BYTES for table in at.values()} and space.tables[0] == at["root"] // FRAME_BYTES
    for mapping in space.mappings:
        assert mapping.segment == 1
        for i in range(mapping.n_frames):
            assert walk_of(machine, mapping.virtual + i * FRAME_BYTES, at["root"]).physical == (mapping.pfn + i) * FRAME_BYTES


def test_large_pages_and_the_kernels_half() -> None:
    machine, at = paged()
    machine.put(at["root"] + 8, 0, 0)
    machine.put(at["pdpt"] + 8, 0, 0)
    machine.put(at["pd"] + 16, 0)
    machine.put(at["root"] + 8 * 256, at["pdpt"] | P | W)
    assert address_space(machine, at["root"]).mappings == ((0x1000, at["page"] // 4096, 2), (2 << 20, 512, 512))


def test_segments_as_they_lie() -> None:
    machine, base = segmented()
    root = machine.cpu.page_table
    pfn = base // FRAME_BYTES
    space = address_space(machine, root)
    assert space.mappings == ((1 << 43, pfn, 4), (2 << 43, pfn, 4), ((5 << 43) - 4 * FRAME_BYTES, pfn, 4)) and space.tables == (root // FRAME_BYTES,)
    for mapping in space.mappings:
        assert walk_of(machine, mapping.virtual, root).physical == mapping.pfn * FRAME_BYTES


def test_the_picture() -> None:
    one = Space("process 1, a", (Region(1, "code", (Run(1 << 43, 2, 3), Run((1 << 43) + 3 * 4096, 9, 1))),), frozenset({0}))
    two = Space("process 2, <b>", (Region(1, "code", (Run(1 << 43, 2, 3),)), Region(2, "data", (Run(2 << 43, 20, 40),))), frozenset({1}))
    text = to_svg("Title", "below", [one, two], Memory(64, ((0, 5), (9, 10), (12, 14), (20, 60))))
    picture = ElementTree.fromstring(text)
    words = [label.text or "" for label in picture.iter(f"{SVG}text")]
    assert {"Title", "below", "process 1, a", "process 2, <b>", "code, 16 KiB", "data, 160 KiB", "physical memory, 256 KiB", "frame 0x3f",
            "shared by both", "the kernel's and others'", "page tables of process 1"} <= set(words)
    assert len(list(picture.iter(f"{SVG}path"))) == 4
    strip = [box for box in picture.iter(f"{SVG}rect") if box.get("width") == "170" and box.get("fill") == hex_of(SHARED)]
    assert len(strip) == 1 and abs(float(strip[0].get("height", "0")) - 3 * 6) < 0.01      # frames 2 to 4, at the largest scale
    assert to_svg("Title", "below", [one, two], Memory(64, ())) == to_svg("Title", "below", [one, two], Memory(64, ()))
    assert "shared by both" not in to_svg("Title", "below", [one], Memory(64, ((0, 5),)))


def test_many_frames_fit() -> None:
    space = Space("p", (Region(3, "heap", (Run(3 << 43, 0, 4096),)),), frozenset())
    picture = ElementTree.fromstring(to_svg("t", "s", [space, space], Memory(4096, ((0, 4096),))))
    assert float(picture.get("height", "0")) < 1200
