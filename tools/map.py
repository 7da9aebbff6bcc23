"""Show what every frame of a memory is: free, used, reserved, or a hole.

FILE is /proc/kpageflags or a copy of it, plain or compressed, or a map that kernel-sim wrote (.ksmap, .json). Without -o the map
is drawn in the terminal; with it, it is written in the form that the suffix names.
"""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kernel_sim.study.framemap import FrameMap


def configure(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("file", metavar="FILE", help="the memory to show")
    parser.add_argument("-o", "--output", metavar="OUT",
                        help="write the map there, as .png .svg .txt .json .buddyinfo .kpageflags or .ksmap")
    parser.add_argument("--curve", choices=("hilbert", "row"), default="hilbert",
                        help="the order of the cells in a picture (default: hilbert)")
    parser.add_argument("--json", action="store_true", help="print counts, free blocks and fragmentation indices")


def run(args: argparse.Namespace) -> int:
    """Read, then draw, write or report. Exit status 0."""
    from kernel_sim.study import framemap
    from kernel_sim.study.drawing import check_suffix, write_map

    if args.output:
        check_suffix(args.output)
    memory = framemap.load(args.file)
    if args.output:
        write_map(memory, args.output, args.curve)
    if args.json:
        print(json.dumps(report(memory), indent=2))
    elif not args.output:
        _draw(memory)
    return 0


def report(memory: FrameMap) -> dict[str, Any]:
    """The map in numbers: frames of each state, the longest free run, and for each zone its free blocks and indices by order."""
    from kernel_sim.fragmentation import extfrag_index, unusable_index
    from kernel_sim.study.framemap import KIND_NAMES

    blocks = memory.buddyinfo()
    zones = [{
        "name": name, "first_pfn": first, "end_pfn": end, "buddyinfo": blocks[name],
        "unusable_index": [unusable_index(blocks[name], order) for order in range(len(blocks[name]))],
        "extfrag_index": [extfrag_index(blocks[name], order) for order in range(len(blocks[name]))],
    } for name, first, end in memory.zones]
    return {
        "n_frames": memory.n_frames, "frames": dict(zip(KIND_NAMES, memory.counts, strict=True)), "free_runs": memory.n_free_runs,
        "longest_free_run": {"first_pfn": memory.longest_free_range[0], "n_frames": memory.largest_free_run}, "zones": zones,
    }


def _draw(memory: FrameMap) -> None:
    from rich.console import Console

    from kernel_sim.study.drawing.terminal import print_map

    print_map(memory, Console())
