"""What each fused kernel saves: beside the same function in CuPy's own lines (its reference form over CuPy arrays).

All operands but those of recurrent layers are larger than the L2 cache, so that they are not rotated.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np

from ...backend import dispatch
from ...kernels.reference import optimizer_steps
from .kernel_checks import Transfer
from .timing import Call, Stopwatch, Timing, compare

OPPONENT = "CuPy's lines"
NUMBERS = 1 << 25  # 128 MiB of float32

Named = Callable[[str], Callable[..., Any]]  # a kernel by its name, of one of the two sides


class Operands:
    """Arrays of `numbers` numbers at the most, drawn once: those of one shape are copies of each other."""

    def __init__(self, put: Transfer, numbers: int) -> None:
        draw = np.random.default_rng(0)
        self._put, self.numbers = put, numbers
        self._normal = draw.standard_normal(max(numbers, 1 << 18), dtype=np.float32)
        self._whole = draw.integers(0, 1 << 62, numbers >> 8)

    def normal(self, *shape: int) -> Any:
        return self._put(self._normal[: math.prod(shape)].reshape(shape))

    def whole(self, below: int, count: int) -> Any:
        return self._put(self._whole[:count] % below)

    def weights(self, *shape: int) -> Any:
        """Small ones."""
        return self.normal(*shape) / 16

    def sequences(self) -> tuple[int, int, int]:
        """(steps, sequences, inputs): 64 sequences of 64 steps, of 2^25 numbers."""
        return 64, max(self.numbers >> 19, 1), 64

    def matrix(self) -> tuple[int, int]:
        """Rows of 1024."""
        return self.numbers >> 10, 1 << 10

    def images(self) -> tuple[int, int, int, int]:
        """(N, 32, 32, 32)."""
        return self.numbers >> 15, 32, 32, 32


Case = Callable[[Named, Operands], Call]  # one side's kernel with all its arguments, to be called again and again

WINDOW = (3, 3), (2, 2), (1, 1)  # kernel, stride, padding
TAPS = (*WINDOW, (1, 1))  # and dilation


def _cross_entropy_loss(named: Named, operands: Operands) -> Call:
    rows, classes = operands.matrix()
    logits, target = operands.normal(rows, classes), operands.whole(classes, rows)
    return partial(named("cross_entropy_loss"), logits, target, None, -100, True)


def _cross_entropy_gradient(named: Named, operands: Operands) -> Call:
    rows, classes = operands.matrix()
    logits, target = operands.normal(rows, classes), operands.whole(classes, rows)
    *_, kept = named("cross_entropy_loss")(logits, target, None, -100, True)
    return partial(named("cross_entropy_gradient"), operands.normal(1).reshape(()), kept, target)


def _cross_entropy_forward(named: Named, operands: Operands) -> Call:
    rows, classes = operands.matrix()
    return partial(
        named("cross_entropy_forward"), operands.normal(rows, classes), operands.whole(classes, rows), None, -100
    )


def _cross_entropy_backward(named: Named, operands: Operands) -> Call:
    rows, classes = operands.matrix()
    logits, target = operands.normal(rows, classes), operands.whole(classes, rows)
    _, kept = named("cross_entropy_forward")(logits, target, None, -100)
    return partial(named("cross_entropy_backward"), operands.normal(rows), kept, target, None, -100)


def _layer_norm_forward(named: Named, operands: Operands) -> Call:
    rows, width = operands.matrix()
    x, weight, bias = operands.normal(rows, width), operands.normal(width), operands.normal(width)
    return partial(named("layer_norm_forward"), x, weight, bias, 1e-5, True)


def _layer_norm_backward(named: Named, operands: Operands) -> Call:
    rows, width = operands.matrix()
    x, g, weight = operands.normal(rows, width), operands.normal(rows, width), operands.normal(width)
    _, kept = named("layer_norm_forward")(x, weight, None, 1e-5, True)
    out = operands.normal(width), operands.normal(width)
    return partial(named("layer_norm_backward"), g, x, weight, kept, True, *out)


def _batch_norm_forward(named: Named, operands: Operands) -> Call:
    n, channels, height, width = operands.images()
    x = operands.normal(n, channels, height * width)
    return partial(named("batch_norm_forward"), x, operands.normal(channels), operands.normal(channels), 1e-5)


def _batch_norm_backward(named: Named, operands: Operands) -> Call:
    n, channels, height, width = operands.images()
    x, g = (operands.normal(n, channels, height * width) for _ in range(2))
    weight, *out = (operands.normal(channels) for _ in range(3))
    _, statistics = named("batch_norm_forward")(x, weight, None, 1e-5)
    return partial(named("batch_norm_backward"), g, x, weight, statistics, 1e-5, True, *out)


def _max_pool_forward(name: str, named: Named, operands: Operands) -> Call:
    return partial(named(name), operands.normal(*operands.images()), *TAPS, False)


def _max_pool_backward(named: Named, operands: Operands) -> Call:
    y, winners = _max_pool_forward("max_pool2d_forward", named, operands)()
    return partial(named("max_pool2d_backward"), y, winners, operands.images())


def _max_pool_taps_backward(named: Named, operands: Operands) -> Call:
    y, taps = _max_pool_forward("max_pool2d_taps", named, operands)()
    return partial(named("max_pool2d_taps_backward"), y, taps, operands.images(), *TAPS)


def _avg_pool_forward(named: Named, operands: Operands) -> Call:
    return partial(named("avg_pool2d_forward"), operands.normal(*operands.images()), *WINDOW, False, True, None)


def _avg_pool_backward(named: Named, operands: Operands) -> Call:
    y = _avg_pool_forward(named, operands)()
    return partial(named("avg_pool2d_backward"), y, operands.images(), *WINDOW, False, True, None)


def _embedding_backward(named: Named, operands: Operands) -> Call:
    uses, width = operands.numbers >> 8, 1 << 8
    g, words = operands.normal(uses, width), operands.whole(30_000, uses)
    return partial(named("embedding_backward"), g, words, 30_000, 0, False)


def _follow_statistics(named: Named, operands: Operands) -> Call:
    samples, channels = operands.matrix()
    running, statistics = (operands.normal(channels) for _ in range(2)), operands.normal(2, samples // 2, channels)
    return partial(named("follow_statistics"), *running, statistics, samples, 0.1)


def _relu_gradient(named: Named, operands: Operands) -> Call:
    return partial(named("relu_gradient"), *(operands.normal(operands.numbers) for _ in range(2)))


def _dropout_forward(named: Named, operands: Operands) -> Call:
    rows, width = operands.matrix()
    ticket = np.array([1.0, 2.0, 3.0, 0.0, 0.0])
    return partial(named("dropout_forward"), operands.normal(rows, width), ticket, (1, rows, width, 1), 0.5, 2.0)


def _dropout_backward(named: Named, operands: Operands) -> Call:
    _, kept = _dropout_forward(named, operands)()
    return partial(named("dropout_backward"), operands.normal(*operands.matrix()), kept, 2.0)


def _recurrent(layer: str, hidden: int, named: Named, operands: Operands) -> partial[Any]:
    """All steps of an RNN, LSTM or GRU in one direction."""
    steps, batch, inputs = operands.sequences()
    gates = GATES[layer] * hidden
    states = [operands.normal(batch, hidden) for _ in range(2 if layer == "lstm" else 1)]
    weights = (operands.weights(gates, size) for size in (inputs, hidden))
    biases = (operands.weights(gates) for _ in range(2))
    x = operands.normal(steps, batch, inputs)
    return partial(named(f"{layer}_sequence"), x, *states, *weights, *biases, *WALKS[layer])


def _recurrent_backward(layer: str, hidden: int, named: Named, operands: Operands) -> Call:
    steps, batch, _ = operands.sequences()
    forward = _recurrent(layer, hidden, named, operands)
    *_, kept = forward()
    first = 3 if layer == "lstm" else 2  # x and the states come before the weights
    x, w_ih, w_hh = (forward.args[i] for i in (0, first, first + 1))
    gradients = operands.normal(steps, batch, hidden), *[None] * (first - 1)
    needs = (True,) * (8 if layer == "lstm" else 6)
    return partial(named(f"{layer}_sequence_backward"), *gradients, x, kept, w_ih, w_hh, *WALKS[layer], needs)


HIDDEN = 64, 256  # units: all steps in one launch, and step by step
GATES = {"rnn": 1, "lstm": 4, "gru": 3}
WALKS: Mapping[str, tuple[Any, ...]] = {  # not packed, time first, forwards; and what a layer of its own asks for
    "rnn": (None, False, False, "tanh"),
    "lstm": (None, None, False, False),  # no projection
    "gru": (None, False, False),
}


def _sgd_step(named: Named, operands: Operands) -> Call:
    p, g, momentum = (operands.normal(operands.numbers) for _ in range(3))
    return partial(named("sgd_step"), p, g, momentum, 1e-6, 0.9, 0.0, 1e-4, False, False, False)


def _adam_step(named: Named, operands: Operands) -> Call:
    p, g, exp_avg = (operands.normal(operands.numbers) for _ in range(3))
    exp_avg_sq = operands.normal(operands.numbers) ** 2
    return partial(named("adam_step"), p, g, exp_avg, exp_avg_sq, 3, 1e-6, 0.9, 0.999, 1e-8, 1e-2, False, True)


CASES: Mapping[str, Case] = {  # each kernel of dispatch.CUDA but products and convolutions; after a comma, of what size
    "cross_entropy_loss": _cross_entropy_loss,
    "cross_entropy_gradient": _cross_entropy_gradient,
    "cross_entropy_forward": _cross_entropy_forward,
    "cross_entropy_backward": _cross_entropy_backward,
    "layer_norm_forward": _layer_norm_forward,
    "layer_norm_backward": _layer_norm_backward,
    "batch_norm_forward": _batch_norm_forward,
    "batch_norm_backward": _batch_norm_backward,
    "follow_statistics": _follow_statistics,
    "relu_gradient": _relu_gradient,
    "dropout_forward": _dropout_forward,
    "dropout_backward": _dropout_backward,
    "max_pool2d_forward": partial(_max_pool_forward, "max_pool2d_forward"),
    "max_pool2d_backward": _max_pool_backward,
    "max_pool2d_taps": partial(_max_pool_forward, "max_pool2d_taps"),
    "max_pool2d_taps_backward": _max_pool_taps_backward,
    "avg_pool2d_forward": _avg_pool_forward,
    "avg_pool2d_backward": _avg_pool_backward,
    "embedding_backward": _embedding_backward,
    **{f"{layer}_sequence, {units} units": partial(_recurrent, layer, units) for layer in GATES for units in HIDDEN},
    **{
        f"{layer}_sequence_backward, {units} units": partial(_recurrent_backward, layer, units)
        for layer in GATES
        for units in HIDDEN
    },
    "sgd_step": _sgd_step,
    "adam_step": _adam_step,
}


def fused_timings(
    ours: Named, lines: Named, put: Transfer, stopwatch: Stopwatch, numbers: int = NUMBERS
) -> Iterator[Timing]:
    """Each kernel that `ours` has by its name, in float32, beside what `lines` has by that name."""
    operands = Operands(put, numbers)
    for name, case in CASES.items():
        mine, theirs = (case(named, operands) for named in (ours, lines))
        with _in_one_chunk(numbers):
            yield compare(name, f"{numbers:,} numbers", mine, theirs, [()], 0.0, stopwatch, OPPONENT)


@contextmanager
def _in_one_chunk(numbers: int) -> Iterator[None]:
    """Inside, the lines of an optimizer's step go over all numbers at once, and not by what a CPU's cache holds."""
    before, optimizer_steps.CHUNK = optimizer_steps.CHUNK, numbers
    try:
        yield
    finally:
        optimizer_steps.CHUNK = before


def served_by(table: Mapping[str, str], name: str) -> Callable[..., Any]:
    """The kernel of this name by dispatch's table of them."""
    return getattr(import_module(f"minipar.kernels.{table[name]}"), name)


OURS, LINES = partial(served_by, dispatch.CUDA), partial(served_by, dispatch.REFERENCE)
