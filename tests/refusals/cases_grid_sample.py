"""Bad inputs: grid_sample and affine_grid."""

from __future__ import annotations

from tests.refusals.refusal import Refusal


def sampled(why, shapes, error, *says, **options):
    return Refusal("nn.functional.grid_sample", why,
                   lambda m: m.nn.functional.grid_sample(*[m.ones(*shape) for shape in shapes], **options), error,
                   says)  # fmt: skip


def affine(why, shape, size, error, *says):
    return Refusal("nn.functional.affine_grid", why,
                   lambda m: m.nn.functional.affine_grid(m.ones(*shape), size), error, says)  # fmt: skip


FINE = ((1, 1, 3, 3), (1, 2, 2, 2))
GRID_SAMPLES = [
    sampled("mode", FINE, ValueError, "mode must be", "'cubic'", mode="cubic"),
    sampled("padding", FINE, ValueError, "padding_mode must be", "'wrap'", padding_mode="wrap"),
    sampled("bicubic", FINE, NotImplementedError, "mode='bicubic'", mode="bicubic"),
    sampled("volume", ((1, 1, 2, 2, 2), (1, 2, 2, 2, 3)), NotImplementedError, "volumes"),
    sampled("coordinates", ((1, 1, 3, 3), (1, 2, 2, 3)), RuntimeError, "grid", r"\(1, 2, 2, 3\)"),
    sampled("batch", ((1, 1, 3, 3), (2, 2, 2, 2)), RuntimeError, "grid", r"\(2, 2, 2, 2\)"),
    sampled("no pixels", ((1, 1, 0, 3), (1, 2, 2, 2)), RuntimeError, "no pixels", r"\(1, 1, 0, 3\)"),
    affine("theta", (2, 3), (1, 1, 3, 3), ValueError, "theta must have shape", r"\(2, 3\)"),
    affine("batch", (2, 2, 3), (1, 1, 3, 3), ValueError, r"\(2, 2, 3\)", r"\(1, 1, 3, 3\)"),
    affine("volume", (1, 3, 4), (1, 1, 3, 3, 3), NotImplementedError, "volumes", r"\(1, 1, 3, 3, 3\)"),
    Refusal("nn.functional.affine_grid", "integers",
            lambda m: m.nn.functional.affine_grid(m.ones(1, 2, 3).long(), (1, 1, 2, 2)), ValueError,
            ("floating point", "int64")),
]  # fmt: skip
