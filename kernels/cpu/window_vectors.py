"""Sums of the numbers of windows in vector registers; LLVM IR, with the words of ``vectors``. **No index is checked.**

Windows a stride of 2 apart are read as two vectors of which every other lane is kept.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from .vectors import Vectors, first_element, integer


@intrinsic
def sum_row(context, x, o, rows, row_step, columns, stride, divisor, y, t, n, more):
    """y[t + j] = the sum of x[o + i·row_step + j·stride + c] over i < rows and c < columns, over divisor, for j < n.

    The stride is 1 or 2; with `more`, the sum is added to what lies in y.
    """
    whole = types.int64
    signature = types.void(x, *[whole] * 5, x.dtype, y, whole, whole, types.boolean)

    def codegen(context, builder, signature, arguments):
        v = Vectors(builder, str(x.dtype))
        source, result = (
            builder.gep(first_element(context, builder, signature.args[i], arguments[i]), [arguments[i + 1]])
            for i in (0, 7)
        )
        rows, row_step, columns, stride, divisor = arguments[2:7]
        n, more = arguments[9:]
        total, value = cgutils.alloca_once(builder, v.type), cgutils.alloca_once(builder, v.type)
        twice = builder.icmp_signed("==", stride, integer(2))
        divided = builder.fcmp_unordered("!=", divisor, ir.Constant(v.real, 1.0))
        with each_vector(v, n) as (j, mask):
            builder.store(v.zero(), total)
            with cgutils.for_range(builder, rows) as i:
                row = v.at(source, builder.add(builder.mul(i.index, row_step), builder.mul(j, stride)))
                with cgutils.for_range(builder, columns) as c:
                    start = v.at(row, c.index)
                    with builder.if_else(twice) as (even, plain):
                        with even:
                            builder.store(every_other(v, start, builder.sub(n, j)), value)
                        with plain:
                            builder.store(v.load(start, mask), value)
                    builder.store(builder.fadd(builder.load(total), builder.load(value)), total)
            with builder.if_then(divided):
                builder.store(builder.fdiv(builder.load(total), v.broadcast(divisor)), total)
            to = v.at(result, j)
            with builder.if_then(more):
                builder.store(builder.fadd(builder.load(total), v.load(to, mask)), total)
            v.store(builder.load(total), to, mask)
        return context.get_dummy_value()

    return signature, codegen


@contextmanager
def each_vector(v: Vectors, n: Any) -> Iterator[tuple[Any, Any]]:
    """For j = 0, lanes, 2·lanes, … below n: (j, the mask of the lanes that are left)."""
    with cgutils.for_range_slice(v.builder, integer(0), n, integer(v.lanes)) as (j, _):
        yield j, v.first_lanes(v.builder.sub(n, j))


def every_other(v: Vectors, start: Any, n: Any) -> Any:
    """Numbers 0, 2, 4, … from `start` on, the first n of them."""
    last = v.builder.sub(v.builder.mul(n, integer(2)), integer(1))
    low = v.load(start, v.first_lanes(last))
    high = v.load(v.at(start, integer(v.lanes)), v.first_lanes(v.builder.sub(last, integer(v.lanes))))
    return v.shuffle(low, high, list(range(0, 2 * v.lanes, 2)))
