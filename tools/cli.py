"""The door: `kernel-sim COMMAND`. A command is a file of this folder, found by its name.

A command's module has a docstring, whose first line is its help, a function ``configure(parser)`` and a function ``run(args) -> int``,
which returns the exit status. Files whose names begin with an underscore, and this one, are no commands.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import pkgutil
import sys
from collections.abc import Sequence
from typing import NoReturn

from kernel_sim.errors import BadInput, BrokenInvariant, GuestFault, SimError

FINE, FINDING, WRONG_INPUT, GUEST_FAILED, INTERRUPTED = 0, 1, 2, 3, 130

PROGRAM = "kernel-sim"


def commands() -> list[str]:
    """The commands there are, by the names people type: ``import_.py`` is ``import``, ``worst_case.py`` is ``worst-case``."""
    import kernel_sim.tools as package

    names = [name for _, name, _ in pkgutil.iter_modules(package.__path__) if not name.startswith("_") and name != "cli"]
    return sorted(name.rstrip("_").replace("_", "-") for name in names)


def _module(command: str) -> str:
    return command + "_" if command in ("import",) else command.replace("-", "_")


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, like all others."""

    def error(self, message: str) -> NoReturn:
        raise BadInput(f"{message} (see {self.prog} --help)")


def parser_for(command: str | None) -> argparse.ArgumentParser:
    """The parser, with the arguments of the one command that is wanted: the others' modules are not even imported."""
    import ast

    parser = _Parser(prog=PROGRAM, description="An emulated machine, a guest in it, and the manager that hands out its page frames.")
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {_version()}")
    choices = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name in commands():
        spec = importlib.util.find_spec(f"kernel_sim.tools.{_module(name)}")
        assert spec is not None
        assert spec.origin is not None
        with open(spec.origin, encoding="utf-8") as file:
            about = ast.get_docstring(ast.parse(file.read())) or ""
        sub = choices.add_parser(name, help=about.split("\n")[0], description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
        if name == command:
            importlib.import_module(f"kernel_sim.tools.{_module(name)}").configure(sub)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; turn every error into one line and its exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    command = next((word for word in arguments if not word.startswith("-")), None)
    try:
        args = parser_for(command).parse_args(arguments)
        status = importlib.import_module(f"kernel_sim.tools.{_module(args.command)}").run(args)
        sys.stdout.flush()
        return int(status)
    except BadInput as error:
        return _say(error, WRONG_INPUT)
    except GuestFault as error:
        return _say(error, GUEST_FAILED)
    except BrokenInvariant as error:
        return _say(f"broken invariant: {error}", FINDING)
    except SimError as error:
        return _say(error, FINDING)
    except KeyboardInterrupt:
        return _say("interrupted", INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FINE


def _say(what: object, status: int) -> int:
    print(f"{PROGRAM}: {str(what).splitlines()[0] if str(what) else 'failed'}", file=sys.stderr)
    return status


def _version() -> str:
    from importlib.metadata import version

    return version("kernel_sim")


if __name__ == "__main__":
    sys.exit(main())
