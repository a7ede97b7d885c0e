"""The register tile: the inner loop of every product, in LLVM IR because Numba's own loops keep no tile in registers.

A tile is a block of C, `rows` by `vectors` vector registers wide, that stays in registers while a loop over k runs: at
each k a row of B is loaded (`vectors` loads), and each row of A gives one number that is broadcast and multiplied into
the row. So 14 + 2 loads feed 28 fused multiply-adds, and the processor's arithmetic is the limit, not its caches. This
is the micro-kernel of Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication" (2008).

The vectors' width is the processor's: `LANE_BYTES` is 64 with AVX-512, 32 with AVX2, 16 elsewhere (SSE2, NEON).
"""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.registry import cpu_target
from numba.extending import intrinsic

ZERO, ACCUMULATE, COLUMN_BIAS, ROW_BIAS = range(4)  # what a tile's sums start from: 0, C itself, bias[j], bias[i]

_features = set(cpu_target.target_context.codegen().magic_tuple()[2].split(","))
AVX512 = {"+avx512f", "+avx512vl", "+avx512dq", "+avx512bw"} <= _features
AVX2 = {"+avx2", "+fma"} <= _features
LANE_BYTES = 64 if AVX512 else 32 if AVX2 else 16

_INT64, _INT32, _BIT = ir.IntType(64), ir.IntType(32), ir.IntType(1)
_REAL = {"float32": ir.FloatType(), "float64": ir.DoubleType()}
_GROUP = 4  # rows whose addresses derive from one pointer; with a pointer a row the compiler spills them


class Shape(NamedTuple):
    rows: int
    vectors: int


# As many accumulators as the registers hold beside a row of B and a number of A: 28 + 2 + 1 of 32, or 12 + 2 + 1 of 16.
TALL = Shape(14, 2) if AVX512 else Shape(6, 2)
# For few rows, more columns: a sum that is added to again must wait some cycles, so 8 or more are needed at a time.
FLAT = Shape(6, 4) if AVX512 else Shape(2, 4)
SINGLE = Shape(2, 8) if AVX512 else Shape(1, 8)


def lanes(dtype: str) -> int:
    """Numbers of `dtype` ("float32" or "float64") in a vector register."""
    return LANE_BYTES // (4 if dtype == "float32" else 8)


def tile_shape(m: int) -> Shape:
    """Which tile suits products of `m` rows."""
    return SINGLE if m <= SINGLE.rows else FLAT if m <= FLAT.rows else TALL


@cache
def tile(dtype: str, rows: int, vectors: int) -> Callable[..., None]:
    """The tile for `dtype` ("float32", "float64") of at most `rows` × `vectors`·lanes, callable from compiled code:

        tile(a, ao, a_row, a_k, a_segment, b, bo, b_row, b_segment, segments, size,
             c, co, c_row, m, n, start, bias, bias_o, relu)

    For i < m ≤ rows and j < n ≤ vectors·lanes(dtype) it sets

        c[co + i·c_row + j] = start + Σ_{s < segments} Σ_{k < size} a[ao + s·a_segment + i·a_row + k·a_k]
                                                                    · b[bo + s·b_segment + k·b_row + j]

    `a`, `b`, `c`, `bias` are arrays of `dtype`, of any shape: every index counts elements from the array's first one,
    and **no index is checked**. The strides of A are free (a transposed matrix, an image); rows of B and C are
    contiguous. Neither a row nor a lane beyond m and n is read or written, and with m or n outside nothing happens.
    `start` is ZERO, ACCUMULATE (C itself), COLUMN_BIAS (bias[bias_o + j]) or ROW_BIAS (bias[bias_o + i]); `relu` then
    replaces what is below 0 (NaN stays).
    Each element's sum runs over s, then k, in order, whatever m and n are.
    """

    def typed(context, a, ao, a_row, a_k, a_segment, b, bo, b_row, b_segment, segments, size,
              c, co, c_row, m, n, start, bias, bias_o, relu):  # fmt: skip
        whole = types.int64
        signature = types.void(a, *[whole] * 4, b, *[whole] * 5, c, *[whole] * 5, bias, whole, types.boolean)

        def codegen(context, builder, signature, arguments):
            def pointer(array, offset):
                data = context.make_array(signature.args[array])(context, builder, arguments[array]).data
                return builder.gep(data, [arguments[offset]])

            given = [pointer(0, 1), *arguments[2:5], pointer(5, 6), *arguments[7:11]]
            given += [pointer(11, 12), *arguments[13:17], pointer(17, 18), arguments[19]]
            builder.call(_function(builder.module, dtype, rows, vectors), given)
            return context.get_dummy_value()

        return signature, codegen

    return intrinsic(typed)


