"""tinygrad: its tensors and optimizers, the step under TinyJit; on its CPU device, which compiles with clang."""

from __future__ import annotations

from importlib import metadata
from typing import Any

from tinygrad import Context, Tensor, TinyJit
from tinygrad.nn.optim import SGD, Adam

from ..contenders import THREADS, Prepared
from .problem import HEADS, problem


def prepare(workload: str) -> Prepared:
    p = problem(workload)
    params = [Tensor(w).realize() for w in p.products]
    x, y = Tensor(p.x).realize(), Tensor(p.y).realize()
    forward = _FORWARDS[p.kind]
    optimizer = {"SGD": SGD, "Adam": Adam}[p.optimizer](params, lr=p.lr)

    @TinyJit
    def train() -> Any:
        optimizer.zero_grad()
        found = forward(params, x)
        loss = ((found - y) ** 2).mean() if p.loss == "MSELoss" else found.sparse_categorical_crossentropy(y)
        loss.backward()
        return loss.realize(*optimizer.schedule_step())

    def step() -> float:
        with Context(TRAINING=1):
            return train().item()

    return Prepared(step, metadata.version("tinygrad"), f"{THREADS} at the most")


def _mlp(params: Any, x: Any) -> Any:
    for w, b in zip(params[:-2:2], params[1:-2:2]):
        x = (x @ w + b).relu()
    return x @ params[-2] + params[-1]


def _cnn(params: Any, x: Any) -> Any:
    k1, b1, k2, b2, w, b = params
    for kernel, bias in ((k1, b1), (k2, b2)):
        x = x.conv2d(kernel, bias, padding=2).relu().max_pool2d(2)
    return x.flatten(1) @ w + b


def _rnn(params: Any, x: Any) -> Any:
    wx, wh, bx, bh, w, b = params
    inputs = x.transpose(0, 1) @ wx + (bx + bh)
    h = inputs[0].tanh()
    for t in range(1, x.shape[1]):
        h = (inputs[t] + h @ wh).tanh()
    return h @ w + b


def _encoder(params: Any, x: Any) -> Any:
    qkv, qkv_bias, out, out_bias, w1, b1, w2, b2, g1, s1, g2, s2 = params
    batch, tokens, width = x.shape
    heads = (x @ qkv + qkv_bias).reshape(batch, tokens, 3, HEADS, width // HEADS).permute(2, 0, 3, 1, 4)
    mixed = heads[0].scaled_dot_product_attention(heads[1], heads[2])
    attended = mixed.transpose(1, 2).reshape(x.shape) @ out + out_bias
    x = (x + attended).layernorm() * g1 + s1
    return (x + (x @ w1 + b1).relu() @ w2 + b2).layernorm() * g2 + s2


_FORWARDS = {"mlp": _mlp, "cnn": _cnn, "rnn": _rnn, "encoder": _encoder}
