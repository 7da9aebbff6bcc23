"""Play the whole contract with a policy, your own included: the shortest way in which it breaks a law, or none.

Every wrong free is tried; random memories are filled and emptied and audited after every operation; what was freed must be had again; the same
must come out twice. With a rule (--rule first-fit, or an attribute `rule` of your class) every placement must be where that policy's rule says.
A built-in policy is held to its own rule. Exit status 1 when a law is broken, with the story that shows it.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from kernel_sim.errors import BadInput

if TYPE_CHECKING:
    from kernel_sim.allocators.base import Policy
    from kernel_sim.study.contract.examine import Finding


def configure(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("policy", metavar="POLICY", help="a name with its parameters (see `kernel-sim policies`) or path/to/file.py:ClassName")
    parser.add_argument("--rule", metavar="POLICY", help="hold its placements to the written rule of this policy, such as first-fit")
    parser.add_argument("--seed", type=int, default=0, help="of the memories and operations (default: 0)")
    parser.add_argument("--examples", type=_positive, default=200, metavar="N", help="how many of them for each game (default: 200)")
    parser.add_argument("--compiled", action="store_true", help="run a built-in policy compiled (by default it runs in the interpreter)")
    parser.add_argument("--json", action="store_true", help="print the finding as JSON")


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("at least one")
    return value


def run(args: argparse.Namespace) -> int:
    """Exit status 0 for a policy that keeps the contract, 1 for one that does not."""
    from kernel_sim.allocators.plain import load_policy

    policy = load_policy(args.policy, uncompiled=not args.compiled)
    rule = _rule(args.rule, policy)
    try:
        from kernel_sim.study.contract.examine import examine
    except ModuleNotFoundError as error:
        raise BadInput(f"check needs {error.name}, which is not installed: pip install 'kernel_sim[check]'") from None
    with _playing_now() as progress:
        found = examine(policy, rule, args.seed, args.examples, progress=progress)
    if args.json:
        print(json.dumps(_as_json(args, policy, found), indent=2))
    else:
        print("\n".join(_for_people(args, policy, rule, found)))
    return 1 if found else 0


@contextmanager
def _playing_now() -> Iterator[Callable[[str], None]]:
    """What is being played, on standard error while it is a terminal."""
    if not sys.stderr.isatty():
        yield lambda game: None
        return
    from rich.console import Console

    played: Counter[str] = Counter()
    with Console(stderr=True).status("…") as status:
        def tell(game: str) -> None:
            played[game] += 1
            status.update(f"{game}: {played[game]} examples")

        yield tell


def _rule(name: str | None, policy: Policy) -> type | None:
    """The rule of the policy that is named, by the user, by a class's attribute, or by itself."""
    from kernel_sim.study.contract.rules import rule_for

    named = name or (getattr(policy.plain, "rule", None) if policy.plain else policy.name)
    if named is None:
        return None
    rule = rule_for(str(named))
    if rule is None and name:
        raise BadInput(f"--rule {name}: no rule is written down for that policy")
    return rule


def _as_json(args: argparse.Namespace, policy: Policy, found: Finding | None) -> dict[str, Any]:
    report: dict[str, Any] = {"policy": policy.name, "keeps_the_contract": found is None, "seed": args.seed, "examples": args.examples}
    if found:
        zones = [{"name": zone.name, "ranges": zone.ranges, "reserved": zone.reserved} for zone in found.memory.zones] if found.memory else None
        report |= {"law": found.law, "sentence": found.sentence, "what": found.what, "game": found.game, "zones": zones,
                   "in_use": found.memory.in_use if found.memory else None, "operations": [step.doing for step in found.story[1:]]}
    return report


def _for_people(args: argparse.Namespace, policy: Policy, rule: type | None, found: Finding | None) -> list[str]:
    """The verdict; for a law that was broken, the story."""
    from kernel_sim.study.contract.laws import LAWS
    from kernel_sim.study.contract.misuse import MISUSES
    from kernel_sim.study.contract.picture import LEGEND

    if found is None:
        held = f"{len(LAWS)} laws" if rule else f"{len(LAWS) - 2} laws (none of placement: see --rule)"
        return [f"{policy.name} keeps the contract: {held}, {len(MISUSES)} kinds of misuse, {args.examples} examples of each game, seed {args.seed}"]
    lines = [f"{policy.name} breaks the contract: {found.law}", f"  the law: {found.sentence}", f"  found:   {found.what}", ""]
    for number, step in enumerate(found.story):
        first, *others = step.frames or ("       <- here",)
        lines += [f"  {number or '':>3}  {step.doing:<26} {first}", *(f"  {'':>3}  {'':<26} {row}" for row in others)]
    if found.story:
        lines += ["", f"  {LEGEND}", ""]
    again = f"kernel-sim check {args.policy}{f' --rule {args.rule}' if args.rule else ''} --seed {args.seed} --examples {args.examples}"
    return [*lines, f"  the same again: {again}"]
