"""List the placement policies there are, one line each, with their parameters."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from typing import Any

_COLUMNS = {"decides": "Decision", "source": "Source", "cost": "Cost", "use it": "Use"}


def configure(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print the list as JSON, with all that each policy says of itself")
    form.add_argument("--markdown", action="store_true", help="print it as a table: decision, source, cost and when to use it")


def run(args: argparse.Namespace) -> int:
    """Exit status 0."""
    from kernel_sim.allocators.base import policy_names

    if args.json:
        print(json.dumps([_describe(name) for name in policy_names()], indent=2))
    else:
        print("\n".join(_markdown(policy_names()) if args.markdown else _lines(policy_names())))
    return 0


def _lines(names: list[str]) -> Iterator[str]:
    """For people: a line each, and one for every parameter."""
    width = max(len(name) for name in names)
    for name in names:
        yield f"{name:<{width}}  {_describe(name)['about']}"
        yield from (f"{'':<{width}}  :{parameter}" for parameter in _parameters(name))
    yield "\nYour own: --policy path/to/file.py:ClassName"


def _markdown(names: list[str]) -> Iterator[str]:
    """The README's table."""
    from kernel_sim.allocators.base import theory

    yield f"| policy | {' | '.join(_COLUMNS)} |"
    yield "|---" * (1 + len(_COLUMNS)) + "|"
    for name in names:
        told = theory(name)
        parameters = "".join(f"<br>`{parameter}`" for parameter in _parameters(name)).replace("|", "\\|")
        yield f"| **`{name}`**{parameters} | {' | '.join(told[key].replace('|', chr(92) + '|') for key in _COLUMNS.values())} |"


def _parameters(name: str) -> Iterator[str]:
    from kernel_sim.allocators.base import policy_module, show_choices

    return (f"{parameter}={show_choices(choices)}" for parameter, choices in policy_module(name).PARAMETERS.items())


def _describe(name: str) -> dict[str, Any]:
    from kernel_sim.allocators.base import policy_module, theory

    module = policy_module(name)
    parameters = {key: list(choices) for key, choices in module.PARAMETERS.items()}
    told = {key.lower(): text for key, text in theory(name).items() if key != "Name"}
    return {**told, "name": name, "about": (module.__doc__ or "").splitlines()[0], "parameters": parameters}
