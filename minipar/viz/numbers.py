"""Arrays in a few short lines: small ones in full, large ones by what describes them."""

from __future__ import annotations

from typing import Any

import numpy as np

ROWS, COLUMNS = 4, 5  # up to here an array is shown in full


def is_small(array: np.ndarray) -> bool:
    rows, columns = (1, *array.shape)[-2:] if array.ndim else (1, 1)
    return array.ndim <= 2 and 0 < rows <= ROWS and 0 < columns <= COLUMNS


def lines(array: np.ndarray) -> list[str]:
    """The elements, a row a line, in columns; or one line about them."""
    if array.ndim == 0:
        return [short(array.item(), 5)]
    return _table(array) if is_small(array) else [_summary(array)]


def gradient_lines(grad: np.ndarray) -> list[str]:
    """As `lines`, but a large gradient is described by its Euclidean norm."""
    return lines(grad) if is_small(grad) else [f"norm {short(norm(grad))}"]


def norm(array: np.ndarray) -> float:
    with np.errstate(over="ignore"):  # of an exploded gradient: infinite
        return float(np.sqrt(np.square(array.astype(np.float64)).sum()))


def short(number: Any, digits: int = 3) -> str:
    if isinstance(number, (bool, int)):
        return str(number)
    if 10**digits <= abs(number) < 1e5:
        return f"{number:.0f}"
    return f"{number + 0.0:.{digits}g}"  # + 0.0: no minus before a zero


def _table(array: np.ndarray) -> list[str]:
    cells = [[short(x) for x in row] for row in array.reshape(-1, array.shape[-1]).tolist()]
    widths = [max(map(len, column)) for column in zip(*cells)]
    return [" ".join(cell.rjust(width) for cell, width in zip(row, widths)) for row in cells]


def _summary(array: np.ndarray) -> str:
    if not array.size:
        return "empty"
    if array.dtype.kind == "b":
        return f"{int(array.sum())} of {array.size} true"
    if array.dtype.kind in "iu":
        return f"{array.min()} … {array.max()}"
    finite = array[np.isfinite(array)].astype(np.float64)
    described = f"mean {short(finite.mean())}, sd {short(finite.std())}" if finite.size else ""
    wrong = array.size - finite.size
    return f"{wrong} not finite! {described}".rstrip() if wrong else described
