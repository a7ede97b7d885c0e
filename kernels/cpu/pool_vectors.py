"""Max-pooling of many windows in vector registers, and its gradient; LLVM IR, as ``conv_vectors``.

Windows a stride of 2 apart are read as two vectors of which every other lane is kept; short rows of windows, and those
further apart, number by number from a table of places. **No index is checked.**
"""

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from .conv_vectors import _over, _pointer, every_other
from .vectors import INT32, INT64, Vectors, integer

_BYTE = ir.IntType(8)


@intrinsic
def pool_row(context, x, o, row_step, tap_step, stride, first, end, columns, y, t, taps, n):
    """y[t + j] = the maximum and taps[t + j] = the number of its tap, for j < n windows of taps (i, c), i·columns + c:

    the numbers x[o + (i − first)·row_step + j·stride + c·tap_step] with first ≤ i < end and c < columns. The first of
    equal taps wins, and a NaN wins over every number. The stride is 1 or 2.
    """
    whole = types.int64
    signature = types.void(x, *[whole] * 7, y, whole, taps, whole)

    def codegen(context, builder, signature, arguments):
        v = Vectors(builder, str(x.dtype))
        source, result = (_pointer(context, builder, signature, arguments, i) for i in (0, 8))
        places = context.make_array(signature.args[10])(context, builder, arguments[10]).data
        places = builder.gep(places, [arguments[9]])
        row_step, tap_step, stride, first, end, columns = arguments[2:8]
        n = arguments[11]
        number_type = ir.IntType(8 * v.align)  # as wide as a lane, so that one mask chooses both
        best = cgutils.alloca_once(builder, v.type)
        tap = cgutils.alloca_once(builder, ir.VectorType(number_type, v.lanes))
        value = cgutils.alloca_once(builder, v.type)
        twice = builder.icmp_signed("==", stride, integer(2))
        with _over(v, n) as (j, mask):
            builder.store(ir.Constant(v.type, [float("-inf")] * v.lanes), best)
            builder.store(v.broadcast(_narrowed(builder, builder.mul(first, columns), number_type)), tap)
            with cgutils.for_range_slice(builder, first, end, integer(1)) as (i, _):
                row = v.at(source, builder.mul(builder.sub(i, first), row_step))
                row = v.at(row, builder.mul(j, stride))
                with cgutils.for_range(builder, columns) as c:
                    start = v.at(row, builder.mul(c.index, tap_step))
                    with builder.if_else(twice) as (even, plain):
                        with even:
                            builder.store(every_other(v, start, builder.sub(n, j)), value)
                        with plain:
                            builder.store(v.load(start, mask), value)
                    number = builder.add(builder.mul(i, columns), c.index)
                    _keep_better(v, best, tap, builder.load(value), number)
            v.store(builder.load(best), v.at(result, j), mask)
            narrow = builder.trunc(builder.load(tap), ir.VectorType(_BYTE, v.lanes))
            _store_bytes(v, narrow, v.at(places, j), mask)
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def pool_windows(context, x, o, places, row_step, tap_step, rows, columns, y, t, taps, n):
    """y[t + j] = the maximum and taps[t + j] = the number of its tap, for j < n windows of rows × columns taps (i, c):

    the numbers x[o + places[j] + i·row_step + c·tap_step], wherever the windows lie. Which tap wins: as in `pool_row`.
    `places` (int64) is read up to the end of the vector in which entry n − 1 lies.
    """
    whole = types.int64
    signature = types.void(x, whole, places, *[whole] * 4, y, whole, taps, whole)

    def codegen(context, builder, signature, arguments):
        v = Vectors(builder, str(x.dtype))
        source, result = (_pointer(context, builder, signature, arguments, i) for i in (0, 7))
        table, numbers = (context.make_array(signature.args[i])(context, builder, arguments[i]).data for i in (2, 9))
        numbers = builder.gep(numbers, [arguments[8]])
        row_step, tap_step, rows, columns = arguments[3:7]
        n = arguments[10]
        addresses = ir.VectorType(INT64, v.lanes)
        number_type = ir.IntType(8 * v.align)  # as wide as a lane, so that one mask chooses both
        best = cgutils.alloca_once(builder, v.type)
        tap = cgutils.alloca_once(builder, ir.VectorType(number_type, v.lanes))
        size = v.broadcast(integer(v.align))
        with _over(v, n) as (j, mask):
            builder.store(ir.Constant(v.type, [float("-inf")] * v.lanes), best)
            builder.store(ir.Constant(ir.VectorType(number_type, v.lanes), [0] * v.lanes), tap)
            row = builder.bitcast(v.at(table, j), addresses.as_pointer())
            windows = builder.mul(builder.load(row, align=8), size)
            with cgutils.for_range(builder, rows) as i, cgutils.for_range(builder, columns) as c:
                skip = builder.add(builder.mul(i.index, row_step), builder.mul(c.index, tap_step))
                start = builder.ptrtoint(v.at(source, skip), INT64)
                candidate = _gathered(v, builder.add(windows, v.broadcast(start)), mask)
                number = builder.add(builder.mul(i.index, columns), c.index)
                _keep_better(v, best, tap, candidate, number)
            v.store(builder.load(best), v.at(result, j), mask)
            narrow = builder.trunc(builder.load(tap), ir.VectorType(_BYTE, v.lanes))
            _store_bytes(v, narrow, v.at(numbers, j), mask)
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def unpool_row(context, g, o, taps, t, tap, dx, d, n):
    """dx[d + 2·j + c] = g[o + j] if taps[t + j] is tap + c, else 0, for j < n and c = 0, 1: one row of windows of 2."""
    whole = types.int64
    signature = types.void(g, whole, taps, whole, whole, dx, whole, whole)

    def codegen(context, builder, signature, arguments):
        v = Vectors(builder, str(g.dtype))
        gradient, places = (_pointer(context, builder, signature, arguments, i) for i in (0, 2))
        result = _pointer(context, builder, signature, arguments, 5)
        n = arguments[7]
        with _over(v, n) as (j, mask):
            here = v.load(v.at(gradient, j), mask)
            number = _load_bytes(v, v.at(places, j), mask)
            pair = []
            for c in range(2):
                chosen = v.broadcast(builder.trunc(builder.add(arguments[4], integer(c)), _BYTE))
                pair.append(builder.select(builder.icmp_unsigned("==", number, chosen), here, v.zero()))
            rest = builder.mul(builder.sub(n, j), integer(2))
            for half in range(2):
                lanes = [half * v.lanes // 2 + lane // 2 + lane % 2 * v.lanes for lane in range(v.lanes)]
                start = builder.add(builder.mul(j, integer(2)), integer(half * v.lanes))
                inside = v.first_lanes(builder.sub(rest, integer(half * v.lanes)))
                v.store(v.shuffle(*pair, lanes), v.at(result, start), inside)
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def pool_pixels(context, x, o, below, beside, y, t, taps, q, n):
    """y[t + c] = the largest of the numbers x[o + c + i·below + j·beside], i and j = 0 or 1, for c < n channels.

    taps[q + c] = the number 2·i + j of the first that is largest (a NaN wins over every number), or 4 if that is at or
    below 0: where a ReLU was, no gradient passes.
    """
    whole = types.int64
    signature = types.void(x, *[whole] * 3, y, whole, taps, whole, whole)

    def codegen(context, builder, signature, arguments):
        v = Vectors(builder, str(x.dtype))
        source, result, places = (_pointer(context, builder, signature, arguments, i) for i in (0, 4, 6))
        below, beside = arguments[2:4]
        numbers = ir.VectorType(ir.IntType(8 * v.align), v.lanes)  # as wide as a lane, so that one mask chooses both

        def number(value):
            return ir.Constant(numbers, [value] * v.lanes)

        with _over(v, arguments[8]) as (c, mask):
            here = v.at(source, c)
            under = v.at(here, below)
            best, tap = v.load(here, mask), number(0)
            for i, place in enumerate((v.at(here, beside), under, v.at(under, beside)), 1):
                candidate = v.load(place, mask)
                better = builder.or_(
                    builder.fcmp_ordered(">", candidate, best), builder.fcmp_unordered("uno", candidate, candidate)
                )
                best, tap = builder.select(better, candidate, best), builder.select(better, number(i), tap)
            tap = builder.select(builder.fcmp_ordered("<=", best, v.zero()), number(4), tap)
            v.store(best, v.at(result, c), mask)
            _store_bytes(v, builder.trunc(tap, ir.VectorType(_BYTE, v.lanes)), v.at(places, c), mask)
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def chosen(context, to, t, g, o, taps, q, tap, n):
    """to[t + c] = g[o + c] if taps[q + c] is `tap`, else 0, for c < n channels: a pixel of pool_pixels' gradient."""
    whole = types.int64
    signature = types.void(to, whole, g, whole, taps, *[whole] * 3)

    def codegen(context, builder, signature, arguments):
        v = Vectors(builder, str(g.dtype))
        result, gradient, places = (_pointer(context, builder, signature, arguments, i) for i in (0, 2, 4))
        number = v.broadcast(builder.trunc(arguments[6], _BYTE))
        with _over(v, arguments[7]) as (c, mask):
            own = builder.icmp_unsigned("==", _load_bytes(v, v.at(places, c), mask), number)
            v.store(builder.select(own, v.load(v.at(gradient, c), mask), v.zero()), v.at(result, c), mask)
        return context.get_dummy_value()

    return signature, codegen


def _keep_better(v: Vectors, best: Any, tap: Any, candidate: Any, number: Any) -> None:
    """Where the candidate wins over what lies at `best`, it and its number take its place."""
    builder, so_far, tap_so_far = v.builder, v.builder.load(best), v.builder.load(tap)
    # Unordered or greater: a NaN too, and after one only a NaN.
    better = builder.or_(
        builder.fcmp_ordered(">", candidate, so_far), builder.fcmp_unordered("uno", candidate, candidate)
    )
    number = _narrowed(builder, number, tap_so_far.type.element)
    builder.store(builder.select(better, candidate, so_far), best)
    builder.store(builder.select(better, v.broadcast(number), tap_so_far), tap)


def _gathered(v: Vectors, addresses: Any, mask: Any) -> Any:
    """A vector of the numbers at these addresses (a vector of int64)."""
    kind = ir.VectorType(v.real.as_pointer(), v.lanes)
    parameters = [kind, INT32, mask.type, v.type]
    name = f"llvm.masked.gather.v{v.lanes}f{8 * v.align}.v{v.lanes}p0"
    gather = cgutils.get_or_insert_function(v.builder.module, ir.FunctionType(v.type, parameters), name)
    return v.builder.call(gather, [v.builder.inttoptr(addresses, kind), integer(v.align, INT32), mask, v.zero()])


def _narrowed(builder: ir.IRBuilder, value: Any, kind: ir.IntType) -> Any:
    return value if kind.width == 64 else builder.trunc(value, kind)


def _masked_bytes(v: Vectors, name: str, result: Any, arguments: list[Any]) -> Any:
    kind = ir.FunctionType(result, [argument.type for argument in arguments])
    name = f"llvm.masked.{name}.v{v.lanes}i8.p0"
    return v.builder.call(cgutils.get_or_insert_function(v.builder.module, kind, name), arguments)


def _load_bytes(v: Vectors, pointer: Any, mask: Any) -> Any:
    kind = ir.VectorType(_BYTE, v.lanes)
    pointer = v.builder.bitcast(pointer, kind.as_pointer())
    return _masked_bytes(v, "load", kind, [pointer, integer(1, ir.IntType(32)), mask, ir.Constant(kind, None)])


def _store_bytes(v: Vectors, value: Any, pointer: Any, mask: Any) -> None:
    pointer = v.builder.bitcast(pointer, value.type.as_pointer())
    _masked_bytes(v, "store", ir.VoidType(), [value, pointer, integer(1, ir.IntType(32)), mask])
