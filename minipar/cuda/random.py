"""The state of the random numbers of a GPU's tensors: this thread's one generator's, which serves every device.

Numbers are drawn by position and not by place (see backend/random.py), so a tensor gets the same ones wherever it lies.
"""

from __future__ import annotations

from typing import Any

from ..backend import random
from .devices import gpu


def manual_seed(seed: int) -> None:
    """`minipar.manual_seed`: one generator serves every device. TypeError or ValueError as there.

    >>> minipar.cuda.manual_seed(3)
    >>> minipar.initial_seed()
    3
    """
    random.manual_seed(seed)


def manual_seed_all(seed: int) -> None:
    """The same, however many GPUs there are.

    >>> minipar.cuda.manual_seed_all(3)
    """
    random.manual_seed(seed)


def seed() -> None:
    """Start anew from a seed that the operating system draws.

    >>> minipar.cuda.seed()
    """
    random.default_generator().seed()


def initial_seed() -> int:
    """The seed of this thread's generator.

    >>> minipar.cuda.manual_seed(5)
    >>> minipar.cuda.initial_seed()
    5
    """
    return random.initial_seed()


def get_rng_state(device: Any = "cuda") -> tuple[int, int]:
    """`minipar.get_rng_state`, whichever GPU is asked for. TypeError or ValueError if `device` is no GPU.

    >>> minipar.cuda.get_rng_state() == minipar.get_rng_state()
    True
    """
    gpu(device, "get_rng_state")
    return random.default_generator().get_state()


def set_rng_state(new_state: tuple[int, int], device: Any = "cuda") -> None:
    """`minipar.set_rng_state`, whichever GPU is named. TypeError or ValueError as there, or if `device` is no GPU.

    >>> minipar.cuda.set_rng_state(minipar.cuda.get_rng_state())
    """
    gpu(device, "set_rng_state")
    random.default_generator().set_state(new_state)
