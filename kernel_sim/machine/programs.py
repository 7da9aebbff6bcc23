"""User programs, as people name them: ``malloc:best-fit,forktree,matrix*3``.

    NAME[:ARGUMENT][*COPIES]    an image of `firmware/images/user` by its name, or the path of an ELF file

The argument is the text that the program's `main` gets; it ends at the next comma.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from kernel_sim.errors import BadInput
from kernel_sim.machine.abi import MAX_MODULES, MAX_PROCESSES, Module

_LONGEST = {field.name: field.subcon.sizeof() - 1 for field in Module.subcons if field.name in ("name", "argument")}
_MOST_COPIES = MAX_PROCESSES - 1        # the table's first entry is the kernel's


class Program(NamedTuple):
    """A program to start: the ELF image at `path`, in `copies` processes, each of which is told `argument`."""

    name: str
    path: Path
    argument: str = ""
    copies: int = 1


def parse_programs(text: str) -> list[Program]:
    """The programs of a list. BadInput, in one line, for one that is not there, for too many, or for a text that is too long."""
    programs = [_parse(part.strip()) for part in text.split(",")]
    if len(programs) > MAX_MODULES:
        raise BadInput(f"{len(programs)} programs: the machine takes up to {MAX_MODULES}; *COPIES starts one more than once")
    if (n := sum(program.copies for program in programs)) > _MOST_COPIES:
        raise BadInput(f"{n} processes: there can be up to {_MOST_COPIES} at once")
    return programs


def _parse(part: str) -> Program:
    said, star, copies = part.rpartition("*")
    if star and not (copies.isdecimal() and copies.isascii() and int(copies) > 0):
        raise BadInput(f"program {part!r}: after the * stands how many copies to start, a whole number from 1 on")
    name, _, argument = (said if star else part).partition(":")
    if not name:
        raise BadInput(f"program {part!r}: no name (programs are NAME[:ARGUMENT][*COPIES], with commas between them)")
    path = find_program(name)
    _check(part, "name", path.stem)
    _check(part, "argument", argument)
    return Program(path.stem, path, argument, int(copies) if star else 1)


def _check(part: str, what: str, text: str) -> None:
    longest, size = _LONGEST[what], len(text.encode("utf-8", errors="surrogateescape"))
    if size > longest:
        raise BadInput(f"program {part!r}: its {what} has {size} bytes, and there is room for {longest}")


def known_programs() -> list[str]:
    """The programs that come with the package."""
    return sorted(path.stem for path in _images().glob("*.elf"))


def find_program(name: str) -> Path:
    """A program by its name, or a file. BadInput when there is neither."""
    if (_images() / f"{name}.elf").is_file():
        return _images() / f"{name}.elf"
    if Path(name).is_file():
        return Path(name)
    raise BadInput(f"no program {name!r}: neither a file nor one of {', '.join(known_programs())}")


def _images() -> Path:
    return Path(str(files("kernel_sim.firmware"))) / "images" / "user"
