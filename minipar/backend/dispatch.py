"""The dispatch seam: which kernel serves an operation.

An operation asks for its kernel by name and shows it the array: `kernel("conv2d_forward", x)(x, w, …)`. The array says
where it lives, `use_kernels` says what the user wants, and the tables below say who serves:

| use_kernels(…) | NumPy arrays                              | CuPy arrays                                  |
|----------------|-------------------------------------------|----------------------------------------------|
| "auto"         | compiled (Numba) where one pays, else reference | hand-written CUDA kernel, else reference |
| "reference"    | the plain NumPy form                      | the same lines over CuPy                     |
| "library"      | as "auto", but products by NumPy's BLAS   | the reference form, with CuPy's cuBLAS matmul |

Every name has a reference form: it is what a student reads and what the tests compare with. A call waits for its kernel
to be compiled; the reference never stands in for it silently, so timing never decides the bits.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np

from ..kernels.cpu.waiting import watched

CHOICES = ("auto", "reference", "library")

ACTIVATIONS = (  # each with its gradient
    "relu", "leaky_relu", "elu", "hardtanh", "threshold", "hardshrink", "hardsigmoid", "hardswish", "logistic", "silu",
    "softplus", "logsigmoid", "mish", "softsign", "gelu", "tanh_gelu",
)  # fmt: skip
ELEMENTWISE = ("exponential", "softshrink", *ACTIVATIONS, *[f"{name}_gradient" for name in ACTIVATIONS])
PAIRED_LOSSES = tuple(
    f"{name}_{part}" for name in ("absolute_error", "huber_error", "logistic_error") for part in ("loss", "gradient")
)
REFERENCE = {  # name -> module of minipar.kernels that holds it
    "matmul": "reference.matmul",
    "linear_forward": "reference.linear",
    "linear_backward": "reference.linear",
    "conv2d_forward": "reference.conv2d",
    "conv2d_grad_input": "reference.conv2d",
    "conv2d_grad_weight": "reference.conv2d",
    "conv2d_relu_pool": "reference.conv2d_relu_pool",
    "conv2d_relu_pool_grad_input": "reference.conv2d_relu_pool",
    "conv2d_relu_pool_grad_weight": "reference.conv2d_relu_pool",
    "conv3d_forward": "reference.conv3d",
    "conv3d_grad_input": "reference.conv3d",
    "conv3d_grad_weight": "reference.conv3d",
    "unfold2d": "reference.fold",
    "fold2d": "reference.fold",
    "resample": "reference.resample",
    "adaptive_max_pool": "reference.adaptive_pool",
    "adaptive_avg_pool2d_forward": "reference.adaptive_pool",
    "adaptive_avg_pool2d_backward": "reference.adaptive_pool",
    "max_pool3d_forward": "reference.pool3d",
    "max_pool2d_taps": "reference.pool2d",
    "max_pool2d_taps_backward": "reference.pool2d",
    "max_pool2d_forward": "reference.pool2d",
    "max_pool2d_backward": "reference.pool2d",
    "avg_pool2d_forward": "reference.pool2d",
    "avg_pool2d_backward": "reference.pool2d",
    "dropout_forward": "reference.dropout",
    "dropout_backward": "reference.dropout",
    "pick_rows": "reference.picked_rows",
    "add_rows": "reference.picked_rows",
    "pick_along": "reference.picked_rows",
    "add_along": "reference.picked_rows",
    "embedding_forward": "reference.picked_rows",
    "embedding_backward": "reference.picked_rows",
    "rnn_sequence": "reference.rnn",
    "rnn_sequence_backward": "reference.rnn",
    "lstm_sequence": "reference.lstm",
    "lstm_sequence_backward": "reference.lstm",
    "gru_sequence": "reference.gru",
    "gru_sequence_backward": "reference.gru",
    "cross_entropy_forward": "reference.softmax_cross_entropy",
    "cross_entropy_backward": "reference.softmax_cross_entropy",
    "cross_entropy_loss": "reference.softmax_cross_entropy",
    "cross_entropy_gradient": "reference.softmax_cross_entropy",
    **dict.fromkeys(ELEMENTWISE, "reference.activations"),
    "softmax": "reference.softmax",
    "softmax_gradient": "reference.softmax",
    "log_softmax": "reference.softmax",
    "log_softmax_gradient": "reference.softmax",
    **dict.fromkeys(PAIRED_LOSSES, "reference.paired_losses"),
    "squared_error_loss": "reference.squared_error",
    "squared_error_gradient": "reference.squared_error",
    "ctc_forward": "reference.ctc",
    "ctc_posterior": "reference.ctc",
    "batch_norm_forward": "reference.normalization",
    "batch_norm_backward": "reference.normalization",
    "group_norm_forward": "reference.normalization",
    "group_norm_backward": "reference.normalization",
    "follow_statistics": "reference.normalization",
    "layer_norm_forward": "reference.normalization",
    "layer_norm_backward": "reference.normalization",
    "attention_forward": "reference.attention",
    "attention_gradient": "reference.attention",
    "sgd_step": "reference.optimizer_steps",
    "adam_step": "reference.optimizer_steps",
    "rmsprop_step": "reference.adaptive_steps",
    "adagrad_step": "reference.adaptive_steps",
    "adadelta_step": "reference.adaptive_steps",
    "adamax_step": "reference.adaptive_steps",
    "nadam_step": "reference.adaptive_steps",
    "radam_step": "reference.adaptive_steps",
}
COMPILED = {
    "rnn_sequence": "cpu.rnn",
    "rnn_sequence_backward": "cpu.rnn",
    "lstm_sequence": "cpu.lstm",
    "lstm_sequence_backward": "cpu.lstm",
    "gru_sequence": "cpu.gru",
    "gru_sequence_backward": "cpu.gru",
    "matmul": "cpu.matmul",
    "linear_forward": "cpu.linear",
    "linear_backward": "cpu.linear",
    "conv2d_forward": "cpu.conv2d",
    "conv2d_grad_input": "cpu.conv2d",
    "conv2d_grad_weight": "cpu.conv2d",
    "conv3d_forward": "cpu.conv3d",
    "conv3d_grad_input": "cpu.conv3d",
    "conv3d_grad_weight": "cpu.conv3d",
    "conv2d_relu_pool": "cpu.conv2d_relu_pool",
    "conv2d_relu_pool_grad_input": "cpu.conv2d_relu_pool",
    "conv2d_relu_pool_grad_weight": "cpu.conv2d_relu_pool",
    "max_pool2d_taps": "cpu.max_pool2d",
    "max_pool2d_taps_backward": "cpu.max_pool2d",
    "max_pool2d_forward": "cpu.max_pool2d",
    "max_pool2d_backward": "cpu.max_pool2d",
    "max_pool3d_forward": "cpu.max_boxes",
    "adaptive_max_pool": "cpu.max_boxes",
    "adaptive_avg_pool2d_forward": "cpu.adaptive_pool",
    "adaptive_avg_pool2d_backward": "cpu.adaptive_pool",
    "avg_pool2d_forward": "cpu.avg_pool",
    "avg_pool2d_backward": "cpu.avg_pool",
    "dropout_forward": "cpu.dropout",
    "dropout_backward": "cpu.dropout",
    "pick_rows": "cpu.picked_rows",
    "add_rows": "cpu.picked_rows",
    "pick_along": "cpu.picked_along",
    "add_along": "cpu.picked_along",
    "embedding_forward": "cpu.picked_rows",
    "embedding_backward": "cpu.picked_rows",
    "cross_entropy_forward": "cpu.cross_entropy",
    "cross_entropy_backward": "cpu.cross_entropy",
    "cross_entropy_loss": "cpu.cross_entropy",
    "cross_entropy_gradient": "cpu.cross_entropy",
    "batch_norm_forward": "cpu.batch_norm",
    "batch_norm_backward": "cpu.batch_norm",
    "group_norm_forward": "cpu.group_norm",
    "group_norm_backward": "cpu.group_norm",
    "follow_statistics": "cpu.running_statistics",
    "layer_norm_forward": "cpu.layer_norm",
    "layer_norm_backward": "cpu.layer_norm",
    "attention_forward": "cpu.attention",
    "attention_gradient": "cpu.attention",
    **dict.fromkeys(ELEMENTWISE, "cpu.activations"),
    "softmax": "cpu.softmax",
    "softmax_gradient": "cpu.softmax",
    "log_softmax": "cpu.softmax",
    "log_softmax_gradient": "cpu.softmax",
    **dict.fromkeys(PAIRED_LOSSES, "cpu.paired_losses"),
    "squared_error_loss": "cpu.squared_error",
    "squared_error_gradient": "cpu.squared_error",
    "sgd_step": "cpu.optimizer_steps",
    "adam_step": "cpu.optimizer_steps",
    "rmsprop_step": "cpu.adaptive_steps",
    "adagrad_step": "cpu.adaptive_steps",
    "adadelta_step": "cpu.adaptive_steps",
    "adamax_step": "cpu.adaptive_steps",
    "nadam_step": "cpu.adaptive_steps",
    "radam_step": "cpu.adaptive_steps",
}
PRODUCTS = ("matmul", "linear_forward", "linear_backward")  # whose reference form is the library's product
ON_TENSOR_CORES = (*PRODUCTS, "conv2d_forward", "conv2d_grad_input", "conv2d_grad_weight")  # which multiply float16
CUDA = {
    "matmul": "cuda.matmul",
    "linear_forward": "cuda.linear",
    "linear_backward": "cuda.linear",
    "conv2d_forward": "cuda.conv2d",
    "conv2d_grad_input": "cuda.conv2d",
    "conv2d_grad_weight": "cuda.conv2d",
    "cross_entropy_forward": "cuda.cross_entropy",
    "cross_entropy_backward": "cuda.cross_entropy",
    "cross_entropy_loss": "cuda.cross_entropy",
    "cross_entropy_gradient": "cuda.cross_entropy",
    "layer_norm_forward": "cuda.layer_norm",
    "layer_norm_backward": "cuda.layer_norm",
    "sgd_step": "cuda.optimizer_steps",
    "adam_step": "cuda.optimizer_steps",
    "max_pool2d_taps": "cuda.max_pool2d",
    "max_pool2d_taps_backward": "cuda.max_pool2d",
    "max_pool2d_forward": "cuda.max_pool2d",
    "max_pool2d_backward": "cuda.max_pool2d",
    "avg_pool2d_forward": "cuda.avg_pool2d",
    "avg_pool2d_backward": "cuda.avg_pool2d",
    "batch_norm_forward": "cuda.batch_norm",
    "batch_norm_backward": "cuda.batch_norm",
    "embedding_backward": "cuda.picked_rows",
    "follow_statistics": "cuda.running_statistics",
    "relu_gradient": "cuda.relu_gradient",
    "dropout_forward": "cuda.dropout",
    "dropout_backward": "cuda.dropout",
    "rnn_sequence": "cuda.recurrent",
    "rnn_sequence_backward": "cuda.recurrent",
    "lstm_sequence": "cuda.recurrent",
    "lstm_sequence_backward": "cuda.recurrent",
    "gru_sequence": "cuda.recurrent",
    "gru_sequence_backward": "cuda.recurrent",
}


class _Choice(threading.local):
    name = "auto"


_choice = _Choice()


class use_kernels:
    """Context manager: choose the kernels of this thread, `"auto"`, `"reference"` or `"library"`.

    >>> import minipar
    >>> with minipar.use_kernels("reference"):
    ...     y = minipar.ones(2, 3) @ minipar.ones(3, 2)
    """

    def __init__(self, name: str) -> None:
        if name not in CHOICES:
            raise ValueError(f"use_kernels takes one of {', '.join(map(repr, CHOICES))}, not {name!r}")
        self.name = name
        self._before: list[str] = []  # a stack: the same object may be entered again inside itself

    def __enter__(self) -> None:
        self._before.append(_choice.name)
        _choice.name = self.name

    def __exit__(self, *_: object) -> None:
        _choice.name = self._before.pop()


def kernels_in_use() -> str:
    """This thread's choice."""
    return _choice.name


