"""Every layer of the table on arrays of the CuPy double: outputs, gradients and buffers as on NumPy.

Not a GPU run: see double_array.py for what this shows and what it cannot.
"""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest

import minipar
from minipar import nn
from tests.cupy_double.beside_numpy import ELSEWHERE, arrays, assert_equal_arrays, flat, with_derivatives
from tests.nn.layers.layer import Arrays, Layer, normal
from tests.nn.layers.table import TABLE

OTHERS = [
    Layer("Linear", lambda nn: nn.Linear(3, 2), normal((4, 3))),
    Layer("Flatten", lambda nn: nn.Flatten(), normal((2, 3, 2))),
    Layer("Hardsigmoid", lambda nn: nn.Hardsigmoid(), normal((2, 3))),
    Layer("SinusoidalPositionalEncoding", lambda nn: nn.SinusoidalPositionalEncoding(4), normal((2, 3, 4))),
    Layer("RotaryPositionalEncoding", lambda nn: nn.RotaryPositionalEncoding(4), normal((2, 3, 4))),
    Layer("LearnedPositionalEncoding", lambda nn: nn.LearnedPositionalEncoding(4, max_len=5), normal((2, 3, 4))),
]
DRAWING = [  # layers that draw, in training
    Layer(name, lambda nn, name=name: getattr(nn, name)(), normal(shape), train=(True,))
    for name, shape in (
        ("Dropout", (3, 4)), ("Dropout1d", (2, 3, 4)), ("Dropout2d", (2, 3, 2, 2)), ("Dropout3d", (2, 3, 1, 2, 2)),
        ("AlphaDropout", (3, 4)), ("FeatureAlphaDropout", (2, 3, 4)), ("RReLU", (3, 4)),
    )
]  # fmt: skip
DRAWING += [
    Layer("LSTM with dropout", lambda nn: nn.LSTM(3, 2, 2, dropout=0.5), normal((3, 2, 3)), train=(True,)),
    Layer("TransformerEncoderLayer with dropout", lambda nn: nn.TransformerEncoderLayer(4, 2, 3, dropout=0.5),
          normal((3, 2, 4)), train=(True,)),
    Layer("MultiheadAttention with dropout", lambda nn: nn.MultiheadAttention(4, 2, dropout=0.5), normal((3, 2, 4)),
          lambda layer, x: layer(x, x, x), train=(True,)),
]  # fmt: skip


def everything(case: Layer, inputs: Arrays, training: bool, device: str) -> list[np.ndarray]:
    minipar.manual_seed(1)
    layer = case.make(nn).double().to(device).train(training)
    tensors = [minipar.tensor(a, device=device, requires_grad=a.dtype == np.float64) for a in inputs]
    leaves = [*tensors, *layer.parameters()]
    outputs = flat(case.call(layer, *tensors))
    if "packed" in case.name:  # lengths are on the CPU, as in PyTorch
        outputs = [y.to(device) for y in outputs]
    found = with_derivatives(outputs, leaves, device, case.second)
    return found + arrays(list(layer.buffers()), device)


@pytest.mark.parametrize("case", TABLE + OTHERS + DRAWING, ids=str)
def test_layer(case: Layer, cupy: ModuleType) -> None:
    for kind in [case.inputs] if callable(case.inputs) else case.inputs:
        inputs = kind(np.random.default_rng(1))
        for training in case.train:
            ours, theirs = (everything(case, inputs, training, device) for device in ("cpu", ELSEWHERE))
            assert_equal_arrays(ours, theirs)
