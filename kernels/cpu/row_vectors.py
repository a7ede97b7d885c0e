"""Loops along rows in whole vectors, tails too: for rows so short that the tail is most of the work.

What a loop computes is given as a formula over vectors, in LLVM IR: `formula(v, *vectors, *numbers)`, where v is the
`Vectors` that writes, the vectors are those of the rows at one place, and the numbers are in every lane. Rows come as a
tuple of pointers, numbers as a tuple, and so does what is written. A tail is loaded with its lanes masked: nothing
beyond n numbers is read or written. **No index is checked.**
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from .vectors import Vectors, integer

_TOGETHER = 4  # vectors that are summed at once: each sum must wait for the one before it


def mapped(formula: Callable[..., tuple[Any, ...]]) -> Any:
    """An intrinsic (rows, numbers, to, n): to[…][j] = what the formula of rows[…][j] gives, one for each, for j < n."""

    @intrinsic
    def map_rows(context, rows, numbers, to, n):
        def codegen(context, builder, signature, arguments):
            v = Vectors(builder, str(to.dtype.dtype))
            rows, to_ = (cgutils.unpack_tuple(builder, arguments[i]) for i in (0, 2))
            numbers, n = _everywhere(v, arguments[1]), arguments[3]
            whole = builder.and_(n, integer(-v.lanes))
            for first, last in ((integer(0), whole), (whole, n)):
                with cgutils.for_range_slice(builder, first, last, integer(v.lanes)) as (j, _):
                    mask = None if last is whole else v.first_lanes(builder.sub(last, j))
                    results = formula(v, *[v.load(v.at(row, j), mask) for row in rows], *numbers)
                    for place, result in zip(to_, results, strict=True):
                        v.store(result, v.at(place, j), mask)
            return context.get_dummy_value()

        return types.void(rows, numbers, to, types.int64), codegen

    return map_rows


def summed(formula: Callable[..., tuple[Any, Any]]) -> Any:
    """An intrinsic (rows, numbers, n): Σ over j < n of each of the two that the formula of rows[…][j] gives, float64.

    They are summed in the rows' dtype, so n should be some thousand at most.
    """

    @intrinsic
    def sum_rows(context, rows, numbers, n):
        def codegen(context, builder, signature, arguments):
            v = Vectors(builder, str(rows.dtype.dtype))
            rows_, numbers = cgutils.unpack_tuple(builder, arguments[0]), _everywhere(v, arguments[1])
            n = arguments[2]
            totals = [[cgutils.alloca_once_value(builder, v.zero()) for _ in range(_TOGETHER)] for _ in range(2)]

            def add(j, k, mask=None):
                terms = formula(v, *[v.load(v.at(row, j), mask) for row in rows_], *numbers)
                for total, term in zip(totals, terms):
                    term = term if mask is None else builder.select(mask, term, v.zero())
                    builder.store(builder.fadd(builder.load(total[k]), term, flags=_FUSED), total[k])

            step = v.lanes * _TOGETHER
            whole = builder.and_(n, integer(-step))
            with cgutils.for_range_slice(builder, integer(0), whole, integer(step)) as (j, _):
                for k in range(_TOGETHER):
                    add(builder.add(j, integer(k * v.lanes)), k)
            with cgutils.for_range_slice(builder, whole, n, integer(v.lanes)) as (j, _):
                add(j, 0, v.first_lanes(builder.sub(n, j)))
            vectors = []
            for total in totals:
                a, b, c, d = [builder.load(part) for part in total]
                vectors.append(builder.fadd(builder.fadd(a, b), builder.fadd(c, d)))
            double = ir.DoubleType()
            sums = [x if x.type == double else builder.fpext(x, double) for x in v.totals(vectors)]
            return context.make_tuple(builder, signature.return_type, sums)

        return types.UniTuple(types.float64, 2)(rows, numbers, types.int64), codegen

    return sum_rows


_FUSED = ("contract",)  # a product and the sum behind it may be one instruction


def minus(v: Vectors, a: Any, b: Any) -> Any:
    return v.builder.fsub(a, b)


def times(v: Vectors, a: Any, b: Any) -> Any:
    return v.builder.fmul(a, b, flags=_FUSED)


def _everywhere(v: Vectors, numbers: Any) -> list[Any]:
    return [v.broadcast(number) for number in cgutils.unpack_tuple(v.builder, numbers)]
