"""MyGrad: its tensors and its neural-network functions, and an update in NumPy."""

from __future__ import annotations

from typing import Any

import mygrad as mg
from mygrad.nnet.activations import relu, softmax
from mygrad.nnet.layers import conv_nd, max_pool
from mygrad.nnet.losses import softmax_crossentropy

from ..contenders import THREADS, Prepared
from .numpy_optimizers import optimizer
from .problem import HEADS, problem


def prepare(workload: str) -> Prepared:
    mg.turn_memory_guarding_off()  # as its documentation advises for speed
    p = problem(workload)
    params = [mg.tensor(w) for w in p.products]
    forward = _FORWARDS[p.kind]
    criterion = _mse if p.loss == "MSELoss" else softmax_crossentropy
    update = optimizer(p.optimizer, [w.data for w in params], p.lr)

    def step() -> Any:
        loss = criterion(forward(params, p.x), p.y)
        loss.backward()
        update([w.grad for w in params])
        return loss.item()

    return Prepared(step, mg.__version__, f"{THREADS} in BLAS")


def _mlp(params: Any, x: Any) -> Any:
    for w, b in zip(params[:-2:2], params[1:-2:2]):
        x = relu(mg.matmul(x, w) + b)
    return mg.matmul(x, params[-2]) + params[-1]


def _cnn(params: Any, x: Any) -> Any:
    k1, b1, k2, b2, w, b = params
    for kernel, bias in ((k1, b1), (k2, b2)):
        x = relu(conv_nd(x, kernel, stride=1, padding=2) + bias.reshape(1, -1, 1, 1))
        x = max_pool(x, (2, 2), 2)
    return mg.matmul(x.reshape(len(x), -1), w) + b


def _rnn(params: Any, x: Any) -> Any:
    wx, wh, bx, bh, w, b = params
    inputs = mg.matmul(x.swapaxes(0, 1), wx) + (bx + bh)
    h = mg.tanh(inputs[0])
    for t in range(1, x.shape[1]):
        h = mg.tanh(inputs[t] + mg.matmul(h, wh))
    return mg.matmul(h, w) + b


def _encoder(params: Any, x: Any) -> Any:
    qkv, qkv_bias, out, out_bias, w1, b1, w2, b2, g1, s1, g2, s2 = params
    batch, tokens, width = x.shape
    heads = (mg.matmul(x, qkv) + qkv_bias).reshape(batch, tokens, 3, HEADS, width // HEADS).transpose(2, 0, 3, 1, 4)
    q, k, v = heads[0], heads[1], heads[2]
    mixed = mg.matmul(softmax(mg.matmul(q, k.swapaxes(-1, -2)) / (width // HEADS) ** 0.5), v)
    attended = mg.matmul(mixed.transpose(0, 2, 1, 3).reshape(*x.shape), out) + out_bias
    x = _layer_norm(x + attended, g1, s1)
    return _layer_norm(x + mg.matmul(relu(mg.matmul(x, w1) + b1), w2) + b2, g2, s2)


def _layer_norm(x: Any, weight: Any, bias: Any) -> Any:
    centred = x - mg.mean(x, axis=-1, keepdims=True)
    return centred / mg.sqrt(mg.mean(centred**2, axis=-1, keepdims=True) + 1e-5) * weight + bias


def _mse(found: Any, y: Any) -> Any:
    return mg.mean((found - y) ** 2)


_FORWARDS = {"mlp": _mlp, "cnn": _cnn, "rnn": _rnn, "encoder": _encoder}
