"""What is set for one thread only, as a value: so that the threads and processes which work for it compute the same."""

from __future__ import annotations

import copy
from typing import NamedTuple

import numpy as np

from .. import tape
from ..kernels.cpu import threads
from . import dispatch, dtypes, random


class ThreadSettings(NamedTuple):
    """The default dtype, the grad mode and whether that is inference, the kernels and their threads, the default
    generator's seed and draws made.
    """

    default_dtype: np.dtype
    grad: bool
    inference: bool
    kernels: str
    threads: int
    generator: random.Generator

    @classmethod
    def of_this_thread(cls) -> ThreadSettings:
        generator = copy.copy(random.default_generator())
        kernels, count = dispatch.kernels_in_use(), threads.get_num_threads()
        return cls(dtypes.get_default_dtype(), tape.mode.grad, tape.mode.inference, kernels, count, generator)

    def adopt(self) -> None:
        """Take them over in this thread, for as long as it lives; with a generator of its own in the same state."""
        dtypes.set_default_dtype(self.default_dtype)
        tape.mode.grad, tape.mode.inference = self.grad, self.inference
        dispatch.use_kernels(self.kernels).__enter__()
        threads.set_num_threads(self.threads)
        random.set_default_generator(copy.copy(self.generator))
