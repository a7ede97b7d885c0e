"""What a GPU can do that Numba's Python cannot say: 16-byte accesses, and matrix products by a whole warp.

Functions for use inside kernels. With ``compiler`` this is the only file that touches Numba's internals, and the only
one that touches LLVM. Section titles are those of NVIDIA's *Parallel Thread Execution ISA* (PTX ISA), chapter
"Instruction Set". Every intrinsic has its meaning in Python beside it in ``twins``, which runs in its place on the CPU.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import config

from . import twins

FLOAT, INT = ir.FloatType(), ir.IntType(32)

# Of a device function that shall be written out where it is called. Numba's own simulator knows no option but "device".
INLINED = {} if config.ENABLE_CUDASIM else {"forceinline": True}

# (what the intrinsic takes and gives, what LLVM builds of it), as Numba asks for it
Definition = tuple[Any, Callable[..., Any]]


def _intrinsic(twin: Callable[..., Any], by_warp: bool = False) -> Callable[[Callable[..., Definition]], Any]:
    """Make a definition an intrinsic that ``minipar.kernels.simulate`` replaces by its twin, of one lane or a warp."""

    def decorate(definition: Callable[..., Definition]) -> Any:
        if config.ENABLE_CUDASIM:  # Numba's own simulator calls Python functions, lane by lane
            return twins.ALONE.get(definition.__name__, twin)
        from numba.cuda.extending import intrinsic

        function = intrinsic(definition)
        setattr(function, "warp_twin" if by_warp else "twin", twin)
        return function

    return decorate


@_intrinsic(twins.load4)
def load4(typing: Any, array: Any, index: Any) -> Definition:
    """``load4(array, index)`` -> four numbers, ``array[index]`` to ``array[index + 3]``, by one 16-byte instruction.

    ``array`` is a flat array of float32 or uint32, in shared memory (made with ``alignment=16``) or a pointer argument;
    its start and ``index`` must be multiples of 16 bytes and of 4 elements ("Data Movement and Conversion Instructions:
    ld", ``.v4``; a misaligned access is an error on the GPU).
    """
    return types.UniTuple(array.dtype, 4)(array, index), _load_16_bytes


@_intrinsic(twins.load_pairs)
def load_pairs(typing: Any, array: Any, index: Any) -> Definition:
    """``load_pairs(array, index)`` -> four uint32, of the float16 ``array[index]`` to ``array[index + 7]`` two each.

    As ``load4``; the first of two is in the lower half.
    """
    return types.UniTuple(types.uint32, 4)(array, index), _load_16_bytes


def _load_16_bytes(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    value = builder.load(_address(context, builder, signature, args, signature.return_type.dtype))
    value.align = 16
    numbers = [builder.extract_element(value, INT(i)) for i in range(4)]
    return context.make_tuple(builder, signature.return_type, numbers)


@_intrinsic(twins.store4)
def store4(typing: Any, array: Any, index: Any, a: Any, b: Any, c: Any, d: Any) -> Definition:
    """``store4(array, index, a, b, c, d)``: the counterpart of ``load4`` ("st", ``.v4``)."""

    def build(context, builder, signature, args):
        address = _address(context, builder, signature, args, array.dtype)
        value = address.type.pointee(ir.Undefined)
        for i, number in enumerate(args[2:]):
            value = builder.insert_element(value, number, INT(i))
        builder.store(value, address).align = 16
        return context.get_dummy_value()

    return types.void(array, index, *[array.dtype] * 4), build


def _address(context: Any, builder: Any, signature: Any, args: Any, number: types.Type) -> Any:
    """Where element ``args[1]`` of ``args[0]`` lies, as a pointer to four ``number`` (in its own address space)."""
    array, index = signature.args[:2]
    start = args[0] if isinstance(array, types.CPointer) else context.make_array(array)(context, builder, args[0]).data
    pointer = builder.gep(start, [context.cast(builder, args[1], index, types.intp)])
    four = ir.VectorType(context.get_data_type(number), 4)
    return builder.bitcast(pointer, four.as_pointer(pointer.type.addrspace))


@_intrinsic(twins.to_tf32)
def to_tf32(typing: Any, x: Any) -> Definition:
    """``to_tf32(x)``: the float32 with 10 bits of mantissa that is nearest, ties away from zero ("cvt", ``.rna``)."""

    def build(context, builder, signature, args):
        convert = ir.InlineAsm(ir.FunctionType(INT, [FLOAT]), "cvt.rna.tf32.f32 $0, $1;", "=r,f")
        return builder.bitcast(builder.call(convert, args), FLOAT)

    return types.float32(types.float32), build


@_intrinsic(twins.pack_bf16)
def pack_bf16(typing: Any, low: Any, high: Any) -> Definition:
    """``pack_bf16(low, high)`` -> uint32: two float32 rounded to bfloat16, ``low`` in the lower half ("cvt")."""

    def build(context, builder, signature, args):
        convert = ir.InlineAsm(ir.FunctionType(INT, [FLOAT] * 2), "cvt.rn.bf16x2.f32 $0, $2, $1;", "=r,f,f")
        return builder.call(convert, args)

    return types.uint32(types.float32, types.float32), build


@_intrinsic(twins.pack_f16)
def pack_f16(typing: Any, low: Any, high: Any) -> Definition:
    """``pack_f16(low, high)`` -> uint32: two float16, ``low`` in the lower half."""

    def build(context, builder, signature, args):
        lower, upper = (builder.zext(builder.bitcast(arg, ir.IntType(16)), INT) for arg in args)
        return builder.or_(lower, builder.shl(upper, INT(16)))

    return types.uint32(types.float16, types.float16), build


@_intrinsic(twins.mma_tf32, by_warp=True)
def mma_tf32(
    typing: Any, a0: Any, a1: Any, a2: Any, a3: Any, b0: Any, b1: Any, c0: Any, c1: Any, c2: Any, c3: Any
) -> Definition:
    """``d0, d1, d2, d3 = mma_tf32(a0, …, a3, b0, b1, c0, …, c3)``: D = A B + C by a warp, A 16x8, B 8x8, C and D 16x8.

    Lane ``l``, with ``g = l // 4`` and ``t = l % 4``, holds a = A[g, t], A[g+8, t], A[g, t+4], A[g+8, t+4];
    b = B[t, g], B[t+4, g]; and c, d = C[g, 2t], C[g, 2t+1], C[g+8, 2t], C[g+8, 2t+1] ("Matrix Fragments for
    mma.m16n8k8"). Operands are float32 of which the tensor core reads the upper 19 bits: round them by ``to_tf32``.
    All 32 lanes must call it together.
    """
    return _mma("m16n8k8", "tf32", types.float32)


@_intrinsic(twins.mma_bf16, by_warp=True)
def mma_bf16(
    typing: Any, a0: Any, a1: Any, a2: Any, a3: Any, b0: Any, b1: Any, c0: Any, c1: Any, c2: Any, c3: Any
) -> Definition:
    """As ``mma_tf32``, with A 16x16 and B 16x8, whose numbers come in pairs ``pack_bf16(x[k], x[k+1])``.

    a = the pairs from A[g, 2t], A[g+8, 2t], A[g, 2t+8], A[g+8, 2t+8]; b = from B[2t, g], B[2t+8, g], down the column;
    c and d as there ("Matrix Fragments for mma.m16n8k16 with floating point type").
    """
    return _mma("m16n8k16", "bf16", types.uint32)


@_intrinsic(twins.mma_f16, by_warp=True)
def mma_f16(
    typing: Any, a0: Any, a1: Any, a2: Any, a3: Any, b0: Any, b1: Any, c0: Any, c1: Any, c2: Any, c3: Any
) -> Definition:
    """As ``mma_bf16``, of float16 in pairs ``pack_f16(x[k], x[k+1])``."""
    return _mma("m16n8k16", "f16", types.uint32)


def _mma(shape: str, operand: str, operand_type: types.Type) -> Definition:
    """``mma.sync`` ("Warp Level Matrix Multiply-Accumulate Instructions: mma") with sums in float32."""

    def build(context, builder, signature, args):
        four = ir.LiteralStructType([FLOAT] * 4)
        text = f"mma.sync.aligned.{shape}.row.col.f32.{operand}.{operand}.f32 "
        text += "{$0,$1,$2,$3}, {$4,$5,$6,$7}, {$8,$9}, {$10,$11,$12,$13};"
        constraints = ",".join(["=f"] * 4 + ["r"] * 6 + ["f"] * 4)
        # "Side effect": lanes cooperate, so the call must not move into a branch that some of them do not take.
        instruction = ir.InlineAsm(ir.FunctionType(four, [INT] * 6 + [FLOAT] * 4), text, constraints, side_effect=True)
        d = builder.call(instruction, [builder.bitcast(arg, INT) for arg in args[:6]] + list(args[6:]))
        return context.make_tuple(builder, signature.return_type, [builder.extract_value(d, i) for i in range(4)])

    return types.UniTuple(types.float32, 4)(*[operand_type] * 6, *[types.float32] * 4), build
