"""Two-dimensional convolution and its gradients, compiled: the same signatures as ``kernels.reference.conv2d``.

This is the door: shapes are checked here, by the reference's own rules, and turned into arguments for the kernels,
which check nothing. That is done once for each geometry. ``conv_choice`` says which kernels serve: ``conv_direct``,
whose vectors lie along the output channels, or ``conv_correlate``, whose vectors lie along the pixels; and for the
gradient of the weight ``conv_direct_weight``, ``conv_narrow_weight`` or ``conv_weight``.
"""

from typing import Any

import numpy as np

from ..reference.conv2d import _check_gradient, put_into
from .compile import carray, check_real
from .conv_calls import (
    DirectCall,
    Pair,
    Shape4,
    WeightCall,
    covers,
    forward_calls,
    input_calls,
    output_shape,
    weight_call,
)
from .conv_correlate import correlate
from .conv_direct import correlate_direct
from .conv_direct_weight import correlate_direct_weight
from .conv_narrow_weight import correlate_narrow_weight
from .conv_weight import correlate_weight
from .matmul import matmul
from .threads import threads_for
from .tile import COLUMN_BIAS, ROW_BIAS, ZERO

NO_POOL = np.empty(0, np.uint8), (0, 0)
_WEIGHT = {"direct": correlate_direct_weight, "narrow": correlate_narrow_weight, "pixels": correlate_weight}


def conv2d_forward(
    x: np.ndarray,
    w: np.ndarray,
    bias: np.ndarray | None,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    relu: bool = False,
) -> np.ndarray:
    """y (N, O, OH, OW) for x (N, C, H, W) and w (O, C/groups, kh, kw) of one dtype, float32 or float64.

    See the reference. TypeError for another dtype or two, ValueError where shapes do not fit.
    """
    check_dtypes("x", x, w, bias)
    geometry = x.shape, w.shape, stride, padding, dilation, groups
    shape, work = output_shape(*geometry)
    y = np.empty(shape, x.dtype)
    if bias is not None and bias.shape != shape[1:2]:
        raise ValueError(f"the bias must have shape {shape[1:2]}, got {bias.shape}")
    if y.size:
        threads = threads_for(work, work)
        of = carray(x).reshape(-1)
        calls = forward_calls(*geometry, x.itemsize, threads)
        run(calls, threads, of, None, w, None if bias is None else carray(bias), relu, y)
    return y


def conv2d_grad_input(
    g: np.ndarray,
    w: np.ndarray,
    x_shape: Shape4,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    gate: np.ndarray | None = None,
) -> np.ndarray:
    """dx (N, C, H, W) for g (N, O, OH, OW) and w; where ``gate``, an array like g, is at or below 0, g counts as 0.

    See the reference. TypeError for another dtype or two, ValueError where shapes do not fit.
    """
    check_dtypes("g", g, w, gate)
    geometry = tuple(x_shape), w.shape, stride, padding, dilation, groups
    shape, work = output_shape(*geometry)
    _check_gradients(g, shape, gate)
    if covers(*geometry):  # one output an image and channel: the gradient is a product of matrices
        flat = g if gate is None else np.where(gate <= 0, g.dtype.type(0), g)
        return matmul(flat.reshape(shape[:2]), w.reshape(len(w), -1)).reshape(x_shape)
    threads = threads_for(work, work)
    calls, complete = input_calls(*geometry, g.itemsize, threads)
    dx = np.empty(x_shape, g.dtype) if complete else np.zeros(x_shape, g.dtype)
    of = carray(g).reshape(-1)
    run(calls, threads, of, gate, w, None, False, dx)
    return dx


