"""Batches in page-locked ("pinned") memory, from which copies to a GPU are faster and need not be waited for."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from .. import cuda
from ..tensor import Tensor, wrap
from .collate import like


def can_pin() -> bool:
    """Is there a GPU to pin memory for? Without one a warning, as PyTorch's: the batches stay in ordinary memory."""
    if cuda.is_available():
        return True
    warnings.warn("pin_memory=True has no effect: there is no GPU to pin memory for", UserWarning, stacklevel=4)
    return False


def pinned(batch: Any) -> Any:
    """The batch with its tensors copied into pinned memory, whatever tuples, lists and dicts they are in."""
    if isinstance(batch, Tensor):
        import cupyx

        copied = cupyx.empty_like_pinned(batch.array)
        copied[...] = batch.array
        return wrap(copied)
    if isinstance(batch, Mapping):
        return like(batch, lambda key: pinned(batch[key]))
    if isinstance(batch, (tuple, list)):
        parts = [pinned(part) for part in batch]
        return type(batch)(*parts) if hasattr(batch, "_fields") else type(batch)(parts)
    return batch
