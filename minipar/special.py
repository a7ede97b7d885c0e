"""`torch.special`: special functions, most of them under a second name of their own."""

from .ops.exponential import exp2, expm1, log1p, logit, xlogy
from .ops.exponential import sigmoid as expit
from .ops.reduce import logsumexp
from .ops.rounding import round
from .ops.softmax import log_softmax, softmax
from .ops.special import erf, erfc, erfinv
from .ops.trigonometry import sinc

__all__ = [
    "erf",
    "erfc",
    "erfinv",
    "exp2",
    "expit",
    "expm1",
    "log1p",
    "log_softmax",
    "logit",
    "logsumexp",
    "round",
    "sinc",
    "softmax",
    "xlogy",
]
