"""Which of its kernels serve a compiled convolution, and in how small pieces: chosen by a test."""

from contextlib import contextmanager

import numpy as np
import pytest
from guarded_memory import guarded

from minipar.kernels.cpu import conv_calls, conv_plan, threads

KINDS = ("direct", "narrow", "pixels", "as chosen")


@contextmanager
def served_by(kind):
    """All convolutions by the kernels of ``conv_direct``, or all by those with vectors of pixels.

    "narrow" differs from "direct" only in the gradient of the weight.
    """
    with pytest.MonkeyPatch.context() as patch:
        if kind != "as chosen":
            patch.setattr(conv_calls, "direct_serves", lambda *_: kind != "pixels")
            patch.setattr(conv_calls, "weight_kernel", lambda *_: kind)
        _forget_plans()
        yield
    _forget_plans()


@contextmanager
def eager():
    """Threads are used however little there is to do; frames of a few rows, so that blocks and their edges are met."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threads, "GRAIN", 1)
        patch.setattr(conv_plan, "FRAME_BYTES", 1 << 10)
        patch.setattr(conv_plan, "PANELS", 1)
        _forget_plans()
        yield
    _forget_plans()
    threads.set_num_threads(threads._default())


class GuardedResults:
    """NumPy for a module of kernels, but what it makes room for ends (or begins, `at_start`) where memory does."""

    def __init__(self, at_start):
        self.at_start = at_start

    def __getattr__(self, name):
        return getattr(np, name)

    def empty(self, shape, dtype):
        return guarded(np.empty(shape, dtype), self.at_start)

    def zeros(self, shape, dtype):
        return guarded(np.zeros(shape, dtype), self.at_start)


def _forget_plans():
    plans = conv_calls.forward_calls, conv_calls.pooled_call, conv_calls.input_calls, conv_calls.weight_call
    for remembered in (conv_plan.cut, conv_plan.direct_cut, *plans):
        remembered.cache_clear()
