"""One-hot vectors."""

from __future__ import annotations

from typing import Any

from .. import tape
from ..backend import namespace
from ..backend.current_gpu import on_its_gpu
from .accepts import looks_only, tensor_dtype
from .op import array_of


@on_its_gpu
def one_hot(input: Any, num_classes: int = -1) -> Any:
    """For int64 classes of any shape the vectors (…, num_classes), int64, that are 1 at the class and 0 elsewhere.

    −1 classes means one more than the largest class found. RuntimeError for a class outside.

    >>> F.one_hot(minipar.tensor([0, 2]), num_classes=3)
    tensor([[1, 0, 0],
            [0, 0, 1]])
    """
    if tensor_dtype(input) != "int64":
        raise RuntimeError(f"one_hot: input must hold int64 classes, not {input.dtype}")
    classes = array_of(input)
    xp = namespace(classes)
    if not classes.size and num_classes <= 0:
        raise RuntimeError("one_hot: num_classes must be given for a tensor without elements")
    if num_classes == -1:
        num_classes = int(classes.max()) + 1
    _check_classes(classes, num_classes)
    return tape.new_value((classes[..., None] == xp.arange(num_classes)).astype("int64"))


@looks_only
def _check_classes(classes: Any, num_classes: int) -> None:
    low, high = (int(classes.min()), int(classes.max())) if classes.size else (0, 0)
    if low < 0 or num_classes < 1 or high >= num_classes:
        raise RuntimeError(f"one_hot: classes must be in [0, num_classes={num_classes}), got {low} to {high}")
