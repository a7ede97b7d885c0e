"""Rows of the table: reductions, scans, norms, order, statistics, softmax; and the questions of that family."""

from __future__ import annotations

import math

import numpy as np

from minipar.ops.scan import CumSum, LogCumSumExp, Shift
from tests.ops.case import Case, Shape, among, apart, broadcast, one

ANY, PAIR = one(), broadcast()
SOME = one(1)  # at least one axis
FULL = one(1, 3, 1)  # at least one axis, none empty
PLANES = one(2, 3, 1)
TWO_OR_MORE = one(1, 3, 2)


def with_zeros(draw: np.random.Generator, shape: Shape, which: int) -> np.ndarray:
    """Numbers of which none, one or several are 0."""
    return np.asarray(draw.standard_normal(shape) * (draw.random(shape) < 0.7))


SUMS = [
    Case("sum", lambda m, x: m.sum(x), shapes=ANY),
    Case("sum dim", lambda m, x: x.sum(0), shapes=SOME),
    Case("sum dim keepdim", lambda m, x: x.sum(-1, True), shapes=SOME),
    Case("sum dims", lambda m, x: x.sum((0, -1)), shapes=one(2)),
    Case("sum no dims", lambda m, x: x.sum(()), shapes=ANY),
    Case("nansum", lambda m, x: m.nansum(m.where(x > 0, x, math.nan), 0), shapes=SOME),
    Case("mean", lambda m, x: m.mean(x), shapes=ANY),
    Case("mean dim", lambda m, x: m.mean(x, 0), shapes=SOME),
    Case("mean dims", lambda m, x: x.mean((0, 1), keepdim=True), shapes=one(2)),
    Case("nanmean", lambda m, x: x.nanmean(-1, keepdim=True), shapes=SOME),
    Case("prod", lambda m, x: m.prod(x), shapes=ANY),
    Case("prod of zeros", lambda m, x: m.prod(x), ((3,),), ANY, with_zeros),
    Case("prod dim", lambda m, x: x.prod(0, keepdim=True), ((3, 3),), ANY, with_zeros),
    Case("prod last dim", lambda m, x: x.prod(-1), ((3, 3),), ANY, with_zeros),
    Case("logsumexp", lambda m, x: m.logsumexp(x, 0), shapes=SOME),
    Case("logsumexp dims", lambda m, x: x.logsumexp((0, 1), keepdim=True), shapes=one(2)),
    Case("softmax", lambda m, x: m.softmax(x, -1), shapes=ANY),
    Case("softmax method", lambda m, x: x.softmax(0), shapes=ANY),
    Case("log_softmax", lambda m, x: m.log_softmax(x, -1), shapes=ANY),
    Case("var", lambda m, x: m.var(x), shapes=TWO_OR_MORE),
    Case("var biased", lambda m, x: x.var(False), shapes=FULL),
    Case("var dim", lambda m, x: x.var(0, correction=0, keepdim=True), shapes=FULL),
    Case("std", lambda m, x: m.std(x, 1), shapes=one(2, 3, 2)),
    Case("var_mean", lambda m, x: sum(m.var_mean(x, -1)), shapes=TWO_OR_MORE),
    Case("std_mean", lambda m, x: sum(m.std_mean(x, 0, unbiased=True)), shapes=TWO_OR_MORE),
]

EXTREMES = [
    Case("amax", lambda m, x: x.amax(), shapes=FULL, values=apart),
    Case("amax dim", lambda m, x: m.amax(x, 0), shapes=FULL, values=apart),
    Case("amax dims", lambda m, x: m.amax(x, (0, 1), True), shapes=PLANES, values=apart),
    Case("amin", lambda m, x: m.amin(x, -1), shapes=FULL, values=apart),
    Case("aminmax", lambda m, x: m.aminmax(x, dim=0).max - x.aminmax().min, shapes=FULL, values=apart),
    Case("max", lambda m, x: m.max(x), shapes=FULL, values=apart),
    Case("min", lambda m, x: x.min(), shapes=FULL, values=apart),
    Case("max dim", lambda m, x: m.max(x, 0)[0], shapes=FULL, values=apart),
    Case("max dim keepdim", lambda m, x: x.max(-1, keepdim=True).values, shapes=FULL, values=apart),
    Case("min dim", lambda m, x: m.min(x, 0).values, shapes=FULL, values=apart),
    Case("max of two", lambda m, a, b: m.max(a, other=b), ((3, 3), (3, 3)), PAIR, apart),
    Case("min of two", lambda m, a, b: a.min(b), ((3, 3), (3, 3)), PAIR, apart),
]

