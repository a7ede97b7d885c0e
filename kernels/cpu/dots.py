"""Sums over an axis that is contiguous in both operands: rows of A against rows of B, vector by vector.

For products of few rows this reads each number once and as it lies; the register tile would have to turn B over first,
which costs more than a few rows' arithmetic.
"""

import numba
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from .machine_code import Written, link
from .tile import ACCUMULATE, COLUMN_BIAS, ROW_BIAS
from .vectors import BIT, INT64, REAL, Vectors, at, integer

SQUARE, LONG = (4, 4), (1, 8)  # rows of A by rows of B at a time: each vector loaded serves four sums, or one


@numba.njit(error_model="numpy")
def dots(a, a_row, b, b_row, m, n, size, c, c_row, c_column, start, bias, relu):
    """c[i·c_row + j·c_column] = start + Σ_k a[i·a_row + k] · b[j·b_row + k], for i < m and j < n.

    a, b, c and bias are pointers, and nothing is checked; `start` and `relu` are a `tile`'s. The order of each sum
    depends on `size` alone.
    """
    rows, columns = LONG if m == 1 else SQUARE
    for j in range(0, n, columns):
        for i in range(0, m, rows):
            _block(
                at(a, i * a_row), a_row, at(b, j * b_row), b_row, min(rows, m - i), min(columns, n - j), size,
                at(c, i * c_row + j * c_column), c_row, c_column, start,
                at(bias, j if start == COLUMN_BIAS else i if start == ROW_BIAS else 0), relu,
            )  # fmt: skip


@intrinsic
def _block(context, a, a_row, b, b_row, m, n, size, c, c_row, c_column, start, bias, relu):
    whole = types.int64
    signature = types.void(a, whole, b, *[whole] * 4, c, *[whole] * 3, bias, types.boolean)

    def codegen(context, builder, signature, arguments):
        builder.call(_function(builder.module, str(a.dtype)), arguments)
        link(_name(str(a.dtype)))
        return context.get_dummy_value()

    return signature, codegen


def _function(module: ir.Module, dtype: str) -> ir.Function:
    """All sizes of a block, as declared in a module; the code is linked."""
    name, number, whole = _name(dtype), REAL[dtype].as_pointer(), INT64
    parameters = [number, whole, number, *[whole] * 4, number, *[whole] * 3, number, BIT]
    return module.globals.get(name) or ir.Function(module, ir.FunctionType(ir.VoidType(), parameters), name)


def _name(dtype: str) -> str:
    return f"minipar.dots.{dtype}"


def _define(dtype: str) -> None:
    Written(_name(dtype), lambda module: _Writer(_function(module, dtype), dtype).write())


class _Writer:
    """Writes the body: a switch over the block's size, for each a loop over the vectors of k."""

    def __init__(self, function: ir.Function, dtype: str) -> None:
        self.builder = ir.IRBuilder(function.append_basic_block("entry"))
        self.vectors = Vectors(self.builder, dtype)
        (self.a, self.a_row, self.b, self.b_row, self.m, self.n, self.size,
         self.c, self.c_row, self.c_column, self.start, self.bias, self.relu) = function.args  # fmt: skip

    def write(self) -> None:
        b, v = self.builder, self.vectors
        self.whole = b.mul(b.sdiv(self.size, integer(v.lanes)), integer(v.lanes))
        self.rest = b.sub(self.size, self.whole)
        self._prepare()
        sizes = {(m, n) for rows, columns in (SQUARE, LONG) for m in range(1, rows + 1) for n in range(1, columns + 1)}
        end = b.append_basic_block("end")
        most = max(columns for _, columns in (SQUARE, LONG)) + 1
        n_fits = b.append_basic_block("n_fits")
        b.cbranch(b.icmp_unsigned("<", self.n, integer(most)), n_fits, end)
        b.position_at_end(n_fits)
        choice = b.switch(b.add(b.mul(self.m, integer(most)), self.n), end)
        for m, n in sorted(sizes):
            block = b.append_basic_block(f"m{m}n{n}")
            choice.add_case(integer(m * most + n), block)
            b.position_at_end(block)
            self._dots(m, n)
            b.branch(end)
        b.position_at_end(end)
        b.ret_void()

    def _prepare(self) -> None:
        """Where the sums start from, as a matrix whose strides may be 0."""
        b, real = self.builder, self.vectors.real
        none = b.alloca(real)
        b.store(ir.Constant(real, 0.0), none)
        adds, of_columns, of_rows = (
            b.icmp_signed("==", self.start, integer(kind)) for kind in (ACCUMULATE, COLUMN_BIAS, ROW_BIAS)
        )
        self.first = b.select(adds, self.c, b.select(b.or_(of_columns, of_rows), self.bias, none))
        self.first_row = b.select(adds, self.c_row, b.select(of_rows, integer(1), integer(0)))
        self.first_column = b.select(adds, self.c_column, b.select(of_columns, integer(1), integer(0)))
        self.floor = b.select(self.relu, ir.Constant(real, 0.0), ir.Constant(real, float("-inf")))

    def _dots(self, m: int, n: int) -> None:
        b, v = self.builder, self.vectors
        of_a = [v.at(self.a, b.mul(self.a_row, integer(i))) for i in range(m)]
        of_b = [v.at(self.b, b.mul(self.b_row, integer(j))) for j in range(n)]
        sums = [[cgutils.alloca_once_value(b, v.zero()) for _ in of_b] for _ in of_a]  # LLVM makes them registers
        for row in sums:
            for slot in row:
                b.store(v.zero(), slot)

        def add(k, mask=None):
            right = [v.load(v.at(pointer, k), mask) for pointer in of_b]
            for pointer, row in zip(of_a, sums):
                left = v.load(v.at(pointer, k), mask)
                for vector, slot in zip(right, row):
                    b.store(v.multiply_add(left, vector, b.load(slot)), slot)

        with cgutils.for_range_slice(b, integer(0), self.whole, integer(v.lanes)) as (k, _):
            add(k)
        with b.if_then(b.icmp_signed(">", self.rest, integer(0))):
            add(self.whole, v.first_lanes(self.rest))
        for i, row in enumerate(sums):
            for j, total in enumerate(v.totals([b.load(slot) for slot in row])):
                offset = b.add(b.mul(self.first_row, integer(i)), b.mul(self.first_column, integer(j)))
                value = b.fadd(b.load(v.at(self.first, offset)), total)
                value = b.select(b.fcmp_ordered("<", value, self.floor), self.floor, value)
                place = b.add(b.mul(self.c_row, integer(i)), b.mul(self.c_column, integer(j)))
                b.store(value, v.at(self.c, place))


for _dtype in REAL:
    _define(_dtype)
