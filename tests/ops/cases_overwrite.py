"""Rows of the table: parts replaced, strided looks, the gamma function, distances, covariance, integrals."""

from __future__ import annotations

import math

import numpy as np

from tests.ops.case import Case, Shape, among, apart, one, positive, real
from tests.ops.cases_loss import quietly

SQUARES = ((3, 3), (3, 3))


def index_reduced(how, own):
    return lambda m, x, v: m.index_reduce(x, 1, m.tensor([2, 0, 2]), v, how, include_self=own)


OVERWRITE = [
    Case("select_scatter", lambda m, x, v: m.select_scatter(x, v, 1, -1), ((3, 3), (3,))),
    Case("select_scatter method", lambda m, x, v: x.select_scatter(v, 0, 1), ((2, 3), (3,))),
    Case("slice_scatter", lambda m, x, v: m.slice_scatter(x, v, 1, 0, 3, 2), ((3, 3), (3, 2))),
    Case("slice_scatter all", lambda m, x, v: x.slice_scatter(v), SQUARES, among(((0, 2), (0, 2)), ((3,), (3,)))),
    Case("slice_scatter from the end", lambda m, x, v: x.slice_scatter(v, -1, -2), ((3, 3), (3, 2))),
    Case("diagonal_scatter", lambda m, x, v: m.diagonal_scatter(x, v), ((3, 3), (3,))),
    Case("diagonal_scatter offset", lambda m, x, v: x.diagonal_scatter(v, -1, 2, 0), ((3, 2, 3), (2, 2))),
    *[
        Case(
            f"index_reduce {how}{'' if own else ' without self'}",
            index_reduced(how, own),
            SQUARES,
            values=apart,
            theirs=quietly(index_reduced(how, own)),
            derivative=own or how != "prod",
        )
        for how in ("prod", "mean", "amax", "amin")
        for own in (True, False)
    ],
    Case(
        "index_reduce_",
        lambda m, x, v: (x * 2).index_reduce_(0, m.tensor([1, 1]), v, "amax"),
        ((3, 3), (2, 3)),
        values=apart,
        theirs=quietly(lambda m, x, v: (x * 2).index_reduce_(0, m.tensor([1, 1]), v, "amax")),
    ),
    Case("put", lambda m, x, v: m.put(x, m.tensor([[7, 0], [-3, 4]]), v), ((3, 3), (2, 2))),
    Case("put accumulate", lambda m, x, v: x.put(m.tensor([7, 0, 7, -9]), v, accumulate=True), ((3, 3), (2, 2))),
    Case("put_", lambda m, x, v: (x * 2).put_(m.tensor([1, 3]), v), ((3, 3), (2,))),
]  # fmt: skip

STRIDED = [
    Case("as_strided", lambda m, x: m.as_strided(x.contiguous(), (2, 2), (1, 3)), ((3, 3),)),
    Case("as_strided overlapping", lambda m, x: x.contiguous().as_strided((3, 3), (1, 2), 1), ((3, 3),)),
    Case("as_strided of a part", lambda m, x: x.contiguous()[1:, 1:].as_strided((2, 2), (3, 1)), ((3, 3),)),
    Case(
        "as_strided beyond a part",
        lambda m, x: x.contiguous()[1:, 1:].as_strided((4,), (2,), 1),
        ((3, 3),),
        derivative=False,
    ),
    Case("as_strided transposed", lambda m, x: x.contiguous().mT.as_strided((2, 2), (2, 2)), ((3, 3),)),
    Case("as_strided no axes", lambda m, x: x.contiguous().as_strided((), (), 4), ((3, 3),)),
    Case("unsafe_split", lambda m, x: m.unsafe_split(x, 2, 1)[0] * 2, ((3, 3),)),
    Case("unsafe_chunk", lambda m, x: x.unsafe_chunk(2, -1)[1] * 2, ((3, 3),)),
    Case("unsafe_split_with_sizes", lambda m, x: m.unsafe_split_with_sizes(x, (1, 2), 1)[1] * 2, ((3, 3),)),
    Case("sum_to_size", lambda m, x: x.sum_to_size(3, 1), ((2, 3, 3),)),
    Case("sum_to_size equal", lambda m, x: x.sum_to_size((3, 3)) * 2, ((3, 3),)),
]


def off_poles(draw: np.random.Generator, shape: Shape, which: int) -> np.ndarray:
    """Numbers of (−4, 4) that are nowhere near a whole number."""
    return np.asarray(draw.integers(-4, 4, shape) + draw.uniform(0.2, 0.8, shape))


