"""Writing vector code as LLVM IR: the processor's vector width, masked loads and stores, lanes moved about.

Numba offers no vectors, and its loops keep no block of numbers in registers; where that matters, a kernel writes the
instructions itself, in an `@intrinsic`, with the words of this file. `LANE_BYTES` is the width of a vector register:
64 with AVX-512, 32 with AVX2, 16 elsewhere (SSE2, NEON).
"""

from collections.abc import Sequence
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.registry import cpu_target
from numba.extending import intrinsic

_features = set(cpu_target.target_context.codegen().magic_tuple()[2].split(","))
AVX512 = {"+avx512f", "+avx512vl", "+avx512dq", "+avx512bw"} <= _features
AVX2 = {"+avx2", "+fma"} <= _features
LANE_BYTES = 64 if AVX512 else 32 if AVX2 else 16

INT64, INT32, BIT = ir.IntType(64), ir.IntType(32), ir.IntType(1)
REAL = {"float32": ir.FloatType(), "float64": ir.DoubleType()}


def lanes(dtype: str) -> int:
    """Numbers of `dtype` ("float32" or "float64") in a vector register."""
    return LANE_BYTES // (4 if dtype == "float32" else 8)


@intrinsic
def pointer(context, array):
    """Where an array's first element lies, for compiled code: what products pass on in place of the array.

    It keeps nothing alive: memory that is only pointed to must be named after its last use (`keep`).
    """
    signature = types.CPointer(array.dtype)(array)
    return signature, lambda context, builder, signature, arguments: first_element(
        context, builder, signature.args[0], arguments[0]
    )


@intrinsic
def at(context, pointer, offset):
    """`offset` elements further on."""
    return pointer(pointer, types.int64), lambda context, builder, signature, arguments: builder.gep(
        arguments[0], [arguments[1]]
    )


@intrinsic
def line(context, memory, like):
    """The first cache line (64 bytes) that begins in the array `memory`, as a pointer to what `like` points to."""

    def codegen(context, builder, signature, arguments):
        start = builder.ptrtoint(first_element(context, builder, signature.args[0], arguments[0]), INT64)
        start = builder.and_(builder.add(start, integer(63)), integer(-64))
        return builder.inttoptr(start, arguments[1].type)

    return like(memory, like), codegen


def stack_room(size: int) -> Any:
    """An intrinsic (like): room for `size` bytes until the function returns, at a cache line; a pointer like `like`."""

    @intrinsic
    def room(context, like):
        def codegen(context, builder, signature, arguments):
            with builder.goto_entry_block():  # not cgutils.alloca_once, which writes zeros
                memory = builder.alloca(ir.ArrayType(ir.IntType(8), size + 64))
            start = builder.and_(builder.add(builder.ptrtoint(memory, INT64), integer(63)), integer(-64))
            return builder.inttoptr(start, arguments[0].type)

        return like(like), codegen

    return room


@intrinsic
def one(context, like):
    """A pointer, of the kind of `like`, to the number 1, until the function returns."""

    def codegen(context, builder, signature, arguments):
        return cgutils.alloca_once_value(builder, ir.Constant(REAL[str(like.dtype)], 1.0))

    return like(like), codegen


@intrinsic
def keep(context, array):
    """Nothing; but the array lives until here."""
    return types.void(array), lambda context, builder, signature, arguments: context.get_dummy_value()


@intrinsic
def item_bytes(context, pointer):
    """The size of what a pointer points to."""
    size = pointer.dtype.bitwidth // 8
    return types.int64(pointer), lambda context, builder, signature, arguments: integer(size)


def first_element(context: Any, builder: ir.IRBuilder, kind: types.Type, value: Any) -> Any:
    """The address in an intrinsic's argument that is an array or a pointer."""
    return value if isinstance(kind, types.CPointer) else context.make_array(kind)(context, builder, value).data


def integer(value: int, kind: ir.IntType = INT64) -> ir.Constant:
    return ir.Constant(kind, value)


