"""Softmax and cross-entropy on the GPU: two launches forward, one backward.

The kernel of the rows reads a row twice, for its maximum and for its exponentials, of which the second time is from the
cache, and writes the exponentials: so the gradient needs none. What it keeps of a row are three numbers. A second
kernel adds up the losses. The host waits for neither: what the mean is divided by stays on the GPU, and of a class
number that is none the second kernel leaves a note (``wrong_targets``).

Shapes: logits (N, C), target integers (N,), weight (C,) or None.
"""

import math
from functools import cache
from typing import Any

import numba
import numpy as np
from numba import cuda, int32

from ..reference.namespace import array_namespace
from . import launcher, wrong_targets
from .plan import Kernel, Plan, blocks_for, check_operands, check_size, flat
from .rows import Rows, row_maximum, row_sum, rows_of
from .wrong_targets import CLASS, COUNT, IGNORED, ROW, WRONG

Array = Any
Kept = tuple[Array, Array, Array, bool]  # the exponentials (N, C), of each row (3, N), TOTALS (2,), is it the mean

INVERSE, SHARE, LOSS = range(3)  # of a row: 1/Σ of its exponentials, its weight in the loss, its loss
TOTAL, DENOMINATOR = range(2)  # of all: the loss, the sum of the weights that count
THREADS = 1024  # of the one block that adds up the losses


def cross_entropy_loss(
    logits: Array, target: Array, weight: Array | None, ignored: int, mean: bool
) -> tuple[Array, Array, Kept]:
    """See the reference; the denominator is an array of no axes, and a wrong target is told by ``wrong_targets``."""
    powers, rows = launcher.launch(plan_rows, logits, target, weight, ignored)
    note = wrong_targets.note_of(logits)
    totals = launcher.launch(plan_totals, rows, target, logits.shape[1], ignored, mean, note)
    return totals[TOTAL], totals[DENOMINATOR], (powers, rows, totals, mean)


def cross_entropy_forward(logits: Array, target: Array, weight: Array | None, ignored: int) -> tuple[Array, Kept]:
    """See the reference; the second is for ``cross_entropy_backward`` alone."""
    _, _, kept = cross_entropy_loss(logits, target, weight, ignored, False)
    return kept[1][LOSS], kept


def cross_entropy_gradient(g: Array, kept: Kept, target: Array) -> Array:
    """See the reference."""
    return launcher.launch(plan_gradient, g, kept, target)


def cross_entropy_backward(g: Array, kept: Kept, target: Array, weight: Array | None, ignored: int) -> Array:
    """See the reference; what was kept knows of the weights and of what is ignored."""
    return launcher.launch(plan_gradient, g, kept, target)


def plan_rows(logits: Array, target: Array, weight: Array | None, ignored: int) -> Plan:
    """The launch that leaves (exponentials (N, C), what is kept of each row (3, N))."""
    xp = array_namespace(logits)
    dtype = check_operands(logits=logits)
    samples, classes = logits.shape
    if target.shape != (samples,):
        raise ValueError(f"target must have one class for each of the {samples} rows of logits, got {target.shape}")
    if weight is not None and weight.shape != (classes,):
        raise ValueError(f"weight must have one number for each of the {classes} classes, got {weight.shape}")
    if not classes:
        raise ValueError(f"logits must have at least one class, got shape {logits.shape}")
    check_size("logits", logits.shape)
    powers, rows = xp.empty(logits.shape, dtype), xp.empty((3, samples), dtype)
    x = flat(logits)
    shared_out = rows_of(classes)
    weights = x if weight is None else xp.ascontiguousarray(weight, dtype)  # x: the kernel does not look
    arrays = x, weights, powers.reshape(-1), rows.reshape(-1), _int64(target)
    numbers = samples, classes, int(weight is not None), np.int64(ignored)
    blocks = blocks_for(samples, shared_out.count)
    return Plan(rows_kernel(dtype, shared_out), blocks, (*arrays, *numbers), (powers, rows))


def plan_totals(rows: Array, target: Array, classes: int, ignored: int, mean: bool, note: Array) -> Plan:
    """The launch that leaves TOTALS, and in ``note`` what is wrong, if anything is and nothing stands there."""
    xp, samples = array_namespace(rows), rows.shape[1]
    totals = xp.empty(2, rows.dtype)
    args = rows.reshape(-1), totals, _int64(target), note, samples, classes, int(mean), np.int64(ignored)
    return Plan(totals_kernel(check_operands(rows=rows), THREADS), 1, args, totals)


