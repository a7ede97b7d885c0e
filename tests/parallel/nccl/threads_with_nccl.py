"""Ranks that are threads, with a GPU of the double's each, and NCCL's stand-in between them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minipar import parallel

TIMEOUT = 8.0


def launch(fn: Callable[..., Any], *args: Any, size: int = 2, timeout: float = TIMEOUT, **options: Any) -> list[Any]:
    """As `parallel.launch` with backend "nccl" does it, but on threads. `options` are those of `over_nccl`."""

    def on_rank(comm: Any) -> Any:
        there = parallel.over_nccl(comm, **options)
        try:
            result = fn(there, *args)
        except BaseException:
            there.fail()
            raise
        there.close()
        return result

    devices = [f"cuda:{rank}" for rank in range(size)]
    return parallel.launch(on_rank, workers=size, backend="thread", devices=devices, timeout=timeout)
