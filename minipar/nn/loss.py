"""Losses as layers."""

from __future__ import annotations

from ..ops.loss import check_reduction, cross_entropy, mse_loss
from ..tensor import Tensor
from .module import Module


class MSELoss(Module):
    """(input − target)², its mean over all elements ("mean"), its sum, or all ("none"). Shapes must be equal."""

    def __init__(self, size_average: None = None, reduce: None = None, reduction: str = "mean") -> None:
        super().__init__()
        if size_average is not None or reduce is not None:
            raise NotImplementedError("MSELoss: size_average and reduce were replaced by reduction=; pass that")
        check_reduction(reduction)
        self.reduction = reduction

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return mse_loss(input, target, self.reduction)


class CrossEntropyLoss(Module):
    """Cross entropy of logits (N, C, …) with class numbers (N, …); see functional.cross_entropy for the arguments."""

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: None = None,
        ignore_index: int = -100,
        reduce: None = None,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        check_reduction(reduction)
        if size_average is not None or reduce is not None:
            raise NotImplementedError(
                "CrossEntropyLoss: size_average and reduce were replaced by reduction=; pass that"
            )
        if label_smoothing:
            raise NotImplementedError("CrossEntropyLoss: label_smoothing is not supported")
        self.register_buffer("weight", weight)
        self.ignore_index, self.reduction = ignore_index, reduction

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return cross_entropy(input, target, self.weight, ignore_index=self.ignore_index, reduction=self.reduction)
