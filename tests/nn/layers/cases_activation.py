"""Rows of the table: activations as layers."""

from __future__ import annotations

import numpy as np

from tests.nn.layers.layer import Layer, normal

NUMBERS = [normal((2, 3)), normal(()), normal((0, 2)), normal((2, 4, 3))]
IMAGES = [normal((2, 3, 2, 2)), normal((3, 2, 2))]


def apart(draw: np.random.Generator):
    """Numbers away from the kinks of all the layers here, which are multiples of a half."""
    return (np.asarray((draw.integers(-8, 8, (3, 4)) + draw.uniform(0.1, 0.9, (3, 4))) / 2),)


def layer(name, *args, **kwargs):
    label = f"{name}({', '.join([*map(str, args), *[f'{k}={v}' for k, v in kwargs.items()]])})"
    return Layer(label, lambda nn: getattr(nn, name)(*args, **kwargs), apart)


KINKED = [
    layer("ReLU"),
    layer("ReLU6"),
    layer("LeakyReLU"),
    layer("LeakyReLU", 0.3),
    layer("ELU"),
    layer("ELU", alpha=0.7),
    layer("SELU"),
    layer("CELU"),
    layer("CELU", alpha=2.0),
    layer("Hardtanh"),
    layer("Hardtanh", -2.0, 1.5),
    layer("Hardswish"),
    layer("Hardshrink"),
    layer("Softshrink", lambd=0.5),
    layer("Threshold", 0.5, 2.0),
]

IN_PLACE = [
    Layer(
        f"{name} in place",
        lambda nn, name=name, args=args: getattr(nn, name)(*args, inplace=True),
        apart,
        lambda layer, x: layer(x * 1),
    )
    for name, *args in (
        ("ReLU",),
        ("ReLU6",),
        ("LeakyReLU", 0.3),
        ("ELU",),
        ("SELU",),
        ("CELU",),
        ("SiLU",),
        ("Mish",),
        ("Hardtanh",),
        ("Hardswish",),
        ("Threshold", 0.5, 2.0),
    )
]

SMOOTH = [
    Layer(case.name, case.make, NUMBERS)
    for case in (
        layer("Sigmoid"),
        layer("Tanh"),
        layer("LogSigmoid"),
        layer("Softsign"),
        layer("Tanhshrink"),
        layer("SiLU"),
        layer("Mish"),
        layer("GELU"),
        layer("GELU", approximate="tanh"),
        layer("Softplus"),
        layer("Softplus", beta=2.0, threshold=1.0),
        layer("Softmax", dim=-1),
        layer("Softmax", 0),
        layer("Softmin", dim=-1),
        layer("LogSoftmax", dim=-1),
        layer("Identity", 54, unused=1),
    )
] + [
    Layer("GLU()", lambda nn: nn.GLU(), [normal((2, 4)), normal((2, 3, 6))]),
    Layer("GLU(dim=1)", lambda nn: nn.GLU(dim=1), [normal((2, 4)), normal((2, 4, 3))]),
    Layer("Softmax2d()", lambda nn: nn.Softmax2d(), IMAGES),
    Layer("RReLU()", lambda nn: nn.RReLU(), apart, train=(False,), second=False),
    Layer("RReLU in place", lambda nn: nn.RReLU(0.1, 0.5, inplace=True), apart, lambda layer, x: layer(x * 1),
          train=(False,), second=False),
    Layer("PReLU()", lambda nn: nn.PReLU(), apart),
    Layer("PReLU(3)", lambda nn: nn.PReLU(3, init=0.1), IMAGES[:1]),
    Layer("Bilinear", lambda nn: nn.Bilinear(3, 2, 4), [normal((5, 3), (5, 2)), normal((2, 1, 3), (2, 1, 2))]),
    Layer("Bilinear one", lambda nn: nn.Bilinear(3, 2, 4), normal((3,), (2,))),
    Layer("Bilinear without bias", lambda nn: nn.Bilinear(3, 2, 1, bias=False), normal((5, 3), (5, 2))),
    Layer("CosineSimilarity", lambda nn: nn.CosineSimilarity(), normal((3, 4), (3, 4))),
    Layer("PairwiseDistance", lambda nn: nn.PairwiseDistance(keepdim=True), normal((3, 4), (3, 4))),
    Layer("Unflatten", lambda nn: nn.Unflatten(1, (2, -1)), [normal((3, 4)), normal((1, 6, 2))]),
    Layer("nested containers",
          lambda nn: nn.Sequential(nn.Sequential(nn.Linear(3, 2), nn.PReLU(2)), nn.ModuleDict({"a": nn.ReLU()})["a"]),
          normal((5, 3))),
]  # fmt: skip

ACTIVATIONS = KINKED + IN_PLACE + SMOOTH