def _function(module: ir.Module, dtype: str, rows: int, vectors: int) -> ir.Function:
    """The tile as a function of its own in the module, so that many calls cost its code once."""
    name = f"minipar.tile.{dtype}.{rows}x{vectors}"
    if name in module.globals:
        return module.globals[name]
    pointer, whole = _REAL[dtype].as_pointer(), _INT64
    parameters = [pointer, *[whole] * 3, pointer, *[whole] * 4, pointer, *[whole] * 4, pointer, _BIT]
    kind = ir.FunctionType(ir.VoidType(), parameters)
    function = ir.Function(module, kind, name)
    function.linkage = "internal"
    function.attributes.add("noinline")
    _Writer(function, dtype).write(rows, vectors)
    return function


class _Writer:
    """Writes the body: a switch over m and the vectors that n needs; for each a loop over k without a test in it."""

    def __init__(self, function: ir.Function, dtype: str) -> None:
        self.builder = ir.IRBuilder(function.append_basic_block("entry"))
        self.real, self.lanes = _REAL[dtype], lanes(dtype)
        self.vector = ir.VectorType(self.real, self.lanes)
        self.suffix = f"v{self.lanes}f{32 if dtype == 'float32' else 64}"
        self.align = 4 if dtype == "float32" else 8
        (self.a, self.a_row, self.a_k, self.a_segment, self.b, self.b_row, self.b_segment, self.segments, self.size,
         self.c, self.c_row, self.m, self.n, self.start, self.bias, self.relu) = function.args  # fmt: skip

    def write(self, rows: int, vectors: int) -> None:
        b, lanes = self.builder, self.lanes
        needed = b.sdiv(b.add(self.n, _int(lanes - 1)), _int(lanes))
        # With AVX-512 a mask is free, else whole vectors get a loop without.
        whole = b.icmp_signed("==", b.srem(self.n, _int(lanes)), _int(0))
        masked = _int(1) if AVX512 else b.select(whole, _int(0), _int(1))
        self._prepare()
        end = b.append_basic_block("end")
        inside = b.append_basic_block("inside")
        m_fits = b.icmp_unsigned("<", b.sub(self.m, _int(1)), _int(rows))
        n_fits = b.icmp_unsigned("<", b.sub(self.n, _int(1)), _int(vectors * lanes))
        b.cbranch(b.and_(m_fits, n_fits), inside, end)
        b.position_at_end(inside)
        key = b.add(b.mul(b.add(b.mul(needed, _int(2)), masked), _int(rows + 1)), self.m)
        choice = b.switch(key, end)
        for v in range(1, vectors + 1):
            for mask in (1,) if AVX512 else (0, 1):
                for m in range(1, rows + 1):
                    block = b.append_basic_block(f"m{m}v{v}{'masked' * mask}")
                    choice.add_case(_int((2 * v + mask) * (rows + 1) + m), block)
                    b.position_at_end(block)
                    self._tile(m, v, bool(mask))
                    b.branch(end)
        b.position_at_end(end)
        b.ret_void()

    def _prepare(self) -> None:
        """What the sums start from, as a matrix of row stride 0 or more, or as a number a row; and the floor."""
        b = self.builder
        none = b.alloca(self.real)
        b.store(ir.Constant(self.real, 0.0), none)
        is_start = [b.icmp_signed("==", self.start, _int(kind)) for kind in range(4)]
        self.starts_from_vectors = b.or_(is_start[ACCUMULATE], is_start[COLUMN_BIAS])
        self.start_vectors = b.select(is_start[ACCUMULATE], self.c, self.bias)
        self.start_vectors_row = b.select(is_start[ACCUMULATE], self.c_row, _int(0))
        self.start_numbers = b.select(is_start[ROW_BIAS], self.bias, none)
        self.start_numbers_row = b.select(is_start[ROW_BIAS], _int(1), _int(0))
        lowest = b.select(self.relu, ir.Constant(self.real, 0.0), ir.Constant(self.real, float("-inf")))
        self.floor = self._broadcast(lowest)

    def _tile(self, m: int, vectors: int, masked: bool) -> None:
        b = self.builder
        masks = [None] * (vectors - 1) + [self._mask(vectors - 1) if masked else None]
        sums = [[cgutils.alloca_once(b, self.vector) for _ in range(vectors)] for _ in range(m)]
        with b.if_else(self.starts_from_vectors) as (from_vectors, from_numbers):
            with from_vectors:
                for i in range(m):
                    row = self._at(self.start_vectors, b.mul(self.start_vectors_row, _int(i)))
                    for j in range(vectors):
                        b.store(self._load(row, j, masks[j]), sums[i][j])
            with from_numbers:
                for i in range(m):
                    number = b.load(self._at(self.start_numbers, b.mul(self.start_numbers_row, _int(i))))
                    for j in range(vectors):
                        b.store(self._broadcast(number), sums[i][j])
        steps = [b.mul(self.a_row, _int(i)) for i in range(_GROUP + 1)]
        with cgutils.for_range(b, self.segments) as segment:
            a = self._at(self.a, b.mul(segment.index, self.a_segment))
            b_segment = self._at(self.b, b.mul(segment.index, self.b_segment))
            with cgutils.for_range(b, self.size) as k:
                row = self._at(b_segment, b.mul(k.index, self.b_row))
                of_b = [self._load(row, j, masks[j]) for j in range(vectors)]
                base = self._at(a, b.mul(k.index, self.a_k))
                for i in range(m):
                    if i and i % _GROUP == 0:
                        base = self._at(base, steps[_GROUP])
                    number = self._broadcast(b.load(self._at(base, steps[i % _GROUP])))
                    for j in range(vectors):
                        b.store(self._call("fmuladd", [number, of_b[j], b.load(sums[i][j])]), sums[i][j])
        for i in range(m):
            row = self._at(self.c, b.mul(self.c_row, _int(i)))
            for j in range(vectors):
                value = b.load(sums[i][j])
                below = b.fcmp_ordered("<", value, self.floor)
                self._store(b.select(below, self.floor, value), row, j, masks[j])

    def _mask(self, j: int) -> Any:
        """Which lanes of vector j lie before n."""
        b, wide = self.builder, ir.VectorType(_INT32, self.lanes)
        rest = b.trunc(b.sub(self.n, _int(j * self.lanes)), _INT32)
        return b.icmp_signed("<", ir.Constant(wide, list(range(self.lanes))), self._broadcast(rest))

    def _at(self, pointer: Any, offset: Any) -> Any:
        return self.builder.gep(pointer, [offset])

    def _vector_at(self, row: Any, j: int) -> Any:
        return self.builder.bitcast(self._at(row, _int(j * self.lanes)), self.vector.as_pointer())

    def _load(self, row: Any, j: int, mask: Any) -> Any:
        if mask is None:
            return self.builder.load(self._vector_at(row, j), align=self.align)
        nothing = ir.Constant(self.vector, [0.0] * self.lanes)
        return self._call("masked.load", [self._vector_at(row, j), _int(self.align, _INT32), mask, nothing])

    def _store(self, value: Any, row: Any, j: int, mask: Any) -> None:
        if mask is None:
            self.builder.store(value, self._vector_at(row, j), align=self.align)
        else:
            self._call("masked.store", [value, self._vector_at(row, j), _int(self.align, _INT32), mask])

    def _call(self, name: str, arguments: list[Any]) -> Any:
        result = ir.VoidType() if name == "masked.store" else self.vector
        kind = ir.FunctionType(result, [argument.type for argument in arguments])
        name = f"llvm.{name}.{self.suffix}" + (".p0" if "masked" in name else "")
        return self.builder.call(cgutils.get_or_insert_function(self.builder.module, kind, name), arguments)

    def _broadcast(self, number: Any) -> Any:
        one = ir.VectorType(number.type, self.lanes)
        first = self.builder.insert_element(ir.Constant(one, ir.Undefined), number, _int(0, _INT32))
        everywhere = ir.Constant(ir.VectorType(_INT32, self.lanes), [0] * self.lanes)
        return self.builder.shuffle_vector(first, ir.Constant(one, ir.Undefined), everywhere)


def _int(value: int, kind: ir.IntType = _INT64) -> ir.Constant:
    return ir.Constant(kind, value)
