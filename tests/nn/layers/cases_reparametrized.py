"""Rows of the table: layers whose weight is computed from others before every forward."""

from __future__ import annotations

import warnings

from tests.nn.layers.layer import Layer, normal


def applied(norm, make, **options):
    def made(nn):
        with warnings.catch_warnings():  # PyTorch deprecates weight_norm
            warnings.simplefilter("ignore")
            return getattr(nn.utils, norm)(make(nn), **options)

    return made


def twice(layer, x):
    return layer(x), layer(x * 2)


FIRST = {"second": False}  # PyTorch's own gradgradcheck refutes the second derivative of torch._weight_norm

REPARAMETRIZED = [
    Layer("weight_norm Linear", applied("weight_norm", lambda nn: nn.Linear(3, 4)), normal((2, 3)), **FIRST),
    Layer("weight_norm dim 1", applied("weight_norm", lambda nn: nn.Linear(3, 4), dim=1), normal((2, 3)), **FIRST),
    Layer("weight_norm dim None", applied("weight_norm", lambda nn: nn.Linear(3, 4), dim=None), normal((2, 3))),
    Layer("weight_norm Conv2d", applied("weight_norm", lambda nn: nn.Conv2d(2, 3, 2)), normal((1, 2, 3, 3)), **FIRST),
    Layer("weight_norm bias", applied("weight_norm", lambda nn: nn.Linear(3, 4), name="bias"), normal((2, 3)), **FIRST),
    Layer("spectral_norm Linear", applied("spectral_norm", lambda nn: nn.Linear(3, 4)), normal((2, 3))),
    Layer("spectral_norm twice", applied("spectral_norm", lambda nn: nn.Linear(3, 4), n_power_iterations=2),
          normal((2, 3)), call=twice),
    Layer("spectral_norm Conv2d", applied("spectral_norm", lambda nn: nn.Conv2d(2, 3, 2), eps=1e-6),
          normal((1, 2, 3, 3))),
    Layer("spectral_norm ConvTranspose1d", applied("spectral_norm", lambda nn: nn.ConvTranspose1d(2, 3, 2)),
          normal((1, 2, 3))),
    Layer("spectral_norm removed",
          lambda nn: nn.utils.remove_spectral_norm(nn.utils.spectral_norm(nn.Linear(3, 4))), normal((2, 3))),
]  # fmt: skip