def conv2d_grad_weight(
    g: np.ndarray,
    x: np.ndarray,
    w_shape: Shape4,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    gate: np.ndarray | None = None,
    with_bias: bool = False,
    out: np.ndarray | None = None,
    bias_out: np.ndarray | None = None,
) -> Any:
    """dw (O, C/groups, kh, kw) for g (N, O, OH, OW) and x (N, C, H, W); ``with_bias``: (dw, the sums db (O,) of g).

    Written into ``out`` and ``bias_out`` where those are given. ``gate`` as in conv2d_grad_input. See the
    reference. TypeError for another dtype or two, ValueError where shapes do not fit.
    """
    check_dtypes("g", g, x, gate, out, bias_out)
    geometry = x.shape, tuple(w_shape), stride, padding, dilation, groups
    shape, work = output_shape(*geometry)
    _check_gradients(g, shape, gate)
    call = weight_call(*geometry, x.itemsize)
    return grad_weight(call, work, g, x, gate, NO_POOL, geometry[1], with_bias, out, bias_out)


def run(
    calls: Any, threads: int, of: Any, gate: Any, w: Any, bias: Any, relu: bool, y: Any, winners: Any = NO_POOL[0],
    pooled: Pair = NO_POOL[1],
) -> None:  # fmt: skip
    """Correlate the flat array `of` with w into y; `winners`, `pooled`: see ``correlate_direct``."""
    gated, biased = gate is not None, bias is not None
    through = carray(gate).reshape(-1) if gated else of
    weights, to, bias = carray(w).reshape(-1), y.reshape(-1), bias if biased else of
    for call in calls:
        if type(call) is DirectCall:
            cut_, strides, rest, _ = call
            start = COLUMN_BIAS if biased else ZERO
            correlate_direct(
                threads, cut_, of, through, gated, winners, pooled, weights, strides, bias, start, relu, to, *rest
            )
            continue
        tiling, framed, strides, packed, rest = call
        start = ROW_BIAS if biased else ZERO
        correlate(
            threads, *tiling, of, through, gated, framed or gated, weights, strides, packed, bias, start, relu, to,
            *rest,
        )  # fmt: skip


def grad_weight(
    call: WeightCall, work: int, g: Any, x: Any, gate: Any, pool: tuple[Any, Pair], shape: Shape4, with_bias: bool,
    out: Any, bias_out: Any,
) -> Any:  # fmt: skip
    """dw of `shape`, or (dw, db), from checked arrays; `pool` = (winners, pooled): see ``correlate_direct_weight``."""
    dw, db = _room(out, shape, x.dtype), _room(bias_out, shape[:1], x.dtype)
    of, source = carray(g).reshape(-1), carray(x).reshape(-1)
    through = of if gate is None else carray(gate).reshape(-1)
    threads, scratch = threads_for(work, call.scratch[0] * call.parts), np.empty(call.scratch, x.dtype)
    operands = source, of, through, gate is not None
    between = pool if call.by == "direct" else ()
    _WEIGHT[call.by](threads, *call.tiling, call.parts, scratch, *operands, *between, dw.reshape(-1), db, *call.rest)
    dw, db = (dw if dw is out else put_into(out, dw)), (db if db is bias_out else put_into(bias_out, db))
    return (dw, db) if with_bias else dw


def check_dtypes(name: str, array: np.ndarray, *others: np.ndarray | None) -> None:
    check_real(name, array)
    for other in others:
        if other is not None and other.dtype != array.dtype:
            raise TypeError(f"all operands must be {array.dtype} as {name} is, got {other.dtype}")


def _check_gradients(g: np.ndarray, shape: Shape4, gate: np.ndarray | None) -> None:
    _check_gradient(g, shape)
    if gate is not None and gate.shape != shape:
        raise ValueError(f"the gate must have the output's shape {shape}, got {gate.shape}")


def _room(out: np.ndarray | None, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """What a kernel may write into: `out`, if it is contiguous."""
    if out is not None and out.shape != shape:
        raise ValueError(f"the array to write into must have shape {shape}, got {out.shape}")
    return out if out is not None and out.flags.carray else np.empty(shape, dtype)
