"""Build the guests: `python -m kernel_sim.firmware.build [--user] [--into FOLDER] [PROGRAM.c …]`.

The images in the repository are made by the pinned compiler (the extra ``guest``), and come out the same, byte for byte, on every
platform; a test rebuilds and compares them. Another compiler is taken from CC (gcc and clang do), for programs of your own.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from kernel_sim.errors import BadInput

HERE = Path(__file__).resolve().parent
_FLAGS = ["-Os", "-std=c11", "-Wall", "-Wextra", "-ffreestanding", "-fno-stack-protector", "-mno-red-zone", "-mgeneral-regs-only",
          "-mno-mmx", "-mno-sse", "-mno-sse2",      # zig takes -mgeneral-regs-only and does not mind it
          "-fno-asynchronous-unwind-tables", "-nostdlib", "-static", "-fno-PIE", "-g", "-gdwarf-4", "-Iinclude"]
_ZIG = ["-target", "x86_64-freestanding-none", "-fno-sanitize=undefined"]
_GCC = ["-no-pie", "-fcf-protection=none", "-Wl,--build-id=none", "-Wl,-z,noexecstack"]


def compiler() -> list[str]:
    """The compiler's command and its own flags: CC if that is set, else the pinned one. BadInput when there is neither."""
    if os.environ.get("CC"):
        return [*shlex.split(os.environ["CC"]), *_GCC]
    pinned = find_spec("ziglang")
    if pinned is None or pinned.origin is None:
        raise BadInput("building a guest needs a compiler: pip install 'kernel_sim[guest]', or set CC to gcc or clang")
    return [sys.executable, "-m", "ziglang", "cc", *_ZIG, f"-ffile-prefix-map={Path(pinned.origin).resolve().parent}=zig"]


@dataclass(frozen=True)
class Kit:
    """What programs of one kind are built with: a folder with start.S, lib/ and the programs, where their images go, and flags of their own.

    The sources in common/ are part of every kit's library.
    """

    folder: Path
    images: Path
    flags: tuple[str, ...]
    pattern: str = "programs/*.c"

    def programs(self) -> list[Path]:
        """Those of the repository. One that is a folder is made of all sources in it."""
        return sorted((HERE / self.folder).glob(self.pattern))


MACHINE = Kit(Path(), Path("images"), ("-mcmodel=kernel", "-Wl,-T,guest.ld"))
"""Programs that have the whole machine, in ring 0."""

KERNEL = Kit(Path(), Path("images"), (*MACHINE.flags, "-fno-omit-frame-pointer"), "kernel")
"""The guest kernel: a program that has the whole machine, and whose stack can be walked."""

USER = Kit(Path("user"), Path("images/user"), (
    "-mcmodel=large", "-Wl,-T,user/user.ld", "-Iuser/include",      # code and data lie further apart than 32 bits reach
    "-fno-omit-frame-pointer", "-ffunction-sections", "-fdata-sections", "-Wl,--gc-sections", "-Wl,-z,max-page-size=4096"))
"""Programs of the guest kernel, in ring 3."""


def build(program: Path, into: Path, kit: Kit = MACHINE) -> Path:
    """Compile and link one program with its kit; the image is `into`/NAME.elf. BadInput, with the compiler's words on stderr, if that fails."""
    if not program.exists():
        raise BadInput(f"{program}: no such file")
    if not into.is_dir():
        raise BadInput(f"{into}: no such folder")
    image = into.resolve() / f"{program.stem}.elf"
    folder = HERE / kit.folder
    own = sorted(program.resolve().glob("*.[cS]")) if program.is_dir() else [program.resolve()]
    library = [*sorted((folder / "lib").glob("*.c")), *sorted((HERE / "common").glob("*.c"))]
    parts = [folder / "start.S", *library, *own]
    sources = [str(path.relative_to(HERE)) if path.is_relative_to(HERE) else str(path) for path in parts]
    command = [*compiler(), *_FLAGS, *kit.flags, f"-ffile-prefix-map={HERE}=.", "-o", str(image), *sources]
    done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        print(done.stderr, file=sys.stderr)
        raise BadInput(f"{program}: does not compile")
    return image


def programs() -> list[Path]:
    """The programs of the repository that have the whole machine."""
    return MACHINE.programs()


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("programs", nargs="*", type=Path, metavar="PROGRAM.c", help="what to build (default: every program of the repository)")
    parser.add_argument("--user", action="store_true", help="the programs are the guest kernel's, to run in ring 3")
    parser.add_argument("--into", type=Path, help="the folder for the images (default: the repository's)")
    args = parser.parse_args(argv)
    kits = [USER] if args.user else [MACHINE] if args.programs else [MACHINE, KERNEL, USER]
    try:
        for kit in kits:
            for program in args.programs or kit.programs():
                print(build(program, args.into or HERE / kit.images, kit))
    except BadInput as error:
        print(f"build: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
