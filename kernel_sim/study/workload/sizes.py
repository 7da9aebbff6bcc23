"""Sizes: how many frames an allocation asks for.

``constant(n)``                             always n
``uniform(lowest,highest)``                 every whole number between, both of them among them
``geometric(mean)``                         1, 2, 3 … each less likely than the one before by the same factor
``exponential(mean)``                       an exponential variate, rounded, and 1 at least
``powers-of-two(lowest,highest)``           each power of two between, equally often
``hyperexponential(short,long,share)``      exponential with the mean `long` for that share of the requests, with `short` for the others
``histogram(1:50,2:30,8:20)``               sizes with their weights; ``histogram(FILE)`` has a size and a weight in every line
``trace(TRACE)``                            the sizes of a trace's allocations, as often as they come there

What a memory could not hold at all is drawn again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from kernel_sim.errors import BadInput
from kernel_sim.study.workload import chance
from kernel_sim.study.workload.chance import Array, Rng

Draw = Callable[[Rng, int], Array]
"""(generator, n): n sizes (int64), 1 at least each."""


class Sizes(NamedTuple):
    """A distribution of sizes: how to draw from it, and the smallest of them. `bound` is the largest, or None where there is none."""

    draw: Draw
    smallest: int
    bound: int | None
    mean: float

    def draw_up_to(self, rng: Rng, largest: int, n: int) -> Array:
        """`n` sizes, each `largest` at most: what is beyond is drawn again."""
        drawn = self.draw(rng, n)
        while len(beyond := np.flatnonzero(drawn > largest)):
            drawn[beyond] = self.draw(rng, len(beyond))
        return drawn


def constant(n_frames: int) -> Sizes:
    return Sizes(lambda rng, n: np.full(n, n_frames, np.int64), n_frames, n_frames, n_frames)


def uniform(lowest: int, highest: int) -> Sizes:
    _ascending(lowest, highest)
    return Sizes(lambda rng, n: chance.uniform(rng, lowest, highest, n), lowest, highest, (lowest + highest) / 2)


def geometric(mean: float) -> Sizes:
    _mean(mean)
    return Sizes(lambda rng, n: chance.geometric(rng, mean, n), 1, None, mean)


def exponential(mean: float) -> Sizes:
    _mean(mean)
    return Sizes(lambda rng, n: _rounded(chance.exponential(rng, mean, n)), 1, None, mean)


def powers_of_two(lowest: int, highest: int) -> Sizes:
    _ascending(lowest, highest)
    if lowest & lowest - 1 or highest & highest - 1:
        raise BadInput(f"{lowest} and {highest} are not both powers of two")
    powers = np.int64(1) << np.arange(lowest.bit_length() - 1, highest.bit_length())
    return Sizes(lambda rng, n: powers[chance.uniform(rng, 0, len(powers) - 1, n)], lowest, highest, float(powers.mean()))


def hyperexponential(short: float, long: float, share: float) -> Sizes:
    _mean(short)
    _mean(long)
    if not 0 <= share <= 1:
        raise BadInput(f"the share of the long ones lies between 0 and 1, and is not {share:g}")

    def draw(rng: Rng, n: int) -> Array:
        is_long = rng.random(n) < share
        return _rounded(np.where(is_long, long, short) * chance.exponential(rng, 1, n))
    return Sizes(draw, 1, None, long * share + short * (1 - share))


def weighted(sizes: Sequence[int] | Array, weights: Sequence[float] | Array) -> Sizes:
    """Sizes with weights of any scale."""
    values, shares = np.asarray(sizes, np.int64), np.asarray(weights, np.float64)
    if not len(values) or values.min() < 1 or shares.min() < 0 or not 0 < shares.sum() < np.inf:
        raise BadInput("a histogram has sizes from 1 on, with weights that are not negative and not all 0")
    values, shares = values[shares > 0], shares[shares > 0]
    mean = float((values * shares).sum() / shares.sum())
    return Sizes(lambda rng, n: values[chance.weighted(rng, shares, n)], int(values.min()), int(values.max()), mean)


def histogram(pairs: Sequence[tuple[float, float]]) -> Sizes:
    """(size, weight) pairs."""
    if any(size != int(size) for size, _ in pairs):
        raise BadInput("a histogram has sizes in whole frames")
    return weighted([int(size) for size, _ in pairs], [weight for _, weight in pairs])


def histogram_of_file(path: Path) -> Sizes:
    """A text with a size and a weight in every line, a blank or a comma between; what follows # is for people."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: {getattr(error, 'strerror', None) or 'not a text'}") from None
    pairs = []
    for number, line in enumerate(lines, 1):
        words = line.split("#")[0].replace(",", " ").split()
        if not words:
            continue
        try:
            size, weight = words
            pairs.append((int(size), float(weight)))
        except ValueError:
            raise BadInput(f"{path}:{number}: not a size and a weight: {line.strip()!r}") from None
    try:
        return histogram(pairs)
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from None


def of_trace(name: str) -> Sizes:
    """The sizes of a trace's allocations."""
    from kernel_sim.operations import ALLOC
    from kernel_sim.study.trace import Trace

    trace = Trace.load(name)
    sizes, counts = np.unique(trace.n_frames[trace.kind == ALLOC], return_counts=True)
    if not len(sizes):
        raise BadInput(f"{name}: a trace without allocations")
    return weighted(sizes, counts)


SIZES: dict[str, Callable[..., Sizes]] = {
    "constant": constant, "uniform": uniform, "geometric": geometric, "exponential": exponential, "powers-of-two": powers_of_two,
    "hyperexponential": hyperexponential,
}
"""Those that are described by numbers alone."""


def _rounded(values: Array) -> Array:
    return np.maximum(np.rint(values), 1).astype(np.int64)


def _ascending(lowest: int, highest: int) -> None:
    if not 1 <= lowest <= highest:
        raise BadInput(f"sizes go from 1 frame upwards, not from {lowest} to {highest}")


def _mean(mean: Any) -> None:
    if not 1 <= mean < 1 << 32:
        raise BadInput(f"a mean of {mean:g} frames: it is 1 at least")
