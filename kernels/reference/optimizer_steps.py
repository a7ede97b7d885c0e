"""One SGD or Adam update, in place, over flat one-dimensional buffers.

The formulas and their order are PyTorch's (torch.optim, single-tensor form). The buffers are walked in chunks, so that
the passes of one update find their operands in the cache; arithmetic stays in the buffers' dtype.
"""

import math
from collections.abc import Iterator
from typing import Any

from .namespace import array_namespace

Array = Any

# Parameter, gradient, two moments and two scratch arrays of a float32 chunk take 384 KiB: within any L2 cache.
CHUNK = 16 * 1024


def sgd_step(
    p: Array,
    g: Array,
    momentum_buffer: Array | None,
    lr: float,
    momentum: float,
    dampening: float,
    weight_decay: float,
    nesterov: bool,
    first_step: bool,
    maximize: bool,
) -> None:
    """Stochastic gradient descent on ``p`` (n,) with gradient ``g`` (n,), which is left as it was.

    ``momentum_buffer`` (n,) is updated too and may be None only when ``momentum`` is 0 (ValueError otherwise); on the
    ``first_step`` it is set to the gradient, undampened, as PyTorch does.
    """
    xp = array_namespace(p)
    if momentum_buffer is None and momentum:
        raise ValueError(f"momentum {momentum} needs a momentum_buffer, got None")
    scratch = xp.empty(min(CHUNK, len(p)), p.dtype)
    for chunk in _chunks(len(p)):
        pc = p[chunk]
        update = _descent(xp, g[chunk], pc, weight_decay, maximize, scratch[: len(pc)])
        if momentum_buffer is not None and momentum:
            buffer = momentum_buffer[chunk]
            if first_step:
                buffer[...] = update
            else:
                buffer *= momentum
                buffer += (1 - dampening) * update
            update = update + momentum * buffer if nesterov else buffer
        pc -= xp.multiply(update, lr, out=scratch[: len(pc)])


def adam_step(
    p: Array,
    g: Array,
    exp_avg: Array,
    exp_avg_sq: Array,
    step: int,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    maximize: bool,
    decoupled: bool = False,
    max_exp_avg_sq: Array | None = None,
) -> None:
    """Adam (Kingma & Ba 2015) on ``p`` (n,) with gradient ``g`` (n,), which is left as it was.

    ``exp_avg`` and ``exp_avg_sq`` (n,) are the running moments, updated in place; ``step`` counts this update (the
    first is 1; ValueError below). ``weight_decay`` adds to the gradient, or, ``decoupled``, first shrinks ``p``
    (Loshchilov & Hutter 2019). ``max_exp_avg_sq`` (n,), if given, is updated too and takes the place of
    ``exp_avg_sq`` in the step (AMSGrad, Reddi et al. 2018).
    """
    xp = array_namespace(p)
    if step < 1:
        raise ValueError(f"step counts from 1, got {step}")
    step_size = lr / (1 - beta1**step)
    root_correction = math.sqrt(1 - beta2**step)
    gradient_scratch, scratch = xp.empty((2, min(CHUNK, len(p))), p.dtype)
    for chunk in _chunks(len(p)):
        pc, m, v = p[chunk], exp_avg[chunk], exp_avg_sq[chunk]
        t = scratch[: len(pc)]
        if decoupled:
            pc *= 1 - lr * weight_decay
        gradient = _descent(xp, g[chunk], pc, 0 if decoupled else weight_decay, maximize, gradient_scratch[: len(pc)])
        xp.subtract(gradient, m, out=t)
        t *= 1 - beta1
        m += t
        v *= beta2
        xp.multiply(gradient, gradient, out=t)
        t *= 1 - beta2
        v += t
        if max_exp_avg_sq is not None:
            v = xp.maximum(max_exp_avg_sq[chunk], v, out=max_exp_avg_sq[chunk])
        xp.sqrt(v, out=t)
        t /= root_correction
        t += eps
        xp.divide(m, t, out=t)
        t *= step_size
        pc -= t


def _descent(xp: Any, g: Array, p: Array, weight_decay: float, maximize: bool, scratch: Array) -> Array:
    """The gradient to descend: ``g`` itself where nothing changes it, else ``scratch``, filled."""
    if maximize:
        g = xp.negative(g, out=scratch)
    if weight_decay:
        g = xp.add(g, weight_decay * p, out=scratch)
    return g


def _chunks(size: int) -> Iterator[slice]:
    return (slice(start, start + CHUNK) for start in range(0, size, CHUNK))
