"""AdamW: Adam whose weight decay is no part of the gradient."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..tensor import Tensor
from .adam import Adam


class AdamW(Adam):
    """p ← (1 − lr·weight_decay)·p, then Adam's step with the gradient of the loss alone.

    Loshchilov & Hutter, Decoupled weight decay regularization (ICLR 2019). Arguments, state and errors as Adam's.

    >>> p = nn.Parameter(minipar.tensor([1.0]))
    >>> optimizer = optim.AdamW([p], lr=0.5, weight_decay=0.5)
    >>> p.grad = minipar.zeros(1)
    >>> optimizer.step()
    >>> p.tolist()
    [0.75]
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-3,
        betas: tuple[float | Tensor, float | Tensor] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            foreach=foreach,
            maximize=maximize,
            capturable=capturable,
            differentiable=differentiable,
            fused=fused,
            decoupled_weight_decay=True,
        )
