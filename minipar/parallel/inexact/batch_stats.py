"""Batch norm by micro-batches: statistics of the samples at hand, whatever the rest of the batch is.

    batch_stats="whole"    the mean and variance of all ranks' samples (SyncBatchNorm): one process's numbers
    batch_stats="micro"    those of each rank's micro-batch: no message, and another function

A mean over few samples is noisy: the smaller the pieces, the further the outputs are from those of the whole batch, and
no step size makes up for it. This is what PyTorch's DistributedDataParallel and GPipe do unless told otherwise (Huang
et al., arXiv 1811.06965, section 2.2). Running statistics see each micro-batch of the first rank as a batch, and every
rank gets them, so that all ranks evaluate one model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from ...backend import namespace, to_numpy
from ...backend.random import sharded_samples
from ...nn.batchnorm import BatchNormNd
from ...nn.module import Module
from ...tensor import Tensor
from ..comm import Communicator
from ..mesh import Mesh


def is_by_micro_batch(batch_stats: str, mesh: Mesh, virtual_shards: int | None) -> bool:
    """Is it "micro"? ValueError if it is neither that nor "whole", or does not go with the other options."""
    if batch_stats not in ("whole", "micro"):
        raise ValueError(f"batch_stats must be 'whole' or 'micro', not {batch_stats!r}")
    if batch_stats == "micro" and (mesh.space.size > 1 or virtual_shards is not None):
        raise ValueError(
            f"batch_stats='micro' goes with the axes data, pipeline and tensor, not with virtual_shards or {mesh}"
        )
    return batch_stats == "micro"


def norm_by_micro_batch(model: Module) -> None:
    """Every batch norm in `model` takes the samples it gets for a whole batch."""
    for layer in model.modules():
        if isinstance(layer, BatchNormNd):
            layer.forward = partial(_as_whole_batch, layer.forward)  # type: ignore[method-assign]


def _as_whole_batch(forward: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    with sharded_samples(0, len(x), len(x)):
        return forward(x)


def take_running_statistics(modules: Iterable[Module], comm: Communicator) -> None:
    """Every rank of `comm` gets the running statistics of its rank 0, for every batch norm in `modules`. Collective."""
    for module in modules:
        for layer in module.modules():
            for buffer in layer.buffers(recurse=False) if isinstance(layer, BatchNormNd) else ():
                host = to_numpy(buffer.array)
                comm.broadcast(host)
                if host is not buffer.array:
                    buffer.array[...] = namespace(buffer.array).asarray(host)
                buffer.bump("broadcast")
