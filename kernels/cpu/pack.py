"""A panel of B copied beside itself: rows of `width` numbers without gaps, for a tile to run over from the first cache.

The tile reads a panel once for every few rows of A. Where B lies as it is, each row of the panel is in another page,
and where B's columns are the contiguous ones (a transposed weight) no vector could be loaded at all: those blocks are
turned over in registers on the way.
"""

import numba
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from .machine_code import Written, link
from .vectors import INT64, REAL, Vectors, integer


@numba.njit(error_model="numpy")
def pack(b, b_k, b_column, to, width, n, size):
    """to[k·width + j] = b[k·b_k + j·b_column] for k < size, j < n ≤ width.

    b and to are pointers; nothing is checked. Of the columns from n to width, those that fill the last vector may be
    written too.
    """
    if b_column == 1:
        _copy_rows(b, b_k, b_column, to, width, n, size)
    elif b_k == 1:
        _transpose(b, b_k, b_column, to, width, n, size)
    else:
        _gather(b, b_k, b_column, to, width, n, size)


def _turned_over(v, block):
    """The transpose of a square of lanes: halves, quarters, … change places, in log2(lanes) rounds."""
    block, half = list(block), v.lanes // 2
    while half:
        # Where a lane's number lacks the bit `half`, the two vectors keep it; where it has it, they swap it.
        low = [lane if not lane & half else lane - half + v.lanes for lane in range(v.lanes)]
        high = [lane + half if not lane & half else lane + v.lanes for lane in range(v.lanes)]
        for i in range(v.lanes):
            if not i & half:
                a, b = block[i], block[i + half]
                block[i], block[i + half] = v.shuffle(a, b, low), v.shuffle(a, b, high)
        half //= 2
    return block


def _packing(write):
    """The intrinsic whose body `write` writes, as machine code of its own."""
    name = f"minipar.pack{write.__name__}"

    def declared(module, dtype):
        number = REAL[dtype].as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [number, INT64, INT64, number, INT64, INT64, INT64])
        return module.globals.get(f"{name}.{dtype}") or ir.Function(module, kind, f"{name}.{dtype}")

    def define(dtype):
        def body(module):
            function = declared(module, dtype)
            builder = ir.IRBuilder(function.append_basic_block("entry"))
            write(builder, Vectors(builder, dtype), *function.args)
            builder.ret_void()

        Written(f"{name}.{dtype}", body)

    @intrinsic
    def call(context, b, b_k, b_column, to, width, n, size):
        whole = types.int64
        signature = types.void(b, whole, whole, to, whole, whole, whole)

        def codegen(context, builder, signature, arguments):
            link(f"{name}.{b.dtype}")
            builder.call(declared(builder.module, str(b.dtype)), arguments)
            return context.get_dummy_value()

        return signature, codegen

    for dtype in REAL:
        define(dtype)
    return call


@_packing
def _copy_rows(builder, v, b, b_k, _, to, width, n, size):
    """Whole vectors by plain moves, the last by a masked load."""
    whole = builder.mul(builder.sdiv(n, integer(v.lanes)), integer(v.lanes))
    rest = v.first_lanes(builder.sub(n, whole))
    has_rest = builder.icmp_signed("<", whole, n)
    with cgutils.for_range(builder, size) as k:
        row, packed = v.at(b, builder.mul(k.index, b_k)), v.at(to, builder.mul(k.index, width))
        with cgutils.for_range_slice(builder, integer(0), whole, integer(v.lanes)) as (j, _):
            v.store(v.load(v.at(row, j)), v.at(packed, j))
        with builder.if_then(has_rest):
            v.store(v.load(v.at(row, whole), rest), v.at(packed, whole))


@_packing
def _transpose(builder, v, b, _, b_column, to, width, n, size):
    """Blocks of lanes × lanes: each vector holds a column of the panel, and is to hold a row."""
    last = builder.sub(n, integer(1))
    whole = builder.mul(builder.sdiv(size, integer(v.lanes)), integer(v.lanes))
    rest = builder.sub(size, whole)
    with cgutils.for_range_slice(builder, integer(0), n, integer(v.lanes)) as (j, _):
        columns = []
        for i in range(v.lanes):
            column = builder.add(j, integer(i))
            # Beyond the last column, the last once more: lanes that nobody will look at.
            column = builder.select(builder.icmp_signed("<", column, n), column, last)
            columns.append(v.at(b, builder.mul(column, b_column)))
        with cgutils.for_range_slice(builder, integer(0), whole, integer(v.lanes)) as (k, _):
            block = [v.load(v.at(column, k)) for column in columns]
            for i, row in enumerate(_turned_over(v, block)):
                v.store(row, v.at(to, builder.add(builder.mul(builder.add(k, integer(i)), width), j)))
        with builder.if_then(builder.icmp_signed(">", rest, integer(0))):
            mask = v.first_lanes(rest)
            block = [v.load(v.at(column, whole), mask) for column in columns]
            for i, row in enumerate(_turned_over(v, block)):
                with builder.if_then(builder.icmp_signed("<", integer(i), rest)):
                    v.store(row, v.at(to, builder.add(builder.mul(builder.add(whole, integer(i)), width), j)))


@_packing
def _gather(builder, v, b, b_k, b_column, to, width, n, size):
    """Number by number, where neither axis is contiguous."""
    with cgutils.for_range(builder, size) as k, cgutils.for_range(builder, n) as j:
        offset = builder.add(builder.mul(k.index, b_k), builder.mul(j.index, b_column))
        number = builder.load(v.at(b, offset))
        builder.store(number, v.at(to, builder.add(builder.mul(k.index, width), j.index)))
