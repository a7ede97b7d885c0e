"""Resizing sequences, images and volumes.

Every mode but "area" works axis by axis: each output is a weighted sum of a few inputs around a coordinate, and the
coordinates are PyTorch's to the bit (computed in float32 for float32 inputs).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .accepts import rank
from .adaptive_pool import adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d
from .op import check_dtypes
from .resample import Resample, Taps

_MODES = {  # mode: the numbers of spatial axes it takes
    "nearest": (1, 2, 3),
    "nearest-exact": (1, 2, 3),
    "area": (1, 2, 3),
    "linear": (1,),
    "bilinear": (2,),
    "trilinear": (3,),
    "bicubic": (2,),
}
_ALIGNED = ("linear", "bilinear", "trilinear", "bicubic")
_SHARPNESS = {False: -0.75, True: -0.5}  # Keys' a, plain and antialiased, as PyTorch has it


def interpolate(
    input: Any,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Any:
    """Input (N, C, L), (N, C, H, W) or (N, C, D, H, W) resized to `size`, or by `scale_factor`, along its spatial axes.

    `mode`: "nearest" (the pixel at ⌊i / scale⌋), "nearest-exact" (at the centre), "linear", "bilinear", "trilinear" (by
    rank), "bicubic" (Keys 1981, a = −0.75; images) or "area" (adaptive means). With `align_corners` the centres of the
    corner pixels stay where they are; without it, the image's edges. Output sizes are ⌊size·scale⌋, and the scale
    itself steps through the input unless `recompute_scale_factor` (then the ratio of the sizes does). `antialias`
    widens the filter when shrinking (bilinear and bicubic).

    ValueError for contradictory arguments, NotImplementedError for a mode that the rank does not have, RuntimeError for
    an empty size or an integer dtype.

    >>> F.interpolate(minipar.tensor([[[1.0, 2.0]]]), scale_factor=2)
    tensor([[[1., 1., 2., 2.]]])
    >>> F.interpolate(minipar.tensor([[[1.0, 3.0]]]), size=3, mode="linear", align_corners=True)
    tensor([[[1., 2., 3.]]])
    """
    dims = rank(input) - 2
    _check_mode(mode, dims, tuple(input.shape), align_corners, antialias)
    spatial = tuple(input.shape[2:])
    output, scales = _output(spatial, size, scale_factor, recompute_scale_factor)
    check_dtypes("interpolate", input)
    if mode == "area":
        return (adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d)[dims - 1](input, output)
    if min((*spatial, *output)) < 1 or input.shape[1] < 1:
        raise RuntimeError(f"interpolate: input {tuple(input.shape)} and output size {output} must not be empty")
    real = np.float64 if input.dtype == np.float64 else np.float32
    for axis, (n, m, scale) in enumerate(zip(spatial, output, scales), 2):
        if n == m and (antialias or mode in ("linear", "bilinear", "trilinear")):
            continue  # as it is, whatever the scale
        if mode in ("nearest", "nearest-exact"):
            taps = _nearest(n, m, scale, mode == "nearest-exact", mode == "nearest" and dims == 2)
        else:
            step = _step(n, m, scale, bool(align_corners), real)
            if antialias:
                taps = _antialiased(n, m, step, mode == "bicubic")
            else:
                taps = (_cubic if mode == "bicubic" else _linear)(n, m, step, bool(align_corners), real)
        input = Resample(taps, axis)(input)
    return input


def _step(n: int, m: int, scale: float | None, align_corners: bool, real: Callable[[float], Any]) -> Any:
    """How far in the input one output step goes."""
    if align_corners:
        return real(n - 1) / real(m - 1) if m > 1 else real(0)
    return real(1.0 / scale) if scale is not None and scale > 0 else real(n) / real(m)


def _nearest(n: int, m: int, scale: float | None, exact: bool, plain_ratio: bool) -> Taps:
    """The one input each output copies; in float32 for every dtype, as PyTorch does.

    `plain_ratio`: equal and doubled sizes are copied and doubled whatever the scale, as PyTorch does with images alone.
    """
    i = np.arange(m)
    step = _step(n, m, scale, False, np.float32)
    at = np.floor((i + np.float32(0.5 if exact else 0)).astype(np.float32) * step).astype(np.int64)
    if plain_ratio and m in (n, 2 * n):
        at = i * n // m
    return Taps(i, np.minimum(at, n - 1), np.ones(m), m, n)


def _source(m: int, step: Any, align_corners: bool, real: Any) -> np.ndarray:
    """The coordinate in the input of each output: its corner's, or its centre's."""
    i = np.arange(m, dtype=real)
    return i * step if align_corners else (i + real(0.5)) * step - real(0.5)


def _linear(n: int, m: int, step: Any, align_corners: bool, real: Any) -> Taps:
    """Two neighbours each, by distance."""
    x = np.maximum(_source(m, step, align_corners, real), 0)
    left = np.minimum(x.astype(np.int64), n - 1)
    part = np.clip(x - left, 0, 1)
    right = np.minimum(left + 1, n - 1)
    i = np.arange(m)
    return Taps(np.tile(i, 2), np.concatenate((left, right)), np.concatenate((1 - part, part)), m, n)


def _cubic(n: int, m: int, step: Any, align_corners: bool, real: Any) -> Taps:
    """Four neighbours each, by Keys' cubic; beyond the edge the edge is repeated."""
    x = _source(m, step, align_corners, real)
    first = np.floor(x).astype(np.int64)
    part = x - first
    of = [np.clip(first + k, 0, n - 1) for k in (-1, 0, 1, 2)]
    weight = [_keys(np.abs(part - k), _SHARPNESS[False]) for k in (-1, 0, 1, 2)]
    return Taps(np.tile(np.arange(m), 4), np.concatenate(of), np.concatenate(weight), m, n)


