"""What ranks pass to a training step: the whole batch, or their own samples, or rows; and have they the same?

A habit from elsewhere, a loader a rank, is easily kept.

Two samples of each tensor are looked at, and made one number: their mean with fixed weights of either sign, over that
of their magnitudes. What several hosts have computed may differ by rounding, and other samples differ by far more.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from ..backend import to_numpy
from ..tensor import Tensor
from .mesh import AXES, Mesh
from .shares import shares

_TOLERANCE = 1e-5


class Passed(NamedTuple):
    """What a rank passes: of the whole batch all samples or its own, and of images all rows or its own."""

    own_samples: bool = False
    own_rows: bool = False

    @property
    def differing_axes(self) -> list[str]:
        """Ranks that differ along these pass something else."""
        return ["data"] * self.own_samples + ["space"] * self.own_rows


def fingerprint(batch: Sequence[Tensor]) -> float:
    """A number for this batch, of [-n, n] for n tensors; NaN only where a sample is."""
    return sum(map(_of_tensor, batch), 0.0)


def check_fingerprints(told: np.ndarray, mesh: Mesh, passed: Passed) -> None:
    """ValueError if ranks that are to pass the same have different ones; `told` are those of all ranks."""
    if (told == told[0]).all():
        return
    for ranks in _groups(mesh, [axis for axis in AXES if axis not in passed.differing_axes]):
        same = np.isclose(told[ranks], told[ranks[0]], rtol=0, atol=_TOLERANCE, equal_nan=True)
        if not same.all():
            other = ranks[int(same.argmin())]
            raise ValueError(f"rank {other} passes another batch than rank {ranks[0]}: {_who_passes_what(passed)}")


def check_own_rows(images: Sequence[Tensor], mesh: Mesh) -> None:
    """ValueError on all ranks unless each has its share of the rows of these tensors (N, …, H, W). Collective."""
    if mesh.space.size == 1:
        return
    told = mesh.comm.all_gather(np.array([x.shape[-2] if x.ndim > 2 else -1 for x in images]))
    if (told < 0).any():
        rank = int((told < 0).any(axis=1).argmax())
        raise ValueError(
            f"own_rows: what is split by rows are images (N, …, H, W), and what is told of each pixel; rank {rank} "
            "passes a tensor without rows"
        )
    for ranks in _groups(mesh, ["space"]):
        for heights in told[ranks].T.tolist():
            right = shares(sum(heights), len(ranks))
            if heights != right:
                raise ValueError(f"own_rows: ranks {ranks.tolist()} must pass images of {right} rows, not {heights}")


def _groups(mesh: Mesh, axes: Sequence[str]) -> np.ndarray:
    """Row by row, the ranks that differ along `axes` alone."""
    ranks = np.arange(mesh.comm.size).reshape([mesh.sizes[axis] for axis in AXES])
    last = [AXES.index(axis) for axis in axes]
    rest = [axis for axis in range(len(AXES)) if axis not in last]
    return ranks.transpose(rest + last).reshape(-1, int(np.prod([ranks.shape[axis] for axis in last])))


def _who_passes_what(passed: Passed) -> str:
    if passed.differing_axes:
        numbers = " and ".join(f"mesh.{axis}" for axis in passed.differing_axes)
        return f"ranks with one number in {numbers} must pass the same samples"
    return (
        "every rank passes the same whole batch (whole images, too), of which it takes its share; with sharded=True "
        "each data rank passes its own samples, with own_rows=True each space rank its own rows"
    )


def _of_tensor(x: Tensor) -> float:
    if not x.numel():
        return 0.0
    values = to_numpy(x.array[:: max(len(x) - 1, 1)]).reshape(-1).astype(np.float64)  # the first and the last sample
    magnitude = float(np.abs(values).sum())
    return float(values @ _weights(values.size)) / magnitude if magnitude else 0.0


@lru_cache(maxsize=8)
def _weights(count: int) -> np.ndarray:
    return np.cos(np.arange(count))
