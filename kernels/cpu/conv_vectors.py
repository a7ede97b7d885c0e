"""What convolution does to whole vectors beside multiplying them: gated copies, gathered vectors, sums.

LLVM IR for the reason that ``tile`` is: Numba's loops copy 14 numbers one at a time, here a mask makes it one move.
Every index counts elements from an array's first one, and **none is checked**; nothing beyond what is named is read
or written. All take float32 and float64.
"""

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from .vectors import INT32, Vectors, integer

MOST_TAPS = 9  # that are summed together: each needs a register


@intrinsic
def gated_copy(context, to, t, of, o, gate, q, gated, n):
    """to[t + j] = of[o + j] for j < n.

    If ``gated``, where gate[q + j] ≤ 0 it is 0 instead: the gradient of a ReLU whose output is ``gate``.
    """
    whole = types.int64
    signature = types.void(to, whole, of, whole, gate, whole, types.boolean, whole)

    def codegen(context, builder, signature, arguments):
        v = Vectors(builder, str(of.dtype))
        to, of_, gate = (_pointer(context, builder, signature, arguments, i) for i in (0, 2, 4))
        with _over(v, arguments[7]) as (j, mask):
            v.store(_gated(v, v.load(v.at(of_, j), mask), v.at(gate, j), mask, arguments[6]), v.at(to, j), mask)
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def copy_every_other(context, to, t, of, o, gate, q, gated, n):
    """to[t + j] = of[o + 2·j] for j < n, gated as in ``gated_copy``: two vectors are read, every other lane is kept."""
    whole = types.int64
    signature = types.void(to, whole, of, whole, gate, whole, types.boolean, whole)

    def codegen(context, builder, signature, arguments):
        v = Vectors(builder, str(of.dtype))
        to, of_, gate = (_pointer(context, builder, signature, arguments, i) for i in (0, 2, 4))
        n = arguments[7]
        with _over(v, n) as (j, mask):
            twice, rest = builder.mul(j, integer(2)), builder.sub(n, j)
            vector = every_other(v, v.at(of_, twice), rest)
            result = cgutils.alloca_once(builder, v.type)
            builder.store(vector, result)
            with builder.if_then(arguments[6]):
                shut = builder.fcmp_ordered("<=", every_other(v, v.at(gate, twice), rest), v.zero())
                builder.store(builder.select(shut, v.zero(), vector), result)
            v.store(builder.load(result), v.at(to, j), mask)
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def copy_to_every_other(context, to, t, of, o, n):
    """to[t + 2·j] = of[o + j] for j < n; the numbers between are not touched."""
    whole = types.int64
    signature = types.void(to, whole, of, whole, whole)

    def codegen(context, builder, signature, arguments):
        v = Vectors(builder, str(of.dtype))
        to, of_ = (_pointer(context, builder, signature, arguments, i) for i in (0, 2))
        n = arguments[4]
        even = ir.Constant(ir.VectorType(ir.IntType(1), v.lanes), [lane % 2 == 0 for lane in range(v.lanes)])
        with _over(v, n) as (j, mask):
            vector, twice = v.load(v.at(of_, j), mask), builder.mul(j, integer(2))
            last = builder.sub(builder.mul(builder.sub(n, j), integer(2)), integer(1))
            for half in range(2):
                start = integer(half * v.lanes)
                lanes = [half * v.lanes // 2 + lane // 2 for lane in range(v.lanes)]
                inside = builder.and_(even, v.first_lanes(builder.sub(last, start)))
                v.store(v.shuffle(vector, vector, lanes), v.at(to, builder.add(twice, start)), inside)
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def gather_vectors(context, to, t, step, of, o, pieces, first_piece, number, places, first, count):
    """One vector of each of `count` rows of im2col, put together from stretches of the frame.

    Vector to[t + k·step …] for k < count: lanes pieces[1, p] ≤ lane < pieces[2, p] are of[o + pieces[0, p] +
    places[first + k] + lane] for the `number` pieces p from first_piece on, the others 0. A piece is loaded with its
    lanes masked, into what the pieces before it left; so each vector is stored once, and whole.
    """
    whole = types.int64
    signature = types.void(to, whole, whole, of, whole, pieces, whole, whole, places, whole, whole)

    def codegen(context, builder, signature, arguments):
        v = Vectors(builder, str(of.dtype))
        to, of_, places = (_pointer(context, builder, signature, arguments, i) for i in (0, 3, 8))
        step, first_piece, number, count = arguments[2], arguments[6], arguments[7], arguments[10]
        table = context.make_array(signature.args[5])(context, builder, arguments[5])
        columns = cgutils.unpack_tuple(builder, table.shape)[1]

        def entry(row, p):
            index = builder.add(builder.mul(columns, integer(row)), builder.add(first_piece, p))
            return builder.load(v.at(table.data, index))

        def piece(p):
            behind, before = v.first_lanes(entry(2, p)), v.first_lanes(entry(1, p))
            return entry(0, p), builder.and_(behind, builder.not_(before))

        def rows():
            return cgutils.for_range(builder, count)

        def place(k):
            return v.at(of_, builder.load(v.at(places, k)))

        end = builder.append_basic_block("gathered")
        many = builder.append_basic_block("many")
        choice = builder.switch(number, many)
        for few in range(1, 5):
            block = builder.append_basic_block(f"pieces{few}")
            choice.add_case(integer(few), block)
            builder.position_at_end(block)
            known = [piece(integer(p)) for p in range(few)]
            with rows() as k:
                vector, start = v.zero(), place(k.index)
                for offset, mask in known:
                    vector = _merged(v, v.at(start, offset), mask, vector)
                v.store(vector, v.at(to, builder.mul(k.index, step)))
            builder.branch(end)
        builder.position_at_end(many)
        vector = cgutils.alloca_once(builder, v.type)
        with rows() as k:
            builder.store(v.zero(), vector)
            start = place(k.index)
            with cgutils.for_range(builder, number) as p:
                offset, mask = piece(p.index)
                builder.store(_merged(v, v.at(start, offset), mask, builder.load(vector)), vector)
            v.store(builder.load(vector), v.at(to, builder.mul(k.index, step)))
        builder.branch(end)
        builder.position_at_end(end)
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def sum_taps(context, to, t, start, w, q, of, o, places, first, count, n, relu):
    """to[t + j] = start + Σ_k w[q + k]·of[o + places[first + k] + j], for k < count and j < n; `relu` cuts off below 0.

    The convolution of a channel with its own kernel: four vectors of pixels at a time stay in registers.
    """
    whole = types.int64
    signature = types.void(to, whole, to.dtype, w, whole, of, whole, places, *[whole] * 3, types.boolean)

    def codegen(context, builder, signature, arguments):
        v = Vectors(builder, str(of.dtype))
        to, w, of_, places = (_pointer(context, builder, signature, arguments, i) for i in (0, 3, 5, 7))
        count, n = arguments[9:11]
        start = v.broadcast(arguments[2])
        lowest = builder.select(arguments[11], ir.Constant(v.real, 0.0), ir.Constant(v.real, float("-inf")))
        floor = v.broadcast(lowest)
        sums = [cgutils.alloca_once(builder, v.type) for _ in range(4)]
        with cgutils.for_range_slice(builder, integer(0), n, integer(4 * v.lanes)) as (j, _):
            at = [builder.add(j, integer(i * v.lanes)) for i in range(4)]
            masks = [v.first_lanes(builder.sub(n, here)) for here in at]
            for each in sums:
                builder.store(start, each)
            with cgutils.for_range(builder, count) as k:
                row = v.at(of_, builder.load(v.at(places, k.index)))
                number = v.broadcast(builder.load(v.at(w, k.index)))
                for each, here, mask in zip(sums, at, masks):
                    builder.store(v.multiply_add(number, v.load(v.at(row, here), mask), builder.load(each)), each)
            for each, here, mask in zip(sums, at, masks):
                value = builder.load(each)
                value = builder.select(builder.fcmp_ordered("<", value, floor), floor, value)
                v.store(value, v.at(to, here), mask)
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def dot_taps(context, to, g, q, g_row, of, o, row_size, places, first, count, rows, n):
    """to[k] = Σ g[q + i·g_row + j]·of[o + places[first + k] + i·row_size + j] over i < rows, j < n, for k < count ≤ 9.

    to[9] = Σ g. Lane by lane, then over the lanes: each vector of g is read once for all taps.
    """
    whole = types.int64
    signature = types.void(to, g, *[whole] * 2, of, *[whole] * 2, places, *[whole] * 4)

    def codegen(context, builder, signature, arguments):
        v = Vectors(builder, str(g.dtype))
        g_, of_, places = (_pointer(context, builder, signature, arguments, i) for i in (1, 4, 7))
        to = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        g_row, row_size, count, rows, n = arguments[3], arguments[6], *arguments[9:]
        totals = [cgutils.alloca_once(builder, v.type) for _ in range(MOST_TAPS + 1)]
        end = builder.append_basic_block("added")
        choice = builder.switch(count, end)
        for taps in range(MOST_TAPS + 1):
            block = builder.append_basic_block(f"taps{taps}")
            choice.add_case(integer(taps), block)
            builder.position_at_end(block)
            starts = [v.at(of_, builder.load(v.at(places, integer(k)))) for k in range(taps)]
            sums = [totals[MOST_TAPS], *totals[:taps]]
            for total in sums:
                builder.store(v.zero(), total)
            with cgutils.for_range(builder, rows) as i:
                row, skip = v.at(g_, builder.mul(i.index, g_row)), builder.mul(i.index, row_size)
                with _over(v, n) as (j, mask):
                    here, place = v.load(v.at(row, j), mask), builder.add(skip, j)
                    builder.store(builder.fadd(builder.load(sums[0]), here), sums[0])
                    for total, start in zip(sums[1:], starts):
                        product = v.multiply_add(here, v.load(v.at(start, place), mask), builder.load(total))
                        builder.store(product, total)
            for k, number in zip([MOST_TAPS, *range(taps)], v.totals([builder.load(total) for total in sums])):
                builder.store(number, v.at(to, integer(k)))
            builder.branch(end)
        builder.position_at_end(end)
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def add_rows(context, to, t, of, o, step, rows, columns):
    """to[t + j] += Σ of[o + i·step + j] over i < rows, for j < columns: four sums, of every fourth row, at a time."""
    whole = types.int64
    signature = types.void(to, whole, of, *[whole] * 4)

    def codegen(context, builder, signature, arguments):
        v = Vectors(builder, str(of.dtype))
        to, of_ = (_pointer(context, builder, signature, arguments, i) for i in (0, 2))
        step, rows = arguments[4:6]
        fours = builder.and_(rows, integer(-4))
        totals = [cgutils.alloca_once(builder, v.type) for _ in range(4)]
        with _over(v, arguments[6]) as (j, mask):

            def add(total, i):
                row = v.at(of_, builder.add(builder.mul(i, step), j))
                builder.store(builder.fadd(builder.load(total), v.load(row, mask)), total)

            builder.store(v.load(v.at(to, j), mask), totals[0])
            for total in totals[1:]:
                builder.store(v.zero(), total)
            with cgutils.for_range_slice(builder, integer(0), fours, integer(4)) as (i, _):
                for k, total in enumerate(totals):
                    add(total, builder.add(i, integer(k)))
            with cgutils.for_range_slice(builder, fours, rows, integer(1)) as (i, _):
                add(totals[0], i)
            low, high = (builder.fadd(*[builder.load(total) for total in pair]) for pair in (totals[:2], totals[2:]))
            v.store(builder.fadd(low, high), v.at(to, j), mask)
        return context.get_dummy_value()

    return signature, codegen


def _pointer(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any, i: int) -> Any:
    """To the element of array argument i that argument i + 1 names."""
    return builder.gep(context.make_array(signature.args[i])(context, builder, arguments[i]).data, [arguments[i + 1]])


def _merged(v: Vectors, pointer: Any, mask: Any, others: Any) -> Any:
    """The masked lanes of the vector at `pointer`, the other lanes of `others`."""
    pointer = v.builder.bitcast(pointer, v.type.as_pointer())
    return v.call("masked.load", [pointer, integer(v.align, INT32), mask, others])


def _gated(v: Vectors, vector: Any, gate: Any, mask: Any, gated: Any) -> Any:
    """The vector, with 0 where the gate is at or below 0."""
    result = cgutils.alloca_once(v.builder, v.type)
    v.builder.store(vector, result)
    with v.builder.if_then(gated):
        shut = v.builder.fcmp_ordered("<=", v.load(gate, mask), v.zero())
        v.builder.store(v.builder.select(shut, v.zero(), vector), result)
    return v.builder.load(result)


def every_other(v: Vectors, start: Any, n: Any) -> Any:
    """Numbers 0, 2, 4, … from `start` on, the first n of them."""
    last = v.builder.sub(v.builder.mul(n, integer(2)), integer(1))
    low = v.load(start, v.first_lanes(last))
    high = v.load(v.at(start, integer(v.lanes)), v.first_lanes(v.builder.sub(last, integer(v.lanes))))
    return v.shuffle(low, high, list(range(0, 2 * v.lanes, 2)))


class _over:
    """A loop over the vectors that cover n numbers: (start, mask of the lanes before n)."""

    def __init__(self, v: Vectors, n: Any) -> None:
        self.v, self.n = v, n
        self.loop = cgutils.for_range_slice(v.builder, integer(0), n, integer(v.lanes))

    def __enter__(self) -> tuple[Any, Any]:
        j, _ = self.loop.__enter__()
        return j, self.v.first_lanes(self.v.builder.sub(self.n, j))

    def __exit__(self, *exception: Any) -> Any:
        return self.loop.__exit__(*exception)
