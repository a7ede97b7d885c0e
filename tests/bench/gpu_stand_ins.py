"""What stands in a GPU's place in the tests of `minipar bench --gpu`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from minipar.bench.gpu.kernel_checks import REFERENCE


def plain_kernels() -> dict[str, Callable[..., Any]]:
    """The reference forms; float16 as tensor cores take it: added up in float32, and rounded once."""
    return {name: _rounded_once(kernel) for name, kernel in REFERENCE.items()}


def _rounded_once(kernel: Callable[..., Any]) -> Callable[..., Any]:
    def call(*operands: Any) -> Any:
        if operands[0].dtype != np.float16:
            return kernel(*operands)
        found = kernel(*(x.astype(np.float32) if hasattr(x, "astype") else x for x in operands))
        return tuple(x.astype(np.float16) for x in found) if isinstance(found, tuple) else found.astype(np.float16)

    return call


@contextmanager
def pytorch_on_the_double(torch: Any) -> Iterator[Any]:
    """PyTorch of the CPU in the place of one that has a GPU: "cuda" is the CPU, and the double's arrays are shared."""
    with pytest.MonkeyPatch.context() as patches:
        for kind in (torch.Tensor, torch.nn.Module):
            patches.setattr(kind, "to", _to_the_cpu(kind.to))
        patches.setattr(torch, "from_dlpack", lambda array: torch.from_numpy(array._host))
        patches.setattr(torch.cuda, "is_available", lambda: True)
        # PyTorch's own testing tools, which other tests import, forbid what a program may do.
        patches.setitem(torch.backends.flags_frozen.__globals__, "__allow_nonbracketed_mutation_flag", True)
        patches.setattr(torch.backends.cudnn, "allow_tf32", True)
        yield torch


def _to_the_cpu(to: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self, *args, **kwargs: to(self, *("cpu" if x == "cuda" else x for x in args), **kwargs)
