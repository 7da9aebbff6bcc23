"""The picture of samples over time: what stands in it, that equal samples make equal bytes, and that it needs matplotlib only when asked for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from kernel_sim import BadInput
from kernel_sim.study.drawing import timeline
from kernel_sim.study.metrics import COLUMNS, Samples

matplotlib = pytest.importorskip("matplotlib", reason="the extra kernel_sim[plot]")


def samples(n: int = 20, padding: int = 3) -> Samples:
    return Samples(10, tuple(tuple(float(place * 7 % 40 + number) if name != "padding_frames" else padding
                                   for place, name in enumerate(COLUMNS)) for number in range(n)))


@pytest.mark.parametrize("form, magic", [("svg", b"<?xml"), ("png", b"\x89PNG\r\n")])
def test_equal_samples_make_equal_bytes(form: str, magic: bytes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    one = timeline.render(samples(), form, "title")
    assert one.startswith(magic)
    monkeypatch.setitem(matplotlib.rcParams, "lines.linewidth", 9)      # as a user's own settings would
    assert timeline.render(samples(), form, "title") == one
    assert matplotlib.rcParams["lines.linewidth"] == 9
    assert timeline.render(samples(21), form, "title") != one
    timeline.write_plot(samples(), tmp_path / f"plot.{form}", "title")
    assert (tmp_path / f"plot.{form}").read_bytes() == one


def test_bytes_are_equal_in_another_process() -> None:
    program = ("import sys; sys.path.insert(0, 'tests'); from test_timeline import samples; from kernel_sim.study.drawing import timeline;"
               "sys.stdout.buffer.write(timeline.render(samples(), 'svg', 't'))")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, cwd=Path(__file__).parents[1],
                          env={**os.environ, "PYTHONHASHSEED": "1"})
    assert done.stdout == timeline.render(samples(), "svg", "t")


def test_an_svg_has_a_line_for_every_order_and_no_date() -> None:
    text = timeline.render(samples(), "svg", "title").decode()
    ElementTree.fromstring(text)
    assert "dc:date" not in text
    for order in range(1, 11):
        assert f"<!-- unusable for order {order} -->" in text
    for words in ("title", "padding", "Steps per operation", "frames in the largest free run", "external: not in the largest run"):
        assert f"<!-- {words}" in text
    assert "<!-- padding" not in timeline.render(samples(padding=0), "svg", "title").decode()


def test_one_sample_is_enough() -> None:
    assert timeline.render(samples(1), "svg", "title")


def test_what_is_refused_before_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadInput, match=r"^plot\.pdf: a plot is written by its suffix, one of \.svg \.png$"):
        timeline.check("plot.pdf")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(BadInput, match=r"^plot\.svg: plots are drawn by matplotlib, which is not installed: pip install 'kernel_sim\[plot\]'$"):
        timeline.check("plot.svg")
