"""Step through a policy's decisions on a small memory: what it looks at, what it splits, what it merges, drawn in the terminal.

Of the operations, a:5 allocates 5 frames; f:0 or f:A frees the first allocation, f:A+1:2 two frames of it, from its second on. With --quiz each step
is asked before it is shown: type the answer, or pipe answers in, one a line. Exit status 1 when one was wrong or missing.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from kernel_sim.errors import BadInput

if TYPE_CHECKING:
    from rich.console import Console

    from kernel_sim.study.stepping.quiz import Question
    from kernel_sim.study.stepping.script import Operation
    from kernel_sim.study.stepping.stepper import Step, Stepper

_MAX_RANDOM = 10_000


def configure(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("operations", nargs="*", metavar="OPERATION", help="a:FRAMES, f:NUMBER or f:LETTER")
    parser.add_argument("--policy", default="buddy", metavar="POLICY",
                        help="a name with its parameters (see `kernel-sim policies`) or path/to/file.py:ClassName (default: buddy)")
    parser.add_argument("--memory", default="64", metavar="FRAMES", help="how many frames, or a size such as 256K (default: 64)")
    parser.add_argument("--random", type=int, metavar="N", help="N operations by the dice instead of given ones")
    parser.add_argument("--seed", type=int, default=0, help="of the dice (default: 0)")
    parser.add_argument("--quiz", action="store_true", help="ask before showing")
    parser.add_argument("--answers", action="store_true", help="print the questions with their answers, and ask nothing")
    parser.add_argument("--json", action="store_true", help="print the steps as JSON")


def run(args: argparse.Namespace) -> int:
    """Play the steps. Exit status 0, or 1 for a quiz with a wrong answer."""
    import json

    from rich.console import Console

    from kernel_sim.study.stepping import drawing
    from kernel_sim.study.stepping.stepper import Stepper

    if args.json and (args.quiz or args.answers):
        raise BadInput("--json: it has all answers, and goes with neither --quiz nor --answers")
    stepper = Stepper(args.policy, _n_frames(args.memory))
    operations = _operations(args, stepper)
    if args.json:
        print(json.dumps([_as_json(stepper.step(operation)) for operation in operations], indent=2))
        return 0
    console = Console(highlight=False, soft_wrap=True)
    for line in drawing.head(stepper):
        console.print(line)
    if args.quiz or args.answers:
        return _quiz(console, stepper, operations, reveal=args.answers)
    for operation in operations:
        console.print()
        for line in drawing.whole(stepper.step(operation), console.width):
            console.print(line)
    _end(console, stepper)
    return 0


def _end(console: Console, stepper: Stepper) -> None:
    from kernel_sim.study.stepping import drawing

    console.print()
    for line in drawing.foot(stepper, console.width):
        console.print(line)


def _n_frames(text: str) -> int:
    """A memory's frames: their number, or a size with its unit."""
    from kernel_sim.units import parse_memory

    return int(text) if text.isascii() and text.isdigit() else parse_memory(text)


def _operations(args: argparse.Namespace, stepper: Stepper) -> list[Operation]:
    from kernel_sim.study.stepping import script

    if bool(args.operations) == (args.random is not None):
        raise BadInput("step: give either operations, such as a:5 a:3 f:0 a:4, or --random N")
    if args.random is None:
        return script.parse(args.operations)
    if not 1 <= args.random <= _MAX_RANDOM:
        raise BadInput(f"--random {args.random}: between 1 and {_MAX_RANDOM} operations")
    return script.at_random(args.random, args.seed, stepper.sizes())


def _quiz(console: Console, stepper: Stepper, operations: list[Operation], reveal: bool) -> int:
    """Ask about every step, then show it; the score at the end. When the answers end, so does the quiz."""
    from kernel_sim.tools.cli import FINDING, FINE

    from kernel_sim.study.stepping import drawing
    from kernel_sim.study.stepping.quiz import question_about

    n_asked = n_right = n_questions = 0
    answers_end = False
    for operation in operations:
        step = stepper.step(operation)
        question = question_about(step)
        n_questions += question is not None
        if answers_end:
            continue
        console.print()
        for line in drawing.question(step, console.width):
            console.print(line)
        if question is not None:
            right = _ask(console, question, reveal)
            answers_end = right is None
            n_asked, n_right = n_asked + (right is not None), n_right + bool(right)
        for line in drawing.answer(step, console.width) if not answers_end else ():
            console.print(line)
    if not answers_end:
        _end(console, stepper)
    if reveal:
        return FINE
    missing = f", {n_questions - n_asked} of {n_questions} questions not answered" if n_asked < n_questions else ""
    console.print(f"\n{n_right} of {n_asked} right{missing}")
    return FINE if n_right == n_questions else FINDING


def _ask(console: Console, question: Question, reveal: bool) -> bool | None:
    """Whether the answer is right; None when there are no more answers. `reveal` prints it instead of asking."""
    console.print(f"  {question.text}", end=" ")
    if reveal:
        console.print(question.solution, style="bold")
        return True
    sys.stdout.flush()
    answer = sys.stdin.readline()
    if not sys.stdin.isatty():
        console.print(answer.strip() or "(no more answers)", markup=False)
    if not answer:
        return None
    right = question.is_right(answer)
    console.print("  right" if right else f"  no: {question.solution}", style="green" if right else "red")
    return right


def _as_json(step: Step) -> dict[str, Any]:
    """All of a step; blocks as [pfn, n_frames]."""
    return {
        "step": step.number, "operation": step.operation.text, "letter": step.operation.letter, "before": step.before, "after": step.after,
        "free_before": [{"list": place.name, "blocks": [list(block) for block in place.blocks]} for place in step.places],
        "free_after": [[first, end - first] for first, end in step.free_after],
        "looked_at": [{"list": place.name, "blocks": [list(block) for block in place.blocks]} for place in step.looked_at],
        "frames": [step.range[0], step.range[1] - step.range[0]] if step.range else None,
        "split": [[[first, end - first] for first, end in (split.whole, *split.parts)] for split in step.splits],
        "merged": [[[first, end - first] for first, end in (join.whole, *join.parts)] for join in step.joins],
        "examined": step.tallies[0], "splits": step.tallies[1], "merges": step.tallies[2], "problem": step.problem or None,
    }
