"""Tensor's in-place forms: `x.add_(y)` is x ← x + y in x's own memory, and the tape notices (`ops/inplace.py`).

The name of an in-place form is that of the operation with an underscore; most are one line each.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from ..ops import (
    activation_rectified,
    arithmetic,
    broadcast,
    compare,
    division,
    exponential,
    extremes,
    floats,
    gamma,
    hyperbolic,
    index,
    index_put,
    linalg,
    magnitude,
    norm,
    overwrite,
    power,
    rounding,
    scan,
    scatter,
    select,
    special,
    triangle,
    trigonometry,
)
from ..ops.inplace import in_place
from ..tape import Value
from .arrays import as_array
from .described import Described


def _in_place(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The method `name`: x ← function(x, …)."""

    @wraps(function)
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return in_place(self, name, lambda x: function(x, *args, **kwargs))

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"x ← {function.__name__}(x, …), in place; returns x. See `minipar.{function.__name__}`."
    return method


class InPlace(Described):
    """The part of a Tensor that changes its own memory."""

    __slots__ = ()

    # ── arithmetic ────────────────────────────────────────────────────────────────────────────────────────────────────

    add_ = _in_place("add_", arithmetic.add)
    sub_ = _in_place("sub_", arithmetic.sub)
    subtract_ = _in_place("subtract_", arithmetic.sub)
    mul_ = _in_place("mul_", arithmetic.mul)
    multiply_ = _in_place("multiply_", arithmetic.mul)
    neg_ = _in_place("neg_", arithmetic.neg)
    negative_ = _in_place("negative_", arithmetic.neg)
    lerp_ = _in_place("lerp_", arithmetic.lerp)
    addcmul_ = _in_place("addcmul_", arithmetic.addcmul)
    addcdiv_ = _in_place("addcdiv_", arithmetic.addcdiv)
    addmm_ = _in_place("addmm_", linalg.addmm)
    addmv_ = _in_place("addmv_", linalg.addmv)
    addr_ = _in_place("addr_", linalg.addr)
    addbmm_ = _in_place("addbmm_", linalg.addbmm)
    baddbmm_ = _in_place("baddbmm_", linalg.baddbmm)

    # ── division ──────────────────────────────────────────────────────────────────────────────────────────────────────

    div_ = _in_place("div_", division.div)
    divide_ = _in_place("divide_", division.div)
    true_divide_ = _in_place("true_divide_", division.true_divide)
    floor_divide_ = _in_place("floor_divide_", division.floor_divide)
    remainder_ = _in_place("remainder_", division.remainder)
    fmod_ = _in_place("fmod_", division.fmod)

    # ── powers and roots ──────────────────────────────────────────────────────────────────────────────────────────────

    pow_ = _in_place("pow_", power.pow)
    float_power_ = _in_place("float_power_", power.float_power)
    square_ = _in_place("square_", power.square)
    sqrt_ = _in_place("sqrt_", power.sqrt)
    rsqrt_ = _in_place("rsqrt_", power.rsqrt)
    reciprocal_ = _in_place("reciprocal_", power.reciprocal)
    ldexp_ = _in_place("ldexp_", power.ldexp)

    # ── exponentials and logarithms ───────────────────────────────────────────────────────────────────────────────────

    exp_ = _in_place("exp_", exponential.exp)
    exp2_ = _in_place("exp2_", exponential.exp2)
    expm1_ = _in_place("expm1_", exponential.expm1)
    log_ = _in_place("log_", exponential.log)
    log1p_ = _in_place("log1p_", exponential.log1p)
    log2_ = _in_place("log2_", exponential.log2)
    log10_ = _in_place("log10_", exponential.log10)
    xlogy_ = _in_place("xlogy_", exponential.xlogy)
    sigmoid_ = _in_place("sigmoid_", exponential.sigmoid)
    logit_ = _in_place("logit_", exponential.logit)

    # ── trigonometry ──────────────────────────────────────────────────────────────────────────────────────────────────

    sin_ = _in_place("sin_", trigonometry.sin)
    cos_ = _in_place("cos_", trigonometry.cos)
    tan_ = _in_place("tan_", trigonometry.tan)
    asin_ = _in_place("asin_", trigonometry.asin)
    arcsin_ = _in_place("arcsin_", trigonometry.asin)
    acos_ = _in_place("acos_", trigonometry.acos)
    arccos_ = _in_place("arccos_", trigonometry.acos)
    atan_ = _in_place("atan_", trigonometry.atan)
    arctan_ = _in_place("arctan_", trigonometry.atan)
    atan2_ = _in_place("atan2_", trigonometry.atan2)
    arctan2_ = _in_place("arctan2_", trigonometry.atan2)
    hypot_ = _in_place("hypot_", trigonometry.hypot)
    sinc_ = _in_place("sinc_", trigonometry.sinc)
    deg2rad_ = _in_place("deg2rad_", trigonometry.deg2rad)
    rad2deg_ = _in_place("rad2deg_", trigonometry.rad2deg)

    # ── hyperbolic functions ──────────────────────────────────────────────────────────────────────────────────────────

    sinh_ = _in_place("sinh_", hyperbolic.sinh)
    cosh_ = _in_place("cosh_", hyperbolic.cosh)
    tanh_ = _in_place("tanh_", hyperbolic.tanh)
    asinh_ = _in_place("asinh_", hyperbolic.asinh)
    arcsinh_ = _in_place("arcsinh_", hyperbolic.asinh)
    acosh_ = _in_place("acosh_", hyperbolic.acosh)
    arccosh_ = _in_place("arccosh_", hyperbolic.acosh)
    atanh_ = _in_place("atanh_", hyperbolic.atanh)
    arctanh_ = _in_place("arctanh_", hyperbolic.atanh)

    # ── the error function ────────────────────────────────────────────────────────────────────────────────────────────

    erf_ = _in_place("erf_", special.erf)
    erfc_ = _in_place("erfc_", special.erfc)
    erfinv_ = _in_place("erfinv_", special.erfinv)

    # ── the gamma function ────────────────────────────────────────────────────────────────────────────────────────────

    lgamma_ = _in_place("lgamma_", gamma.lgamma)
    digamma_ = _in_place("digamma_", gamma.digamma)
    mvlgamma_ = _in_place("mvlgamma_", gamma.mvlgamma)

    def polygamma_(self, n: int) -> Any:
        """x ← polygamma(n, x), in place; returns x."""
        return in_place(self, "polygamma_", lambda x: gamma.polygamma(n, x))

    nextafter_ = _in_place("nextafter_", floats.nextafter)

    # ── size and sign ─────────────────────────────────────────────────────────────────────────────────────────────────

    abs_ = _in_place("abs_", magnitude.abs_)
    absolute_ = _in_place("absolute_", magnitude.abs_)
    sign_ = _in_place("sign_", magnitude.sign)
    sgn_ = _in_place("sgn_", magnitude.sign)
    copysign_ = _in_place("copysign_", magnitude.copysign)
    heaviside_ = _in_place("heaviside_", magnitude.heaviside)

    # ── rounding ──────────────────────────────────────────────────────────────────────────────────────────────────────

    floor_ = _in_place("floor_", rounding.floor)
    ceil_ = _in_place("ceil_", rounding.ceil)
    trunc_ = _in_place("trunc_", rounding.trunc)
    fix_ = _in_place("fix_", rounding.trunc)
    round_ = _in_place("round_", rounding.round)
    frac_ = _in_place("frac_", rounding.frac)

    # ── extremes and bounds ───────────────────────────────────────────────────────────────────────────────────────────

    clamp_ = _in_place("clamp_", extremes.clamp)
    clip_ = _in_place("clip_", extremes.clamp)
    clamp_min_ = _in_place("clamp_min_", extremes.clamp_min)
    clamp_max_ = _in_place("clamp_max_", extremes.clamp_max)

    # ── comparisons, logic, bits ──────────────────────────────────────────────────────────────────────────────────────

    eq_ = _in_place("eq_", compare.eq)
    ne_ = _in_place("ne_", compare.ne)
    not_equal_ = _in_place("not_equal_", compare.ne)
    lt_ = _in_place("lt_", compare.lt)
    less_ = _in_place("less_", compare.lt)
    le_ = _in_place("le_", compare.le)
    less_equal_ = _in_place("less_equal_", compare.le)
    gt_ = _in_place("gt_", compare.gt)
    greater_ = _in_place("greater_", compare.gt)
    ge_ = _in_place("ge_", compare.ge)
    greater_equal_ = _in_place("greater_equal_", compare.ge)
    logical_and_ = _in_place("logical_and_", compare.logical_and)
    logical_or_ = _in_place("logical_or_", compare.logical_or)
    logical_xor_ = _in_place("logical_xor_", compare.logical_xor)
    logical_not_ = _in_place("logical_not_", compare.logical_not)
    bitwise_and_ = _in_place("bitwise_and_", compare.bitwise_and)
    bitwise_or_ = _in_place("bitwise_or_", compare.bitwise_or)
    bitwise_xor_ = _in_place("bitwise_xor_", compare.bitwise_xor)
    bitwise_not_ = _in_place("bitwise_not_", compare.bitwise_not)
    bitwise_left_shift_ = _in_place("bitwise_left_shift_", compare.bitwise_left_shift)
    bitwise_right_shift_ = _in_place("bitwise_right_shift_", compare.bitwise_right_shift)
    gcd_ = _in_place("gcd_", compare.gcd)
    lcm_ = _in_place("lcm_", compare.lcm)

    # ── choosing ──────────────────────────────────────────────────────────────────────────────────────────────────────

    nan_to_num_ = _in_place("nan_to_num_", select.nan_to_num)

    __iadd__, __isub__, __imul__, __itruediv__ = add_, sub_, mul_, div_
    __ifloordiv__, __imod__, __ipow__ = floor_divide_, remainder_, pow_
    __iand__, __ior__, __ixor__ = bitwise_and_, bitwise_or_, bitwise_xor_
    __ilshift__, __irshift__ = bitwise_left_shift_, bitwise_right_shift_

    # ── activations ───────────────────────────────────────────────────────────────────────────────────────────────────

    relu_ = _in_place("relu_", activation_rectified.relu)

    # ── indices and masks ─────────────────────────────────────────────────────────────────────────────────────────────

    scatter_ = _in_place("scatter_", scatter.scatter)
    scatter_add_ = _in_place("scatter_add_", scatter.scatter_add)
    scatter_reduce_ = _in_place("scatter_reduce_", scatter.scatter_reduce)
    index_add_ = _in_place("index_add_", index_put.index_add)
    index_copy_ = _in_place("index_copy_", index_put.index_copy)
    index_fill_ = _in_place("index_fill_", index_put.index_fill)
    index_put_ = _in_place("index_put_", index_put.index_put)
    index_reduce_ = _in_place("index_reduce_", overwrite.index_reduce)
    put_ = _in_place("put_", overwrite.put)
    masked_fill_ = _in_place("masked_fill_", index_put.masked_fill)
    masked_scatter_ = _in_place("masked_scatter_", index_put.masked_scatter)

    # ── triangles and diagonals ───────────────────────────────────────────────────────────────────────────────────────

    tril_ = _in_place("tril_", triangle.tril)
    triu_ = _in_place("triu_", triangle.triu)
    fill_diagonal_ = _in_place("fill_diagonal_", triangle.fill_diagonal)
    fill_diagonal_.__doc__ = triangle.fill_diagonal.__doc__  # which has no other name

    # ── scans and norms ───────────────────────────────────────────────────────────────────────────────────────────────

    cumsum_ = _in_place("cumsum_", scan.cumsum)
    cumprod_ = _in_place("cumprod_", scan.cumprod)
    renorm_ = _in_place("renorm_", norm.renorm)

    # ── assignment ────────────────────────────────────────────────────────────────────────────────────────────────

    def fill_(self, value: Any) -> Any:
        """Every element ← value.

        >>> minipar.zeros(2).fill_(3)
        tensor([3., 3.])
        """
        if getattr(value, "shape", ()):
            raise RuntimeError(f"fill_: value must be a number or a 0-d tensor, not of shape {tuple(value.shape)}")
        return self._overwrite("fill_", as_array(value, self.dtype, like=self.array))

    def zero_(self) -> Any:
        """Every element ← 0.

        >>> minipar.ones(2).zero_()
        tensor([0., 0.])
        """
        return self._overwrite("zero_", as_array(0, self.dtype, like=self.array))

    def copy_(self, other: Any, non_blocking: bool = False) -> Any:
        """Every element ← the corresponding one of `other`, which is broadcast, cast and moved to this device.

        `non_blocking` is a permission to be late, and is not used: the copy is made when this returns.

        >>> minipar.zeros(2, 2).copy_(minipar.tensor([1, 2]))
        tensor([[1., 2.],
                [1., 2.]])
        """
        if not hasattr(other, "array"):
            raise TypeError(f"copy_: other must be a tensor, not {type(other).__name__}")
        if broadcast.broadcast_shapes(self.shape, other.shape) != self.shape:
            raise RuntimeError(f"copy_: other has shape {other.shape}, which does not broadcast to {self.shape}")
        return self._overwrite("copy_", other.to(self.device, self.dtype))

    def _overwrite(self, name: str, value: Value | Any) -> Any:
        return in_place(self, name, lambda x: index.SetItem(...)(x, value))
