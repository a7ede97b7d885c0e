"""Compressed gradients: fewer bytes from rank to rank, and a sum that is no longer exact.

    compress="fp16"         every number travels in 2 bytes: half of what float32 takes, wrong by 2**-11 of itself
    compress="topk:0.01"    of every bucket the hundredth travels that is largest, with its places

What top-k leaves behind is not lost: it stays in a residual, to which the next gradient is added (error feedback), so
that small gradients of one direction add up until they travel too:

    owed = residual + gradient    sent = the k largest of owed    residual = owed - sent

Over any number of steps, what was sent and the residual add up to all gradients: they come late, but they come. (Stich,
Cordonnier, Jaggi, "Sparsified SGD with Memory", arXiv 1809.07599, whose residual has the learning rate in it; Lin et
al., "Deep Gradient Compression", arXiv 1712.01887, without their momentum correction.)

Compression pays where bytes are what a step waits for, between machines: inside one, it costs more than it saves.
"""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from ...nn.parameter import Parameter
from ..comm import Communicator
from ..comm.work import Work
from ..gradients import GradientExchange, pack, unpack

HEADROOM = 15  # the largest number of a row is scaled to 2**14 … 2**15: float16 ends at 65504


def check_compression(compress: str | None) -> float | None:
    """The ratio R of "topk:R"; None for "fp16" and for no compression. ValueError for any other text."""
    if compress in (None, "fp16"):
        return None
    name, _, ratio = str(compress).partition(":")
    try:
        kept = float(ratio)
    except ValueError:
        kept = math.nan
    if name != "topk" or not 0.0 < kept <= 1.0:
        raise ValueError(
            f"compress must be None, 'fp16', or 'topk:R' with 0 < R <= 1, as in 'topk:0.01', not {compress!r}"
        )
    return kept


def exchange_of(compress: str | None, parameters: list[Parameter], comm: Communicator, bucket: int) -> GradientExchange:
    """The exchange that `compress` names: "fp16", or "topk:R" with R the ratio of numbers that travel, 0 < R <= 1.

    None names the exact one. ValueError for any other text.
    """
    ratio = check_compression(compress)
    if ratio is not None:
        return TopKExchange(parameters, comm, bucket, ratio)
    return GradientExchange(parameters, comm, bucket) if compress is None else HalfExchange(parameters, comm, bucket)


class HalfExchange(GradientExchange):
    """Gradients travel in float16, and are added up in their own dtype.

        every rank's bucket    [ piece 0 | piece 1 | … ]    piece r goes to rank r, in float16 (all_to_all)
        rank r                 Σ over ranks of piece r      goes to everybody, in float16 (all_gather)

    4 (N-1)/N bytes a number leave each of N ranks, for the 8 (N-1)/N of an all_reduce in float32. A number is rounded
    once before it is added and the sum once more: the error is at most 2**-11 of Σ over ranks of |gradient|, plus as
    much of the sum, plus 2**-39 of the largest number around it.
    """

    def __init__(self, parameters: list[Parameter], comm: Communicator, bucket: int) -> None:
        super().__init__(parameters, comm, bucket, in_shared_memory=False)

    def _send(self, bucket: list[Parameter]) -> None:
        packed = pack(bucket)
        pieces = np.zeros((self.comm.size, -(-packed.size // self.comm.size)), packed.dtype)
        pieces.reshape(-1)[: packed.size] = packed
        work = self.comm.all_to_all(as_halves(pieces), async_op=True)
        self._under_way.append(partial(self._complete, work, bucket, packed))

    def _complete(self, work: Work, bucket: list[Parameter], packed: np.ndarray) -> None:
        total = from_halves(work.wait(), packed.dtype).sum(axis=0, keepdims=True)
        told = self.comm.all_gather(as_halves(total)[0])
        unpack(from_halves(told, packed.dtype).reshape(-1)[: packed.size], bucket)


class TopKExchange(GradientExchange):
    """Of each bucket's gradients the largest travel, the `ratio`-th part of them; the rest waits for the next step.

    (8 bytes a number that travels, in float32: its place too.) `residuals` holds what waits, by a parameter's id:
    gradients as backward made them, before they are divided by the whole batch's denominator.
    """

    def __init__(self, parameters: list[Parameter], comm: Communicator, bucket: int, ratio: float) -> None:
        super().__init__(parameters, comm, bucket, in_shared_memory=False)
        self.residuals: dict[int, np.ndarray] = {}
        self._ratio = ratio

    def _send(self, bucket: list[Parameter]) -> None:
        owed = pack(bucket)
        start = 0
        for p in bucket:
            stretch = owed[start : start + p.array.size]
            if id(p) in self.residuals:
                stretch += self.residuals[id(p)]
            self.residuals[id(p)] = stretch  # a view: what is taken out of `owed` below is gone from it
            start += stretch.size
        count = math.ceil(self._ratio * owed.size)
        places = np.sort(np.argpartition(np.abs(owed), owed.size - count)[owed.size - count :])
        values = owed[places]
        owed[places] = 0
        places = places.astype(np.min_scalar_type(owed.size))
        works = [self.comm.all_gather(array, async_op=True) for array in (places, values)]
        self._under_way.append(partial(_add_up, works, bucket, owed.size))

    def _settle(self, unused: set[int]) -> None:
        """A parameter that no rank has used may still have had a residual, which has travelled now."""
        arrived = {id(p) for bucket in self._buckets for p in bucket if p.grad is not None and np.any(p.grad.array)}
        super()._settle(unused - arrived)


def as_halves(rows: np.ndarray) -> np.ndarray:
    """Rows (n, m) in float16, (n, 1 + m): each row scaled by a power of two, whose exponent stands in front.

    Small gradients would be zeros in float16, and large ones infinite: so the largest of a row is 2**14 … 2**15.
    """
    largest = np.abs(rows).max(axis=1, keepdims=True, initial=0.0)
    exponents = np.frexp(np.where(np.isfinite(largest), largest, 1.0))[1]
    halves = np.empty((rows.shape[0], 1 + rows.shape[1]), np.float16)
    halves[:, :1] = exponents
    halves[:, 1:] = np.ldexp(rows, HEADROOM - exponents)
    return halves


def from_halves(halves: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """What `as_halves` has made, as rows (n, m) of numbers again."""
    return np.ldexp(halves[:, 1:].astype(dtype), halves[:, :1].astype(np.int32) - HEADROOM)


def _add_up(works: list[Work], bucket: list[Parameter], size: int) -> None:
    places, values = (work.wait() for work in works)
    total = np.zeros(size, values.dtype)
    for rank in range(len(places)):  # in this order everywhere: all ranks get the same bits
        total[places[rank]] += values[rank]
    unpack(total, bucket)
