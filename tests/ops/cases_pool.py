"""Rows of the table: pooling and unpooling."""

from __future__ import annotations

import numpy as np

from minipar.ops.adaptive_pool import AdaptiveSpread2d
from minipar.ops.avg_pool import SpreadMean2d
from minipar.ops.pool import Pick, Unpool
from tests.ops.case import Case, among, apart, beside, positive


def pooled(which, **options):
    return lambda m, x: getattr(m.nn.functional, which)(x, **options)


def values(which, **options):
    """The first of (values, indices)."""
    return lambda m, x: getattr(m.nn.functional, which)(x, return_indices=True, **options)[0]


SIZES = among(*[((1, 2, n, m),) for n in range(2, 10) for m in (2, 5, 6)], ((2, 4, 3),), ((0, 1, 4, 4),))
LARGER = among(*[((1, 1, n, m),) for n in range(3, 10) for m in (3, 6)])
PLANE = ((1, 1, 4, 4),)
LINE = ((1, 2, 6),)
LINES = among(*[((2, 1, n),) for n in range(3, 10)], ((2, 5),))
BOX = ((1, 1, 3, 3, 4),)
BOXES = among(((2, 1, 4, 3, 5),), ((1, 3, 4, 3),), ((1, 2, 5, 5, 3),))

MAX = [
    Case("max_pool2d", pooled("max_pool2d", kernel_size=2), PLANE, SIZES, apart),
    Case("max_pool2d overlapping", pooled("max_pool2d", kernel_size=3, stride=1), PLANE, LARGER, apart),
    Case("max_pool2d padding", pooled("max_pool2d", kernel_size=(2, 3), stride=(2, 1), padding=(1, 0)),
         PLANE, LARGER, apart),
    Case("max_pool2d dilation", pooled("max_pool2d", kernel_size=2, stride=1, dilation=2), PLANE, LARGER, apart),
    Case("max_pool2d ceil", pooled("max_pool2d", kernel_size=2, stride=3, padding=1, ceil_mode=True),
         PLANE, LARGER, apart),
    Case("max_pool2d with indices", values("max_pool2d", kernel_size=2), PLANE, SIZES, apart),
    Case("max_pool1d", pooled("max_pool1d", kernel_size=3, stride=2, padding=1, ceil_mode=True), LINE, LINES, apart),
    Case("max_pool1d with indices", values("max_pool1d", kernel_size=2, dilation=2), LINE, LINES, apart),
    Case("max_pool3d", pooled("max_pool3d", kernel_size=2, stride=1), BOX, BOXES, apart),
    Case("max_pool3d options",
         pooled("max_pool3d", kernel_size=(2, 3, 2), stride=2, padding=(1, 0, 1), ceil_mode=True), BOX, BOXES, apart),
    Case("max_pool3d with indices", values("max_pool3d", kernel_size=2), BOX, BOXES, apart),
    Case("adaptive_max_pool1d", pooled("adaptive_max_pool1d", output_size=4), LINE, LINES, apart),
    Case("adaptive_max_pool2d", pooled("adaptive_max_pool2d", output_size=3), PLANE, SIZES, apart),
    Case("adaptive_max_pool2d with indices", values("adaptive_max_pool2d", output_size=(None, 2)), PLANE, SIZES, apart),
    Case("adaptive_max_pool3d", pooled("adaptive_max_pool3d", output_size=(2, 1, 3)), BOX, BOXES, apart),
]  # fmt: skip


def _there_and_back(which, **size):
    """Maxima put back where they were."""

    def run(m, x):
        F = m.nn.functional
        y, indices = getattr(F, f"max_pool{which}")(x, 2, return_indices=True)
        return getattr(F, f"max_unpool{which}")(y * y, indices, 2, **size)

    return run


