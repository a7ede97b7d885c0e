"""Rows of the table: images sampled at places, which lie between the pixels, within the image and beyond it."""

from __future__ import annotations

import numpy as np

from tests.ops.case import Case, among, real


def places(draw: np.random.Generator, shape: tuple[int, ...], which: int) -> np.ndarray:
    """Coordinates of [−2, 2) away from where the four pixels around them change: multiples of 1/3, and a little."""
    return np.asarray((draw.integers(-6, 6, shape) + draw.uniform(0.2, 0.3, shape)) / 3)


def sampled(**options):
    return lambda m, x, grid: m.nn.functional.grid_sample(x, grid, **options)


def affine(size, align_corners):
    return lambda m, theta: m.nn.functional.affine_grid(theta, size, align_corners)


IMAGES = among(((1, 2, 3, 3), (1, 1, 3, 2)), ((2, 1, 1, 3), (2, 2, 2, 2)))
GRID_SAMPLES = [
    *[
        Case(f"grid_sample {mode} {padding} {corners}",
             sampled(mode=mode, padding_mode=padding, align_corners=corners), ((2, 2, 4, 3), (2, 2, 3, 2)), IMAGES,
             values=(real, places))
        for mode in ("bilinear", "nearest")
        for padding in ("zeros", "border", "reflection")
        for corners in (False, True)
    ],
    Case("affine_grid", affine((2, 3, 3, 4), False), ((2, 2, 3),)),
    Case("affine_grid of one row", affine((2, 3, 1, 2), False), ((2, 2, 3),)),
    Case("affine_grid align_corners", affine((2, 3, 3, 4), True), ((2, 2, 3),)),
]  # fmt: skip
