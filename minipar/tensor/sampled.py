"""Random numbers, from this thread's generator or the one given: most fill the tensor in place.

The tensor's old value gets no gradient, as it is overwritten.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import tape
from ..backend import dtypes, namespace, on_device, random
from ..backend.current_gpu import copied, on_its_gpu
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
        drawn = random.chosen(generator).uniform(self.shape, self._real("uniform_"))
        return self._filled("uniform_", drawn * drawn.dtype.type(to - low) + drawn.dtype.type(low))

    def normal_(self, mean: float = 0.0, std: float = 1.0, *, generator: Any = None) -> Any:
        """Normal, of mean `mean` and standard deviation `std`. RuntimeError if that is negative.

        >>> minipar.empty(2).normal_(5.0, 0.0)
        tensor([5., 5.])
        """
        if not std >= 0:
            raise RuntimeError(f"normal_: std must be 0 or more, not {std}")
        drawn = random.chosen(generator).normal(self.shape, self._real("normal_"))
        return self._filled("normal_", drawn * drawn.dtype.type(std) + drawn.dtype.type(mean))

    def exponential_(self, lambd: float = 1.0, *, generator: Any = None) -> Any:
        """Exponential, of rate `lambd`: −ln(1 − u) / lambd. RuntimeError unless the rate is positive.

        >>> bool((minipar.empty(100).exponential_() >= 0).all())
        True
        """
        if not lambd > 0:
            raise RuntimeError(f"exponential_: lambd must be positive, not {lambd}")
        drawn = random.chosen(generator).uniform(self.shape, self._real("exponential_"))
        return self._filled("exponential_", -np.log1p(-drawn) / drawn.dtype.type(lambd))

    @on_its_gpu
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
        drawn = on_device(random.chosen(generator).uniform(self.shape, dtypes.float64), self.device)
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
        return self._filled("random_", random.chosen(generator).integers(low, to, self.shape))

    def geometric_(self, p: float, *, generator: Any = None) -> Any:
        """The number of trials up to the first success, each of probability `p`: 1, 2, …, of any dtype but bool.

        RuntimeError unless 0 < p < 1.

        >>> bool((minipar.empty(100).geometric_(0.5) >= 1).all())
        True
        """
        if not 0 < p < 1:
            raise RuntimeError(f"geometric_: p must lie between 0 and 1, not be {p}")
        drawn = random.chosen(generator).uniform(self.shape, dtypes.float64)
        return self._filled("geometric_", np.floor(np.log1p(-drawn) / math.log1p(-p)) + 1)

    def log_normal_(self, mean: float = 1.0, std: float = 2.0, *, generator: Any = None) -> Any:
        """e to the power of normal numbers of this mean and standard deviation. RuntimeError unless that is positive.

        >>> bool((minipar.empty(100).log_normal_() > 0).all())
        True
        """
        if not std > 0:
            raise RuntimeError(f"log_normal_: std must be positive, not {std}")
        self._real("log_normal_")
        with dtypes.quiet():
            drawn = np.exp(mean + std * random.chosen(generator).normal(self.shape, dtypes.float64))
            return self._filled("log_normal_", drawn)

    def cauchy_(self, median: float = 0.0, sigma: float = 1.0, *, generator: Any = None) -> Any:
        """median + sigma · tan π(u − ½), u uniform. RuntimeError unless sigma is positive.

        >>> minipar.empty(2, 3).cauchy_().shape
        (2, 3)
        """
        if not sigma > 0:
            raise RuntimeError(f"cauchy_: sigma must be positive, not {sigma}")
        self._real("cauchy_")
        drawn = random.chosen(generator).uniform(self.shape, dtypes.float64)
        with dtypes.quiet():
            return self._filled("cauchy_", median + sigma * np.tan(np.pi * (drawn - 0.5)))

    # ── new tensors ───────────────────────────────────────────────────────────────────────────────────────────────────

    def bernoulli(self, p: Any = None, *, generator: Any = None) -> Any:
        """1 with the probability that each element holds (or `p` everywhere), else 0, in the same dtype.

        RuntimeError for a probability outside [0, 1].

        >>> minipar.tensor([0.0, 1.0]).bernoulli()
        tensor([0., 1.])
        """
        return tape.new_value(copied(self.array)).bernoulli_(self if p is None else p, generator=generator)

    @on_its_gpu
    def multinomial(self, num_samples: int, replacement: bool = False, *, generator: Any = None) -> Any:
        """`num_samples` indices of each row of weights (…, categories), drawn in proportion to the weights. int64.

        With replacement by the inverse of the cumulative sum; without, those with the smallest exponential numbers
        divided by their weight (Efraimidis & Spirakis, "Weighted random sampling with a reservoir", 2006). RuntimeError
        for weights that are negative, not finite or sum to 0, and for more samples than categories without replacement.

        >>> minipar.tensor([0.0, 1.0, 0.0]).multinomial(2, replacement=True)
        tensor([1, 1])
        """
        if len(self.shape) not in (1, 2) or self.dtype.kind != "f":
            raise RuntimeError(
                f"multinomial: input must have one axis or two and a floating-point dtype, not shape {self.shape}, "
                f"{self.dtype.name}"
            )
        categories = self.shape[-1]
        if num_samples <= 0 or (not replacement and num_samples > categories):
            raise RuntimeError(
                f"multinomial: num_samples must be positive, and at most the {categories} categories without "
                f"replacement, not {num_samples}"
            )
        xp = namespace(self.array)
        weights = self.array.astype("float64")
        if not (xp.isfinite(weights).all() and (weights >= 0).all() and (weights.sum(-1) > 0).all()):
            raise RuntimeError("multinomial: the weights in input must be finite, 0 or more, and not all 0 in any row")
        count = num_samples if replacement else categories
        uniform = on_device(random.chosen(generator).uniform((*self.shape[:-1], count), dtypes.float64), self.device)
        if replacement:
            sums = xp.cumsum(weights, -1)
            targets = uniform * sums[..., -1:]
            found = (sums[..., None, :] <= targets[..., None]).sum(-1)
            return tape.new_value(xp.minimum(found, categories - 1).astype("int64"))
        with dtypes.quiet():
            race = -xp.log1p(-uniform) / weights
        race[weights == 0] = np.inf
        return tape.new_value(xp.argsort(race, -1)[..., :num_samples].astype("int64"))

    def _real(self, name: str) -> np.dtype:
        if not self.is_floating_point():
            raise RuntimeError(f"{name} needs a floating-point tensor, not {self.dtype.name}")
        return self.dtype

    @on_its_gpu
    def _filled(self, name: str, drawn: Any) -> Any:
        array = on_device(np.asarray(drawn) if isinstance(drawn, np.generic) else drawn, self.device)
        return in_place(self, name, lambda x: SetItem(...)(x, array.astype(self.dtype, copy=False)))


def _countable(dtype: np.dtype) -> int:
    """One more than the largest number up to which a dtype holds every integer (within int64's bounds)."""
    if dtype.kind == "f":
        return 2 ** (math.frexp(1 / float(np.finfo(dtype).eps))[1]) + 1
    return 2 if dtype.kind == "b" else min(np.iinfo(dtype).max + 1, 2**63 - 1)
