"""The frame table is a second witness: whatever a policy gives out that is not its own to give is caught at once, and named."""

from __future__ import annotations

import pytest
from contract.puppet import pull, puppet

from kernel_sim import BadPolicy, BrokenInvariant, FrameManager, Zone

ZONES = [Zone("Low", ((2, 40), (48, 80)), reserved=((60, 64),)), Zone("High", ((128, 160),))]
IN_USE = [(10, 14)]
LOW, HIGH = 0, 1

WRONG = {
    "a frame in use from the start": (LOW, 10, 1, "gave out frame 0xa, which is allocated$"),
    "one inside of what is in use": (LOW, 12, 1, "gave out frame 0xc, which is inside an allocation$"),
    "a run that reaches into what is in use": (LOW, 8, 4, "gave out frame 0xa, which is allocated$"),
    "a frame given out before": (HIGH, 130, 1, "gave out frame 0x82, which is allocated, by event 1$"),
    "padding of one given out before": (HIGH, 133, 1, "gave out frame 0x85, which is padding of an allocation, by event 1$"),
    "a reserved frame": (LOW, 61, 1, "gave out frame 0x3d, which is reserved$"),
    "a hole": (LOW, 44, 1, "gave out frame 0x2c, which is a hole$"),
    "a run across a hole": (LOW, 38, 4, "gave out frame 0x28, which is a hole$"),
    "another zone's frame": (HIGH, 20, 1, "gave out frame 0x14, which is no frame of the zone$"),
    "a frame above the zone": (LOW, 128, 1, "gave out frame 0x80, which is no frame of the zone$"),
    "a frame below the zone": (LOW, 1, 1, "gave out frame 0x1, which is a hole$"),
    "a run over the end of the zone": (HIGH, 159, 2, "gave out frame 0x9f, which is no frame of the zone$"),
    "a frame beyond the memory": (HIGH, 1 << 40, 1, "gave out frame 0x10000000000, which is no frame of the zone$"),
    "a negative frame": (HIGH, -7, 1, "gave out frame -0x7, which is no frame of the zone$"),
    "fewer frames than were asked for": (HIGH, 140, 1, "gave out frame 0x8c, which is no frame of the zone$"),
}


@pytest.mark.parametrize("zone, pfn, granted, message", WRONG.values(), ids=WRONG)
def test_a_compiled_policy(zone: int, pfn: int, granted: int, message: str) -> None:
    manager = FrameManager(ZONES, puppet(), in_use=IN_USE)
    pull(manager, HIGH, 130, 4)
    assert manager.alloc(3) == 130
    pull(manager, HIGH, -1, 1)
    pull(manager, zone, pfn, granted)
    table, stats = manager.table.frames.tobytes(), manager.stats()
    with pytest.raises(BrokenInvariant, match=message):
        manager.alloc(2 if granted > 1 or "fewer" in message else 1) if pfn != 140 else manager.alloc(2)
    assert manager.table.frames.tobytes() == table
    assert manager.stats().n_free == stats.n_free
    assert manager.stats().n_allocs == stats.n_allocs


class Scripted:
    """A plain policy that gives out what it is told to."""

    answers: dict[str, object] = {}

    def __init__(self, zone: object) -> None:
        self.name = "High" if zone.first_pfn == 128 else "Low"  # type: ignore[attr-defined]

    def alloc(self, n_frames: int) -> object:
        return self.answers.get(self.name)

    def free(self, pfn: int, n_frames: int) -> None:
        pass


OWNED = [row for row in WRONG if "no frame" not in WRONG[row][3] and "padding" not in row and "run" not in row and "below" not in row]


@pytest.mark.parametrize("row", OWNED)
def test_a_plain_policy(row: str) -> None:
    zone, pfn, _, message = WRONG[row]
    Scripted.answers = {"High": 130}
    manager = FrameManager(ZONES, Scripted, in_use=IN_USE)
    manager.alloc(1)
    Scripted.answers = {"Low" if zone == LOW else "High": pfn}
    with pytest.raises(BadPolicy, match="policy Scripted " + message):
        manager.alloc(1)
