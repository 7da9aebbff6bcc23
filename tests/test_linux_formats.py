"""/proc/pagetypeinfo and /proc/zoneinfo: read from real kernels, and refused in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from kernel_sim.errors import BadInput
from kernel_sim.study.formats import buddyinfo, pagetypeinfo, zoneinfo

KERNELS = sorted((Path(__file__).parent / "data" / "kernel").iterdir())

SMALL = """\
Page block order: 9
Pages per block:  512

Free pages count per migrate type at order       0      1      2      3      4      5      6      7      8      9     10
Node    0, zone      DMA, type    Unmovable      0      0      0      0      0      1      1      1      0      0      0

Number of blocks type     Unmovable
Node 0, zone      DMA            1
"""


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda path: path.name)
def test_all_types_together_are_buddyinfo(kernel: Path) -> None:
    """The kernel prints the same lists twice: by type, and all together. (At the end they were read while something went on.)"""
    types = pagetypeinfo.parse((kernel / "start.pagetypeinfo").read_text())
    together = {zone.zone: tuple(map(sum, zip(*zone.free.values(), strict=True))) for zone in types.zones}
    assert together == {line.zone: line.counts for line in buddyinfo.parse((kernel / "start.buddyinfo").read_text())}
    assert types.block_order == 9


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda path: path.name)
def test_zoneinfo_counts_the_free_frames_of_buddyinfo(kernel: Path) -> None:
    """Read a moment apart, so to a few hundred frames."""
    lines = buddyinfo.parse((kernel / "start.buddyinfo").read_text())
    free = {line.zone: sum(n << order for order, n in enumerate(line.counts)) for line in lines}
    zones = {zone.zone: zone for zone in zoneinfo.parse((kernel / "start.zoneinfo").read_text())}
    assert all(abs(zones[name].numbers["pages free"] - n) < 300 for name, n in free.items())
    assert [zone.numbers["managed"] > 0 for zone in zones.values()] == [True, True, False, False, False]
    assert zones["DMA32"].cpus[0]["batch"] >= 1


def test_a_small_one() -> None:
    [zone] = pagetypeinfo.parse(SMALL).zones
    assert (zone.node, zone.zone, zone.blocks) == (0, "DMA", {"Unmovable": 1})
    assert zone.free == {"Unmovable": (0, 0, 0, 0, 0, 1, 1, 1, 0, 0, 0)}


@pytest.mark.parametrize(("text", "complaint"), [
    ("", "p: not a whole pagetypeinfo: the order of pageblocks, free blocks and pageblocks by type are wanted of each zone"),
    (SMALL.replace("Number", "Numbers"), "p:7: not a line of pagetypeinfo: 'Numbers of blocks type     Unmovable'"),
    (SMALL.replace("      1      1      1      0", "      1      1      0", 1), "p:5: 10 numbers where 11 should stand"),
    (SMALL.replace("      1      1      1", " >100000      1      1"), "p:5: the kernel stopped counting, at '>100000': such a line says too little"),
    (SMALL.replace("DMA            1", "DMA            1            2"), "p:8: 2 numbers where 1 should stand"),
    (SMALL.rpartition("Number")[0], "p: not a whole pagetypeinfo: the order of pageblocks, free blocks and pageblocks by type are wanted of each "
                                    "zone"),
])
def test_what_is_no_pagetypeinfo(text: str, complaint: str) -> None:
    with pytest.raises(BadInput) as error:
        pagetypeinfo.parse(text, "p")
    assert str(error.value) == complaint


@pytest.mark.parametrize(("text", "complaint"), [
    ("", "z: not a zoneinfo: no line 'Node 0, zone      DMA'"),
    ("Node 0, zone      DMA\n  pages free     3808\n        min      69\n",
     "z: zone DMA is not whole: high, low, managed"),
    ("Node 0, zone DMA\n  pages free 1\n  min 1\n  low 1\n  high 1\n  managed 1\n  cpu: 0\n    count: 3\n",
     "z: zone DMA is not whole: count, high and batch of a processor"),
])
def test_what_is_no_zoneinfo(text: str, complaint: str) -> None:
    with pytest.raises(BadInput) as error:
        zoneinfo.parse(text, "z")
    assert str(error.value) == complaint
