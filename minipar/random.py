"""The state of this thread's random numbers (`minipar.random`, spelled as `torch.random`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from .backend.random import default_generator, initial_seed, manual_seed

__all__ = ["fork_rng", "get_rng_state", "initial_seed", "manual_seed", "seed", "set_rng_state"]


def seed() -> int:
    """Start anew from a seed that the operating system draws, and return it.

    >>> minipar.random.seed() == minipar.initial_seed()
    True
    """
    return default_generator().seed()


def get_rng_state() -> tuple[int, int]:
    """What `set_rng_state` takes: (seed, draws made), where PyTorch has a tensor.

    >>> state = minipar.get_rng_state()
    >>> x = minipar.rand(2)
    >>> minipar.set_rng_state(state)
    >>> bool((minipar.rand(2) == x).all())
    True
    """
    return default_generator().get_state()


def set_rng_state(new_state: tuple[int, int]) -> None:
    """Go back to the state that `get_rng_state` returned. TypeError or ValueError for anything else.

    >>> minipar.set_rng_state((7, 0))
    >>> minipar.initial_seed()
    7
    """
    default_generator().set_state(new_state)


@contextmanager
def fork_rng(devices: Sequence[Any] | None = None, enabled: bool = True) -> Iterator[None]:
    """Inside, numbers are drawn as usual; afterwards the state is what it was before. There is one state, on the CPU.

    >>> with minipar.random.fork_rng():
    ...     x = minipar.rand(2)
    >>> bool((minipar.rand(2) == x).all())
    True
    """
    if devices:
        raise NotImplementedError(f"fork_rng: devices={devices!r} is not supported, numbers are drawn on the CPU")
    before = get_rng_state()
    try:
        yield
    finally:
        if enabled:
            set_rng_state(before)
