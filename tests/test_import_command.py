"""``kernel-sim import``, as people use it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from kernel_sim.tools import cli

from kernel_sim.study.trace import Trace

TINY = Path(__file__).parent / "data" / "kernel" / "tiny_96M_k612"
TEXT = str(TINY / "trace.txt.gz")
LINE = "            init-1       [002] .....     3.119267: mm_page_free: page=ffffea000018d300 pfn=0x634c order=0\n"


def test_the_whole_way(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A recording with its maps becomes the trace that comes with the package, but for its name."""
    out = tmp_path / "out.kstrace"
    assert (
        cli.main(
            [
                "import",
                TEXT,
                "-o",
                str(out),
                "--from-marker",
                "SNAP_B_start",
                "--to-marker",
                "SNAP_A_end",
                "--memory-map",
                str(TINY / "iomem"),
                "--start-map",
                str(TINY / "start.kpageflags.u64le.gz"),
                "--json",
            ]
        )
        == 0
    )
    said = json.loads(capsys.readouterr().out)
    trace, bundled = Trace.load(out), Trace.load("tiny")
    assert (said["lines"], said["markers"], said["allocs"], said["frees"]) == (4744, 6, 548, 821)
    assert said["operations"]["n_slots"] == 548
    assert (trace.pfn.tolist(), trace.owners, trace.memory_map, trace.start) == (
        bundled.pfn.tolist(),
        bundled.owners,
        bundled.memory_map,
        bundled.start,
    )


def test_the_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["import", TEXT, "-o", str(tmp_path / "out")]) == 0
    assert (
        capsys.readouterr().out
        == f"""\
{TEXT}: 4,744 lines, 0.182 s, 22 tasks
kept
         1,228  allocations
         1,789  frees: 724 of them of frames not in use
left out
         1,709  other events: mm_page_free_batched 1,700, mm_page_alloc_zone_locked 9
             6  markers
            12  lines without an event
"""
    )


def test_the_report_of_losses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = tmp_path / "t"
    text.write_text(f"# entries-in-buffer/entries-written: 2/7   #P:1\n{LINE}CPU:0 [LOST 1234 EVENTS]\n{LINE}")
    assert cli.main(["import", str(text), "-o", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out.splitlines()[-3:] == [
        "missing",
        "         1,234  events lost while recording: frames may seem in use that are not",
        "             5  older events overwritten before they were read",
    ]


def test_from_the_standard_input(tmp_path: Path) -> None:
    out = tmp_path / "out.kstrace"
    done = subprocess.run(
        [sys.executable, "-m", "kernel_sim.tools.cli", "import", "-", "-o", str(out)],
        input=Path(TEXT).read_bytes(),
        capture_output=True,
        check=True,
    )
    assert done.stdout.startswith(b"standard input: 4,744 lines")
    assert len(Trace.load(out)) == 1228 + 1789


@pytest.mark.parametrize(
    "arguments, what",
    [
        ([str(TINY / "iomem")], "no mm_page_alloc or mm_page_free among 20 lines"),
        ([str(TINY / "start.kpageflags.u64le.gz")], "not a trace's text: it is binary"),
        ([str(TINY / "none")], "none: No such file or directory"),
        ([TEXT, "--from-marker", "NIX"], "no marker 'NIX'"),
        ([TEXT, "--memory-map", TEXT], "no usable memory in this memory map"),
        ([TEXT, "--start-map", str(TINY / "iomem")], "iomem"),
    ],
)
def test_refused_with_nothing_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], what: str
) -> None:
    """One line, exit status 2, and no file."""
    assert cli.main(["import", *arguments, "-o", str(tmp_path / "out")]) == 2
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert what in said.err
    assert not list(tmp_path.iterdir())


def test_a_trace_of_another_machine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A memory map without the trace's frames is refused, with the event that has no place in it."""
    (tmp_path / "map").write_text("00001000-00063fff : System RAM\n")
    (tmp_path / "text").write_text(LINE)
    assert cli.main(["import", str(tmp_path / "text"), "-o", str(tmp_path / "out"), "--memory-map", str(tmp_path / "map")]) == 2
    assert capsys.readouterr().err.endswith("text: event 1 of the trace is over frame 0x634c, which its memory does not have\n")
    assert not (tmp_path / "out").exists()


def test_the_output_is_required(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["import", TEXT]) == 2
    assert "-o/--output" in capsys.readouterr().err
