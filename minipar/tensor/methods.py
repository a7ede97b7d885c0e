"""Functions as methods: `x.exp()` is `minipar.exp(x)`. One line each, by family, in the order of minipar/ops."""

from __future__ import annotations

from typing import Any

from ..ops import (
    activation_hard,
    activation_rectified,
    arithmetic,
    compare,
    covariance,
    decompose,
    division,
    exponential,
    extremes,
    extremum,
    floats,
    gamma,
    histogram,
    hyperbolic,
    least_squares,
    linalg,
    magnitude,
    norm,
    power,
    predicates,
    reduce,
    rounding,
    scan,
    search,
    select,
    solve,
    special,
    trigonometry,
    variance,
)
from ..ops import quantile as quantiles
from ..ops import softmax as softmaxes
from ..ops import sort as ordering
from ..ops import unique as distinct
from .described import Described


class Methods(Described):
    """The part of a Tensor that names the operations."""

    __slots__ = ()

    # ── arithmetic ────────────────────────────────────────────────────────────────────────────────────────────────────

    add = arithmetic.add
    sub = arithmetic.sub
    subtract = arithmetic.sub
    mul = arithmetic.mul
    multiply = arithmetic.mul
    neg = arithmetic.neg
    negative = arithmetic.neg
    positive = arithmetic.positive
    lerp = arithmetic.lerp
    addcmul = arithmetic.addcmul
    addcdiv = arithmetic.addcdiv

    # ── division ──────────────────────────────────────────────────────────────────────────────────────────────────────

    div = division.div
    divide = division.div
    true_divide = division.true_divide
    floor_divide = division.floor_divide
    remainder = division.remainder
    fmod = division.fmod

    # ── powers and roots ──────────────────────────────────────────────────────────────────────────────────────────────

    pow = power.pow
    float_power = power.float_power
    square = power.square
    sqrt = power.sqrt
    rsqrt = power.rsqrt
    reciprocal = power.reciprocal
    ldexp = power.ldexp

    # ── exponentials and logarithms ───────────────────────────────────────────────────────────────────────────────────

    exp = exponential.exp
    exp2 = exponential.exp2
    expm1 = exponential.expm1
    log = exponential.log
    log1p = exponential.log1p
    log2 = exponential.log2
    log10 = exponential.log10
    logaddexp = exponential.logaddexp
    logaddexp2 = exponential.logaddexp2
    xlogy = exponential.xlogy
    sigmoid = exponential.sigmoid
    logit = exponential.logit

    # ── trigonometry ──────────────────────────────────────────────────────────────────────────────────────────────────

    sin = trigonometry.sin
    cos = trigonometry.cos
    tan = trigonometry.tan
    asin = trigonometry.asin
    arcsin = trigonometry.asin
    acos = trigonometry.acos
    arccos = trigonometry.acos
    atan = trigonometry.atan
    arctan = trigonometry.atan
    atan2 = trigonometry.atan2
    arctan2 = trigonometry.atan2
    hypot = trigonometry.hypot
    sinc = trigonometry.sinc
    deg2rad = trigonometry.deg2rad
    rad2deg = trigonometry.rad2deg

    # ── hyperbolic functions ──────────────────────────────────────────────────────────────────────────────────────────

    sinh = hyperbolic.sinh
    cosh = hyperbolic.cosh
    tanh = hyperbolic.tanh
    asinh = hyperbolic.asinh
    arcsinh = hyperbolic.asinh
    acosh = hyperbolic.acosh
    arccosh = hyperbolic.acosh
    atanh = hyperbolic.atanh
    arctanh = hyperbolic.atanh

    # ── the error function ────────────────────────────────────────────────────────────────────────────────────────────

    erf = special.erf
    erfc = special.erfc
    erfinv = special.erfinv

    # ── the gamma function ────────────────────────────────────────────────────────────────────────────────────────────

    lgamma = gamma.lgamma
    digamma = gamma.digamma
    mvlgamma = gamma.mvlgamma

    def polygamma(self, n: int) -> Any:
        """`minipar.polygamma(n, x)`

        >>> minipar.ones(1).polygamma(1)
        tensor([1.6449])
        """
        return gamma.polygamma(n, self)

    # ── how numbers are made ──────────────────────────────────────────────────────────────────────────────────────────

    frexp = floats.frexp
    nextafter = floats.nextafter

    # ── activations ───────────────────────────────────────────────────────────────────────────────────────────────────

    relu = activation_rectified.relu
    prelu = activation_rectified.prelu
    hardshrink = activation_hard.hardshrink

    # ── size and sign ─────────────────────────────────────────────────────────────────────────────────────────────────

    abs = magnitude.abs_
    absolute = magnitude.abs_
    sign = magnitude.sign
    sgn = magnitude.sign
    copysign = magnitude.copysign
    heaviside = magnitude.heaviside

    # ── rounding ──────────────────────────────────────────────────────────────────────────────────────────────────────

    floor = rounding.floor
    ceil = rounding.ceil
    trunc = rounding.trunc
    fix = rounding.trunc
    round = rounding.round
    frac = rounding.frac

    # ── extremes and bounds ───────────────────────────────────────────────────────────────────────────────────────────

    maximum = extremes.maximum
    minimum = extremes.minimum
    fmax = extremes.fmax
    fmin = extremes.fmin
    clamp = extremes.clamp
    clip = extremes.clamp
    clamp_min = extremes.clamp_min
    clamp_max = extremes.clamp_max

    # ── comparisons, logic, bits ──────────────────────────────────────────────────────────────────────────────────────

    eq = compare.eq
    ne = compare.ne
    not_equal = compare.ne
    lt = compare.lt
    less = compare.lt
    le = compare.le
    less_equal = compare.le
    gt = compare.gt
    greater = compare.gt
    ge = compare.ge
    greater_equal = compare.ge
    logical_and = compare.logical_and
    logical_or = compare.logical_or
    logical_xor = compare.logical_xor
    logical_not = compare.logical_not
    bitwise_and = compare.bitwise_and
    bitwise_or = compare.bitwise_or
    bitwise_xor = compare.bitwise_xor
    bitwise_not = compare.bitwise_not
    bitwise_left_shift = compare.bitwise_left_shift
    bitwise_right_shift = compare.bitwise_right_shift
    gcd = compare.gcd
    lcm = compare.lcm

    # ── questions ─────────────────────────────────────────────────────────────────────────────────────────────────────

    isnan = predicates.isnan
    isinf = predicates.isinf
    isfinite = predicates.isfinite
    isposinf = predicates.isposinf
    isneginf = predicates.isneginf
    signbit = predicates.signbit
    isclose = predicates.isclose
    allclose = predicates.allclose
    equal = predicates.equal
    is_nonzero = predicates.is_nonzero

    # ── choosing ──────────────────────────────────────────────────────────────────────────────────────────────────────

    nan_to_num = select.nan_to_num

    def where(self, condition: Any, other: Any) -> Any:
        """x where `condition`, else `other`.

        >>> minipar.tensor([1, 2, 3]).where(minipar.tensor([True, False, True]), 0)
        tensor([1, 0, 3])
        """
        return select.where(condition, self, other)

    # ── reductions ────────────────────────────────────────────────────────────────────────────────────────────────

    sum = reduce.sum
    nansum = reduce.nansum
    mean = reduce.mean
    nanmean = reduce.nanmean
    prod = reduce.prod
    all = reduce.all
    any = reduce.any
    count_nonzero = reduce.count_nonzero
    logsumexp = reduce.logsumexp
    max = extremum.max
    min = extremum.min
    amax = extremum.amax
    amin = extremum.amin
    aminmax = extremum.aminmax
    argmax = extremum.argmax
    argmin = extremum.argmin
    var = variance.var
    std = variance.std
    dist = norm.dist
    renorm = norm.renorm
    norm = norm.norm  # the last of its file: from here on `norm` is the method

    # ── scans, order, search ─────────────────────────────────────────────────────────────────────────────────────────

    cumsum = scan.cumsum
    cumprod = scan.cumprod
    cummax = scan.cummax
    cummin = scan.cummin
    logcumsumexp = scan.logcumsumexp
    diff = scan.diff
    argsort = ordering.argsort
    msort = ordering.msort
    topk = ordering.topk
    kthvalue = ordering.kthvalue
    median = quantiles.median
    nanmedian = quantiles.nanmedian
    mode = quantiles.mode
    nanquantile = quantiles.nanquantile
    unique_consecutive = distinct.unique_consecutive
    bincount = histogram.bincount
    histc = histogram.histc
    isin = search.isin
    log_softmax = softmaxes.log_softmax
    softmax = softmaxes.softmax
    sort = ordering.sort
    quantile = quantiles.quantile
    unique = distinct.unique
    cov = covariance.cov
    corrcoef = covariance.corrcoef

    # ── matrix products ───────────────────────────────────────────────────────────────────────────────────────────

    matmul = linalg.matmul
    mm = linalg.mm
    bmm = linalg.bmm
    mv = linalg.mv
    dot = linalg.dot
    vdot = linalg.vdot
    inner = linalg.inner
    outer = linalg.outer
    addmm = linalg.addmm
    addmv = linalg.addmv
    addr = linalg.addr
    addbmm = linalg.addbmm
    baddbmm = linalg.baddbmm
    kron = linalg.kron
    matrix_power = solve.matrix_power
    cross = solve.cross
    svd = decompose.legacy_svd
    pinverse = least_squares.pinverse
    inverse = solve.inverse
    det = solve.det
    slogdet = solve.slogdet
    logdet = solve.logdet
    trace = solve.trace
