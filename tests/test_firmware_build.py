"""Building guests: the images in the repository are the sources', byte for byte, wherever they are built."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import pytest
from kernel_sim.firmware import build

from kernel_sim import BadInput, FrameManager
from kernel_sim.machine.listing import disassemble
from kernel_sim.machine.loader import read_image
from kernel_sim.machine.machine import Machine
from kernel_sim.machine.ram import Ram

IMAGES = build.HERE / "images"
ALL = [pytest.param(kit, program, id=str(kit.folder / program.stem)) for kit in (build.MACHINE, build.KERNEL, build.USER)
       for program in kit.programs()]


@pytest.fixture(autouse=True)
def pinned_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CC", raising=False)


@pytest.mark.parametrize(("kit", "program"), ALL)
def test_an_image_is_what_its_source_says(kit: build.Kit, program: Path, tmp_path: Path) -> None:
    """The pinned compiler makes the committed bytes."""
    image = build.build(program, tmp_path, kit)
    assert image == tmp_path / f"{program.stem}.elf"
    assert image.read_bytes() == (build.HERE / kit.images / image.name).read_bytes()


@pytest.mark.parametrize(("kit", "program"), ALL)
def test_an_image_does_not_know_where_it_was_built(kit: build.Kit, program: Path) -> None:
    """Neither the folder of the sources nor the compiler's is in it."""
    image = (build.HERE / kit.images / f"{program.stem}.elf").read_bytes()
    assert f"{program.parent.name}/{program.name}".encode() in image or f"{program.name}/main.c".encode() in image
    for part in (sys.prefix, str(build.HERE.parent), "site-packages"):
        assert part.encode() not in image


@pytest.mark.parametrize("program", [*build.programs(), *build.KERNEL.programs()], ids=lambda path: path.stem)
def test_a_guest_uses_general_registers_only(program: Path) -> None:
    """No vector and no floating-point register, in any function of the image."""
    image, ram = read_image(IMAGES / f"{program.stem}.elf"), Ram([(0, 1)])
    image.load(ram)
    texts = [text for symbol in image.symbols if image.code[0][0] <= symbol.address < image.code[0][1]
             for _, text in disassemble(ram, symbol.address, symbol.size)]
    assert len(texts) > 200 and not [text for text in texts if re.search(r"[xyz]?mm\d|\bst\(|^f", text)]


@pytest.mark.parametrize("kits", [[build.MACHINE, build.KERNEL], [build.USER]], ids=["machine", "user"])
def test_there_is_an_image_for_every_program_and_none_else(kits: list[build.Kit]) -> None:
    images = sorted(path.stem for path in (build.HERE / kits[0].images).glob("*.elf"))
    assert images == sorted(program.stem for kit in kits for program in kit.programs())


@pytest.mark.parametrize(("kit", "name"), [(build.MACHINE, "replay"), (build.USER, "malloc")], ids=["machine", "user"])
def test_another_folder_the_same_bytes(kit: build.Kit, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy of the SDK somewhere else, with a longer path."""
    copy = tmp_path / "a folder of somebody else" / "firmware"
    original = build.HERE / kit.images / f"{name}.elf"
    shutil.copytree(build.HERE, copy, ignore=shutil.ignore_patterns("__pycache__", "images"))
    monkeypatch.setattr(build, "HERE", copy)
    image = build.build(copy / kit.folder / "programs" / f"{name}.c", tmp_path, kit)
    assert image.read_bytes() == original.read_bytes()


OWN_PROGRAM = """
#include "kernel_sim.h"
int main(const struct boot_info *boot)
{
    print("%s %d %ld %u %lu %x %lx %c %%|%q\\n", "text", -1, INT64_MIN, 4000000000u, UINT64_MAX, 0xbeefu, (uint64_t)DIRECT_MAP, '!');
    return (int)(boot->arguments[0] + boot->arguments[3]);
}
"""


def test_a_program_of_ones_own(tmp_path: Path) -> None:
    """Compiled from anywhere, run by its path; printing, arguments and the exit status."""
    source = tmp_path / "mine.c"
    source.write_text(OWN_PROGRAM, encoding="utf-8")
    run = Machine(FrameManager(16), build.build(source, tmp_path), arguments=[40, 0, 0, 2]).run()
    assert run.exit_status == 42
    assert run.console == "text -1 -9223372036854775808 4000000000 18446744073709551615 beef ffff800000000000 ! %|%\n"


@pytest.mark.parametrize("cc", [name for name in ("gcc", "clang") if shutil.which(name)])
@pytest.mark.parametrize("program", ["hello", "misuse"])
def test_another_compiler(cc: str, program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", cc)
    image = build.build(build.HERE / "programs" / f"{program}.c", tmp_path)
    assert read_image(image).symbol_at(read_image(image).entry).name == "_start"
    run = Machine(FrameManager(64), image, sanitize=program != "misuse").run()
    assert run.ok, (run.fault, run.console)


def test_a_program_that_does_not_compile(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "wrong.c"
    source.write_text("int main(void) { return nothing; }\n", encoding="utf-8")
    with pytest.raises(BadInput, match=r"wrong.c: does not compile$"):
        build.build(source, tmp_path)
    assert "nothing" in capfd.readouterr().err
    assert not (tmp_path / "wrong.elf").exists()
    assert build.main([str(source), "--into", str(tmp_path)]) == 2
    assert capfd.readouterr().err.endswith("wrong.c: does not compile\n")


def test_a_source_or_a_folder_that_is_not_there(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    hello = str(build.HERE / "programs" / "hello.c")
    for source, into, words in (("missing.c", str(tmp_path), "missing.c: no such file"), (hello, "missing", "missing: no such folder")):
        assert build.main([source, "--into", into]) == 2
        assert capfd.readouterr().err == f"build: {words}\n"


def test_without_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "find_spec", lambda name: None)
    with pytest.raises(BadInput, match=r"pip install 'kernel_sim\[guest\]', or set CC"):
        build.compiler()
    monkeypatch.setenv("CC", "ccache gcc -m64")
    assert build.compiler()[:3] == ["ccache", "gcc", "-m64"]


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert build.main([str(build.HERE / "programs" / "hello.c"), "--into", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'hello.elf'}\n"
    assert build.main(["--user", str(build.HERE / "user" / "programs" / "big.c"), "--into", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'big.elf'}\n"
    assert sys.executable in build.compiler()