def accurate(n):
    """PyTorch's polygamma (n = 0: digamma, −1: lgamma), with the exact derivative: its own trigamma has 9 digits."""

    def theirs(m, x):
        near = x.detach().requires_grad_() if not x.requires_grad else x
        if n < 0:
            shift = sum((near + k).abs().log() for k in range(40))
            far = near + 40
            square = 1 / (far * far)
            tail = (1 / 12 - square * (1 / 360 - square * (1 / 1260 - square / 1680))) / far
            return (far - 0.5) * far.log() - far + 0.5 * math.log(2 * math.pi) + tail - shift
        far, terms = near + 40, sum((near + k) ** (-n - 1) for k in range(40))
        return m.polygamma(n, far) + (-1) ** (n + 1) * math.factorial(n) * terms

    return theirs


GAMMA = [
    Case("lgamma", lambda m, x: m.lgamma(x), shapes=one(), values=off_poles),
    Case("lgamma_", lambda m, x: (x * 2).lgamma_(), values=positive),
    Case("digamma", lambda m, x: m.digamma(x), values=off_poles, theirs=accurate(0)),
    Case("digamma_", lambda m, x: (x * 1).digamma_(), values=positive, theirs=accurate(0)),
    *[
        Case(f"polygamma {n}", lambda m, x, n=n: m.polygamma(n, x), values=off_poles, theirs=accurate(n))
        for n in (0, 1, 2)
    ],
    Case("polygamma_", lambda m, x: (x * 1).polygamma_(2), values=positive, theirs=accurate(2)),
    Case("mvlgamma", lambda m, x: (x + 2).mvlgamma(3), values=positive),
    Case("nextafter", lambda m, a, b: m.nextafter(a, b) * 2, SQUARES, values=apart),
    Case("nextafter_", lambda m, a, b: (a * 1).nextafter_(b), SQUARES, values=apart),
    Case("frexp", lambda m, x: m.frexp(x).mantissa, values=apart),
]

DISTANCE = [
    *[
        Case(f"cdist {p}", lambda m, a, b, p=p: m.cdist(a, b, p), SQUARES,
             among(((2, 3), (4, 3)), ((2, 1, 2, 3), (3, 1, 3)), ((0, 2), (2, 2)), ((2, 0), (1, 0))), values=real)
        for p in (2.0, 1.0, math.inf, 3.5, 0.0)
    ],
    *[
        Case(f"pdist {p}", lambda m, a, p=p: m.nn.functional.pdist(a, p), ((3, 3),), among(((4, 2),), ((1, 2),)),
             values=real)
        for p in (2.0, 1.0, math.inf, 3.5)
    ],
]  # fmt: skip

STATISTICS = [
    Case("cov", lambda m, x: m.cov(x), ((3, 3),), among(((2, 4),), ((4,),), ((1, 3),))),
    Case("cov weighted", lambda m, x, w: x.cov(correction=0, fweights=m.tensor([1, 0, 2]), aweights=w),
         ((3, 3), (3,)), values=(real, positive)),
    Case("cov aweights", lambda m, x, w: m.cov(x, aweights=w), ((3, 3), (3,)), values=(real, positive)),
    Case("cov fweights", lambda m, x: m.cov(x, fweights=m.tensor([1, 0, 2])), ((3, 3),)),
    Case("corrcoef", lambda m, x: m.corrcoef(x), ((3, 4),)),
    Case("corrcoef one", lambda m, x: x.corrcoef() * 3, ((4,),)),
]  # fmt: skip


def powers(*exponents):
    """PyTorch's own vander has no gradient: it overwrites what it needs."""
    return lambda m, x: m.stack([x**k for k in exponents], 1)


INTEGRALS = [
    Case("trapezoid", lambda m, y: m.trapezoid(y), ((3, 3),), among(((1, 2),), ((4,),), ((2, 1),))),
    Case("trapezoid dx", lambda m, y: m.trapz(y, dx=0.5, dim=0), ((3, 3),)),
    Case("trapezoid x", lambda m, y, x: m.trapezoid(y, x, dim=0), ((3, 3), (3,))),
    Case("trapezoid many x", lambda m, y, x: m.trapezoid(y, x, dim=1), SQUARES),
    Case("cumulative_trapezoid", lambda m, y: m.cumulative_trapezoid(y, dx=2.0), ((3, 3),), among(((1, 2),), ((4,),))),
    Case("cumulative_trapezoid x", lambda m, y, x: m.cumulative_trapezoid(y, x, dim=0), ((3, 3), (3,))),
    Case("vander", lambda m, x: m.vander(x), ((3,),), theirs=powers(2, 1, 0)),
    Case("vander increasing", lambda m, x: m.vander(x, 4, increasing=True), ((3,),), theirs=powers(0, 1, 2, 3)),
    Case("vdot", lambda m, a, b: m.vdot(a, b), ((3,), (3,))),
]

SCATTERED = OVERWRITE + STRIDED + GAMMA + DISTANCE + STATISTICS + INTEGRALS
UNDIFFERENTIABLE_STRAGGLERS = [
    ("unravel_index", lambda m, a, b: m.unravel_index(a.long() + 2, (5, 2))[0]),
    ("frexp exponent", lambda m, a, b: m.frexp(a).exponent),
]
