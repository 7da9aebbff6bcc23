"""The README tells the truth: its Python runs, its commands print what it says they print, its policy works."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from kernel_sim.tools.cli import main

README = Path(__file__).resolve().parents[1] / "README.md"


def blocks(language: str) -> list[str]:
    """The README's fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def examples(block: str) -> Iterator[tuple[str, list[str]]]:
    """(command, the lines it is said to print); a line of "…" stands for any number of lines."""
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, *printed = part.rstrip("\n").split("\n")
        yield command, printed


@pytest.fixture(autouse=True)
def as_a_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader has not asked for the sanitizer."""
    monkeypatch.delenv("KERNEL_SIM_SANITIZE")


@pytest.fixture
def policy_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to be in, with the README's policy in it."""
    source = next(block for block in blocks("python") if block.startswith("# my_fit.py"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_fit.py").write_text(source)
    return tmp_path / "my_fit.py"


@pytest.mark.parametrize("source", [block for block in blocks("python") if not block.startswith("# my_fit.py")], ids=lambda text: text.split("\n")[0])
def test_python_examples_run(source: str) -> None:
    exec(compile(source, "README.md", "exec"), {})


def test_what_the_double_free_says(capsys: pytest.CaptureFixture[str]) -> None:
    source = next(block for block in blocks("python") if "DoubleFree" in block)
    exec(compile(source, "README.md", "exec"), {})
    assert capsys.readouterr().out.strip() in source


@pytest.mark.parametrize("block", blocks("console"), ids=lambda block: block.split("\n")[0])
@pytest.mark.usefixtures("policy_file")
def test_console_examples_print_what_is_said(block: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The commands of a block, one after the other in the same folder."""
    for command, printed in examples(block):
        program, *arguments = shlex.split(command)
        assert program == "kernel-sim"
        assert main(arguments) == 0
        pattern = "\n".join(r"(?:.*\n)*.*" if line == "…" else re.escape(line) for line in printed)
        assert re.fullmatch(pattern + r"\n*", capsys.readouterr().out), command


def test_its_guest_compiles_and_runs(tmp_path: Path) -> None:
    from kernel_sim.firmware.build import build

    from kernel_sim import FrameManager, Machine

    (tmp_path / "mine.c").write_text(blocks("c")[0])
    run = Machine(FrameManager(1024), build(tmp_path / "mine.c", tmp_path)).run()
    assert run.ok
    assert run.console == "1024 frames, mine is 0\n"


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", README.read_text(encoding="utf-8")):
        assert (README.parent / target).exists(), target
