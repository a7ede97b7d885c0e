"""Operations whose gradient is 0 wherever it exists: signs, rounding, whole quotients."""

from __future__ import annotations

from typing import Any

from .op import Elementwise
from .select import nothing


class Flat(Elementwise):
    """Constant between its jumps: every input's gradient is 0, as in PyTorch (at the jumps too)."""

    __slots__ = ()

    def vjp(self, g: Any) -> Any:
        return tuple([nothing(g) if need else None for need in self.needs])
