"""Layers that ONNX knows whole."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ... import nn
from ..graph import Graph
from ..recording import Step
from .reductions import reduce
from .table import translates


def _by_running_statistics(module: Any) -> bool:
    return not module.training and module.running_mean is not None


@translates(nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, when=_by_running_statistics)
def batch_norm(graph: Graph, step: Step, x: str) -> str:
    module = step.what
    parts = [_value(graph, step, name, fill) for name, fill in (("weight", 1), ("bias", 0))]
    statistics = [_value(graph, step, name, 0) for name in ("running_mean", "running_var")]
    return graph.add("BatchNormalization", x, *parts, *statistics, epsilon=float(module.eps))


@translates(nn.LayerNorm, when=lambda module: True)
def layer_norm(graph: Graph, step: Step, x: str) -> str:
    if graph.opset < 17:
        raise NotImplementedError(f"export: LayerNorm needs opset_version >= 17, got {graph.opset}")
    module = step.what
    bias = [graph.name_of(graph.recording.wire(module.bias))] if module.bias is not None else []
    axis = -len(module.normalized_shape)
    return graph.add("LayerNormalization", x, _value(graph, step, "weight", 1), *bias, axis=axis, epsilon=module.eps)


def _value(graph: Graph, step: Step, name: str, fill: float) -> str:
    """A parameter or buffer of the module, or where there is none, a constant of its shape."""
    value = getattr(step.what, name)
    if value is not None:
        return graph.name_of(graph.recording.wire(value))
    norm = step.what
    shape = norm.normalized_shape if isinstance(norm, nn.LayerNorm) else (norm.num_features,)
    return graph.constant(np.full(shape, fill, graph.form(step.inputs[0]).dtype))


def _to_one(module: Any) -> bool:
    size = module.output_size
    return size == 1 or (isinstance(size, tuple) and math.prod(n or 0 for n in size) == 1)


def _global_average(spatial: int) -> Any:
    def pool(graph: Graph, step: Step, x: str) -> str:
        rank = len(graph.form(step.inputs[0]).shape)
        if rank == spatial + 2:
            return graph.add("GlobalAveragePool", x)
        return reduce(graph, "ReduceMean", x, tuple(range(rank - spatial, rank)), True)

    return pool


for spatial, kind in enumerate((nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d), 1):
    translates(kind, when=_to_one)(_global_average(spatial))
