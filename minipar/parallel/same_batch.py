"""Every rank passes the whole batch: has each the same? A habit from elsewhere, a loader a rank, is easily kept.

Two samples of each tensor are looked at, and made one number: their mean with fixed weights of either sign, over that
of their magnitudes. What several hosts have computed may differ by rounding, and other samples differ by far more.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from ..backend import to_numpy
from ..tensor import Tensor
from .mesh import Mesh

_TOLERANCE = 1e-5


def fingerprint(batch: Sequence[Tensor]) -> float:
    """A number for this batch, of [-n, n] for n tensors; NaN only where a sample is."""
    return sum(map(_of_tensor, batch), 0.0)


def check_fingerprints(told: np.ndarray, mesh: Mesh, sharded: bool) -> None:
    """ValueError if ranks that are to pass the same have different ones; `told` are those of all ranks.

    If `sharded`, these are ranks with one number in mesh.data.
    """
    each = len(told) // mesh.sizes["data"] if sharded else len(told)  # data is the slowest axis of a mesh
    for first in range(0, len(told), each):
        same = np.isclose(told[first : first + each], told[first], rtol=0, atol=_TOLERANCE, equal_nan=True)
        if not same.all():
            whose = (
                "ranks with one number in mesh.data must pass the same samples"
                if sharded
                else (
                    "every rank passes the same whole batch (whole images, too), of which it takes its share; with "
                    "sharded=True each data rank passes its own samples"
                )
            )
            raise ValueError(f"rank {first + int(same.argmin())} passes another batch than rank {first}: {whose}")


def _of_tensor(x: Tensor) -> float:
    if not x.numel():
        return 0.0
    values = to_numpy(x.array[:: max(len(x) - 1, 1)]).reshape(-1).astype(np.float64)  # the first and the last sample
    magnitude = float(np.abs(values).sum())
    return float(values @ _weights(values.size)) / magnitude if magnitude else 0.0


@lru_cache(maxsize=8)
def _weights(count: int) -> np.ndarray:
    return np.cos(np.arange(count))