SCANS = [
    Case("cumsum", lambda m, x: m.cumsum(x, 0), shapes=ANY),
    Case("cumsum last", lambda m, x: x.cumsum(-1), shapes=ANY),
    Case("cumprod", lambda m, x: m.cumprod(x, 0), shapes=ANY),
    Case("cumprod of zeros", lambda m, x: x.cumprod(-1), ((4, 4),), ANY, with_zeros),
    Case("logcumsumexp", lambda m, x: m.logcumsumexp(x, 0), shapes=ANY),
    Case("logcumsumexp last", lambda m, x: x.logcumsumexp(-1) * 3, shapes=ANY),
    Case("cummax", lambda m, x: m.cummax(x, 0).values, shapes=one(0, 3, 1), values=apart),
    Case("cummin", lambda m, x: x.cummin(-1).values, shapes=one(0, 3, 1), values=apart),
    Case("cumsum_ and cumprod_", lambda m, x: (x * 1).cumsum_(0).cumprod_(-1), shapes=ANY),
    Case("diff", lambda m, x: m.diff(x), shapes=SOME),
    Case("diff twice", lambda m, x: x.diff(2, 0), shapes=SOME),
    Case("diff joined", lambda m, x: m.diff(x, 1, 0, prepend=x * 2, append=x), shapes=SOME),
    Case("CumSum reverse", lambda m, x: CumSum(0, True)(x), theirs=lambda m, x: x.flip(0).cumsum(0).flip(0)),
    Case("LogCumSumExp reverse", lambda m, x: LogCumSumExp(1, True)(x),
         theirs=lambda m, x: x.flip(1).logcumsumexp(1).flip(1)),
    Case("Shift", lambda m, x: Shift(0, 1)(x), theirs=lambda m, x: m.cat([x[1:], x[:1] * 0])),
]  # fmt: skip

ORDERS = (0, 0.5, 1, 1.5, 2, 3, math.inf, -math.inf, -1)
NORMS = [
    *[Case(f"norm {p}", lambda m, x, p=p: m.norm(x, p), shapes=FULL, values=apart) for p in ORDERS],
    *[Case(f"vector_norm {p} dim", lambda m, x, p=p: m.linalg.vector_norm(x, p, -1, True), shapes=FULL, values=apart)
      for p in ORDERS],
    *[Case(f"matrix_norm {p}", lambda m, x, p=p: m.linalg.matrix_norm(x, p), shapes=PLANES, values=apart)
      for p in ("fro", 1, -1, math.inf, -math.inf)],
    Case("norm fro dims", lambda m, x: x.norm(dim=(0, 1), keepdim=True), shapes=one(2)),
    Case("linalg.norm", lambda m, x: m.linalg.norm(x), shapes=ANY),
    Case("linalg.norm of matrices", lambda m, x: m.linalg.norm(x, 1, (1, 0)), shapes=PLANES, values=apart),
    Case("dist", lambda m, a, b: m.dist(a, b, 3), ((3, 3), (3, 3)), PAIR, apart),
    Case("renorm", lambda m, x: m.renorm(x, 2, 0, 0.8), shapes=one(2), values=apart),
    Case("renorm_", lambda m, x: (x * 1).renorm_(1, -1, 0.8), shapes=one(2), values=apart),
    Case("normalize", lambda m, x: m.nn.functional.normalize(x), shapes=one(2)),
    Case("normalize p", lambda m, x: m.nn.functional.normalize(x, p=1, dim=0), shapes=SOME, values=apart),
    Case("cosine_similarity", lambda m, a, b: m.nn.functional.cosine_similarity(a, b), ((3, 3), (3, 3)),
         among(((2, 4), (2, 4)), ((2, 3, 4), (1, 3, 4)))),
    Case("pairwise_distance", lambda m, a, b: m.nn.functional.pairwise_distance(a, b, keepdim=True),
         ((3, 3), (3, 3)), among(((2, 4), (2, 4)), ((4,), (4,)))),
]  # fmt: skip

ORDER = [
    Case("sort", lambda m, x: m.sort(x).values, shapes=ANY, values=apart),
    Case("sort descending", lambda m, x: x.sort(0, descending=True)[0], shapes=ANY, values=apart),
    Case("msort", lambda m, x: m.msort(x), shapes=SOME, values=apart),
    Case("topk", lambda m, x: m.topk(x, 1).values, shapes=FULL, values=apart),
    Case("topk smallest", lambda m, x: x.topk(2, 0, largest=False).values, shapes=TWO_OR_MORE, values=apart),
    Case("kthvalue", lambda m, x: m.kthvalue(x, 2, 0).values, shapes=TWO_OR_MORE, values=apart),
    Case("median", lambda m, x: m.median(x), shapes=FULL, values=apart),
    Case("median dim", lambda m, x: x.median(0, keepdim=True).values, shapes=FULL, values=apart),
    Case("nanmedian", lambda m, x: m.nanmedian(x), shapes=FULL, values=apart),
    Case("nanmedian dim", lambda m, x: x.nanmedian(-1).values, shapes=FULL, values=apart),
    Case("mode", lambda m, x: m.mode(x, 0).values, shapes=FULL, values=apart),
    *[Case(f"quantile {how}", lambda m, x, how=how: m.quantile(x, 0.3, interpolation=how), shapes=FULL, values=apart)
      for how in ("linear", "lower", "higher", "midpoint", "nearest")],
    Case("quantile dim", lambda m, x: x.quantile(0.7, 0, True), shapes=FULL, values=apart),
    Case("quantile of several", lambda m, x, q: m.quantile(x, q * q / (1 + q * q), -1), ((3, 3), (2,)),
         among(((4,), (3,)), ((2, 3), ()), ((), (2,)), ((2, 1, 3), (1,))), apart),
    Case("nanquantile", lambda m, x: m.nanquantile(x, 0.6, 0), shapes=FULL, values=apart),
]  # fmt: skip

