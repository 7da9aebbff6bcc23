"""`run --programs`, `walk` and `spaces`, as a user meets them. The machine's hooks are compiled once; everything runs on the policy `buddy`."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from pathlib import Path
from xml.etree import ElementTree

import pytest
from commands import report_of
from kernel_sim.tools import _guest
from kernel_sim.tools.cli import main
from test_trace_events import check

from kernel_sim.errors import BadInput


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


# -- programs by name -------------------------------------------------------------------------------------------------------------------------------

def test_programs_are_parsed() -> None:
    found = _guest.parse_programs("malloc:best-fit, forktree,matrix*3,spin:10*2,segments:a:b=c")
    assert [(program.name, program.argument, program.copies) for program in found] == [
        ("malloc", "best-fit", 1), ("forktree", "", 1), ("matrix", "", 3), ("spin", "10", 2), ("segments", "a:b=c", 1)]
    assert all(program.path.is_file() for program in found)


def test_a_program_by_its_path(tmp_path: Path) -> None:
    (tmp_path / "mine.elf").write_bytes(b"\x7fELF")
    program, = _guest.parse_programs(f"{tmp_path / 'mine.elf'}:x")
    assert (program.name, program.argument, program.path) == ("mine", "x", tmp_path / "mine.elf")


@pytest.mark.parametrize("text, words", [
    ("nonesuch", "no program 'nonesuch': neither a file nor one of big, forktree"), ("", "no name"), ("hello,,hello", "no name"), (":x", "no name"),
    ("hello*x", "how many copies"), ("hello*", "how many copies"), ("hello*0", "0 copies"), ("hello*5000", "5000 copies"),
    ("hello*-1", "how many copies"), ("hello:" + "x" * 32, "an argument of 32 bytes"),
])
def test_wrong_programs(text: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(BadInput, match=re.escape(words)):
        _guest.parse_programs(text)
    assert main(["run", "--programs", text]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and words in error


@pytest.mark.parametrize("arguments, words", [
    (["run", "--guest", "kernel"], "--programs"), (["run", "--programs", "hello", "--quantum", "-1"], "--quantum -1"),
    (["run", "--programs", "hello", "--guest", "hello"], "guest hello runs none"),
    (["run", "--programs", "hello", "--trace", "tiny"], "not both"), (["run", "--map-at", "5"], "--map-at: only of programs"),
    (["run", "--programs", "hello", "--map-at", "-5"], "--map-at -5"),
    (["run", "--programs", "hello", "--timeline", "missing/t.json"], "no such folder"),
    (["run", "--programs", "hello", "--translation", "magic"], "invalid choice"),
    (["run", "--programs", ",".join(["hello"] * 65)], "65 programs"),
    (["walk", "--guest", "hello", "zebra"], "no address 'zebra'"), (["walk", "1" * 17], "more than 64 bits"),
    (["spaces", "--programs", "hello", "-o", "a.png"], "an .svg"), (["spaces", "--programs", "hello", "-o", "x/a.svg"], "no such folder"),
    (["spaces", "--programs", "hello", "-o", "a.svg", "--at", "dawn"], "--at dawn"), (["spaces", "-o", "a.svg"], "--programs"),
    (["spaces", "--programs", "hello", "-o", "a.svg", "--memory", "1G"], "room for 4096 frames"),
    (["spaces", "--programs", "hello", "-o", "a.svg", "--pid", "1", "--pid", "1"], "two different"),
])
def test_wrong_arguments(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and words in error and not list(Path().iterdir())


# -- run --------------------------------------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("translation", _guest.TRANSLATIONS)
def test_a_run_of_programs(translation: str, capsys: pytest.CaptureFixture[str]) -> None:
    report = report_of(capsys, "run", "--programs", "hello*2,forktree", "--translation", translation, "--timeline", "t.json")
    processes, totals = report["processes"], report["totals"]
    assert report["guest"]["exit_status"] == 0 and report["translation"] == translation
    assert [(record["pid"], record["name"], record["parent"]) for record in processes[:3]] == [(1, "hello", 0), (2, "hello", 0), (3, "forktree", 0)]
    assert {record["name"] for record in processes[3:]} == {"forktree"} and all(record["parent"] >= 3 for record in processes[3:])
    assert all(record["ended"] == "exited" and record["exit_status"] == 0 and record["root"] == 0 for record in processes)
    assert all(record["n_frames"] == 0 < record["most_frames"] and record["misses"] > 0 for record in processes)
    assert totals["processes"] == len(processes) and report["frames"]["used"] == 0
    counts = report["machine"]
    assert totals["misses"] <= counts["misses"] and totals["calls"]["exit"] == len(processes)
    assert counts["misses"] == counts["pages_4k"] + counts["pages_2m"] + counts["pages_1g"] + counts["page_faults"]
    assert counts["traps"] == counts["page_faults"] + counts["ticks"] and counts["ticks"] == totals["ticks"]
    copies = totals["faults"]["copy"]
    assert copies > 0 if translation == "paging" else copies == totals["faults"]["demand zero"] == 0    # fork copies a segment at once
    events = check(Path("t.json").read_text())
    assert sum(event["name"] == "started" for event in events) == len(processes)
    assert sum(event["name"] == "copy fault" and event["ph"] in "Bi" for event in events) == copies
    last = {event["pid"]: event["args"] for event in events if event["ph"] == "C"}
    assert len(last) > 3 and all(args == {"owned": 0} for pid, args in last.items() if pid) and last[0]["used"] == 0
    assert sum(event["ph"] == "f" for event in events) == sum(record["parent"] > 0 for record in processes)
    traps = [event["args"] for event in events if event.get("cat") == "trap"]
    assert len(traps) == report["machine"]["traps"] and all(int(args["rip"], 16) >= 1 << 43 for args in traps if args["ring"] == 3)
    assert all(int(args["error code"], 16) & 4 for args in traps if args["vector"] == 14 and args["ring"] == 3)     # bit U/S: a user's access
    turns = [event for event in events if event.get("cat") == "turn" and event["pid"]]
    assert sum(event["ts"] * (1 if event["ph"] == "E" else -1) for event in turns) <= report["guest"]["blocks"]


def test_the_table_and_the_map(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--programs", "hello,stackgrow", "--map", "m.svg"]) == 0
    said = capsys.readouterr().out
    assert re.search(r"^ +1 hello +0 .* exit 0$", said, re.MULTILINE) and re.search(r"^ +all .* 2 processes$", said, re.MULTILINE)
    assert " TLB misses: " in said and "used, by owner, at block" in said and re.search(r"^ A 2 stackgrow", said, re.MULTILINE)
    assert ">2 stackgrow</text>" in Path("m.svg").read_text()
    assert main(["run", "--programs", "hello,stackgrow", "--map-at", "0", "--map", "m.json"]) == 0
    assert json.loads(Path("m.json").read_text())["runs"] == [[0, 16384, "free"]]


def test_a_killed_process_is_told_with_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    """The function, and the line of the source, which here is one of a function that the compiler has inlined into it."""
    report = report_of(capsys, "run", "--programs", "wild:null,hello", "--memory", "8M")
    killed, other = report["processes"]
    found = re.fullmatch(r"0x8\w+ \(wild: null_read\+0x\w+\) user/programs/wild\.c:(\d+)", killed["killed_at"])
    assert found and killed["killed_at"].startswith(killed["fatal_rip"] + " ") and f"rip {killed['fatal_rip']}\n" in report["guest"]["console"]
    source = (Path(str(files("kernel_sim.firmware"))) / "user/programs/wild.c").read_text(encoding="utf-8").splitlines()
    assert "*(volatile unsigned char *)address" in source[int(found[1]) - 1]
    assert (other["killed_at"], other["fatal_rip"]) == (None, None)


# -- walk -------------------------------------------------------------------------------------------------------------------------------------------

def test_a_walk_in_a_guest_of_the_sdk(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["walk", "main"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("guest hello, stopped by its exit") and "in the address space of the kernel" in said[2]
    assert [line.split()[0] for line in said[3:7]] == ["PML4", "PDPT", "PD", "PT"] and "(firmware)" in said[7]
    assert main(["walk", "main", "0"]) == 1


def test_walks_of_processes(capsys: pytest.CaptureFixture[str]) -> None:
    program = ("--programs", "matrix,hello", "--budget", "300000")
    report = report_of(capsys, "walk", "80000000503", "27ffffffff00", *program, "--pid", "1")
    code, stack = report["walks"]
    assert report["stopped"] == "budget" and code["rights"]["user"] == ["read", "execute"] and stack["rights"]["user"] == ["read", "write"]
    assert code["owner"] == stack["owner"] == "1 matrix" and [entry["level"] for entry in code["entries"]] == [4, 3, 2, 1]
    segmented = report_of(capsys, "walk", "80000000503", "27ffffffff00", *program, "--pid", "1", "--translation", "segmentation")["walks"]
    assert [walk["segment"]["number"] for walk in segmented] == [1, 4] and "grows down" in segmented[1]["segment"]["flags"]
    for walk in segmented:
        segment = walk["segment"]
        base, bound, offset = (int(segment[name], 16) for name in ("base", "bound", "offset"))
        assert int(walk["physical"], 16) == (base + bound - offset if "grows down" in segment["flags"] else base + offset)
    assert main(["walk", "0", *program, "--pid", "9"]) == 2
    assert "--pid 9: no such process; those that live are 1" in capsys.readouterr().err


# -- spaces -----------------------------------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("moment, translation", [("fullest", "paging"), ("before-compaction", "segmentation"), ("after-compaction", "segmentation")])
def test_spaces(moment: str, translation: str) -> None:
    assert main(["spaces", "--programs", "segments*2", "--memory", "2M", "--at", moment, "--translation", translation, "-o", "s.svg"]) == 0
    picture = ElementTree.parse("s.svg").getroot()
    words = [text.text or "" for text in picture.iter("{http://www.w3.org/2000/svg}text")]
    assert words[0] == f"Two address spaces over one memory, by {translation}"
    assert {"process 1, segments", "process 2, segments", "physical memory, 2 MiB"} <= set(words)
    bands = list(picture.iter("{http://www.w3.org/2000/svg}path"))
    regions = sum(word.split(",")[0] in ("code", "data", "heap", "stack") or word.startswith("segment ") for word in words)
    assert len(bands) == regions if translation == "segmentation" else len(bands) > regions


def test_at_its_fullest_everything_is_mapped() -> None:
    """The stack's page is the last frame that `hello` takes."""
    assert main(["spaces", "--programs", "hello", "-o", "a.svg"]) == 0
    drawn = Path("a.svg").read_text()
    assert all(f">{name}, 4 KiB</text>" in drawn for name in ("code", "data", "stack"))