def plan_gradient(g: Array, kept: Kept, target: Array) -> Plan:
    """The launch that leaves dlogits (N, C); g is one number, or one of each sample."""
    powers, rows, totals, mean = kept
    xp = array_namespace(g)
    dtype = check_operands(powers=powers, totals=totals, g=g)
    samples, classes = powers.shape
    dlogits, shared_out = xp.empty(powers.shape, dtype), rows_of(classes)
    arrays = powers.reshape(-1), rows.reshape(-1), totals, flat(g), dlogits.reshape(-1)
    numbers = samples, classes, int(g.ndim > 0), int(mean)
    blocks = blocks_for(samples, shared_out.count)
    return Plan(gradient_kernel(dtype, shared_out), blocks, (*arrays, _int64(target), *numbers), dlogits)


@cache
def rows_kernel(dtype: np.dtype, shared_out: Rows) -> Kernel:
    """Exponentials of the logits, and three numbers a row."""
    number = getattr(numba, dtype.name)
    each, count = shared_out
    maximum_of_row, sum_of_row = row_maximum(dtype.name, each), row_sum(dtype.name, each)

    def cross_entropy_rows(logits, weight, powers, rows, target, N, C, weighted, ignored):
        thread = int32(cuda.threadIdx.x)
        lane = int32(thread % each)
        row = int32(int32(cuda.blockIdx.x) * count + thread // each)
        if row < N:
            start = int32(row * C)
            top = number(-math.inf)
            for c in range(lane, C, each):
                if logits[start + c] > top:
                    top = logits[start + c]
            top = maximum_of_row(top)

            total = number(0)
            for c in range(lane, C, each):
                power = number(math.exp(logits[start + c] - top))
                powers[start + c] = power
                total += power
            total = sum_of_row(total)

            if lane == 0:
                share = number(0)
                loss = number(0)
                t = target[row]
                if t != ignored and 0 <= t < C:
                    share = weight[t] if weighted else number(1)
                    loss = share * (number(math.log(total)) - (logits[start + t] - top))
                rows[row] = number(1) / total
                rows[N + row] = share
                rows[2 * N + row] = loss

    others = {"target": "int64*", "ignored": "int64"}
    return Kernel(cross_entropy_rows, dtype, pointers=4, threads=shared_out.threads, others=others)


@cache
def totals_kernel(dtype: np.dtype, threads: int) -> Kernel:
    """One block adds up what each row is to the loss."""
    number = getattr(numba, dtype.name)
    sum_of_block = row_sum(dtype.name, threads)

    def cross_entropy_totals(rows, totals, target, note, N, C, mean, ignored):
        thread = int32(cuda.threadIdx.x)
        loss = number(0)
        shares = number(0)
        wrong = number(0)
        for row in range(thread, N, threads):
            shares += rows[N + row]
            loss += rows[2 * N + row]
            t = target[row]
            if t != ignored and not 0 <= t < C:
                wrong = number(1)
        loss = sum_of_block(loss)
        shares = sum_of_block(shares)
        wrong = sum_of_block(wrong)
        if thread == 0:
            totals[TOTAL] = loss / shares if mean else loss
            totals[DENOMINATOR] = shares
            if wrong > number(0) and note[WRONG] == 0:
                row = int32(0)
                while target[row] == ignored or 0 <= target[row] < C:
                    row = int32(row + 1)
                note[WRONG] = 1
                note[ROW] = row
                note[CLASS] = target[row]
                note[COUNT] = C
                note[IGNORED] = ignored

    others = {"target": "int64*", "note": "int64*", "ignored": "int64"}
    return Kernel(cross_entropy_totals, dtype, pointers=2, threads=threads, others=others)


@cache
def gradient_kernel(dtype: np.dtype, shared_out: Rows) -> Kernel:
    """(softmax - one-hot) times each row's share of the loss and the gradient of that."""
    number = getattr(numba, dtype.name)
    each, count = shared_out

    def cross_entropy_gradient(powers, rows, totals, g, dlogits, target, N, C, of_each_row, mean):
        thread = int32(cuda.threadIdx.x)
        row = int32(int32(cuda.blockIdx.x) * count + thread // each)
        if row < N:
            scale = rows[N + row]
            if scale != number(0):  # 0 also if the mean of nothing made g NaN
                scale = (scale / totals[DENOMINATOR] if mean else scale) * g[row if of_each_row else 0]
            inverse = rows[row]
            t = target[row]
            for c in range(thread % each, C, each):
                at = int32(row * C + c)
                dlogits[at] = (powers[at] * inverse - (number(1) if c == t else number(0))) * scale

    others = {"target": "int64*"}
    return Kernel(cross_entropy_gradient, dtype, pointers=5, threads=shared_out.threads, others=others)


def _int64(target: Array) -> Array:
    return array_namespace(target).ascontiguousarray(target, np.int64)
