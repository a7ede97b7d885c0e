"""Filling a tensor with random numbers in place, from this thread's generator or the one given.

The tensor's old value gets no gradient, as it is overwritten.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..backend import dtypes, on_device, random
from ..ops.index import SetItem
from ..ops.inplace import in_place
from .described import Described


class Sampled(Described):
    """The part of a Tensor that draws."""

    __slots__ = ()

    # PyTorch calls the first bound `from`, which Python does not allow as a name; it is given by position.

    def uniform_(self, low: float = 0.0, to: float = 1.0, *, generator: Any = None) -> Any:
        """Uniform on [low, to). RuntimeError if the bounds are in the wrong order.

        >>> bool((minipar.empty(100).uniform_(-1, 0) <= 0).all())
        True
        """
        if not low <= to:
            raise RuntimeError(f"uniform_: from must not be above to, got from={low}, to={to}")
        drawn = _source(generator).uniform(self.shape, self._real("uniform_"))
        return self._filled("uniform_", drawn * drawn.dtype.type(to - low) + drawn.dtype.type(low))

    def normal_(self, mean: float = 0.0, std: float = 1.0, *, generator: Any = None) -> Any:
        """Normal, of mean `mean` and standard deviation `std`. RuntimeError if that is negative.

        >>> minipar.empty(2).normal_(5.0, 0.0)
        tensor([5., 5.])
        """
        if not std >= 0:
            raise RuntimeError(f"normal_: std must be 0 or more, not {std}")
        drawn = _source(generator).normal(self.shape, self._real("normal_"))
        return self._filled("normal_", drawn * drawn.dtype.type(std) + drawn.dtype.type(mean))

    def exponential_(self, lambd: float = 1.0, *, generator: Any = None) -> Any:
        """Exponential, of rate `lambd`: −ln(1 − u) / lambd. RuntimeError unless the rate is positive.

        >>> bool((minipar.empty(100).exponential_() >= 0).all())
        True
        """
        if not lambd > 0:
            raise RuntimeError(f"exponential_: lambd must be positive, not {lambd}")
        drawn = _source(generator).uniform(self.shape, self._real("exponential_"))
        return self._filled("exponential_", -np.log1p(-drawn) / drawn.dtype.type(lambd))

    def bernoulli_(self, p: Any = 0.5, *, generator: Any = None) -> Any:
        """1 with probability `p`, a number or a tensor of probabilities that is broadcast, else 0; of any dtype.

        >>> minipar.empty(2).bernoulli_(1.0)
        tensor([1., 1.])
        """
        chance = p.array if isinstance(p, Described) else np.asarray(p, np.float64)
        if chance.dtype.kind != "f":
            raise RuntimeError(f"bernoulli_: p must hold floating-point numbers, not {chance.dtype.name}")
        if not ((chance >= 0) & (chance <= 1)).all():
            raise RuntimeError("bernoulli_: p must hold probabilities, numbers of [0, 1]")
        drawn = on_device(_source(generator).uniform(self.shape, dtypes.float64), self.device)
        return self._filled("bernoulli_", drawn < (chance if chance.ndim else float(chance)))

    def random_(self, low: int = 0, to: int | None = None, *, generator: Any = None) -> Any:
        """Integers of [low, to); as `random_(to)` of [0, to). Without bounds, all that the dtype can count exactly.

        >>> bool((minipar.empty(100).random_(5) < 5).all())
        True
        """
        if to is None:
            low, to = (0, low) if low else (0, _countable(self.dtype))
        if not low < to:
            raise RuntimeError(f"random_: from must be below to, got from={low}, to={to}")
        return self._filled("random_", _source(generator).integers(low, to, self.shape))

    def _real(self, name: str) -> np.dtype:
        if not self.is_floating_point():
            raise RuntimeError(f"{name} needs a floating-point tensor, not {self.dtype.name}")
        return self.dtype

    def _filled(self, name: str, drawn: Any) -> Any:
        array = on_device(np.asarray(drawn) if isinstance(drawn, np.generic) else drawn, self.device)
        return in_place(self, name, lambda x: SetItem(...)(x, array.astype(self.dtype, copy=False)))


def _source(generator: Any) -> random.Generator:
    return random.default_generator() if generator is None else generator


def _countable(dtype: np.dtype) -> int:
    """One more than the largest number up to which a dtype holds every integer (within int64's bounds)."""
    if dtype.kind == "f":
        return 2 ** (math.frexp(1 / float(np.finfo(dtype).eps))[1]) + 1
    return 2 if dtype.kind == "b" else min(np.iinfo(dtype).max + 1, 2**63 - 1)
