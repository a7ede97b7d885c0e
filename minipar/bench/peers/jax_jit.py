"""JAX: the whole step, update included, as one jitted function that reuses its arguments' memory."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from ..contenders import THREADS, Prepared
from .problem import HEADS, problem


def prepare(workload: str) -> Prepared:
    p = problem(workload)
    forward = _FORWARDS[p.kind]
    starts = {"cnn": p.channels_last} if p.kind == "cnn" else {}
    params = [jnp.asarray(w) for w in starts.get(p.kind, p.products)]
    x, y = jnp.asarray(p.images if p.kind == "cnn" else p.x), jnp.asarray(p.y)
    criterion = _mse if p.loss == "MSELoss" else _cross_entropy

    def loss_function(params: Any, x: Any, y: Any) -> Any:
        return criterion(forward(params, x), y)

    def train(params: Any, state: Any, x: Any, y: Any) -> Any:
        loss, grads = jax.value_and_grad(loss_function)(params, x, y)
        params, state = _UPDATES[p.optimizer](params, grads, state, p.lr)
        return params, state, loss

    jitted = jax.jit(train, donate_argnums=(0, 1))
    state = (jnp.zeros(()), [jnp.zeros_like(w) for w in params], [jnp.zeros_like(w) for w in params])

    def step() -> Any:
        nonlocal params, state
        params, state, loss = jitted(params, state, x, y)
        jax.block_until_ready(params)
        return loss

    return Prepared(step, jax.__version__, str(THREADS))


def _mlp(params: Any, x: Any) -> Any:
    for w, b in zip(params[:-2:2], params[1:-2:2]):
        x = jax.nn.relu(x @ w + b)
    return x @ params[-2] + params[-1]


def _cnn(params: Any, x: Any) -> Any:
    k1, b1, k2, b2, w, b = params
    for kernel, bias in ((k1, b1), (k2, b2)):
        x = lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")) + bias
        x = lax.reduce_window(jax.nn.relu(x), -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
    return x.reshape(x.shape[0], -1) @ w + b


def _rnn(params: Any, x: Any) -> Any:
    wx, wh, bx, bh, w, b = params
    inputs = x.swapaxes(0, 1) @ wx + (bx + bh)
    h, _ = lax.scan(lambda h, a: (jnp.tanh(a + h @ wh), None), jnp.zeros(inputs.shape[1:], x.dtype), inputs)
    return h @ w + b


def _encoder(params: Any, x: Any) -> Any:
    qkv, qkv_bias, out, out_bias, w1, b1, w2, b2, g1, s1, g2, s2 = params
    batch, tokens, width = x.shape
    heads = (x @ qkv + qkv_bias).reshape(batch, tokens, 3, HEADS, width // HEADS).transpose(2, 0, 3, 1, 4)
    q, k, v = heads[0], heads[1], heads[2]
    mixed = jax.nn.softmax(q @ k.swapaxes(-1, -2) / (width // HEADS) ** 0.5) @ v
    attended = mixed.transpose(0, 2, 1, 3).reshape(x.shape) @ out + out_bias
    x = _layer_norm(x + attended, g1, s1)
    return _layer_norm(x + jax.nn.relu(x @ w1 + b1) @ w2 + b2, g2, s2)


def _layer_norm(x: Any, weight: Any, bias: Any) -> Any:
    centred = x - x.mean(-1, keepdims=True)
    return centred * lax.rsqrt((centred**2).mean(-1, keepdims=True) + 1e-5) * weight + bias


def _mse(found: Any, y: Any) -> Any:
    return jnp.mean((found - y) ** 2)


def _cross_entropy(logits: Any, y: Any) -> Any:
    return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], 1))


def _sgd(params: Any, grads: Any, state: Any, lr: float) -> Any:
    return [w - lr * g for w, g in zip(params, grads)], state


def _adam(params: Any, grads: Any, state: Any, lr: float) -> Any:
    t, means, squares = state
    t = t + 1
    means = [0.9 * m + 0.1 * g for m, g in zip(means, grads)]
    squares = [0.999 * v + 0.001 * g * g for v, g in zip(squares, grads)]
    c1, c2 = 1 - 0.9**t, 1 - 0.999**t
    moved = [w - lr * (m / c1) / (jnp.sqrt(v / c2) + 1e-8) for w, m, v in zip(params, means, squares)]
    return moved, (t, means, squares)


_FORWARDS = {"mlp": _mlp, "cnn": _cnn, "rnn": _rnn, "encoder": _encoder}
_UPDATES = {"SGD": _sgd, "Adam": _adam}
