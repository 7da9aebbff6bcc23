"""The user programs that come with a machine: ELF images in memory that nobody manages, for the guest kernel to load."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from kernel_sim.errors import BadInput
from kernel_sim.machine import abi
from kernel_sim.machine.ram import Ram
from kernel_sim.units import FRAME_BYTES

_MAX_IMAGE_BYTES = 16 << 20


@dataclass(frozen=True)
class Program:
    """A user program to start: `path` of its ELF image, `copies` processes of it, each with the same `argument`."""

    name: str
    path: Path
    argument: str = ""
    copies: int = 1


def find_program(name: str, argument: str = "", copies: int = 1) -> Program:
    """A program of the SDK by its name, or an ELF file by its path. BadInput when there is neither, or the guest cannot be told so much."""
    images = Path(str(files("kernel_sim.firmware"))) / "images" / "user"
    path = images / f"{name}.elf"
    if not path.is_file():
        path = Path(name)
    if not path.is_file():
        raise BadInput(f"no program {name!r}: neither a file nor one of {', '.join(sorted(found.stem for found in images.glob('*.elf')))}")
    if len(argument.encode()) >= abi.Module.argument.subcon.count:
        raise BadInput(f"program {name}: an argument of {len(argument.encode())} bytes; {abi.Module.argument.subcon.count - 1} are the most")
    if not 1 <= copies < abi.MAX_PROCESSES:
        raise BadInput(f"program {name}: {copies} copies; 1 to {abi.MAX_PROCESSES - 1} can be started")
    return Program(path.stem, path, argument, copies)


def program_of(text: str) -> Program:
    """``NAME[:ARGUMENT][*COPIES]``, such as ``malloc:best-fit`` or ``matrix*3``. BadInput, in one line, for whatever is wrong with it."""
    said, star, copies = text.rpartition("*")
    if star and not (copies.isascii() and copies.isdecimal()):
        raise BadInput(f"program {text!r}: after the * stands how many copies to start, a whole number")
    name, _, argument = (said if star else text).partition(":")
    if not name:
        raise BadInput(f"program {text!r}: no name (programs are NAME[:ARGUMENT][*COPIES])")
    return find_program(name, argument, int(copies) if star else 1)


def read_modules(programs: Sequence[Program]) -> dict[Path, bytes]:
    """The images, each once. BadInput for what cannot be read or is more than the guest can be told of."""
    if len(programs) > abi.MAX_MODULES:
        raise BadInput(f"{len(programs)} programs; a machine takes up to {abi.MAX_MODULES}, each with any number of copies")
    if sum(program.copies for program in programs) >= abi.MAX_PROCESSES:
        raise BadInput(f"{sum(program.copies for program in programs)} processes to start; {abi.MAX_PROCESSES - 1} are the most")
    found = {}
    for path in {program.path: None for program in programs}:
        try:
            found[path] = path.read_bytes()
        except OSError as error:
            raise BadInput(f"{path}: {error.strerror or error}") from None
        if not 0 < len(found[path]) <= _MAX_IMAGE_BYTES:
            raise BadInput(f"{path}: a program of {len(found[path])} bytes")
    return found


def size_of(images: dict[Path, bytes]) -> int:
    """The bytes that the images take in memory, each in whole frames."""
    return sum(-(-len(image) // FRAME_BYTES) * FRAME_BYTES for image in images.values())


def load_modules(ram: Ram, info: Any, programs: Sequence[Program], images: dict[Path, bytes]) -> None:
    """Lay the images into their memory, and tell the guest."""
    offsets, used = {}, 0
    for path, image in images.items():
        offsets[path] = used
        ram.module_bytes[used:used + len(image)] = np.frombuffer(image, np.uint8)
        used += -(-len(image) // FRAME_BYTES) * FRAME_BYTES
    info["n_modules"] = len(programs)
    for module, program in zip(info["modules"], programs, strict=False):
        _write_text(module["name"], program.name)
        _write_text(module["argument"], program.argument)
        module["address"] = abi.MODULES + offsets[program.path] - (1 << 64)
        module["size"], module["copies"] = len(images[program.path]), program.copies


def _write_text(field: Any, text: str) -> None:
    data = text.encode()[:len(field) - 1]
    field[:len(data)] = np.frombuffer(data, np.uint8)
