"""NCCL in a world of one rank, where an all-reduce must be the identity: library, communicator and stream work."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ...kernels.cuda.detect import INSTALL
from .check import Check


def all_reduce_of_one(array: np.ndarray) -> np.ndarray:
    """The sum over one rank of a float32 array: sent to the GPU, reduced by NCCL, brought back.

    RuntimeError where CuPy finds no NCCL, with what to install.
    """
    import cupy
    from cupy.cuda import nccl

    if not nccl.available:
        raise RuntimeError(f"CuPy finds no NCCL: {INSTALL}")
    source = cupy.asarray(array)
    result = cupy.zeros_like(source)
    communicator = nccl.NcclCommunicator(1, nccl.get_unique_id(), 0)
    try:
        stream = cupy.cuda.get_current_stream()
        communicator.allReduce(
            source.data.ptr, result.data.ptr, source.size, nccl.NCCL_FLOAT32, nccl.NCCL_SUM, stream.ptr
        )
        stream.synchronize()
    finally:
        communicator.destroy()
    return result.get()


def nccl_checks() -> Iterator[Check]:
    array = np.random.default_rng(0).standard_normal(100_003).astype(np.float32)
    wrong = np.abs(all_reduce_of_one(array) - array).max()
    yield Check("NCCL all-reduce", "world size 1, 100,003 float32", float(wrong), 0.0)
