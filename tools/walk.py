"""Walk a virtual address of a running guest: the page tables entry by entry, or the segment, down to the physical address.

The guest runs until it ends, stops at a fault, or has used up --budget; then the address is walked in the address space that the processor is in, or
in that of --pid. ADDRESS is hexadecimal, or a function of the guest's image. Exit status 1 when the address leads nowhere.

    kernel-sim walk --programs matrix --budget 300000 --pid 1 0x180000000000
    kernel-sim walk --guest hello main
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kernel_sim.tools import _guest, _playing

from kernel_sim.errors import BadInput

if TYPE_CHECKING:
    from kernel_sim.machine.machine import Machine
    from kernel_sim.machine.walks import Walk


def configure(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("address", metavar="ADDRESS", nargs="+", help="a virtual address in hexadecimal, or a function of the guest's image")
    parser.add_argument("--pid", type=int, metavar="N", help="walk in the address space of that process (default: the one that CR3 points to)")
    _guest.add_arguments(parser, "hello")
    parser.add_argument("--policy", default="buddy", metavar="POLICY", help="who places frames (default: buddy)")
    parser.add_argument("--memory", default="64M", metavar="SIZE", help="the size of the memory (default: 64M)")
    parser.add_argument("--budget", type=_playing.positive, metavar="BLOCKS", help="stop the guest after so many blocks of code")
    parser.add_argument("--json", action="store_true", help="print the walks as JSON")


def run(args: argparse.Namespace) -> int:
    """Run the guest, walk, print. Exit status 0, or 1 when an address leads nowhere."""
    from kernel_sim.machine.machine import DEFAULT_BUDGET, Machine
    from kernel_sim.machine.walks import in_words, walk_of
    from kernel_sim.manager import FrameManager
    from kernel_sim.units import parse_memory

    told, n_frames = _guest.settle(args, "hello"), parse_memory(args.memory)
    _playing.announce_compiling()
    machine = Machine(FrameManager(n_frames, args.policy), args.guest, budget=args.budget or DEFAULT_BUDGET, **told)
    addresses = [_address(machine, text) for text in args.address]
    done = machine.run()
    root = _guest.root_of(machine, args.pid) if args.pid is not None else None
    walks = [walk_of(machine, address, root) for address in addresses]
    if args.json:
        print(_playing.to_json({"blocks": done.blocks, "stopped": done.stopped, "walks": [as_json(walk) for walk in walks]}))
    else:
        print(f"guest {args.guest}, stopped by {_STOPPED[done.stopped]} after {done.blocks:,} blocks of code")
        for walk in walks:
            print("\n".join(["", *in_words(walk)]))
    return int(any(walk.physical is None for walk in walks))


_STOPPED = {"exit": "its exit", "fault": "a fault", "halt": "a halt", "budget": "its budget", "interrupt": "you"}


def _address(machine: Machine, text: str) -> int:
    """An address, or where a function of the image begins."""
    found = next((symbol.address for symbol in machine.image.symbols if symbol.name == text), None)
    if found is not None:
        return found
    try:
        address = int(text, 16)
    except ValueError:
        raise BadInput(f"no address {text!r}: neither a hexadecimal number nor a function of guest {Path(machine.image.path).stem}") from None
    if not 0 <= address < 1 << 64:
        raise BadInput(f"address {text}: more than 64 bits")
    return address


def as_json(walk: Walk) -> dict[str, Any]:
    """A walk as JSON has it: addresses as hexadecimal texts, for they have 64 bits."""
    told = asdict(walk)
    told["entries"] = [{**_hexadecimal(asdict(entry), "raw", "target", "table_pfn"), "name": entry.name} for entry in walk.entries]
    if walk.segment is not None:
        told["segment"] = _hexadecimal(asdict(walk.segment), "base", "bound", "offset")
    return _hexadecimal(told, "virtual", "root", "physical")


def _hexadecimal(record: dict[str, Any], *names: str) -> dict[str, Any]:
    return record | {name: hex(record[name]) for name in names if record[name] is not None}
