"""A whole Elman recurrence as one node: h_t = tanh(W_ih x_t + b_ih + W_hh h_{t−1} + b_hh)."""

from __future__ import annotations

from typing import Any

from ..backend import namespace
from ..backend.dispatch import kernel
from .join import stack
from .linear import linear
from .op import Fat, check_dtypes
from .pointwise import relu, tanh


class Recurrence(Fat):
    """x (T, B, I), h0 (B, H), w_ih (H, I), w_hh (H, H), b_ih and b_hh (H,) or both absent → every h_t (T, B, H)

    `nonlinearity` is "tanh" or "relu". One matrix product for all input steps, one for all weight gradients
    (backpropagation through time; Werbos 1990).
    """

    __slots__ = ("nonlinearity",)
    saves = (0, 1, 2, 3)

    def __init__(self, nonlinearity):
        self.nonlinearity = nonlinearity

    def forward(self, x, h0, w_ih, w_hh, b_ih=None, b_hh=None):
        self.aux = kernel("rnn_forward", x)(x, h0, w_ih, w_hh, b_ih, b_hh, self.nonlinearity)
        return self.aux[1:].copy()  # the caller may change its copy; backward needs ours

    def vjp(self, g, x, h0, w_ih, w_hh):
        *grads, db = kernel("rnn_backward", g)(g, x, self.aux, w_ih, w_hh, self.nonlinearity)
        return tuple(grads) if len(self.needs) == 4 else (*grads, db, db)

    def composite(self, x, h, w_ih, w_hh, b_ih=None, b_hh=None):
        squash = tanh if self.nonlinearity == "tanh" else relu
        states = []
        for t in range(x.shape[0]):
            h = squash(linear(x[t], w_ih, b_ih) + linear(h, w_hh, b_hh))
            states.append(h)
        return stack(states)


def recurrence(
    x: Any, h0: Any, w_ih: Any, w_hh: Any, b_ih: Any = None, b_hh: Any = None, nonlinearity: str = "tanh"
) -> Any:
    """Every hidden state (T, B, H) of one layer in one direction; see Recurrence for the shapes.

    RuntimeError for an empty sequence (T = 0), and unless all have one floating-point dtype.
    """
    if not x.shape[0]:
        raise RuntimeError(f"RNN: expected a sequence of 1 or more steps, got input of shape {tuple(x.shape)}")
    check_dtypes("RNN", x, h0, w_ih, w_hh, b_ih, b_hh)
    weights = (w_ih, w_hh) if b_ih is None else (w_ih, w_hh, b_ih, b_hh)
    return Recurrence(nonlinearity)(x, h0, *weights)


def zero_state(x: Any, layers: int, batch: int, hidden: int) -> Any:
    """h0 of zeros (layers, B, H), where and of the dtype that x is."""
    from .. import tape

    return tape.new_value(namespace(x.array).zeros((layers, batch, hidden), x.dtype))
