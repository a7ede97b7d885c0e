"""Optimizers, spelled as in PyTorch, that step whole runs of neighbouring parameters with one kernel call."""

from .adam import Adam
from .optimizer import Optimizer
from .sgd import SGD

__all__ = ["Adam", "Optimizer", "SGD"]
