"""Blocks of numbers turned over, rows to columns: what leads from images to channels-last frames and back.

A square of lanes × lanes numbers is turned over in registers, in log2(lanes) rounds, each of which swaps the
off-diagonal quarters of ever smaller squares. It is machine code of its own, which kernels call by name.
"""

from llvmlite import ir
from numba import njit
from numba.core import cgutils, types
from numba.extending import intrinsic

from .machine_code import Written, link
from .vectors import BIT, INT64, REAL, Vectors, first_element, integer

_NAME = "minipar.turn"


@intrinsic
def turn(context, to, t, to_step, of, o, of_step, gate, q, gated, rows, columns):
    """to[t + j·to_step + i] = of[o + i·of_step + j] for i < rows, j < columns.

    If ``gated``, where gate[q + i·of_step + j] ≤ 0 it is 0 instead: the gradient of a ReLU whose output is ``gate``.
    No index is checked; nothing beyond what is named is read or written.
    """
    whole = types.int64
    signature = types.void(to, *[whole] * 2, of, *[whole] * 2, gate, whole, types.boolean, whole, whole)

    def codegen(context, builder, signature, arguments):
        link(f"{_NAME}.{of.dtype}")
        to, of_, gate = (
            builder.gep(first_element(context, builder, signature.args[i], arguments[i]), [arguments[i + 1]])
            for i in ((0, 3, 6))
        )
        to_step, of_step, gated, rows, columns = arguments[2], arguments[5], *arguments[8:]
        function = _declared(builder.module, str(of.dtype))
        builder.call(function, [to, to_step, of_, of_step, gate, gated, rows, columns])
        return context.get_dummy_value()

    return signature, codegen


@njit(error_model="numpy")
def transpose(to, t, to_step, of, o, of_step, rows, columns):
    """to[t + j·to_step + i] = of[o + i·of_step + j] for i < rows, j < columns."""
    turn(to, t, to_step, of, o, of_step, of, 0, False, rows, columns)


def _declared(module: ir.Module, dtype: str) -> ir.Function:
    name, pointer = f"{_NAME}.{dtype}", REAL[dtype].as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [pointer, INT64, pointer, INT64, pointer, BIT, INT64, INT64])
    return module.globals.get(name) or ir.Function(module, kind, name)


class _Writer:
    """Writes the body: loops over squares, with a way without masks for whole ones."""

    def __init__(self, function: ir.Function, dtype: str) -> None:
        self.builder = ir.IRBuilder(function.append_basic_block("entry"))
        self.vectors = Vectors(self.builder, dtype)
        self.to, self.to_step, self.of, self.of_step, self.gate, self.gated, self.rows, self.columns = function.args

    def write(self) -> None:
        b, v = self.builder, self.vectors
        lanes = integer(v.lanes)
        over_columns = cgutils.for_range_slice(b, integer(0), self.columns, lanes)
        with over_columns as (j, _), cgutils.for_range_slice(b, integer(0), self.rows, lanes) as (i, _):
            skip = b.add(b.mul(i, self.of_step), j)
            of, gate = v.at(self.of, skip), v.at(self.gate, skip)
            to = v.at(self.to, b.add(b.mul(j, self.to_step), i))
            rows, columns = b.sub(self.rows, i), b.sub(self.columns, j)
            whole = b.and_(b.icmp_signed(">=", rows, lanes), b.icmp_signed(">=", columns, lanes))
            with b.if_else(b.and_(whole, b.not_(self.gated))) as (plain, masked):
                with plain:
                    block = [v.load(v.at(of, b.mul(self.of_step, integer(k)))) for k in range(v.lanes)]
                    for k, vector in enumerate(self._turned_over(block)):
                        v.store(vector, v.at(to, b.mul(self.to_step, integer(k))))
                with masked:
                    self._masked(to, of, gate, rows, columns)
        b.ret_void()

    def _masked(self, to, of, gate, rows, columns) -> None:
        b, v = self.builder, self.vectors
        inside = v.first_lanes(columns)
        slots = [cgutils.alloca_once(b, v.type) for _ in range(v.lanes)]
        for k, slot in enumerate(slots):
            b.store(v.zero(), slot)
            with b.if_then(b.icmp_signed("<", integer(k), rows)):
                skip = b.mul(self.of_step, integer(k))
                b.store(v.load(v.at(of, skip), inside), slot)
                with b.if_then(self.gated):
                    shut = b.fcmp_ordered("<=", v.load(v.at(gate, skip), inside), v.zero())
                    b.store(b.select(shut, v.zero(), b.load(slot)), slot)
        filled = v.first_lanes(rows)
        for k, vector in enumerate(self._turned_over([b.load(slot) for slot in slots])):
            with b.if_then(b.icmp_signed("<", integer(k), columns)):
                v.store(vector, v.at(to, b.mul(self.to_step, integer(k))), filled)

    def _turned_over(self, block: list) -> list:
        v, half = self.vectors, self.vectors.lanes // 2
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


for _dtype in REAL:
    Written(f"{_NAME}.{_dtype}", lambda module, dtype=_dtype: _Writer(_declared(module, dtype), dtype).write())
