"""Two ways to lay a line of cells into a square.

*row*: as one writes, left to right and then down: an address is easily found, but neighbours above and below are far apart.
*hilbert*: David Hilbert's curve (1891): neighbours on the line are neighbours in the square, and any aligned power of four cells
is a square of its own; a buddy block of even order is a square, one of odd order two squares side by side.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

CURVES = ("hilbert", "row")


def order_of(curve: str, side: int) -> Array:
    """int64 of shape (side, side): the number of the cell that stands in each place. `side` is a power of two."""
    return hilbert(side) if curve == "hilbert" else np.arange(side * side, dtype=np.int64).reshape(side, side)


def hilbert(side: int) -> Array:
    """The curve from the upper left to the lower left corner.

    Twice the side: the curve four times, turned so that each begins where the last one ends. Upper left (mirrored at the main
    diagonal), upper right, lower right, lower left (mirrored at the other diagonal).
    """
    grid = np.zeros((1, 1), np.int64)
    while len(grid) < side:
        n = grid.size
        grid = np.block([[grid.T, n + grid], [3 * n + grid[::-1, ::-1].T, 2 * n + grid]])
    return grid


def path(side: int) -> list[tuple[int, int]]:
    """The (column, row) of each cell of the Hilbert curve, in order."""
    rows, columns = np.unravel_index(np.argsort(hilbert(side), axis=None), (side, side))
    return list(zip(columns.tolist(), rows.tolist(), strict=True))
