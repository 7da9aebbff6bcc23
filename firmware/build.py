"""Build the guest: `python -m kernel_sim.firmware.build [--into FOLDER] [PROGRAM.c …]`.

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
from importlib.util import find_spec
from pathlib import Path

from kernel_sim.errors import BadInput

HERE = Path(__file__).resolve().parent
_FLAGS = ["-Os", "-std=c11", "-Wall", "-Wextra", "-ffreestanding", "-fno-stack-protector", "-mno-red-zone", "-mgeneral-regs-only", "-mcmodel=kernel",
          "-mno-mmx", "-mno-sse", "-mno-sse2",      # zig takes -mgeneral-regs-only and does not mind it
          "-fno-asynchronous-unwind-tables", "-nostdlib", "-static", "-fno-PIE", "-g", "-gdwarf-4", "-Wl,-T,guest.ld", "-Iinclude"]
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


def build(program: Path, into: Path) -> Path:
    """Compile and link one program with the SDK; the image is `into`/NAME.elf. BadInput, with the compiler's words on stderr, if that fails."""
    image = into.resolve() / f"{program.stem}.elf"
    sources = ["start.S", *sorted(str(path.relative_to(HERE)) for path in (HERE / "lib").glob("*.c"))]
    source = program.resolve()
    name = str(source.relative_to(HERE)) if source.is_relative_to(HERE) else str(source)
    command = [*compiler(), *_FLAGS, f"-ffile-prefix-map={HERE}=.", "-o", str(image), *sources, name]
    done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        print(done.stderr, file=sys.stderr)
        raise BadInput(f"{program}: does not compile")
    return image


def programs() -> list[Path]:
    """The programs of the repository."""
    return sorted((HERE / "programs").glob("*.c"))


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("programs", nargs="*", type=Path, metavar="PROGRAM.c", help="what to build (default: every program of the SDK)")
    parser.add_argument("--into", type=Path, default=HERE / "images", help="the folder for the images")
    args = parser.parse_args(argv)
    try:
        for program in args.programs or programs():
            print(build(program, args.into))
    except BadInput as error:
        print(f"build: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
