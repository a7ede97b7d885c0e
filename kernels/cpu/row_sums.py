"""Sums over rows in whole vectors, tails masked: along a row, of what a formula gives, and down the columns of many."""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from .over_rows import FUSED, Numbers, numbers_at, row_type
from .vectors import Vectors, integer

TOGETHER = 4  # vectors that are summed at once along a row: each sum must wait for the one before it
WIDE = 4  # vectors of columns at a time: rows may lie in a page each, which is looked up once for all of them


def row_sums(formula: Callable[..., tuple[Numbers, Numbers]]) -> Any:
    """Of a formula of two results, the intrinsic (columns, *operands): the sum of each along a row, in float64.

    An operand is a pointer to a row or a number, in the order of the formula's parameters; see `over_rows`. They are
    added up in the rows' dtype, so there should be some thousand columns at most. Nothing is checked.
    """

    def typed(context, columns, *operands):
        kind = row_type(operands)
        kinds = [kind if operand == kind else kind.dtype for operand in operands]
        signature = types.UniTuple(types.float64, 2)(types.int64, types.Tuple(kinds))

        def codegen(context, builder, signature, arguments):
            columns, operands = arguments
            vectors = Vectors(builder, str(kind.dtype))
            operands = cgutils.unpack_tuple(builder, operands)
            totals = [[cgutils.alloca_once_value(builder, vectors.zero()) for _ in range(TOGETHER)] for _ in range(2)]

            def add(column, k, mask=None):
                results = formula(*[numbers_at(vectors, operand, column, mask) for operand in operands])
                for total, result in zip(totals, results, strict=True):
                    term = result.value if mask is None else builder.select(mask, result.value, vectors.zero())
                    builder.store(builder.fadd(builder.load(total[k]), term, flags=FUSED), total[k])

            step = vectors.lanes * TOGETHER
            whole = builder.sub(columns, builder.srem(columns, integer(step)))
            with cgutils.for_range_slice(builder, integer(0), whole, integer(step)) as (column, _):
                for k in range(TOGETHER):
                    add(builder.add(column, integer(k * vectors.lanes)), k)
            with cgutils.for_range_slice(builder, whole, columns, integer(vectors.lanes)) as (column, _):
                add(column, 0, vectors.first_lanes(builder.sub(columns, column)))
            joined = []
            for total in totals:
                a, b, c, d = (builder.load(part) for part in total)
                joined.append(builder.fadd(builder.fadd(a, b), builder.fadd(c, d)))
            double = ir.DoubleType()
            sums = [x if x.type == double else builder.fpext(x, double) for x in vectors.totals(joined)]
            return context.make_tuple(builder, signature.return_type, sums)

        return signature, codegen

    typed.__name__ = formula.__name__
    return intrinsic(typed)


@intrinsic
def column_sums(context, count, columns, source, source_row, to, adds):
    """to[j] (+)= Σ_i source[i·source_row + j] for i < count and j < columns; added to what is there if `adds`.

    In an order that depends on `count` alone: four sums of every fourth row, so that none waits for another.
    """
    whole = types.int64
    signature = types.void(whole, whole, source, whole, source, types.boolean)

    def codegen(context, builder, signature, arguments):
        count, columns, source, source_row, to, adds = arguments
        vectors = Vectors(builder, str(signature.args[2].dtype))
        lanes = vectors.lanes
        fours = builder.sub(count, builder.srem(count, integer(4)))

        def sum_up(column, width, mask):
            places = [builder.add(column, integer(lanes * j)) for j in range(width)]
            sums = [[cgutils.alloca_once(builder, vectors.type) for _ in places] for _ in range(4)]  # registers
            for row in sums:
                for slot in row:
                    builder.store(vectors.zero(), slot)

            def add(row, slots):
                first = vectors.at(source, builder.mul(row, source_row))
                for place, slot in zip(places, slots):
                    builder.store(builder.fadd(builder.load(slot), vectors.load(vectors.at(first, place), mask)), slot)

            with cgutils.for_range_slice(builder, integer(0), fours, integer(4)) as (row, _):
                for i, slots in enumerate(sums):
                    add(builder.add(row, integer(i)), slots)
            with cgutils.for_range_slice(builder, fours, count, integer(1)) as (row, _):
                add(row, sums[0])
            for place, *slots in zip(places, *sums):
                a, b, c, d = (builder.load(slot) for slot in slots)
                total = builder.fadd(builder.fadd(a, b), builder.fadd(c, d))
                before = vectors.broadcast(adds) if mask is None else builder.and_(mask, vectors.broadcast(adds))
                total = builder.fadd(vectors.load(vectors.at(to, place), before), total)
                vectors.store(total, vectors.at(to, place), mask)

        wide = integer(WIDE * lanes)
        rest = builder.sub(columns, builder.srem(columns, wide))
        with cgutils.for_range_slice(builder, integer(0), rest, wide) as (column, _):
            sum_up(column, WIDE, None)
        with cgutils.for_range_slice(builder, rest, columns, integer(lanes)) as (column, _):
            sum_up(column, 1, vectors.first_lanes(builder.sub(columns, column)))
        return context.get_dummy_value()

    return signature, codegen
