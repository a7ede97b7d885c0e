"""Convolution, pooling, resampling."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...kernels.reference.adaptive_pool import adaptive_windows
from ...ops.adaptive_pool import AdaptiveMean2d
from ...ops.avg_pool import AvgPool2d
from ...ops.conv import ConvInput, Convolution
from ...ops.conv_transpose import transposed_size
from ...ops.pool import MaxPool2d, MaxPool2dAlone
from ...ops.resample import Resample
from ..graph import Graph
from ..recording import Step
from .table import translates


@translates(Convolution)
def convolution(graph: Graph, step: Step, x: str, weight: str, bias: str = "") -> str:
    stride, padding, dilation, groups = step.what.geometry
    inputs = (x, weight, bias) if bias else (x, weight)
    return graph.add(
        "Conv", *inputs, strides=list(stride), pads=[*padding, *padding], dilations=list(dilation), group=groups
    )


@translates(ConvInput)
def transposed_convolution(graph: Graph, step: Step, x: str, weight: str) -> str:
    stride, padding, dilation, groups = step.what.geometry
    window = graph.form(step.inputs[1]).shape[2:]
    least = map(transposed_size, graph.form(step.inputs[0]).shape[2:], window, stride, padding, [0] * 3, dilation)
    extra = [n - m for n, m in zip(step.what.input_shape[2:], least)]
    return graph.add(
        "ConvTranspose", x, weight, strides=list(stride), pads=[*padding, *padding], dilations=list(dilation),
        group=groups, output_padding=extra,
    )  # fmt: skip


@translates(MaxPool2d)
def max_pool_with_indices(graph: Graph, step: Step, x: str) -> tuple[str, None]:
    """ONNX numbers the winners over the whole batch, and not over the image: they have no name here."""
    *geometry, ceil_mode = step.what.geometry
    return _max_pool(graph, x, geometry, ceil_mode), None


@translates(MaxPool2dAlone)
def max_pool(graph: Graph, step: Step, x: str) -> str:
    return _max_pool(graph, x, step.what.geometry, step.what.ceil_mode)


def _max_pool(graph: Graph, x: str, geometry: Sequence[Sequence[int]], ceil_mode: bool) -> str:
    window, stride, padding, dilation = geometry
    return graph.add(
        "MaxPool", x, kernel_shape=list(window), strides=list(stride), pads=[*padding, *padding],
        dilations=list(dilation), ceil_mode=int(ceil_mode),
    )  # fmt: skip


@translates(AvgPool2d)
def avg_pool(graph: Graph, step: Step, x: str) -> str:
    window, stride, padding, ceil_mode, count_include_pad, divisor = step.what.geometry
    if divisor is not None or ceil_mode:
        raise NotImplementedError("export: avg_pool with divisor_override or ceil_mode has no translation to ONNX")
    return graph.add(
        "AveragePool", x, kernel_shape=list(window), strides=list(stride), pads=[*padding, *padding],
        count_include_pad=int(count_include_pad),
    )  # fmt: skip


@translates(AdaptiveMean2d)
def adaptive_avg_pool(graph: Graph, step: Step, x: str) -> str:
    """Windows side by side are those of AveragePool; others are products with a matrix, axis by axis."""
    form, output = graph.form(step.inputs[0]), step.what.output
    if tuple(output) == (1, 1):
        return graph.add("GlobalAveragePool", x)
    if all(n and size % n == 0 for size, n in zip(form.shape[2:], output)):
        window = [size // n for size, n in zip(form.shape[2:], output)]
        return graph.add("AveragePool", x, kernel_shape=window, strides=window)
    for axis, wanted in ((2, output[0]), (3, output[1])):
        start, end = adaptive_windows(form.shape[axis], wanted)
        place = np.arange(form.shape[axis])[:, None]
        matrix = ((start <= place) & (place < end)) / (end - start)
        x = _product_along(graph, x, axis, 4, matrix.astype(form.dtype))
    return x


@translates(Resample)
def resample(graph: Graph, step: Step, x: str) -> str:
    """A product with the matrix of the taps, along its axis."""
    form, taps = graph.form(step.inputs[0]), step.what.taps
    matrix = np.zeros((taps.inputs, taps.outputs), form.dtype)
    np.add.at(matrix, (taps.of, taps.to), taps.weight)
    return _product_along(graph, x, step.what.axis, len(form.shape), matrix)


def _product_along(graph: Graph, x: str, axis: int, rank: int, matrix: np.ndarray) -> str:
    swapped = list(range(rank))
    swapped[axis], swapped[-1] = swapped[-1], swapped[axis]
    y = graph.add("MatMul", graph.add("Transpose", x, perm=swapped), graph.constant(matrix))
    return graph.add("Transpose", y, perm=swapped)
