"""The zoo (`minipar.bench.zoo`) for training in every layout: which batches, and which of its parameters are special.

Ranks make them by name, each for itself. (Processes import this module, so it does without pytest.)
"""

from __future__ import annotations

import numpy as np

import minipar
from minipar import nn
from minipar.bench.zoo import ZOO

Targets = tuple[minipar.Tensor, ...]
# Parameters whose gradient is mathematically zero, at least in part: Adam makes steps of their rounding noise.
ZERO_GRADIENTS = {
    "CNN with batch norm": ["0.bias", "4.bias"],  # the norm behind it takes the mean away
    "Transformer": ["encoder.0.self_attn.in_proj_bias", "encoder.1.self_attn.in_proj_bias"],  # the keys': softmax does
}
SIZES = {  # of batches
    "even": (24,),
    "uneven": (13, 7),
    "without rows": (1, 5),  # so some ranks and micro-batches have none
}


def model_of(name: str, dtype: str) -> nn.Module:
    minipar.manual_seed(3)
    return ZOO[name].build().to(getattr(minipar, dtype))


def batches_of(name: str, dtype: str, sizes: str) -> list[Targets]:
    """Lists of (input, labels, mask), in each of which the first label and the first place of the mask count."""
    draw = np.random.default_rng(5)
    return [tuple(_tensor(array, dtype) for array in ZOO[name].batch(draw, size)) for size in SIZES[sizes]]


def _tensor(array: np.ndarray, dtype: str) -> minipar.Tensor:
    return minipar.tensor(array, dtype=getattr(minipar, dtype) if array.dtype.kind == "f" else None)
