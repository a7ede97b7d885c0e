"""TensorFlow: the step as a tf.function, with a Keras optimizer."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from ..contenders import THREADS, Prepared
from .problem import EARLY_EPSILON, HEADS, problem


def prepare(workload: str) -> Prepared:
    tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    tf.config.threading.set_inter_op_parallelism_threads(THREADS)
    p = problem(workload)
    forward = _FORWARDS[p.kind]
    params = [tf.Variable(w) for w in (p.channels_last if p.kind == "cnn" else p.products)]
    x, y = tf.constant(p.images if p.kind == "cnn" else p.x), tf.constant(p.y)
    criterion = _mse if p.loss == "MSELoss" else _cross_entropy
    if p.optimizer == "Adam":
        optimizer = tf.keras.optimizers.Adam(p.lr, epsilon=EARLY_EPSILON)
    else:
        optimizer = tf.keras.optimizers.SGD(p.lr)
    optimizer.build(params)

    @tf.function
    def train(x: Any, y: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = criterion(forward(params, x), y)
        optimizer.apply_gradients(zip(tape.gradient(loss, params), params))
        return loss

    return Prepared(lambda: train(x, y).numpy(), tf.__version__, str(THREADS))


def _mlp(params: Any, x: Any) -> Any:
    for w, b in zip(params[:-2:2], params[1:-2:2]):
        x = tf.nn.relu(x @ w + b)
    return x @ params[-2] + params[-1]


def _cnn(params: Any, x: Any) -> Any:
    k1, b1, k2, b2, w, b = params
    for kernel, bias in ((k1, b1), (k2, b2)):
        x = tf.nn.relu(tf.nn.bias_add(tf.nn.conv2d(x, kernel, 1, "SAME"), bias))
        x = tf.nn.max_pool2d(x, 2, 2, "VALID")
    return tf.reshape(x, (x.shape[0], -1)) @ w + b


def _rnn(params: Any, x: Any) -> Any:
    wx, wh, bx, bh, w, b = params
    inputs = tf.tensordot(tf.transpose(x, (1, 0, 2)), wx, 1) + (bx + bh)
    h = tf.tanh(inputs[0])
    for t in range(1, x.shape[1]):  # unrolled while it is traced
        h = tf.tanh(inputs[t] + h @ wh)
    return h @ w + b


def _encoder(params: Any, x: Any) -> Any:
    qkv, qkv_bias, out, out_bias, w1, b1, w2, b2, g1, s1, g2, s2 = params
    batch, tokens, width = x.shape
    flat = tf.reshape(x, (-1, width))
    heads = tf.reshape(flat @ qkv + qkv_bias, (batch, tokens, 3, HEADS, width // HEADS))
    q, k, v = tf.unstack(tf.transpose(heads, (2, 0, 3, 1, 4)))
    mixed = tf.nn.softmax(tf.matmul(q, k, transpose_b=True) / (width // HEADS) ** 0.5) @ v
    attended = tf.reshape(tf.transpose(mixed, (0, 2, 1, 3)), (-1, width)) @ out + out_bias
    flat = _layer_norm(flat + attended, g1, s1)
    flat = _layer_norm(flat + tf.nn.relu(flat @ w1 + b1) @ w2 + b2, g2, s2)
    return tf.reshape(flat, x.shape)


def _layer_norm(x: Any, weight: Any, bias: Any) -> Any:
    mean, variance = tf.nn.moments(x, -1, keepdims=True)
    return tf.nn.batch_normalization(x, mean, variance, bias, weight, 1e-5)


def _mse(found: Any, y: Any) -> Any:
    return tf.reduce_mean(tf.math.squared_difference(found, y))


def _cross_entropy(logits: Any, y: Any) -> Any:
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits))


_FORWARDS = {"mlp": _mlp, "cnn": _cnn, "rnn": _rnn, "encoder": _encoder}
