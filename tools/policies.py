"""List the placement policies there are, one line each, with their parameters."""

from __future__ import annotations

import argparse
import json
from typing import Any


def configure(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("--json", action="store_true", help="print the list as JSON")


def run(args: argparse.Namespace) -> int:
    """Exit status 0."""
    from kernel_sim.allocators.base import policy_module, policy_names, show_choices

    policies = [_describe(name, policy_module(name)) for name in policy_names()]
    if args.json:
        print(json.dumps(policies, indent=2))
        return 0
    width = max(len(policy["name"]) for policy in policies)
    for policy in policies:
        print(f"{policy['name']:<{width}}  {policy['about']}")
        for parameter, choices in policy_module(policy["name"]).PARAMETERS.items():
            print(f"{'':<{width}}  :{parameter}={show_choices(choices)}")
    print("\nYour own: --policy path/to/file.py:ClassName")
    return 0


def _describe(name: str, module: Any) -> dict[str, Any]:
    return {"name": name, "about": module.__doc__.splitlines()[0], "parameters": {key: list(choices) for key, choices in module.PARAMETERS.items()}}