class Vectors:
    """Writes, with `builder`, instructions on vectors of `dtype`. A mask of None means all lanes."""

    def __init__(self, builder: ir.IRBuilder, dtype: str) -> None:
        self.builder, self.real, self.lanes = builder, REAL[dtype], lanes(dtype)
        self.type = ir.VectorType(self.real, self.lanes)
        self.align = 4 if dtype == "float32" else 8
        self._suffix = f"v{self.lanes}f{8 * self.align}"

    def at(self, pointer: Any, offset: Any) -> Any:
        return self.builder.gep(pointer, [offset])

    def first_lanes(self, count: Any) -> Any:
        """The mask of the lanes before `count` (int64)."""
        wide = ir.VectorType(INT32, self.lanes)
        numbers = ir.Constant(wide, list(range(self.lanes)))
        return self.builder.icmp_signed("<", numbers, self.broadcast(self.builder.trunc(count, INT32)))

    def load(self, pointer: Any, mask: Any = None) -> Any:
        """The vector at `pointer`; lanes that the mask leaves out are not read and are 0."""
        pointer = self.builder.bitcast(pointer, self.type.as_pointer())
        if mask is None:
            return self.builder.load(pointer, align=self.align)
        return self.call("masked.load", [pointer, integer(self.align, INT32), mask, self.zero()])

    def store(self, value: Any, pointer: Any, mask: Any = None) -> None:
        """Write the vector; lanes that the mask leaves out are not touched."""
        pointer = self.builder.bitcast(pointer, self.type.as_pointer())
        if mask is None:
            self.builder.store(value, pointer, align=self.align)
        else:
            self.call("masked.store", [value, pointer, integer(self.align, INT32), mask])

    def zero(self) -> ir.Constant:
        return ir.Constant(self.type, [0.0] * self.lanes)

    def broadcast(self, number: Any) -> Any:
        """A vector of a number (of any type) in every lane."""
        one = ir.VectorType(number.type, self.lanes)
        first = self.builder.insert_element(ir.Constant(one, ir.Undefined), number, integer(0, INT32))
        return self.shuffle(first, ir.Constant(one, ir.Undefined), [0] * self.lanes)

    def shuffle(self, a: Any, b: Any, picks: Sequence[int]) -> Any:
        """Lane i is lane picks[i] of a followed by b."""
        mask = ir.Constant(ir.VectorType(INT32, len(picks)), list(picks))
        return self.builder.shuffle_vector(a, b, mask)

    def multiply_add(self, a: Any, b: Any, c: Any) -> Any:
        """a·b + c, fused where the processor can."""
        return self.call("fmuladd", [a, b, c])

    def call(self, name: str, arguments: list[Any]) -> Any:
        """LLVM's intrinsic `name` for vectors of this type."""
        result = ir.VoidType() if name == "masked.store" else self.type
        kind = ir.FunctionType(result, [argument.type for argument in arguments])
        name = f"llvm.{name}.{self._suffix}" + (".p0" if "masked" in name else "")
        return self.builder.call(cgutils.get_or_insert_function(self.builder.module, kind, name), arguments)

    def totals(self, vectors: Sequence[Any]) -> list[Any]:
        """The sum of each vector's lanes. Several are summed together: two vectors' halves fill one vector."""
        b, lanes = self.builder, self.lanes
        count = 1
        while count < len(vectors) and count < lanes:
            count *= 2
        if count < len(vectors):
            return [*self.totals(vectors[:count]), *self.totals(vectors[count:])]
        block, piece = [*vectors, *[self.zero()] * (count - len(vectors))], lanes
        while len(block) > 1:  # each vector holds pieces of several sums: join two vectors' by halving their pieces
            half = piece // 2
            lower = [start + lane for start in range(0, 2 * lanes, piece) for lane in range(half)]
            upper = [lane + half for lane in lower]
            block = [
                b.fadd(self.shuffle(x, y, lower), self.shuffle(x, y, upper)) for x, y in zip(block[::2], block[1::2])
            ]
            piece = half
        (vector,) = block
        while piece > 1:
            piece //= 2
            vector = b.fadd(vector, self.shuffle(vector, vector, [lane ^ piece for lane in range(lanes)]))
        # The order in which the pairs were joined: vector i's sum lies in piece i.
        return [b.extract_element(vector, integer(i * lanes // count, INT32)) for i in range(len(vectors))]