REDUCE = SUMS + EXTREMES + SCANS + NORMS + ORDER

UNDIFFERENTIABLE_REDUCE = [
    ("argmax", lambda m, a, b: a.argmax()),
    ("argmax dim", lambda m, a, b: a.argmax(-1)),
    ("argmin keepdim", lambda m, a, b: a.argmin(0, keepdim=True)),
    ("all", lambda m, a, b: (a > 0).all()),
    ("all of numbers", lambda m, a, b: m.all(a, 1, keepdim=True)),
    ("any", lambda m, a, b: (a > 0).any()),
    ("any no dims", lambda m, a, b: m.any(a, ())),
    ("any of uint8", lambda m, a, b: m.any((a > 0).to(m.uint8), 0)),
    ("count_nonzero", lambda m, a, b: m.count_nonzero(a)),
    ("count_nonzero dims", lambda m, a, b: a.count_nonzero((0, 1))),
    ("argsort", lambda m, a, b: m.argsort(a, stable=True)),
    ("argsort descending", lambda m, a, b: a.argsort(dim=0, descending=True, stable=True)),
    ("sort indices", lambda m, a, b: a.sort(dim=1, stable=True).indices),
    ("max indices", lambda m, a, b: a.max(1).indices),
    ("cummax indices", lambda m, a, b: a.cummax(1).indices),
    ("cummin indices", lambda m, a, b: a.cummin(0)[1]),
    ("mode indices", lambda m, a, b: a.mode(1).indices),
    ("unique", lambda m, a, b: m.unique(a.detach())),
    ("unique inverse", lambda m, a, b: m.unique(a.detach(), return_inverse=True)[1]),
    ("unique counts", lambda m, a, b: a.detach().unique(return_counts=True)[1]),
    ("unique dim", lambda m, a, b: m.unique(a.detach(), dim=1)),
    ("unique dim inverse", lambda m, a, b: m.unique(a.detach(), dim=1, return_inverse=True)[1]),
    ("unique_consecutive", lambda m, a, b: m.unique_consecutive(a.detach())),
    ("unique_consecutive inverse", lambda m, a, b: a.detach().unique_consecutive(return_inverse=True)[1]),
    ("unique_consecutive counts", lambda m, a, b: a.detach().unique_consecutive(return_counts=True, dim=0)[1]),
    ("bincount", lambda m, a, b: m.bincount(a.detach().reshape(-1).long() + 2, minlength=7)),
    ("bincount weights", lambda m, a, b: (a.detach().reshape(-1).long() + 2).bincount(b.reshape(-1))),
    ("histc", lambda m, a, b: m.histc(a.detach(), 4, -1, 2)),
    ("histc range", lambda m, a, b: b.histc(bins=3)),
    ("searchsorted", lambda m, a, b: m.searchsorted(m.tensor([-1.0, 0.0, 0.0, 2.0]), a.detach())),
    ("searchsorted other dtypes", lambda m, a, b: m.searchsorted(m.tensor([-1, 0, 2]), a.detach())),
    ("searchsorted rows", lambda m, a, b: m.searchsorted(b.sort(-1).values, a.detach())),
    ("searchsorted rows right", lambda m, a, b: m.searchsorted(b.sort(-1).values, a.detach(), side="right")),
    ("searchsorted sorter", lambda m, a, b: m.searchsorted(b, a.detach(), right=True, sorter=b.argsort(-1))),
    ("searchsorted int32", lambda m, a, b: m.searchsorted(m.tensor([-1.0, 0.0]), 0.0, out_int32=True)),
    ("bucketize", lambda m, a, b: m.bucketize(a.detach(), m.tensor([-1.0, 1.0]))),
    ("bucketize right", lambda m, a, b: m.bucketize(a.detach(), m.tensor([-1.0, 1.0]), right=True)),
    ("isin", lambda m, a, b: m.isin(a.detach(), b)),
    ("isin invert", lambda m, a, b: m.isin(a.detach(), 1, invert=True)),
]  # fmt: skip
