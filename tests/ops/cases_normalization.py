"""Rows of the table: norms, and dropout of what was drawn."""

from __future__ import annotations

import numpy as np

from minipar.kernels.reference.dropout import dropout_forward
from minipar.ops.dropout import Dropout, Thin
from tests.ops.case import Case, among, beside


def norm(which, *arguments, **options):
    """F.which(x, …, weight, bias): what is given of the two."""

    def run(m, x, *affine):
        named = dict(zip(("weight", "bias"), affine))
        return getattr(m.nn.functional, which)(x, *arguments, **named, **options)

    return run


def with_bias_only(which, *arguments):
    return lambda m, x, b: getattr(m.nn.functional, which)(x, *arguments, bias=b)


def by_running(which, flag):
    """A norm of channels with statistics that are given."""

    def run(m, x, *affine):
        mean, var = (m.tensor([0.5, -1.0, 2.0], dtype=x.dtype), m.tensor([0.7, 1.5, 3.0], dtype=x.dtype))
        return getattr(m.nn.functional, which)(x, mean, var, *affine, **{flag: False})

    return run


BATCH = norm("batch_norm", None, None, training=True)
CHANNELS = ((3, 3, 3), (3,), (3,))
IMAGES = among(((2, 3, 4, 2), (3,), (3,)), ((4, 2), (2,), (2,)), ((1, 1, 5), (1,), (1,)), ((2, 2, 1, 2, 2), (2,), (2,)),
               ((0, 2, 3), (2,), (2,)))  # fmt: skip
ROWS = ((3, 3), (3,), (3,))

NORMS = [
    Case("batch_norm", BATCH, CHANNELS, IMAGES),
    Case("batch_norm rows", BATCH, ROWS),
    Case("batch_norm plain", BATCH, ((3, 3),), among(((5, 2, 3),), ((0, 3),), ((2, 0, 3),))),
    Case("batch_norm eps", norm("batch_norm", None, None, training=True, eps=0.3), CHANNELS),
    Case("running batch_norm", by_running("batch_norm", "training"), ((2, 3, 2), (3,), (3,)),
         among(((1, 3), (3,), (3,)), ((0, 3, 2), (3,), (3,)))),
    Case("running batch_norm plain", by_running("batch_norm", "training"), ((2, 3, 2),)),
    Case("instance_norm", norm("instance_norm"), CHANNELS,
         among(((2, 3, 4, 2), (3,), (3,)), ((1, 1, 5), (1,), (1,)), ((2, 2, 1, 2, 2), (2,), (2,)))),
    Case("instance_norm plain", norm("instance_norm"), ((2, 3, 3),)),
    Case("running instance_norm", by_running("instance_norm", "use_input_stats"),
         ((2, 3, 2), (3,), (3,))),
    Case("group_norm", norm("group_norm", 2), ((2, 4, 3), (4,), (4,)),
         among(((2, 4, 2, 3), (4,), (4,)), ((3, 6), (6,), (6,)), ((0, 2, 3), (2,), (2,)))),
    Case("group_norm of one", norm("group_norm", 1), ((2, 3, 3), (3,), (3,))),
    Case("group_norm plain", norm("group_norm", 3), ((3, 3, 3),)),
    Case("group_norm bias only", with_bias_only("group_norm", 2), ((2, 4, 3), (4,)),
         theirs=lambda m, x, b: m.nn.functional.group_norm(x, 2) + b[:, None]),  # its own fails
    Case("layer_norm", norm("layer_norm", (3,)), ROWS,
         among(((3,), (3,), (3,)), ((2, 4, 3), (3,), (3,)), ((0, 3), (3,), (3,)))),
    Case("layer_norm axes", norm("layer_norm", (3, 2)), ((2, 3, 2), (3, 2), (3, 2))),
    Case("layer_norm plain", norm("layer_norm", [3]), ((3, 3),), among(((2, 2, 3),), ((0, 3),))),
    Case("layer_norm weight only", norm("layer_norm", (3,)), ((3, 3), (3,))),
    Case("layer_norm bias only", with_bias_only("layer_norm", (3,)), ((3, 3), (3,))),
    Case("layer_norm frozen input", lambda m, w, b: m.nn.functional.layer_norm(
        m.arange(9, dtype=w.dtype).reshape(3, 3) ** 2, (3,), w, b), ((3,), (3,))),
    Case("layer_norm of dependent inputs", lambda m, x: m.nn.functional.layer_norm(x, (3,), x.sum(0), x[0]), ((3, 3),)),
    Case("rms_norm", norm("rms_norm", (3,)), ((3, 3), (3,)), among(((3,), (3,)), ((2, 4, 3), (3,)), ((0, 3), (3,)))),
    Case("rms_norm axes eps", norm("rms_norm", (3, 2), eps=0.2), ((2, 3, 2), (3, 2))),
    Case("rms_norm plain", norm("rms_norm", (3,)), ((3, 3),)),
    Case("local_response_norm", norm("local_response_norm", 3, alpha=0.5, beta=0.6, k=1.5), ((2, 4, 2),),
         among(((1, 2, 3, 2),), ((2, 5, 1, 2, 2),), ((0, 2, 3),))),
    Case("local_response_norm even", norm("local_response_norm", 2), ((1, 3, 2),)),
]  # fmt: skip

TICKET, SIZES = np.array([1.0, 2.0, 3.0, 0.0, 0.0]), (1, 3, 3, 1)
NOISE = dropout_forward(np.ones((3, 3)), TICKET, SIZES, 0.5, 2.5)[0]
DROPOUT = [
    Case("Dropout", lambda m, x: Dropout(TICKET, SIZES, 0.5, 2.5)(x),
         theirs=lambda m, x: x * m.tensor(NOISE, dtype=x.dtype)),
    Case("Dropout with shift", lambda m, x: Dropout(TICKET, SIZES, 0.5, 2.5, (0.5, -1.5))(x),
         theirs=lambda m, x: x * m.tensor(NOISE, dtype=x.dtype) + m.tensor(NOISE * 0.8 - 1.5, dtype=x.dtype)),
    Case("Thin", lambda m, x: Thin(beside(x, (NOISE > 0).astype(np.uint8).ravel()), 2.5)(x),
         theirs=lambda m, x: x * m.tensor(NOISE, dtype=x.dtype)),
]  # fmt: skip

NORMALIZATION = NORMS + DROPOUT
