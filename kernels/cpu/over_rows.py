"""Element-wise formulas over blocks of rows, written as vectors: `@over_rows`.

The rows of a small network are two vectors long. A loop of Numba's over them looks first whether its operands overlap,
then expects four vectors at a time, and does the rest number by number; here each row is whole vectors and a mask for
what is left, and whatever a formula computes stays in registers until it is stored.

    @over_rows
    def tanh_slope(y, g):
        return g * (1 - y * y)

makes an intrinsic of compiled code, `tanh_slope(count, columns, y, y_row, g, g_row, to, to_row)`: `count` rows of
`columns` numbers at the pointer y, y_row elements from one row to the next, and so on; a row at distance 0 is one for
all. What is read comes first, in the order of the parameters, then a place for each result; a result may take the place
of what was read. Nothing is checked. A formula is run once, on `Numbers`, to write the instructions.
"""

import inspect
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from .vectors import Vectors, integer


class Numbers:
    """A vector of numbers in a formula: `+ - * /` with another or with a constant."""

    __slots__ = ("vectors", "value")

    def __init__(self, vectors: Vectors, value: Any):
        self.vectors, self.value = vectors, value

    def of(self, other: Any) -> Any:
        """Another vector's value, or that of a constant in every lane."""
        if isinstance(other, Numbers):
            return other.value
        return ir.Constant(self.vectors.type, [float(other)] * self.vectors.lanes)

    def new(self, value: Any) -> "Numbers":
        return Numbers(self.vectors, value)

    def __add__(self, other: Any) -> "Numbers":
        return self.new(self.vectors.builder.fadd(self.value, self.of(other)))

    def __sub__(self, other: Any) -> "Numbers":
        return self.new(self.vectors.builder.fsub(self.value, self.of(other)))

    def __mul__(self, other: Any) -> "Numbers":
        return self.new(self.vectors.builder.fmul(self.value, self.of(other)))

    def __truediv__(self, other: Any) -> "Numbers":
        return self.new(self.vectors.builder.fdiv(self.value, self.of(other)))

    __radd__, __rmul__ = __add__, __mul__

    def __rsub__(self, other: Any) -> "Numbers":
        return self.new(self.of(other)) - self

    def __rtruediv__(self, other: Any) -> "Numbers":
        return self.new(self.of(other)) / self

    def times_plus(self, a: Any, b: Any) -> "Numbers":
        """self · a + b, rounded once where the processor can."""
        return self.new(self.vectors.multiply_add(self.value, self.of(a), self.of(b)))

    def within(self, low: float, high: float) -> "Numbers":
        """Not below `low` and not above `high`; a NaN stays one."""
        builder, least, most = self.vectors.builder, self.of(low), self.of(high)
        value = builder.select(builder.fcmp_ordered("<", self.value, least), least, self.value)
        return self.new(builder.select(builder.fcmp_ordered(">", value, most), most, value))

    def not_negative(self) -> "Numbers":
        """0 in place of what is below; a NaN stays one."""
        builder, zero = self.vectors.builder, self.of(0)
        return self.new(builder.select(builder.fcmp_ordered("<", self.value, zero), zero, self.value))

    def where_positive(self, of: "Numbers") -> "Numbers":
        """This where `of` is above 0, else 0."""
        builder, zero = self.vectors.builder, self.of(0)
        return self.new(builder.select(builder.fcmp_ordered(">", of.value, zero), self.value, zero))


def over_rows(formula: Callable[..., Any]) -> Any:
    """The intrinsic that runs a formula over rows; see above."""
    reads = len(inspect.signature(formula).parameters)

    def typed(context, count, columns, *operands):
        signature = types.void(types.int64, types.int64, types.Tuple([operands[0], types.int64] * (len(operands) // 2)))

        def codegen(context, builder, signature, arguments):
            count, columns, places = arguments
            places = cgutils.unpack_tuple(builder, places)
            pointers, strides = places[::2], places[1::2]
            vectors = Vectors(builder, str(operands[0].dtype))
            lanes = integer(vectors.lanes)
            rest = builder.srem(columns, lanes)
            whole = builder.sub(columns, rest)
            mask = vectors.first_lanes(rest)
            has_rest = builder.icmp_signed(">", rest, integer(0))

            def compute(rows, column, mask=None):
                loaded = [Numbers(vectors, vectors.load(vectors.at(row, column), mask)) for row in rows[:reads]]
                results = formula(*loaded)
                results = results if isinstance(results, tuple) else (results,)
                for result, row in zip(results, rows[reads:], strict=True):
                    vectors.store(result.value, vectors.at(row, column), mask)

            with cgutils.for_range(builder, count) as row:
                rows = [vectors.at(p, builder.mul(row.index, stride)) for p, stride in zip(pointers, strides)]
                with cgutils.for_range_slice(builder, integer(0), whole, lanes) as (column, _):
                    compute(rows, column)
                with builder.if_then(has_rest):
                    compute(rows, whole, mask)
            return context.get_dummy_value()

        return signature, codegen

    typed.__name__ = formula.__name__
    return intrinsic(typed)


WIDE = 4  # vectors of columns at a time: rows may lie in a page each, which is looked up once for all of them


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