MEAN = [
    Case("avg_pool2d", pooled("avg_pool2d", kernel_size=2), PLANE, SIZES),
    Case("avg_pool2d padding", pooled("avg_pool2d", kernel_size=3, stride=2, padding=1), PLANE, LARGER),
    Case("avg_pool2d ceil", pooled("avg_pool2d", kernel_size=3, stride=2, padding=1, ceil_mode=True), PLANE, LARGER),
    Case("avg_pool2d ceil without padding",
         pooled("avg_pool2d", kernel_size=3, stride=2, padding=1, ceil_mode=True, count_include_pad=False),
         PLANE, LARGER),
    Case("avg_pool2d divisor", pooled("avg_pool2d", kernel_size=(2, 3), stride=1, divisor_override=5), PLANE, LARGER),
    Case("avg_pool1d", pooled("avg_pool1d", kernel_size=3, stride=2, padding=1, count_include_pad=False), LINE, LINES),
    Case("avg_pool1d ceil", pooled("avg_pool1d", kernel_size=(2,), ceil_mode=True), LINE, LINES),
    Case("avg_pool3d", pooled("avg_pool3d", kernel_size=(2, 3, 2), stride=2, padding=(1, 0, 1), ceil_mode=True),
         BOX, BOXES),
    Case("avg_pool3d without padding",
         pooled("avg_pool3d", kernel_size=2, padding=1, count_include_pad=False), BOX, BOXES),
    Case("avg_pool3d divisor", pooled("avg_pool3d", kernel_size=2, stride=1, divisor_override=3), BOX, BOXES),
    Case("adaptive_avg_pool1d", pooled("adaptive_avg_pool1d", output_size=4), LINE, LINES),
    Case("adaptive_avg_pool1d to one", pooled("adaptive_avg_pool1d", output_size=1), LINE, LINES),
    Case("adaptive_avg_pool2d", pooled("adaptive_avg_pool2d", output_size=(3, None)), PLANE, SIZES),
    Case("adaptive_avg_pool2d halves", pooled("adaptive_avg_pool2d", output_size=2), PLANE, SIZES),
    Case("adaptive_avg_pool3d", pooled("adaptive_avg_pool3d", output_size=(2, 1, 3)), BOX, BOXES),
    Case("lp_pool1d", pooled("lp_pool1d", norm_type=2, kernel_size=2), LINE, LINES, positive),
    Case("lp_pool2d", pooled("lp_pool2d", norm_type=3.0, kernel_size=2, stride=1, ceil_mode=True),
         PLANE, LARGER, positive),
    Case("lp_pool3d", pooled("lp_pool3d", norm_type=1.5, kernel_size=2), BOX, BOXES, positive),
    Case("max_unpool1d", _there_and_back("1d"), LINE, among(((2, 1, 6),), ((2, 4),)), apart),
    Case("max_unpool2d", _there_and_back("2d", output_size=(5, 5)), ((1, 1, 5, 5),), among(((3, 5, 5),)), apart),
    Case("max_unpool3d", _there_and_back("3d"), ((1, 1, 2, 4, 2),), among(((2, 2, 2, 4),)), apart),
]  # fmt: skip

WINNERS = np.array([[[[0, 5], [5, 15]]]])


def _pick(m, x):
    return x.flatten()[m.tensor(WINNERS)]


def _unpool(m, x):
    return m.zeros(16, dtype=x.dtype).index_put((m.tensor(WINNERS),), x, accumulate=True).reshape(1, 1, 4, 4)


def _spread(m, x):
    return m.repeat_interleave(m.repeat_interleave(x, 2, -1), 2, -2) / 4


HIDDEN_POOL = [
    Case("Unpool", lambda m, x: Unpool(beside(x, WINNERS), (1, 1, 4, 4))(x), ((1, 1, 2, 2),), theirs=_unpool),
    Case("Pick", lambda m, x: Pick(beside(x, WINNERS))(x), PLANE, theirs=_pick),
    Case("SpreadMean2d", lambda m, x: SpreadMean2d(((2, 2), (2, 2), (0, 0), False, True, None), (1, 1, 4, 4))(x),
         ((1, 1, 2, 2),), theirs=_spread),
    Case("AdaptiveSpread2d", lambda m, x: AdaptiveSpread2d((1, 1, 4, 4))(x), ((1, 1, 2, 2),), theirs=_spread),
]  # fmt: skip

POOLING = MAX + MEAN + HIDDEN_POOL