def serving(name: str, array: Any) -> str:
    """The module of `minipar.kernels` that serves operation `name` for this array. KeyError for an unknown name."""
    choice, on_cpu = _choice.name, isinstance(array, (np.ndarray, np.generic))
    served = "efd" if name in ON_TENSOR_CORES and not on_cpu else "fd"
    if choice != "reference" and array.dtype.char in served:
        if on_cpu:
            if name in COMPILED and _has_numba() and not (choice == "library" and name in PRODUCTS):
                return COMPILED[name]
        elif choice == "auto" and name in CUDA:
            return CUDA[name]
    return REFERENCE[name]


def kernel(name: str, array: Any) -> Callable[..., Any]:
    """The kernel that serves operation `name` for arrays like this one. KeyError for an unknown name."""
    key = (name, _choice.name, type(array), array.dtype)  # every operation asks, so the answer is remembered
    try:
        return _loaded[key]
    except KeyError:
        module = serving(name, array)
        with watched.around():  # the first import loads Numba
            found = getattr(import_module(f"minipar.kernels.{module}"), name)
        if name in COMPILED and module == REFERENCE[name]:
            found = np.errstate(all="ignore")(found)  # compiled kernels never warn, and their callers rely on it
        _loaded[key] = found
        return found


_loaded: dict[tuple[Any, ...], Callable[..., Any]] = {}


@cache
def _has_numba() -> bool:
    return find_spec("numba") is not None
