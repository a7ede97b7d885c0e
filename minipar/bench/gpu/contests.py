"""What is timed of convolution: our kernels against a convolution composed of CuPy's operations."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from . import cupy_convolution
from .cases import Convolution
from .kernel_checks import Kernels, Transfer
from .timing import Stopwatch, Timing, compare, copies

CONVOLUTIONS = (
    Convolution((64, 1, 28, 28), (32, 1, 5, 5), padding=(2, 2)),
    Convolution((64, 32, 14, 14), (64, 32, 5, 5), padding=(2, 2)),
    Convolution((32, 64, 56, 56), (64, 64, 3, 3), padding=(1, 1)),
    Convolution((32, 128, 28, 28), (256, 128, 3, 3), stride=(2, 2), padding=(1, 1)),
)


def convolution_timings(
    kernels: Kernels, put: Transfer, stopwatch: Stopwatch, convolutions: tuple[Convolution, ...] = CONVOLUTIONS
) -> Iterator[Timing]:
    """Forward and both gradients, float32."""
    rng = np.random.default_rng(0)
    for c in convolutions:
        shapes = {"x": c.x, "w": c.w, "bias": (c.w[0],), "g": c.y}
        count = copies(4 * sum(map(math.prod, shapes.values())))
        stored = [{name: put(_normal(rng, *shape)) for name, shape in shapes.items()} for _ in range(count)]
        flop = 2 * math.prod(c.y) * math.prod(c.w[1:])
        for name, first, second, third in (
            ("conv2d_forward", "x", "w", "bias"),
            ("conv2d_grad_input", "g", "w", c.x),
            ("conv2d_grad_weight", "g", "x", c.w),
        ):
            operands = [(s[first], s[second], s[third] if isinstance(third, str) else third) for s in stored]
            yield compare(name, str(c), _ours(kernels[name], c), _theirs(name, c), operands, flop, stopwatch)


def _ours(kernel: Callable[..., Any], c: Convolution) -> Callable[..., Any]:
    return lambda *operands: kernel(*operands, *c.geometry)


def _theirs(name: str, c: Convolution) -> Callable[..., Any]:
    function = getattr(cupy_convolution, name)
    return lambda *operands: function(*operands, c.stride, c.padding)


def _normal(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.standard_normal(shape, dtype=np.float32)
