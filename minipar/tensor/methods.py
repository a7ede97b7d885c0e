"""Functions as methods: `x.exp()` is `minipar.exp(x)`. One line each, by family, in the order of minipar/ops."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..backend import namespace
from ..ops import arithmetic, linalg, pointwise, reduce, select, special
from ..ops import shape as shaping
from .described import Described


def sizes(given: tuple) -> Sequence[int]:
    """f(2, 3) and f((2, 3)) mean the same."""
    return given[0] if len(given) == 1 and not isinstance(given[0], int) else given


class Methods(Described):
    """The part of a Tensor that names the operations."""

    __slots__ = ()

    # ── arithmetic ────────────────────────────────────────────────────────────────────────────────────────────────

    add = arithmetic.add
    sub = arithmetic.sub
    mul = arithmetic.mul
    div = arithmetic.div
    neg = arithmetic.neg
    pow = arithmetic.pow
    maximum = arithmetic.maximum
    minimum = arithmetic.minimum

    # ── functions of one number ───────────────────────────────────────────────────────────────────────────────────

    exp = pointwise.exp
    log = pointwise.log
    sqrt = pointwise.sqrt
    sin = pointwise.sin
    cos = pointwise.cos
    tanh = pointwise.tanh
    sigmoid = pointwise.sigmoid
    relu = pointwise.relu
    abs = pointwise.abs_
    sign = pointwise.sign
    clamp = pointwise.clamp
    erf = special.erf
    erfc = special.erfc

    # ── comparing and choosing ────────────────────────────────────────────────────────────────────────────────────

    logical_not = select.logical_not

    def where(self, condition: Any, other: Any) -> Any:
        return select.where(condition, self, other)

    # ── reductions ────────────────────────────────────────────────────────────────────────────────────────────────

    sum = reduce.sum
    mean = reduce.mean
    var = reduce.var
    std = reduce.std
    amax = reduce.amax
    amin = reduce.amin
    max = reduce.max
    min = reduce.min
    argmax = reduce.argmax
    argmin = reduce.argmin
    all = reduce.all
    any = reduce.any
    logsumexp = reduce.logsumexp

    # ── shape ─────────────────────────────────────────────────────────────────────────────────────────────────────

    squeeze = shaping.squeeze
    unsqueeze = shaping.unsqueeze
    flatten = shaping.flatten
    transpose = shaping.transpose
    narrow = shaping.narrow

    def reshape(self, *shape: Any) -> Any:
        return shaping.reshape(self, sizes(shape))

    def view(self, *shape: Any) -> Any:
        """As reshape, but never a copy: RuntimeError where the strides do not allow it."""
        viewed = shaping.reshape(self, sizes(shape))
        if viewed.array.size and not namespace(self.array).may_share_memory(viewed.array, self.array):
            raise RuntimeError(f"view: a tensor of shape {self.shape} with these strides needs a copy; use reshape")
        return viewed

    def permute(self, *dims: Any) -> Any:
        return shaping.permute(self, sizes(dims))

    def expand(self, *shape: Any) -> Any:
        return shaping.expand(self, sizes(shape))

    def expand_as(self, other: Any) -> Any:
        return shaping.expand(self, other.shape)

    @property
    def T(self) -> Any:
        return shaping.permute(self, range(self.ndim)[::-1])

    @property
    def mT(self) -> Any:
        return shaping.transpose(self, -1, -2)

    # ── matrix products ───────────────────────────────────────────────────────────────────────────────────────────

    matmul = linalg.matmul
