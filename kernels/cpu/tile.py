"""The register tile: the inner loop of every product, in LLVM IR because Numba's own loops keep no tile in registers.

A tile is a block of C, `rows` by `vectors` vector registers wide, that stays in registers while a loop over k runs: at
each k a row of B is loaded (`vectors` loads), and each row of A gives one number that is broadcast and multiplied into
the row. So 14 + 2 loads feed 28 fused multiply-adds, and the processor's arithmetic is the limit, not its caches. This
is the micro-kernel of Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication" (2008).
"""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from .machine_code import Written, link
from .vectors import AVX2, AVX512, BIT, INT64, LANE_BYTES, REAL, Vectors, first_element, integer, lanes

__all__ = ["AVX2", "AVX512", "LANE_BYTES", "lanes"]  # where those who use tiles look for them
ZERO, ACCUMULATE, COLUMN_BIAS, ROW_BIAS = range(4)  # what a tile's sums start from: 0, C itself, bias[j], bias[i]

_GROUP = 4  # rows whose addresses derive from one pointer; with a pointer a row the compiler spills them


class Shape(NamedTuple):
    rows: int
    vectors: int


# As many accumulators as the registers hold beside a row of B and a number of A: 28 + 2 + 1 of 32, or 12 + 2 + 1 of 16.
TALL = Shape(14, 2) if AVX512 else Shape(6, 2)
# For few rows, more columns: a sum that is added to again must wait some cycles, so 8 or more are needed at a time.
FLAT = Shape(6, 4) if AVX512 else Shape(2, 4)
SINGLE = Shape(2, 8) if AVX512 else Shape(1, 8)


def tile_shape(m: int) -> Shape:
    """Which tile suits products of `m` rows."""
    return SINGLE if m <= SINGLE.rows else FLAT if m <= FLAT.rows else TALL


@cache
def tile(dtype: str | None, rows: int, vectors: int) -> Callable[..., None]:
    """The tile for `dtype` ("float32", "float64"; None: that of `a`) of at most `rows` × `vectors`·lanes.

    To be called from compiled code:

        tile(a, ao, a_row, a_k, a_segment, b, bo, b_row, b_segment, segments, size,
             c, co, c_row, m, n, start, bias, bias_o, relu)

    For i < m ≤ rows and j < n ≤ vectors·lanes(dtype) it sets

        c[co + i·c_row + j] = start + Σ_{s < segments} Σ_{k < size} a[ao + s·a_segment + i·a_row + k·a_k]
                                                                    · b[bo + s·b_segment + k·b_row + j]

    `a`, `b`, `c`, `bias` are arrays of `dtype`, of any shape, or a `pointer` to them: every index counts elements from
    the array's first one, and **no index is checked**. The strides of A are free (a transposed matrix, an image); rows
    of B and C are contiguous. Neither a row nor a lane beyond m and n is read or written, and with m or n outside
    nothing happens.
    `start` is ZERO, ACCUMULATE (C itself), COLUMN_BIAS (bias[bias_o + j]) or ROW_BIAS (bias[bias_o + i]); `relu` then
    replaces what is below 0 (NaN stays). Each element's sum runs over s, then k, in order, whatever m and n are.
    """

    def typed(context, a, ao, a_row, a_k, a_segment, b, bo, b_row, b_segment, segments, size,
              c, co, c_row, m, n, start, bias, bias_o, relu):  # fmt: skip
        whole = types.int64
        signature = types.void(a, *[whole] * 4, b, *[whole] * 5, c, *[whole] * 5, bias, whole, types.boolean)

        def codegen(context, builder, signature, arguments):
            def pointer(array, offset):
                data = first_element(context, builder, signature.args[array], arguments[array])
                return builder.gep(data, [arguments[offset]])

            given = [pointer(0, 1), *arguments[2:5], pointer(5, 6), *arguments[7:11]]
            given += [pointer(11, 12), *arguments[13:17], pointer(17, 18), arguments[19]]
            link(_name(dtype or str(a.dtype), rows, vectors))
            builder.call(_function(builder.module, dtype or str(a.dtype), rows, vectors), given)
            return context.get_dummy_value()

        return signature, codegen

    for each in REAL if dtype is None else (dtype,):
        _define(each, rows, vectors)
    return intrinsic(typed)


def _function(module: ir.Module, dtype: str, rows: int, vectors: int) -> ir.Function:
    """The tile as declared in a module; its code is linked."""
    name = _name(dtype, rows, vectors)
    pointer, whole = REAL[dtype].as_pointer(), INT64
    parameters = [pointer, *[whole] * 3, pointer, *[whole] * 4, pointer, *[whole] * 4, pointer, BIT]
    return module.globals.get(name) or ir.Function(module, ir.FunctionType(ir.VoidType(), parameters), name)


def _name(dtype: str, rows: int, vectors: int) -> str:
    return f"minipar.tile.{dtype}.{rows}x{vectors}"


def _define(dtype: str, rows: int, vectors: int) -> None:
    def write(module: ir.Module) -> None:
        _Writer(_function(module, dtype, rows, vectors), dtype).write(rows, vectors)

    Written(_name(dtype, rows, vectors), write)


