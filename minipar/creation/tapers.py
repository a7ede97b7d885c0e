"""Window functions of signal processing: numbers that taper a stretch of samples towards its ends.

A window of n numbers is symmetric, w₀ = wₙ₋₁; the periodic one is the first n of n + 1, so that repeated it has the
period n. All are computed in float64 and then rounded. F. Harris, "On the use of windows for harmonic analysis with
the discrete Fourier transform", 1978.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .factory import factory, float_default

Taper = Callable[[np.ndarray], np.ndarray]


def _window(name: str, window_length: int, periodic: bool, dtype: Any, taper: Taper) -> np.ndarray:
    """`taper` of the places 0 … 1 of the window's numbers."""
    dtype = float_default(dtype)
    if dtype.kind != "f":
        raise RuntimeError(f"{name}: dtype must be floating point, not {dtype.name}")
    if window_length < 0:
        raise RuntimeError(f"{name}: window_length must be 0 or more, not {window_length}")
    if window_length == 1:
        return np.ones(1, dtype)
    last = window_length if periodic else window_length - 1
    return taper(np.arange(window_length, dtype=np.float64) / max(last, 1)).astype(dtype)


def _cosines(*weights: float) -> Taper:
    """w₀ − w₁ cos 2πx + w₂ cos 4πx"""
    return lambda x: sum(w * (-1) ** k * np.cos(2 * k * np.pi * x) for k, w in enumerate(weights))


@factory
def hann_window(window_length: int, periodic: bool = True, *, dtype: Any = None) -> Any:
    """½ − ½ cos 2πx, x from 0 to 1.

    >>> minipar.hann_window(4)
    tensor([0. , 0.5, 1. , 0.5])
    """
    return _window("hann_window", window_length, periodic, dtype, _cosines(0.5, 0.5))


@factory
def hamming_window(
    window_length: int, periodic: bool = True, alpha: float = 0.54, beta: float = 0.46, *, dtype: Any = None
) -> Any:
    """alpha − beta cos 2πx, x from 0 to 1.

    >>> minipar.hamming_window(2)
    tensor([0.08, 1.  ])
    """
    return _window("hamming_window", window_length, periodic, dtype, _cosines(alpha, beta))


@factory
def blackman_window(window_length: int, periodic: bool = True, *, dtype: Any = None) -> Any:
    """0.42 − 0.5 cos 2πx + 0.08 cos 4πx, x from 0 to 1.

    >>> minipar.blackman_window(4).round(decimals=2) + 0.0
    tensor([0.  , 0.34, 1.  , 0.34])
    """
    return _window("blackman_window", window_length, periodic, dtype, _cosines(0.42, 0.5, 0.08))


@factory
def bartlett_window(window_length: int, periodic: bool = True, *, dtype: Any = None) -> Any:
    """1 − |2x − 1|, x from 0 to 1: a triangle.

    >>> minipar.bartlett_window(4)
    tensor([0. , 0.5, 1. , 0.5])
    """
    return _window("bartlett_window", window_length, periodic, dtype, lambda x: 1 - np.abs(2 * x - 1))


@factory
def kaiser_window(window_length: int, periodic: bool = True, beta: float = 12.0, *, dtype: Any = None) -> Any:
    """I₀(beta √(1 − (2x − 1)²)) / I₀(beta), x from 0 to 1, with the modified Bessel function I₀.

    >>> minipar.kaiser_window(4, beta=0.0)
    tensor([1., 1., 1., 1.])
    """
    return _window(
        "kaiser_window", window_length, periodic, dtype,
        lambda x: np.i0(beta * np.sqrt(np.maximum(1 - (2 * x - 1) ** 2, 0))) / np.i0(beta),
    )  # fmt: skip
