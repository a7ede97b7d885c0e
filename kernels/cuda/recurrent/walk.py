"""The way through packed sequences (see ``kernels.reference.packed``), as the kernels are told it."""

from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np

Array = Any


class Walk(NamedTuple):
    """``sizes[t]`` sequences have a step t, the longest first; ``reverse``: each starts at its own end."""

    sizes: tuple[int, ...]
    reverse: bool

    @property
    def steps(self) -> int:
        return len(self.sizes)

    @property
    def batch(self) -> int:
        return max(self.sizes)

    @property
    def ragged(self) -> bool:
        """Are there sequences of several lengths?"""
        return self.sizes[0] != self.sizes[-1]

    def places(self, xp: Any) -> Array:
        """The first row of each step, and behind them the length of each sequence; if not ragged, nothing useful."""
        if not self.ragged:
            return xp.empty(1, np.int32)
        ends = accumulate(self.sizes)
        lengths = (sum(size > sequence for size in self.sizes) for sequence in range(self.batch))
        return xp.asarray(np.array([*(end - size for end, size in zip(ends, self.sizes)), *lengths], np.int32))
