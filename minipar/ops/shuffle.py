"""Pixel and channel shuffles: elements of channels and of space change places (Shi et al. 2016; Zhang et al. 2018)."""

from __future__ import annotations

from typing import Any

from .accepts import rank
from .shape import permute, reshape


def pixel_shuffle(input: Any, upscale_factor: int) -> Any:
    """(…, C·r², H, W) → (…, C, H·r, W·r), r = upscale_factor: r² channels become r × r pixels.

    RuntimeError unless there are three axes or more and r² divides the channels.

    >>> F.pixel_shuffle(minipar.tensor([[[1.0]], [[2.0]], [[3.0]], [[4.0]]]), 2)
    tensor([[[1., 2.],
             [3., 4.]]])
    """
    *lead, channels, h, w = _image("pixel_shuffle", input)
    r = _factor("pixel_shuffle", "upscale_factor", upscale_factor)
    if channels % (r * r):
        raise RuntimeError(f"pixel_shuffle: the {channels} channels must be divisible by upscale_factor² = {r * r}")
    split = reshape(input, (*lead, channels // (r * r), r, r, h, w))
    at = len(lead)
    order = (*range(at + 1), at + 3, at + 1, at + 4, at + 2)
    return reshape(permute(split, order), (*lead, channels // (r * r), h * r, w * r))


def pixel_unshuffle(input: Any, downscale_factor: int) -> Any:
    """(…, C, H·r, W·r) → (…, C·r², H, W), r = downscale_factor: the inverse of `pixel_shuffle`.

    RuntimeError unless there are three axes or more and r divides the last two.

    >>> F.pixel_unshuffle(minipar.tensor([[[1.0, 2.0], [3.0, 4.0]]]), 2).flatten()
    tensor([1., 2., 3., 4.])
    """
    *lead, channels, h, w = _image("pixel_unshuffle", input)
    r = _factor("pixel_unshuffle", "downscale_factor", downscale_factor)
    if h % r or w % r:
        raise RuntimeError(f"pixel_unshuffle: height {h} and width {w} must be divisible by downscale_factor {r}")
    split = reshape(input, (*lead, channels, h // r, r, w // r, r))
    at = len(lead)
    order = (*range(at + 1), at + 2, at + 4, at + 1, at + 3)
    return reshape(permute(split, order), (*lead, channels * r * r, h // r, w // r))


def channel_shuffle(input: Any, groups: int) -> Any:
    """(N, C, *) → (N, C, *): channel j of group i becomes channel i of group j, so that groups mix.

    RuntimeError unless there are three axes or more and `groups` divides the channels.

    >>> F.channel_shuffle(minipar.arange(4.0).reshape(1, 4, 1), 2).flatten()
    tensor([0., 2., 1., 3.])
    """
    if rank(input) < 3:
        raise RuntimeError(f"channel_shuffle: input must have shape (N, C, *), not {tuple(input.shape)}")
    n, channels, *rest = input.shape
    groups = _factor("channel_shuffle", "groups", groups)
    if channels % groups:
        raise RuntimeError(f"channel_shuffle: groups must divide the {channels} channels, got {groups}")
    split = reshape(input, (n, groups, channels // groups, *rest))
    return reshape(permute(split, (0, 2, 1, *range(3, len(split.shape)))), input.shape)


def _image(name: str, input: Any) -> tuple[int, ...]:
    if rank(input) < 3:
        raise RuntimeError(f"{name}: input must have shape (…, C, H, W), not {tuple(input.shape)}")
    return tuple(input.shape)


def _factor(name: str, argument: str, value: Any) -> int:
    if not isinstance(value, int):
        raise TypeError(f"{name}: {argument} must be an int, not {value!r}")
    if value < 1:
        raise RuntimeError(f"{name}: {argument} must be at least 1, got {value}")
    return value