def _keys(distance: np.ndarray, a: float) -> np.ndarray:
    """Keys, Cubic convolution interpolation for digital image processing (1981), eq. 15, with a free."""
    near = ((a + 2) * distance - (a + 3)) * distance * distance + 1
    far = ((a * distance - 5 * a) * distance + 8 * a) * distance - 4 * a
    return np.where(distance <= 1, near, np.where(distance < 2, far, 0))


def _antialiased(n: int, m: int, step: Any, cubic: bool) -> Taps:
    """The filter stretched by the step where that is more than 1, cut at the edges and normalised, as PIL does."""
    stretch = max(float(step), 1.0)
    support = (2.0 if cubic else 1.0) * stretch
    centre = float(step) * (np.arange(m) + 0.5)
    start = np.maximum((centre - support + 0.5).astype(np.int64), 0)
    count = np.minimum((centre + support + 0.5).astype(np.int64), n) - start
    to = np.repeat(np.arange(m), count)
    of = np.arange(len(to)) - np.repeat(np.cumsum(count) - count - start, count)
    distance = np.abs((of - centre[to] + 0.5) / stretch)
    weight = _keys(distance, _SHARPNESS[True]) if cubic else np.maximum(1 - distance, 0)
    return Taps(to, of, weight / np.bincount(to, weight, m)[to], m, n)


def _check_mode(mode: str, dims: int, shape: tuple[int, ...], align_corners: Any, antialias: bool) -> None:
    if mode not in _MODES:
        raise NotImplementedError(f"interpolate: mode must be one of {', '.join(_MODES)}, not {mode!r}")
    if dims not in _MODES[mode]:
        ranks = " or ".join(str(d + 2) for d in _MODES[mode])
        raise NotImplementedError(f"interpolate: mode {mode!r} needs an input of {ranks} axes, got shape {shape}")
    if align_corners is not None and mode not in _ALIGNED:
        raise ValueError(f"interpolate: align_corners is for the modes {', '.join(_ALIGNED)} alone, not for {mode!r}")
    if antialias and mode not in ("bilinear", "bicubic"):
        raise ValueError(f"interpolate: antialias is for the modes bilinear and bicubic alone, not for {mode!r}")


def _output(
    spatial: tuple[int, ...], size: Any, scale_factor: Any, recompute: bool | None
) -> tuple[tuple[int, ...], tuple[float | None, ...]]:
    """The output size of each axis, and the scale that is to step through it (None: the ratio of the sizes)."""
    dims = len(spatial)
    if (size is None) == (scale_factor is None):
        raise ValueError(f"interpolate: pass either size or scale_factor, got size={size}, scale_factor={scale_factor}")
    given = size if scale_factor is None else scale_factor
    each = tuple(given) if isinstance(given, Sequence) else (given,) * dims
    if len(each) != dims:
        raise ValueError(f"interpolate: size or scale_factor must be a number or {dims} numbers, got {given!r}")
    if size is not None:
        if recompute:
            raise ValueError("interpolate: recompute_scale_factor needs scale_factor, got size")
        if not all(isinstance(n, int) for n in each):
            raise TypeError(f"interpolate: size must be an int or {dims} ints, got {size!r}")
        return each, (None,) * dims
    scales = tuple([float(scale) for scale in each])
    output = tuple([math.floor(n * scale) for n, scale in zip(spatial, scales)])
    return output, (None,) * dims if recompute else scales
