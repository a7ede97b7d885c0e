"""Element-wise formulas over blocks of rows, written as vectors: `@over_rows`.

The rows of a small network are two vectors long. A loop of Numba's over them looks first whether its operands overlap,
then expects four vectors at a time, and does the rest number by number; here each row is whole vectors and a mask for
what is left, and whatever a formula computes stays in registers until it is stored.

    @over_rows
    def tanh_slope(y, g):
        return g * (1 - y * y)

makes an intrinsic of compiled code, `tanh_slope(count, columns, y, y_row, g, g_row, to, to_row)`: `count` rows of
`columns` numbers at the pointer y, y_row elements from one row to the next, and so on; a row at distance 0 is one for
all. A number in place of such a pair is in every lane of every row, rounded to the rows' dtype. What is read comes
first, in the order of the parameters, then a place for each result; a result may take the place of what was read.
Nothing is checked. A formula is run once, on `Numbers`, to write the instructions.
"""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from .vectors import Vectors, integer

FUSED = ("contract",)  # a product and a sum may be one instruction where both allow it; the sums of a formula do not


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
        return self.new(self.vectors.builder.fmul(self.value, self.of(other), flags=FUSED))

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


def row_type(operands: Sequence[types.Type]) -> types.CPointer:
    """The type of the rows among the operands of a formula."""
    return next(operand for operand in operands if isinstance(operand, types.CPointer))


def is_row(operand: Any) -> bool:
    """Whether the operand is a pointer to a row, not a number."""
    return isinstance(operand.type, ir.PointerType)


def numbers_at(vectors: Vectors, operand: Any, column: Any, mask: Any) -> Numbers:
    """What a formula reads at a column of a row; a number is in every lane."""
    if is_row(operand):
        return Numbers(vectors, vectors.load(vectors.at(operand, column), mask))
    return Numbers(vectors, vectors.broadcast(operand))


def over_rows(formula: Callable[..., Any]) -> Any:
    """The intrinsic that runs a formula over rows; see above."""
    reads = len(inspect.signature(formula).parameters)

    def typed(context, count, columns, *operands):
        kind = row_type(operands)
        kinds, given = [], iter(operands)
        for operand in given:
            if operand == kind:
                next(given)
                kinds += [kind, types.int64]
            else:
                kinds.append(kind.dtype)
        signature = types.void(types.int64, types.int64, types.Tuple(kinds))

        def codegen(context, builder, signature, arguments):
            count, columns, operands = arguments
            vectors = Vectors(builder, str(kind.dtype))
            values = iter(cgutils.unpack_tuple(builder, operands))
            places = [(value, next(values) if is_row(value) else None) for value in values]
            lanes = integer(vectors.lanes)
            whole = builder.and_(columns, integer(-vectors.lanes))

            def compute(rows, column, mask=None):
                results = formula(*[numbers_at(vectors, row, column, mask) for row in rows[:reads]])
                results = results if isinstance(results, tuple) else (results,)
                for result, row in zip(results, rows[reads:], strict=True):
                    vectors.store(result.value, vectors.at(row, column), mask)

            with cgutils.for_range(builder, count) as row:
                rows = [vectors.at(p, builder.mul(row.index, by)) if by is not None else p for p, by in places]
                with cgutils.for_range_slice(builder, integer(0), whole, lanes) as (column, _):
                    compute(rows, column)
                with cgutils.for_range_slice(builder, whole, columns, lanes) as (column, _):
                    compute(rows, column, vectors.first_lanes(builder.sub(columns, column)))
            return context.get_dummy_value()

        return signature, codegen

    typed.__name__ = formula.__name__
    return intrinsic(typed)
