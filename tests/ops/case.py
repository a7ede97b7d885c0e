"""What one row of the table of operations is, and how its inputs are drawn."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import numpy as np

from minipar.backend import on_device

Shape = tuple[int, ...]


def beside(x: Any, constant: np.ndarray) -> Any:
    """A constant array in the dtype and on the device of tensor x: for operations that keep an array."""
    return on_device(constant.astype(x.dtype) if constant.dtype.kind == "f" else constant, x.device)


def real(draw: np.random.Generator, shape: Shape, which: int) -> np.ndarray:
    """Normal numbers."""
    return np.asarray(draw.standard_normal(shape))


def positive(draw: np.random.Generator, shape: Shape, which: int) -> np.ndarray:
    """Numbers of [0.5, 2)."""
    return np.asarray(draw.uniform(0.5, 2.0, shape))


def apart(draw: np.random.Generator, shape: Shape, which: int) -> np.ndarray:
    """Numbers of either sign, none near 0, near another, or near one of another input (`which`): away from kinks.

    Their sizes are (k + ½ + which/4) · 0.13, k = 0, 1, …; the tables' own thresholds are multiples of 0.13.
    """
    size = math.prod(shape)
    sizes = (draw.permutation(size) + 0.5 + 0.25 * which) * 0.13
    return (sizes * draw.choice([-1.0, 1.0], size)).reshape(shape)


@dataclass(frozen=True)
class Case:
    """One operation: what it computes, on which inputs, and what it is compared with.

    `run(m, *tensors)` is called with m = minipar and with m = torch, for the two are spelled alike; `theirs` replaces
    it for torch where there is no such function. `example` are the shapes that gradients are checked at (square where
    that is possible, so that a transposed gradient would still fit); `shapes` draws others.
    """

    name: str
    run: Callable[..., Any]
    example: tuple[Shape, ...] = ((3, 3),)
    shapes: st.SearchStrategy[tuple[Shape, ...]] | None = None
    values: Callable[[np.random.Generator, Shape, int], np.ndarray] | tuple[Callable, ...] = real
    theirs: Callable[..., Any] | None = None
    derivative: bool = True  # False where the gradient is a convention, not what differences show
    second: bool = True  # False where PyTorch's second derivative is wrong, or much less exact than ours

    def __str__(self) -> str:
        return self.name

    def inputs(self, shapes: tuple[Shape, ...], seed: int) -> list[np.ndarray]:
        draw = np.random.default_rng(seed)
        kinds = self.values if isinstance(self.values, tuple) else (self.values,) * len(shapes)
        return [kind(draw, shape, i) for i, (kind, shape) in enumerate(zip(kinds, shapes))]

    def some_shapes(self) -> st.SearchStrategy[tuple[Shape, ...]]:
        return st.just(self.example) if self.shapes is None else self.shapes


def one(least: int = 0, most: int = 3, least_side: int = 0) -> st.SearchStrategy[tuple[Shape, ...]]:
    """One shape of `least` to `most` axes, each of size 0 (or `least_side`) to 4."""
    return hnp.array_shapes(min_dims=least, max_dims=most, min_side=least_side, max_side=4).map(lambda shape: (shape,))


def broadcast(count: int = 2) -> st.SearchStrategy[tuple[Shape, ...]]:
    """Shapes that broadcast together: 0-d, size-1 and empty axes among them."""
    drawn = hnp.mutually_broadcastable_shapes(num_shapes=count, max_dims=3, min_side=0, max_side=3)
    return drawn.map(lambda result: result.input_shapes)


def among(*shapes: tuple[Shape, ...]) -> st.SearchStrategy[tuple[Shape, ...]]:
    return st.sampled_from(shapes)


def _sliced(x: np.ndarray) -> np.ndarray:
    if not x.ndim:
        return x
    room = np.full([2 * n + 1 for n in x.shape], np.nan, x.dtype)
    view = room[tuple(slice(1, None, 2) for _ in x.shape)]
    view[...] = x
    return view


LAYOUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "row-major": lambda x: np.array(x, order="C"),  # ascontiguousarray makes 1-d of 0-d
    "column-major": lambda x: np.array(x, order="F"),
    "every second element": _sliced,
    "backwards": lambda x: np.asarray(np.flip(np.array(np.flip(x), order="C"))),
}
layouts = st.sampled_from(sorted(LAYOUTS))
