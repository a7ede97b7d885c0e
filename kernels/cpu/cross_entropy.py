"""Cross-entropy of class numbers, reduced or row by row, and its gradient, each in one pass over the logits.

The forward pass keeps the exponentials of the logits and two numbers a row, so that the gradient needs no exponential.
"""

import numpy as np
from numba import njit, prange

from .approximate import log
from .compile import compiled
from .exponentials import exponentials_of_rows
from .signatures import real_signatures
from .threads import threads_for

COST = 8  # of an exponential, in multiply-adds, with what is done around it
ALONE = 50_000  # elements that one thread is done with before a second one has begun
_NO_WEIGHT = {char: np.empty(0, char) for char in "fd"}

SHARE, INVERSE, TOP, LOSS = range(4)  # what is kept of a row: its weight in the loss, 1/Σ of its powers, …


def cross_entropy_loss(
    logits: np.ndarray, target: np.ndarray, weight: np.ndarray | None, ignored: int, mean: bool
) -> tuple[np.ndarray, float, tuple[np.ndarray, np.ndarray]]:
    """See the reference. TypeError unless logits (and weight) are float32 or float64, ValueError for wrong sizes."""
    real = logits.dtype
    powers, rows, loss = np.empty(logits.shape, real), np.empty((4, len(logits)), real), np.empty((), real)
    weight = _NO_WEIGHT[real.char] if weight is None else weight.astype(real, copy=False)
    if not logits.flags.c_contiguous:
        logits = np.ascontiguousarray(logits)
    if target.dtype != np.int64:
        target = target.astype(np.int64)
    threads = 1 if logits.size < ALONE else threads_for(COST * logits.size, len(logits))
    if threads == 1:
        wrong, denominator = _loss(logits, target, weight, ignored, mean, powers, rows, loss)
    else:
        wrong, denominator = _loss_of_threads(logits, target, weight, ignored, mean, powers, rows, loss, threads)
    if wrong >= 0:
        raise IndexError(f"cross_entropy: class numbers must be in [0, {logits.shape[1]}), got {int(target[wrong])}")
    return loss, denominator, (powers, rows)


def cross_entropy_forward(
    logits: np.ndarray, target: np.ndarray, weight: np.ndarray | None, ignored: int
) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """See the reference; the second is for `cross_entropy_backward` alone. Errors as of `cross_entropy_loss`."""
    _, _, kept = cross_entropy_loss(logits, target, weight, ignored, False)
    return kept[1][LOSS], kept


def cross_entropy_gradient(g: np.ndarray, kept: tuple[np.ndarray, np.ndarray], target: np.ndarray) -> np.ndarray:
    """See the reference."""
    powers, rows = kept
    dlogits = np.empty(powers.shape, powers.dtype)
    if target.dtype != np.int64:
        target = target.astype(np.int64)
    threads = 1 if powers.size < ALONE else threads_for(2 * powers.size, len(powers))
    if threads == 1:
        _gradient(g.reshape(-1), powers, rows, target, dlogits)
    else:
        _gradient_of_threads(g.reshape(-1), powers, rows, target, dlogits, threads)
    return dlogits


def cross_entropy_backward(
    g: np.ndarray, kept: tuple[np.ndarray, np.ndarray], target: np.ndarray, weight: np.ndarray | None, ignored: int
) -> np.ndarray:
    """See the reference; what was kept knows of the weights and of what is ignored."""
    return cross_entropy_gradient(g, kept, target)


@compiled(real_signatures("in2 ids1A in1A int64 boolean out2 out2 out0", "Tuple((int64,float64))"))
def _loss(logits, target, weight, ignored, mean, powers, rows, loss):
    wrong, denominator = _shares(logits, target, weight, ignored, mean, powers, rows)
    if wrong < 0:
        _losses(logits, target, powers, rows, 0, len(logits))
        loss[()] = _total(rows, denominator, mean)
    return wrong, denominator


