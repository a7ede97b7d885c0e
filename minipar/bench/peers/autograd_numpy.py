"""autograd: NumPy code, `value_and_grad`, and an update in NumPy."""

from __future__ import annotations

from importlib import metadata
from typing import Any

import autograd.numpy as np
from autograd import value_and_grad
from autograd.scipy.signal import convolve

from ..contenders import THREADS, Prepared
from .numpy_optimizers import optimizer
from .problem import HEADS, Problem, problem


def prepare(workload: str) -> Prepared:
    p = problem(workload)
    params = [w.copy() for w in p.products]
    criterion = _mse if p.loss == "MSELoss" else _cross_entropy
    forward = _FORWARDS[p.kind]
    loss_and_grads = value_and_grad(lambda params: criterion(forward(params, p.x), p))
    update = optimizer(p.optimizer, params, p.lr)

    def step() -> Any:
        loss, grads = loss_and_grads(params)
        update(grads)
        return loss

    return Prepared(step, metadata.version("autograd"), f"{THREADS} in BLAS")


def _mlp(params: Any, x: Any) -> Any:
    for w, b in zip(params[:-2:2], params[1:-2:2]):
        x = np.maximum(np.dot(x, w) + b, 0)
    return np.dot(x, params[-2]) + params[-1]


def _cnn(params: Any, x: Any) -> Any:
    """After autograd's own example of a CNN; its convolution turns the kernel over, so it is given it turned."""
    k1, b1, k2, b2, w, b = params
    for kernel, bias in ((k1, b1), (k2, b2)):
        padded = np.pad(x, ((0, 0), (0, 0), (2, 2), (2, 2)), "constant")
        turned = kernel[:, :, ::-1, ::-1]
        x = convolve(padded, turned, axes=([2, 3], [2, 3]), dot_axes=([1], [1]), mode="valid")
        x = np.maximum(x + bias[:, None, None], 0)
        n, c, height, width = x.shape
        x = np.max(np.max(x.reshape(n, c, height // 2, 2, width // 2, 2), axis=3), axis=4)
    return np.dot(x.reshape(len(x), -1), w) + b


def _rnn(params: Any, x: Any) -> Any:
    wx, wh, bx, bh, w, b = params
    inputs = np.dot(x.swapaxes(0, 1), wx) + (bx + bh)
    h = np.tanh(inputs[0])
    for t in range(1, x.shape[1]):
        h = np.tanh(inputs[t] + np.dot(h, wh))
    return np.dot(h, w) + b


def _encoder(params: Any, x: Any) -> Any:
    qkv, qkv_bias, out, out_bias, w1, b1, w2, b2, g1, s1, g2, s2 = params
    batch, tokens, width = x.shape
    heads = np.reshape(np.dot(x, qkv) + qkv_bias, (batch, tokens, 3, HEADS, width // HEADS))
    heads = np.transpose(heads, (2, 0, 3, 1, 4))
    q, k, v = heads[0], heads[1], heads[2]
    scores = np.matmul(q, np.swapaxes(k, -1, -2)) / (width // HEADS) ** 0.5
    weights = np.exp(scores - np.max(scores, axis=-1, keepdims=True))
    mixed = np.matmul(weights / np.sum(weights, axis=-1, keepdims=True), v)
    attended = np.dot(np.reshape(np.transpose(mixed, (0, 2, 1, 3)), x.shape), out) + out_bias
    x = _layer_norm(x + attended, g1, s1)
    return _layer_norm(x + np.dot(np.maximum(np.dot(x, w1) + b1, 0), w2) + b2, g2, s2)


def _layer_norm(x: Any, weight: Any, bias: Any) -> Any:
    centred = x - np.mean(x, axis=-1, keepdims=True)
    return centred / np.sqrt(np.mean(centred**2, axis=-1, keepdims=True) + 1e-5) * weight + bias


def _mse(found: Any, p: Problem) -> Any:
    return np.mean((found - p.y) ** 2)


def _cross_entropy(logits: Any, p: Problem) -> Any:
    shifted = logits - np.max(logits, axis=1, keepdims=True)
    right = shifted[np.arange(len(p.y)), p.y]
    return np.mean(np.log(np.sum(np.exp(shifted), axis=1)) - right)


_FORWARDS = {"mlp": _mlp, "cnn": _cnn, "rnn": _rnn, "encoder": _encoder}
