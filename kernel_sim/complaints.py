"""What a status means in Python: the exception, with the facts in it. Asked when something was refused, before anything else happens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kernel_sim import events
from kernel_sim.errors import (
    BadFree,
    BadPolicy,
    BrokenInvariant,
    DoubleFree,
    InteriorFree,
    NotAllocated,
    OutOfRange,
    Reserved,
    Shared,
    SimError,
    TooManyUsers,
)
from kernel_sim.explain import failure
from kernel_sim.frames import STATE_NAMES

if TYPE_CHECKING:
    from kernel_sim.manager import FrameManager


def complaint(manager: FrameManager, status: int, n_frames: int | None, pfn: int | None = None) -> SimError:
    """The exception for a status (`kernel_sim.events`) of the latest event; `pfn` is what was asked for, if that is no number of 64 bits."""
    if status == events.BROKEN:
        return broken(manager)
    if status == events.OUT_OF_FRAMES:
        return failure(manager, n_frames or 0)
    return refused(manager, int(manager.latest_event["pfn"]) if pfn is None else pfn, n_frames, status)


def broken(manager: FrameManager) -> SimError:
    """The policy gave out a frame that was not its own to give."""
    pfn = manager.witness
    record = manager.table.frames[pfn] if 0 <= pfn < manager.n_table_frames else None
    what = ": no frame of its zone, or a run that leaves the zone or is shorter than what was asked for"
    if record is not None and record["state"]:
        what = f", which is {STATE_NAMES[record['state']]}{_by(record['event'])}"
    message = f"policy {manager.policy.name} gave out frame {pfn:#x}{what}"
    return BadPolicy(message) if manager.policy.plain else BrokenInvariant(message)


def refused(manager: FrameManager, pfn: int, n_frames: int | None, status: int) -> BadFree:
    """The exception for a free that was refused."""
    witness = manager.witness
    event = int(manager.table.frames[witness]["event"]) if 0 <= witness < manager.n_table_frames else 0
    if status == events.DOUBLE_FREE:
        return DoubleFree(f"DoubleFree: frame {pfn:#x} was already freed{_by(event)}", pfn=pfn, event=event)
    if status == events.INTERIOR_FREE:
        return InteriorFree(f"InteriorFree: frame {pfn:#x} lies inside an allocation{_by(event, 'made')}", pfn=pfn, event=event)
    if status == events.SHARED:
        return Shared(f"Shared: frame {pfn:#x} is of an allocation with other users, which is freed whole or not at all", pfn=pfn, event=event)
    if status == events.TOO_MANY_USERS:
        return TooManyUsers(f"TooManyUsers: frame {pfn:#x} can have no more users", pfn=pfn, event=event)
    if status == events.RESERVED:
        return Reserved(f"Reserved: frame {pfn:#x} is reserved and was never given out", pfn=pfn)
    if status == events.OUT_OF_RANGE:
        return OutOfRange(f"OutOfRange: there is no frame {pfn:#x}", pfn=pfn)
    if witness == pfn and manager.owner_of(pfn) is not None:
        owner = int(manager.latest_event["owner"])
        return NotAllocated(f"NotAllocated: frame {pfn:#x} is not owner {owner}'s{_by(event, 'allocated')}", pfn=pfn, event=event)
    if witness == pfn:
        return NotAllocated(f"NotAllocated: frame {pfn:#x} was never allocated", pfn=pfn)
    return NotAllocated(f"NotAllocated: of {n_frames} frames at {pfn:#x} only {witness - pfn} are of the allocation there", pfn=pfn, event=event)


def _by(event: int, verb: str = "") -> str:
    """`, by event 4`; nothing for event 0."""
    return f", {verb + ' ' if verb else ''}by event {int(event)}" if event else ""