@compiled(real_signatures("in2 ids1A in1A int64 boolean out2 out2 out0 int64", "Tuple((int64,float64))"), parallel=True)
def _loss_of_threads(logits, target, weight, ignored, mean, powers, rows, loss, threads):
    wrong, denominator = _shares(logits, target, weight, ignored, mean, powers, rows)
    if wrong < 0:
        n = len(logits)
        for thread in prange(threads):
            _losses(logits, target, powers, rows, thread * n // threads, (thread + 1) * n // threads)
        loss[()] = _total(rows, denominator, mean)
    return wrong, denominator


@njit(error_model="numpy")
def _shares(logits, target, weight, ignored, mean, powers, rows):
    """Sets each row's share of the loss; returns (the first row whose class is none, or −1, Σ of the weights)."""
    n, classes = logits.shape
    if len(target) != n or powers.shape != logits.shape or rows.shape != (4, n):
        raise ValueError("logits (N, C) need target (N,)")
    if len(weight) != 0 and len(weight) != classes:
        raise ValueError("logits (N, C) need weight (C,)")
    denominator = 0.0
    for i in range(n):
        share = 1.0
        if target[i] == ignored:
            share = 0.0
        elif target[i] < 0 or target[i] >= classes:
            return i, 0.0
        elif len(weight):
            share = weight[target[i]]
        rows[SHARE, i] = share
        denominator += share
    if mean:
        for i in range(n):
            if rows[SHARE, i] != 0:  # those of nothing at all stay 0, not 0/0
                rows[SHARE, i] /= denominator
    return -1, denominator


@njit(error_model="numpy")
def _losses(logits, target, powers, rows, first, last):
    exponentials_of_rows(logits, powers, rows[TOP], rows[INVERSE], first, last)
    for i in range(first, last):
        t = target[i]
        rows[LOSS, i] = 0
        if rows[SHARE, i] != 0:
            rows[LOSS, i] = rows[SHARE, i] * (log(rows[INVERSE, i]) - (logits[i, t] - rows[TOP, i]))
        rows[INVERSE, i] = 1 / rows[INVERSE, i]


@njit(error_model="numpy")
def _total(rows, denominator, mean):
    total = 0.0
    for i in range(rows.shape[1]):
        total += rows[LOSS, i]
    return np.nan if mean and denominator == 0 else total


@compiled(real_signatures("in1A in2 in2 ids1A out2"))
def _gradient(g, powers, rows, target, dlogits):
    _check(g, powers, rows, target, dlogits)
    _gradients(g, powers, rows, target, dlogits, 0, len(powers))


@compiled(real_signatures("in1A in2 in2 ids1A out2 int64"), parallel=True)
def _gradient_of_threads(g, powers, rows, target, dlogits, threads):
    _check(g, powers, rows, target, dlogits)
    n = len(powers)
    for thread in prange(threads):
        _gradients(g, powers, rows, target, dlogits, thread * n // threads, (thread + 1) * n // threads)


@njit(error_model="numpy")
def _check(g, powers, rows, target, dlogits):
    if len(target) != len(powers) or rows.shape != (4, len(powers)) or dlogits.shape != powers.shape:
        raise ValueError("what was kept of the logits (N, C) needs target (N,)")
    if len(g) != 1 and len(g) != len(powers):
        raise ValueError("what was kept of the logits (N, C) needs a gradient for each row, or one for all")


@njit(error_model="numpy")
def _gradients(g, powers, rows, target, dlogits, first, last):
    real = powers.dtype.type
    for i in range(first, last):
        of_loss = g[i] if len(g) > 1 else g[0]
        share = of_loss * rows[SHARE, i] if rows[SHARE, i] != 0 else real(0)
        factor = share * rows[INVERSE, i]
        for j in range(powers.shape[1]):
            dlogits[i, j] = powers[i, j] * factor
        if 0 <= target[i] < powers.shape[1]:
            dlogits[i, target[i]] -= share
