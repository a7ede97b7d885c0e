"""Tensor parallelism: every rank has a part of each layer's features, channels, heads or rows.

Read `linear.py` first; `conv.py`, `attention.py` and `embedding.py` are the same thought for other layers, and
`convert.py` finds the layers of a model that can be split, `pairs.py` two that belong together.
"""

from .attention import HeadParallelAttention
from .conv import ColumnParallelConv, RowParallelConv
from .convert import tensor_parallel
from .cross_entropy import vocab_parallel_cross_entropy
from .describe import describe_split
from .embedding import VocabParallelEmbedding
from .linear import ColumnParallelLinear, RowParallelLinear
from .sequence import SequenceParallelEncoderLayer, SequenceParallelLayerNorm

__all__ = [
    "ColumnParallelConv",
    "ColumnParallelLinear",
    "HeadParallelAttention",
    "RowParallelConv",
    "RowParallelLinear",
    "SequenceParallelEncoderLayer",
    "SequenceParallelLayerNorm",
    "VocabParallelEmbedding",
    "describe_split",
    "tensor_parallel",
    "vocab_parallel_cross_entropy",
]
