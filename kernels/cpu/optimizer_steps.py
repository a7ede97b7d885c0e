"""Adam in one compiled pass: same signature and same bits as kernels.reference.optimizer_steps.

NumPy reads and writes each chunk a dozen times; here every element is loaded once and stored once. One thread: the
update runs between BLAS calls, whose own threads a second pool would fight.
"""

import numpy as np

from ..reference import optimizer_steps as reference
from .compile import check_real, compiled


def adam_step(
    p: np.ndarray,
    g: np.ndarray,
    exp_avg: np.ndarray,
    exp_avg_sq: np.ndarray,
    step: int,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    maximize: bool,
    decoupled: bool = False,
    max_exp_avg_sq: np.ndarray | None = None,
) -> None:
    """Update contiguous p, exp_avg and exp_avg_sq (n,) in place from g (n,), all float32 or all float64.

    See the reference, which also serves AMSGrad (with max_exp_avg_sq): too rare for a loop of its own. ValueError for
    a step below 1 or lengths that differ, TypeError for other dtypes or layouts.
    """
    if max_exp_avg_sq is not None:
        reference.adam_step(
            p, g, exp_avg, exp_avg_sq, step, lr, beta1, beta2, eps, weight_decay, maximize, decoupled, max_exp_avg_sq
        )
        return
    check_real("p", p)
    if step < 1:
        raise ValueError(f"step counts from 1, got {step}")
    if not p.shape == g.shape == exp_avg.shape == exp_avg_sq.shape:
        raise ValueError(
            f"p, g, exp_avg and exp_avg_sq must have one length, got {p.shape}, {g.shape}, "
            f"{exp_avg.shape} and {exp_avg_sq.shape}"
        )
    real = p.dtype.type
    sign, step_size, root_correction = -1 if maximize else 1, lr / (1 - beta1**step), (1 - beta2**step) ** 0.5
    shrink, penalty = (1 - lr * weight_decay, 0) if decoupled else (1, weight_decay)
    scalars = (sign, shrink, penalty, 1 - beta1, beta2, 1 - beta2, root_correction, eps, step_size)
    _adam(p, g, exp_avg, exp_avg_sq, *map(real, scalars))


@compiled([f"void({', '.join([f'{r}[::1]'] * 4 + [r] * 9)})" for r in ("float32", "float64")])
def _adam(p, g, m, v, sign, shrink, penalty, one_minus_beta1, beta2, one_minus_beta2, root_correction, eps, step_size):
    """The scalars have the arrays' dtype, else the arithmetic would turn to float64."""
    for k in range(len(p)):
        p[k] *= shrink
        gradient = sign * g[k]
        if penalty != 0:
            gradient += penalty * p[k]
        m[k] += one_minus_beta1 * (gradient - m[k])
        v[k] = beta2 * v[k] + one_minus_beta2 * (gradient * gradient)
        p[k] -= step_size * (m[k] / (np.sqrt(v[k]) / root_correction + eps))