@pytest.mark.parametrize("policy", ["buddy", pytest.param("first-fit", marks=pytest.mark.slow)])
def test_before_and_after_a_compaction(policy: str) -> None:
    """Nothing is freed by it. What is free is in one piece then for a fit; a buddy's segments, which are rounded up and aligned, may not make one."""
    longest, run = [], ["spaces", "--programs", "segments*2", "--memory", "2M", "--translation", "segmentation", "--policy", policy, "-o", "s.svg"]
    for moment in ("before-compaction", "after-compaction"):
        assert main([*run, "--at", moment]) == 0
        found = re.search(r"(\d+) of 512 frames in use, the longest free run has (\d+)", Path("s.svg").read_text())
        assert found is not None
        longest.append((int(found[1]), int(found[2])))
    (used, longest_before), (used_after, longest_after) = longest
    assert used == used_after and longest_before <= longest_after
    assert policy == "buddy" or longest_before < longest_after == 512 - used


def test_moments_that_never_come(capsys: pytest.CaptureFixture[str]) -> None:
    for at, words in (("after-compaction", "nothing was moved together"), ("999999999", "had stopped after"), ("1", "no process lives")):
        assert main(["spaces", "--programs", "hello", "--at", at, "-o", "s.svg"]) == 2
        assert words in capsys.readouterr().err and not Path("s.svg").exists()
