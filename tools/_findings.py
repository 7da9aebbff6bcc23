"""What the frame sanitizer found, as `run` prints it and puts it into its JSON."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kernel_sim.errors import Finding
    from kernel_sim.machine.machine import Run
    from kernel_sim.machine.sanitizer import Leak

_MOST_STACKS = 10       # of leaks, printed; the JSON has all


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that turn the sanitizer on."""
    parser.add_argument("--sanitize", action=argparse.BooleanOptionalAction, default=None,
                        help="stop the guest at its first access to a frame that is not its user's, and tell what was never freed "
                             "(default: no, or as KERNEL_SIM_SANITIZE=1 says)")
    parser.add_argument("--uninitialised", action="store_true", help="the same, and report reads of memory that was never written (slow)")


def report(done: Run) -> dict[str, Any]:
    """The findings and leaks for the JSON."""
    return {"findings": [_finding(found) for found in done.findings], "leaks": [_leak(leak) for leak in done.leaks]}


def lines(done: Run) -> list[str]:
    """The findings with all that is known of them, then what was leaked, then how much was still held by owners who have not ended."""
    told: list[str] = []
    for found in done.findings:
        told += ["", str(found), *(f"    {line}" for line in found.details)]
    leaked = [leak for leak in done.leaks if leak.has_ended]
    for leak in leaked[:_MOST_STACKS]:
        told += ["", f"leak: {leak}, allocated by:", *(f"    {line}" for line in leak.stack)]
    if len(leaked) > _MOST_STACKS:
        told += ["", f"and {len(leaked) - _MOST_STACKS} more leaks (--json has them all)"]
    held = [leak for leak in done.leaks if not leak.has_ended]
    if held:
        owners = sorted({leak.owner for leak in held})
        told += ["", f"still allocated at the end: {sum(leak.n_frames for leak in held):,} frames of "
                     f"owner{'s' if len(owners) > 1 else ''} {', '.join(map(str, owners))}"]
    return told


def summary(done: Run) -> str | None:
    """One line on what the sanitizer did not like about a guest that came to its end; None when there is nothing."""
    if done.findings:
        return str(done.findings[0])
    leaked = [leak for leak in done.leaks if leak.has_ended]
    return f"leaked {sum(leak.n_frames for leak in leaked):,} frames" if leaked else None


def _finding(found: Finding) -> dict[str, Any]:
    address = None if found.address is None else f"{found.address:#x}"      # a text: JSON's readers round numbers of 64 bits
    return {"kind": found.kind, "message": str(found), "rip": f"{found.rip:#x}", "pfn": found.pfn, "address": address, "access": found.access,
            "owner": found.owner, "event": found.event, "details": list(found.details)}


def _leak(leak: Leak) -> dict[str, Any]:
    return {"owner": leak.owner, "has_ended": leak.has_ended, "n_allocations": leak.n_allocations, "n_frames": leak.n_frames,
            "n_tables": leak.n_tables, "stack": list(leak.stack)}
