"""`kernel-sim map`, as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from kernel_sim.tools import cli

from kernel_sim.fragmentation import unusable_index
from kernel_sim.study import framemap as maps
from kernel_sim.study.formats import buddyinfo

KERNEL = Path(__file__).parent / "data" / "kernel" / "mixed_256M_k612"
END = KERNEL / "end.kpageflags.u64le.xz"


@pytest.fixture(autouse=True)
def plain_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for name in ("FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)


def test_draws_in_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["map", str(END)]) == cli.FINE
    out, err = capsys.readouterr()
    assert "Physical memory up to 256 MiB: 104.9 MiB free in 281 runs" in out
    assert "\x1b" not in out and max(map(len, out.splitlines())) <= 80 and err == ""


def test_reports_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["map", str(END), "--json"]) == cli.FINE
    said = json.loads(capsys.readouterr().out)
    lines = buddyinfo.parse((KERNEL / "end.buddyinfo").read_text())
    assert said["n_frames"] == 65536 and sum(said["frames"].values()) == 65536
    assert [(zone["name"], tuple(zone["buddyinfo"])) for zone in said["zones"]] == [(line.zone, line.counts) for line in lines]
    assert said["zones"][1]["unusable_index"] == [unusable_index(lines[1].counts, order) for order in range(11)]
    longest = said["longest_free_run"]
    assert [longest["first_pfn"], longest["first_pfn"] + longest["n_frames"]] in maps.load(END).free_runs().tolist()


@pytest.mark.parametrize("name", ["a.png", "a.svg", "a.txt", "a.json", "a.buddyinfo", "a.kpageflags", "a.ksmap"])
def test_writes_a_file_and_says_nothing(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["map", str(END), "-o", str(tmp_path / name), "--curve", "row"]) == cli.FINE
    assert capsys.readouterr() == ("", "")
    assert [path.name for path in tmp_path.iterdir()] == [name]
    if name == "a.buddyinfo":
        assert (tmp_path / name).read_bytes() == (KERNEL / "end.buddyinfo").read_bytes()


def test_a_written_map_is_read_again(tmp_path: Path) -> None:
    names = ["a.ksmap", "b.json", "c.kpageflags"]
    for source, target in zip([END, *(tmp_path / name for name in names)], names, strict=False):
        assert cli.main(["map", str(source), "-o", str(tmp_path / target)]) == cli.FINE
    assert maps.load(tmp_path / names[-1]) == maps.load(END)


@pytest.mark.parametrize("data", [b"", b"hello, world, this is no map\n", bytes(12)])
def test_rubbish_is_one_line_and_status_2(tmp_path: Path, data: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "rubbish").write_bytes(data)
    assert cli.main(["map", str(tmp_path / "rubbish"), "-o", str(tmp_path / "a.png")]) == cli.WRONG_INPUT
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and str(tmp_path / "rubbish") in err
    assert not (tmp_path / "a.png").exists()


def test_a_wrong_suffix_is_noticed_before_anything_is_read(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["map", "/nowhere", "-o", "a.gif"]) == cli.WRONG_INPUT
    assert ".png .svg" in capsys.readouterr().err
