"""The commands `run`, `replay`, `policies` and `bench`, as a user meets them: reports, exit statuses, and one clear line for whatever is wrong."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from commands import report_of
from conftest import hear_interrupts
from contract.specs import CHOSEN, compiled
from kernel_sim.tools.cli import main

from kernel_sim.allocators.base import policy_names

DATA = Path(__file__).parent / "data" / "kernel"
MIXED = DATA / "mixed_256M_k612"
WINDOW = ("--from-marker", "SNAP_B_start", "--to-marker", "SNAP_A_end")


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("policy", compiled(CHOSEN))
def test_guest_and_host_place_alike(policy: str, capsys: pytest.CaptureFixture[str]) -> None:
    host = report_of(capsys, "replay", "frag", "--policy", policy)
    guest = report_of(capsys, "run", "--trace", "frag", "--policy", policy)
    seen = guest.pop("guest")
    assert guest == host
    assert seen["exit_status"] == 0
    assert seen["corrupted"] == 0
    assert seen["frames_written"] >= host["served"]
    assert 0 < seen["frames_verified"] <= seen["frames_written"]


def test_the_bundled_trace_with_no_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    report = report_of(capsys, "run")
    assert report["policy"] == "buddy"
    assert report["memory_bytes"] == 65406 * 4096       # "Total pages: 65406", says the kernel's log
    assert report["operations"]["allocs"] == 38507
    assert report["operations"]["frees"] == 31680
    assert report["served"] == 38507
    assert report["failed"] == 0
    assert report["frames"]["total"] == report["frames"]["free"] + report["frames"]["used"]
    assert report["guest"]["frames_written"] == 39079
    assert sum(count << order for zone in report["buddyinfo"].values() for order, count in enumerate(zone)) == report["frames"]["free"]


def test_the_report_has_what_is_promised(capsys: pytest.CaptureFixture[str]) -> None:
    report = report_of(capsys, "run", "--trace", "tiny")
    assert report.keys() >= {"policy", "memory_bytes", "operations", "served", "failed", "placements_sha256", "frames", "steps",
                             "internal_fragmentation", "buddyinfo", "unusable_index", "extfrag_index", "guest"}
    assert report["operations"].keys() == {"allocs", "frees", "frees_partial", "frees_of_preexisting", "frees_unknown", "frees_of_failed",
                                           "implied_frees"}
    assert report["frames"].keys() == {"total", "free", "used", "largest_free_run"}
    assert report["guest"].keys() >= {"frames_written", "frames_verified", "corrupted", "console", "exit_status"}
    for zone in ("DMA", "DMA32"):
        assert all(len(report[name][zone]) == 11 for name in ("buddyinfo", "unusable_index", "extfrag_index"))


def test_a_text_replays_like_the_bundled_trace(capsys: pytest.CaptureFixture[str]) -> None:
    text = report_of(capsys, "replay", str(MIXED / "trace.txt.xz"), *WINDOW, "--memory-map", str(MIXED / "dmesg_mem.txt"),
                     "--start-map", str(MIXED / "start.kpageflags.u64le.xz"))
    assert text == report_of(capsys, "replay", "mixed")
    iomem = report_of(capsys, "replay", str(MIXED / "trace.txt.xz"), *WINDOW, "--memory-map", str(MIXED / "iomem"),
                      "--start-map", str(MIXED / "start.kpageflags.u64le.xz"))
    assert iomem == text


def test_another_memory(capsys: pytest.CaptureFixture[str]) -> None:
    small, large = (report_of(capsys, "replay", "mixed", "--memory", size) for size in ("64M", "1T"))
    assert list(small["buddyinfo"]) == ["Memory"]
    assert small["memory_bytes"] == 64 << 20
    assert large["memory_bytes"] == 1 << 40
    assert small["placements_sha256"] == large["placements_sha256"]        # lowest first, and it all fits into 64 MiB
    too_small = report_of(capsys, "replay", "mixed", "--memory", "16M")
    assert too_small["failed"] > 0
    assert too_small["served"] + too_small["failed"] == too_small["operations"]["allocs"]
    assert too_small["operations"]["frees_of_failed"] > 0


def test_the_map_is_written_and_drawn(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", "tiny", "--map", "end.ksmap"]) == 0
    drawn = capsys.readouterr().out
    assert "one cell" in drawn
    assert max(map(len, drawn.splitlines())) <= 80
    assert main(["map", "end.ksmap", "-o", "end.buddyinfo"]) == 0
    report = report_of(capsys, "replay", "tiny")
    lines = [line.split() for line in Path("end.buddyinfo").read_text().splitlines()]
    assert {line[3]: [int(count) for count in line[4:]] for line in lines} == report["buddyinfo"]


def test_policies_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["policies"]) == 0
    text = capsys.readouterr().out
    assert all(f"{name} " in text for name in policy_names())


def test_the_sdk_programs_run(capsys: pytest.CaptureFixture[str]) -> None:
    for program, *options in (("hello",), ("segments",), ("exhaust",), ("misuse", "--no-sanitize")):
        assert report_of(capsys, "run", "--guest", program, "--memory", "16M", *options)["guest"]["exit_status"] == 0


def test_a_guest_that_does_not_end_has_exit_status_3(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--trace", "tiny", "--budget", "1000"]) == 3
    captured = capsys.readouterr()
    assert captured.err == "kernel-sim: guest replay: not at its end after 1,000 blocks of code (--budget)\n"
    assert "one cell" in captured.out


def test_the_sanitizer_stops_the_guest_and_says_all_it_knows(capsys: pytest.CaptureFixture[str]) -> None:
    """One line on standard error, exit status 3; the facts and the stacks with the report, and in the JSON."""
    guest = ("run", "--guest", "bugs", "--memory", "8M")
    assert main([*guest, "--sanitize"]) == 3
    printed = capsys.readouterr()
    assert re.fullmatch(r"kernel-sim: guest bugs: use after free: write of 0xffff8\w+, frame 0x0, by `mov .*` at 0xffffffff8\w+ "
                        r"\(use_after_free\+0x\w+\) programs/bugs.c:\d+\n", printed.err)
    assert "    frame 0x0 is free: owner 0 had it last, event 2 freed it\n    at:\n" in printed.out
    assert "    freed by:\n" in printed.out and "    allocated by:\n" in printed.out
    found, = report_of(capsys, *guest, "--sanitize", status=3)["guest"]["findings"]
    assert (found["kind"], found["pfn"], found["address"], found["access"], found["owner"], found["event"]) == (
        "use after free", 0, "0xffff800000000000", "write", 0, 2)
    assert main([*guest, "--no-sanitize"]) == 0       # nobody looks


def test_leaks_are_told_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    """Those of a process that has ended are a failure."""
    guest = ("run", "--guest", "bugs", "--seed", "12", "--memory", "8M", "--sanitize")
    assert main([*guest]) == 3
    printed = capsys.readouterr()
    assert printed.err == "kernel-sim: guest bugs: leaked 2 frames\n"
    assert "leak: 2 frames in 1 allocation of owner 1, who has ended, allocated by:\n" in printed.out
    leak, = report_of(capsys, *guest, status=3)["guest"]["leaks"]
    assert (leak["owner"], leak["has_ended"], leak["n_frames"], leak["n_tables"]) == (1, True, 2, 0)
    assert any("(leaked_frame+" in line for line in leak["stack"])


def test_uninitialised_reads_are_told_and_do_not_stop_the_guest(capsys: pytest.CaptureFixture[str]) -> None:
    report = report_of(capsys, "run", "--guest", "bugs", "--seed", "14", "--memory", "8M", "--uninitialised", status=3)
    assert (report["guest"]["stopped"], report["guest"]["exit_status"]) == ("exit", 0)
    assert [found["kind"] for found in report["guest"]["findings"]] == ["uninitialised read"]


def test_watching_the_guest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--guest", "hello", "--memory", "1M", "--trace-guest"]) == 0
    watched = capsys.readouterr().err.splitlines()
    assert watched[0].startswith("0xffffffff80000000 (_start+0x0)  mov")
    assert any("(ring+0x0)  out 0xe0, al" in line for line in watched)


def write(name: str, text: str | bytes) -> str:
    Path(name).write_bytes(text.encode() if isinstance(text, str) else text)
    return name


EVENT = " x-1 [000] ..... 1.0: mm_page_alloc: page=0 pfn={} order={} migratetype=0 gfp_flags=GFP_KERNEL\n"
OVERLAP = "BIOS-e820: [mem 0x100000-0x1fffff] usable\nBIOS-e820: [mem 0x180000-0x2fffff] usable\n"
NONSENSE = "class Wrong:\n    def __init__(self, zone): pass\n    def alloc(self, n): return 'x'\n    def free(self, pfn, n): pass\n"


@pytest.mark.parametrize(("command", "files", "complaint"), [
    ("replay nothing", {"nothing": ""}, "nothing: there is nothing in it"),
    ("replay gone", {}, "gone: No such file or directory"),
    ("replay noise", {"noise": bytes(range(256)) * 9}, "noise: not a trace's text"),
    ("replay switch", {"switch": " x-1 [000] d..2. 1.0: sched_switch: prev_comm=a\n"}, "found sched_switch"),
    ("replay order", {"order": EVENT.format("0x10", 77)}, "order:1: an order above 10"),
    ("replay pfn", {"pfn": EVENT.format("0xfffffffffffff", 0)}, "pfn:1: "),
    ("replay far --memory-map {iomem}", {"far": EVENT.format("0x100000", 0)}, "event 1 of the trace is over frame 0x100000"),
    ("replay cut", {"cut": EVENT.format("0x10", 0) + EVENT.format("0x11", 0)[:60]}, "cut:2: cut off"),
    ("replay mixed --memory 0", {}, "at least one frame"),
    ("replay mixed --memory 5000", {}, "not a whole number of frames"),
    ("replay mixed --memory lots", {}, "not a size: 'lots'"),
    ("replay mixed --memory 64M --memory-map {iomem}", {}, "not both"),
    ("replay mixed --memory-map overlap", {"overlap": OVERLAP}, "overlap:2: usable memory overlaps"),
    ("replay mixed --memory-map zero", {"zero": "BIOS-e820: [mem 0x100000-0xfffff] usable\n"}, "zero:1: "),
    ("replay mixed --memory-map prose", {"prose": "no memory here\n"}, "no usable memory"),
    ("replay mixed --policy worst", {}, "no policy 'worst'"),
    ("replay mixed --policy buddy:order=random", {}, "order cannot be 'random'"),
    ("replay mixed --policy my.py:Wrong", {"my.py": NONSENSE}, "alloc returned 'x'"),
    ("run --policy my.py:Wrong", {"my.py": NONSENSE}, "alloc returned 'x'"),
    ("replay mixed --policy my.py:Gone", {"my.py": NONSENSE}, "no class 'Gone'"),
    ("replay mixed --policy broken.py:A", {"broken.py": "x = ("}, "SyntaxError"),
    ("replay mixed --map picture.bmp", {}, "picture.bmp: a map is written by its suffix"),
    ("replay mixed --map no/such/folder.png", {}, "no such folder"),
    ("run --guest nobody", {}, "no guest 'nobody'"),
    ("run --guest image", {"image": b"\x7fELF" + bytes(60)}, "image: "),
    ("run --budget 0", {}, "--budget"),
    ("map short", {"short": b"\0" * 9}, "short: "),
    ("nonsense", {}, "invalid choice"),
    ("replay", {}, "required: TRACE"),
])
def test_bad_input_is_one_line_and_exit_status_2(command: str, files: dict[str, str | bytes], complaint: str,
                                                 capsys: pytest.CaptureFixture[str]) -> None:
    for name, text in files.items():
        write(name, text)
    before = sorted(os.listdir())
    assert main(command.format(iomem=MIXED / "iomem").split()) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("kernel-sim: ")
    assert captured.err.count("\n") == 1
    assert complaint in captured.err
    assert [name for name in sorted(os.listdir()) if name != "__pycache__"] == before      # nothing half-written


def test_an_interrupt_leaves_a_report() -> None:
    """Ctrl-C in the middle of a run; the policy itself sends the signal, so that it comes in the middle on any machine."""
    write("rude.py", "import os, signal\nclass Rude:\n    calls = 0\n    def __init__(self, zone): self.next = zone.free_runs[0][0]\n"
                     "    def alloc(self, n):\n        Rude.calls += 1\n        if Rude.calls == 300: os.kill(os.getpid(), signal.SIGINT)\n"
                     "        self.next += n; return self.next - n\n    def free(self, pfn, n): pass\n")
    for command in ("run", "replay mixed"):
        arguments = [*command.split(), "--policy", "rude.py:Rude", "--memory", "1G", "--json"]
        done = subprocess.run([sys.executable, "-m", "kernel_sim.tools.cli", *arguments], capture_output=True, text=True, check=False,
                              preexec_fn=hear_interrupts)
        assert done.returncode == 130, done.stderr
        report = json.loads(done.stdout)
        assert 0 < report["served"] < report["operations"]["allocs"]
        if command == "run":
            assert report["guest"]["stopped"] == "interrupt"
