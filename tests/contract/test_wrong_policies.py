"""The frame table is a second witness: whatever a policy gives out that is not its own to give is caught at once, and named."""

from __future__ import annotations

import pytest
from contract.puppet import pull, puppet

from kernel_sim import BadPolicy, BrokenInvariant, FrameManager, Zone

ZONES = [Zone("Low", ((2, 40), (48, 80)), reserved=((60, 64),)), Zone("High", ((128, 160),))]
IN_USE = [(10, 14)]
LOW, HIGH = 0, 1

OUTSIDE = ": no frame of its zone, or a run that leaves the zone or is shorter than what was asked for$"

# what is wrong: the zone asked, the frame and the number it gives, and what the complaint says of them
WRONG = {
    "a frame in use from the start": (LOW, 10, 1, "0xa, which is allocated$"),
    "one inside of what is in use": (LOW, 12, 1, "0xc, which is inside an allocation$"),
    "a frame given out before": (HIGH, 130, 1, "0x82, which is allocated, by event 1$"),
    "padding of one given out before": (HIGH, 133, 1, "0x85, which is padding of an allocation, by event 1$"),
    "a reserved frame": (LOW, 61, 1, "0x3d, which is reserved$"),
    "a hole": (LOW, 44, 1, "0x2c, which is a hole$"),
    "a frame below the zone": (LOW, 1, 1, "0x1, which is a hole$"),
    "a frame above the zone": (LOW, 144, 1, "0x90" + OUTSIDE),
    "another zone's frame": (HIGH, 20, 1, "0x14" + OUTSIDE),
    "a frame beyond the memory": (HIGH, 1 << 40, 1, "0x10000000000" + OUTSIDE),
    "a negative frame": (HIGH, -7, 1, "-0x7" + OUTSIDE),
    "a run that reaches into what is in use": (LOW, 8, 4, "0xa, which is allocated$"),
    "a run across a hole": (LOW, 38, 4, "0x28, which is a hole$"),
    "a run over the end of the zone": (HIGH, 159, 4, "0x9f" + OUTSIDE),
}


def manager_with_one_allocation() -> FrameManager:
    """Frames 130 to 133 have been given out, and 133 is padding."""
    manager = FrameManager(ZONES, puppet(), in_use=IN_USE)
    pull(manager, HIGH, 130, 4)
    assert manager.alloc(3) == 130
    pull(manager, HIGH, -1, 1)
    return manager


def assert_caught(manager: FrameManager, n_frames: int, message: str) -> None:
    """The request ends in a complaint, and the books are what they were."""
    table, stats = manager.table.frames.tobytes(), manager.stats()
    with pytest.raises(BrokenInvariant, match="^policy puppet-[0-9a-f]+ gave out frame " + message):
        manager.alloc(n_frames)
    assert manager.table.frames.tobytes() == table
    assert (manager.stats().n_free, manager.stats().n_allocs) == (stats.n_free, stats.n_allocs)


@pytest.mark.parametrize("zone, pfn, granted, message", WRONG.values(), ids=WRONG)
def test_a_compiled_policy(zone: int, pfn: int, granted: int, message: str) -> None:
    manager = manager_with_one_allocation()
    pull(manager, zone, pfn, granted)
    assert_caught(manager, granted, message)


def test_fewer_frames_than_were_asked_for() -> None:
    manager = manager_with_one_allocation()
    pull(manager, HIGH, 140, 1)
    assert_caught(manager, 2, "0x8c" + OUTSIDE)


class Scripted:
    """A plain policy that gives out what it is told to."""

    answers: dict[str, object] = {}

    def __init__(self, zone: object) -> None:
        self.name = "High" if zone.first_pfn == 128 else "Low"  # type: ignore[attr-defined]

    def alloc(self, n_frames: int) -> object:
        return self.answers.get(self.name)

    def free(self, pfn: int, n_frames: int) -> None:
        pass


SINGLE = {name: row for name, row in WRONG.items() if row[2] == 1}


@pytest.mark.parametrize("zone, pfn, granted, message", SINGLE.values(), ids=SINGLE)
def test_a_plain_policy(zone: int, pfn: int, granted: int, message: str) -> None:
    """Told in one line, as a file's mistake is."""
    Scripted.answers = {"High": 130}
    manager = FrameManager(ZONES, Scripted, in_use=IN_USE)
    manager.alloc(4)
    Scripted.answers = {"Low" if zone == LOW else "High": pfn}
    with pytest.raises(BadPolicy) as caught:
        manager.alloc(1)
    assert str(caught.value).startswith("policy Scripted")
    assert "\n" not in str(caught.value)
