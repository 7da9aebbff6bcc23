"""The house: floors whose imports only point down, the public names, commands and policies that are found by their file's name."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from kernel_sim.tools.cli import commands

import kernel_sim
from kernel_sim.allocators.base import policy_module, policy_names

ROOT = Path(__file__).resolve().parents[1]

FLOORS = (
    ("errors", "units", "compiled", "compiled_steps"),
    ("events", "frames", "users", "zones", "fragmentation"),
    ("allocators",),
    ("ledger", "entries", "audit", "explain", "complaints", "manager", "granules", "segments", "segment_records", "segment_moves", "operations",
     "arena", "heap", "heap_audit", "heap_stats", "slab", "slab_layout"),
    ("machine", "study"),
    ("tools", "firmware", "bench", "data"),
)
"""From the ground up. A room may use what stands below it, and its own floor, except that `machine` and `study` do not know each other."""

ONLY_IMPORTERS = {"numba": {"kernel_sim/compiled.py", "kernel_sim/compiled_steps.py"}, "unicorn": {"kernel_sim/machine/cpu.py"},
                  "capstone": {"kernel_sim/machine/listing.py"}, "elftools": {"kernel_sim/machine/loader.py"},
                  "PIL": {"kernel_sim/study/drawing/png.py"}, "matplotlib": {"kernel_sim/study/drawing/timeline.py"}}


def sources() -> list[Path]:
    """Every Python file of the package; benchmarks are tests, and held to less."""
    return sorted([*(ROOT / "kernel_sim").rglob("*.py"), *(ROOT / "tools").rglob("*.py"), *(ROOT / "firmware").rglob("*.py")])


def imports(path: Path) -> Iterator[str]:
    """The modules that a file imports when it runs, wherever in it; what it imports for the type checker alone does not count."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for_types = {id(child) for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
                 for child in ast.walk(node)}
    for node in ast.walk(tree):
        if id(node) in for_types:
            continue
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module
            if node.module == "kernel_sim" or node.module.startswith("kernel_sim."):
                yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def room_of(path: Path) -> str:
    """`kernel_sim/machine/cpu.py` is in the room `machine`."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[0] if parts[0] != "kernel_sim" else parts[1]


def floor_of(room: str) -> int | None:
    return next((number for number, rooms in enumerate(FLOORS) if room in rooms), None)


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_only_point_down(path: Path) -> None:
    room = room_of(path)
    if room == "__init__":
        pytest.skip("the public names are the door to every floor")
    floor = floor_of(room)
    assert floor is not None, f"{room} stands on no floor"
    for module in imports(path):
        parts = module.split(".")
        if parts[0] != "kernel_sim" or len(parts) < 2 or floor_of(parts[1]) is None:
            continue
        below = floor_of(parts[1])
        assert below is not None and below <= floor, f"{path.name} imports {module}, from a floor above its own"
        assert {room, parts[1]} != {"machine", "study"}, f"{path.name} imports {module}: machine and study do not know each other"


@pytest.mark.parametrize(("library", "home"), ONLY_IMPORTERS.items())
def test_each_library_is_imported_in_one_place(library: str, home: set[str]) -> None:
    importers = {str(path.relative_to(ROOT)) for path in sources() if any(module.split(".")[0] == library for module in imports(path))}
    assert importers == home


def test_the_public_names_are_there_and_documented() -> None:
    for name in kernel_sim.__all__:
        thing = getattr(kernel_sim, name)
        assert thing.__doc__, f"{name} has no docstring"
    assert {"FrameManager", "Zone", "Machine", "Trace", "replay", "load_policy", "SegmentTable"} <= set(kernel_sim.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        kernel_sim.nonsense  # noqa: B018


def test_importing_the_package_imports_nothing_heavy() -> None:
    heavy = ("numba", "numpy", "unicorn", "capstone", "rich", "matplotlib")
    program = f"import sys, kernel_sim, kernel_sim.tools.cli; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_every_policy_is_a_file_with_a_docstring() -> None:
    assert set(policy_names()) >= {"buddy", "first-fit", "next-fit", "best-fit", "worst-fit", "page-stack"}
    for name in policy_names():
        text = policy_module(name).__doc__ or ""
        for part in ("Source:", "Idea:", "Invariant:", "Cost:"):
            assert part in text, f"{name} does not say its {part[:-1].lower()}"


def test_every_command_is_a_file() -> None:
    assert set(commands()) >= {"run", "replay", "map", "import", "policies", "bench"}


def test_files_can_be_read_in_one_sitting() -> None:
    for path in sources():
        lines = path.read_text(encoding="utf-8").splitlines()
        assert len(lines) <= 400, f"{path.name} has {len(lines)} lines"
        assert max(map(len, lines), default=0) <= 150, f"{path.name} has a line of {max(map(len, lines))} characters"
