"""The user programs as processes of Linux, at the addresses they have in the guest: their own logic, before any kernel of ours is asked."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from kernel_sim.firmware.build import _FLAGS, _GCC, HERE, USER

LINUX = Path(__file__).parent / "user" / "linux.c"

pytestmark = pytest.mark.skipif(sys.platform != "linux" or platform.machine() != "x86_64" or not shutil.which("gcc"),
                                reason="needs gcc, on Linux on x86-64")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every program, its system calls made by Linux."""
    folder = tmp_path_factory.mktemp("natively")
    gcc = ["gcc", *_FLAGS, *(flag for flag in USER.flags if "user" not in flag), *_GCC, "-Werror",
           f"-I{HERE}/include", f"-I{HERE}/user/include", f"-Wl,-T,{HERE}/user/user.ld"]
    library = [*(HERE / "user" / "lib").glob("*.c"), *(HERE / "common").glob("*.c")]
    subprocess.run([*gcc, "-c", str(LINUX), *map(str, library)], cwd=folder, check=True)
    for program in USER.programs():
        subprocess.run([*gcc, "-o", program.stem, *sorted(map(str, folder.glob("*.o"))), str(program)], cwd=folder, check=True)
    return folder


def run(built: Path, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(built / program), *arguments], capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("command", [
    "malloc", "malloc next-fit", "malloc best-fit", "malloc worst-fit", "malloc buddy", "forktree", "forktree 0", "forktree 4", "matrix", "matrix 1",
    "stackgrow", "stackgrow 1000", "refused", "segments", "segments 200", "big", "big 0", "big 1000", "spin", "spin 1", "spin idle", "generated"])
def test_a_program_finds_nothing_wrong(command: str, built: Path) -> None:
    done = run(built, *command.split())
    assert done.returncode == 0, done.stdout
    assert "checks failed" not in done.stdout or " 0 checks failed" in done.stdout


@pytest.mark.parametrize("seeds", [range(200), pytest.param(range(200, 1000), marks=pytest.mark.slow)], ids=["few", "many"])
def test_generated_programs(seeds: range, built: Path) -> None:
    """None of them says that anything is wrong, children included: one line, the root's."""
    for seed in seeds:
        done = run(built, "generated", str(seed))
        assert (done.returncode, done.stdout) == (0, f"generated: seed {seed}, 0 checks failed\n")


def test_generated_programs_differ(built: Path) -> None:
    """Two seeds, two programs: what they ask Linux for is not the same."""
    if not shutil.which("strace"):
        pytest.skip("needs strace")
    def asked(seed: str) -> list[str]:
        traced = subprocess.run(["strace", "-e", "trace=mmap", str(built / "generated"), seed], capture_output=True, text=True, check=True).stderr
        return [line for line in traced.splitlines() if line.startswith("mmap(")]

    assert len(asked("1")) > 20 and asked("1") == asked("1") != asked("2")


@pytest.mark.parametrize("kind", [
    "null", "null-call", "code-write", "rodata-write", "data-execute", "stack-execute", "heap-execute", "kernel-read", "kernel-write", "kernel-call",
    "table-read", "beyond-heap", "below-break", "after-munmap", "beyond-mapping", "beyond-bound", "missing-segment", "non-canonical",
    "stack-overflow", "cli", "hlt", "cr3", "port", "divide", "undefined", "breakpoint", "kernel-selector"])
def test_a_wrong_access_ends_the_process(kind: str, built: Path) -> None:
    """By a signal: none comes back. (`int` and `syscall` are Linux's own doors.)"""
    done = run(built, "wild", kind)
    assert done.returncode < 0, done.stdout


def test_arguments_that_mean_nothing(built: Path) -> None:
    assert run(built, "malloc", "perfect-fit").returncode == 2
    assert run(built, "wild", "nothing").returncode == 2
    assert run(built, "hello", "7").returncode == 7 and 'my argument is "7"' in run(built, "hello", "7").stdout