class _Writer:
    """Writes the body: a switch over m and the vectors that n needs; for each a loop over k without a test in it."""

    def __init__(self, function: ir.Function, dtype: str) -> None:
        self.builder = ir.IRBuilder(function.append_basic_block("entry"))
        self.vectors = Vectors(self.builder, dtype)
        (self.a, self.a_row, self.a_k, self.a_segment, self.b, self.b_row, self.b_segment, self.segments, self.size,
         self.c, self.c_row, self.m, self.n, self.start, self.bias, self.relu) = function.args  # fmt: skip

    def write(self, rows: int, vectors: int) -> None:
        b, lanes = self.builder, self.vectors.lanes
        needed = b.sdiv(b.add(self.n, integer(lanes - 1)), integer(lanes))
        # With AVX-512 a mask is free, else whole vectors get a loop without.
        whole = b.icmp_signed("==", b.srem(self.n, integer(lanes)), integer(0))
        masked = integer(1) if AVX512 else b.select(whole, integer(0), integer(1))
        self._prepare()
        end = b.append_basic_block("end")
        inside = b.append_basic_block("inside")
        m_fits = b.icmp_unsigned("<", b.sub(self.m, integer(1)), integer(rows))
        n_fits = b.icmp_unsigned("<", b.sub(self.n, integer(1)), integer(vectors * lanes))
        b.cbranch(b.and_(m_fits, n_fits), inside, end)
        b.position_at_end(inside)
        key = b.add(b.mul(b.add(b.mul(needed, integer(2)), masked), integer(rows + 1)), self.m)
        choice = b.switch(key, end)
        for v in range(1, vectors + 1):
            for mask in (1,) if AVX512 else (0, 1):
                for m in range(1, rows + 1):
                    block = b.append_basic_block(f"m{m}v{v}{'masked' * mask}")
                    choice.add_case(integer((2 * v + mask) * (rows + 1) + m), block)
                    b.position_at_end(block)
                    self._tile(m, v, bool(mask))
                    b.branch(end)
        b.position_at_end(end)
        b.ret_void()

    def _prepare(self) -> None:
        """What the sums start from, as a matrix of row stride 0 or more, or as a number a row; and the floor."""
        b, real = self.builder, self.vectors.real
        none = b.alloca(real)
        b.store(ir.Constant(real, 0.0), none)
        is_start = [b.icmp_signed("==", self.start, integer(kind)) for kind in range(4)]
        self.starts_from_vectors = b.or_(is_start[ACCUMULATE], is_start[COLUMN_BIAS])
        self.start_vectors = b.select(is_start[ACCUMULATE], self.c, self.bias)
        self.start_vectors_row = b.select(is_start[ACCUMULATE], self.c_row, integer(0))
        self.start_numbers = b.select(is_start[ROW_BIAS], self.bias, none)
        self.start_numbers_row = b.select(is_start[ROW_BIAS], integer(1), integer(0))
        lowest = b.select(self.relu, ir.Constant(real, 0.0), ir.Constant(real, float("-inf")))
        self.floor = self.vectors.broadcast(lowest)

    def _tile(self, m: int, vectors: int, masked: bool) -> None:
        b, v = self.builder, self.vectors
        rest = b.sub(self.n, integer((vectors - 1) * v.lanes))
        masks = [None] * (vectors - 1) + [v.first_lanes(rest) if masked else None]
        columns = [integer(j * v.lanes) for j in range(vectors)]
        sums = [[cgutils.alloca_once(b, v.type) for _ in columns] for _ in range(m)]  # LLVM makes them registers
        with b.if_else(self.starts_from_vectors) as (from_vectors, from_numbers):
            with from_vectors:
                for i in range(m):
                    row = v.at(self.start_vectors, b.mul(self.start_vectors_row, integer(i)))
                    for j, column in enumerate(columns):
                        b.store(v.load(v.at(row, column), masks[j]), sums[i][j])
            with from_numbers:
                for i in range(m):
                    number = b.load(v.at(self.start_numbers, b.mul(self.start_numbers_row, integer(i))))
                    for j in range(vectors):
                        b.store(v.broadcast(number), sums[i][j])
        steps = [b.mul(self.a_row, integer(i)) for i in range(_GROUP + 1)]
        with cgutils.for_range(b, self.segments) as segment:
            a = v.at(self.a, b.mul(segment.index, self.a_segment))
            b_segment = v.at(self.b, b.mul(segment.index, self.b_segment))
            with cgutils.for_range(b, self.size) as k:
                row = v.at(b_segment, b.mul(k.index, self.b_row))
                of_b = [v.load(v.at(row, column), mask) for column, mask in zip(columns, masks)]
                base = v.at(a, b.mul(k.index, self.a_k))
                for i in range(m):
                    if i and i % _GROUP == 0:
                        base = v.at(base, steps[_GROUP])
                    number = v.broadcast(b.load(v.at(base, steps[i % _GROUP])))
                    for j in range(vectors):
                        b.store(v.multiply_add(number, of_b[j], b.load(sums[i][j])), sums[i][j])
        for i in range(m):
            row = v.at(self.c, b.mul(self.c_row, integer(i)))
            for j, column in enumerate(columns):
                value = b.load(sums[i][j])
                below = b.fcmp_ordered("<", value, self.floor)
                v.store(b.select(below, self.floor, value), v.at(row, column), masks[j])
