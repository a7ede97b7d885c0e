"""Parallel training: ranks, what they tell each other, and the strategies written on top.

Importing this starts nothing and loads no multiprocessing: the process backend does when it is first used.
"""

from . import functional, pipeline, timeline
from .comm import Communicator, CommunicatorError, CommunicatorTimeout, MismatchError, PeerFailedError
from .comm.algorithms import all_reduce_cost, simulate_all_reduce
from .data import DataParallel
from .equality import Difference, compare_gradients, compare_parameters, first_difference
from .equivalence import assert_equivalent
from .inexact.averaging import PeriodicModelAverager, average_parameters
from .inexact.parameter_server import ParameterServer
from .layout import Layout
from .memory import BytesHeld, bytes_held
from .mesh import Mesh
from .parallelize import parallelize
from .part_dropout import PartDropout
from .ranks.environment import init
from .ranks.errors import RankState, WorkerError
from .ranks.launch import launch
from .ranks.nccl import over_nccl
from .ranks.pool import Pool
from .sharded_batches import ShardedBatchSampler
from .space import spatial
from .sync_batch_norm import SyncBatchNorm
from .tasks.assignment import Assignment, simulate_schedule
from .tasks.executor import PoolExecutor
from .tasks.job import JobError
from .tasks.map import map, map_unordered
from .tensor import (
    ColumnParallelConv,
    ColumnParallelLinear,
    HeadParallelAttention,
    RowParallelConv,
    RowParallelLinear,
    SequenceParallelEncoderLayer,
    SequenceParallelLayerNorm,
    VocabParallelEmbedding,
    describe_split,
    tensor_parallel,
    vocab_parallel_cross_entropy,
)
from .trainer import ParallelModel

__all__ = [
    "Assignment",
    "BytesHeld",
    "ColumnParallelConv",
    "ColumnParallelLinear",
    "Communicator",
    "CommunicatorError",
    "CommunicatorTimeout",
    "DataParallel",
    "Difference",
    "HeadParallelAttention",
    "JobError",
    "Layout",
    "Mesh",
    "MismatchError",
    "ParallelModel",
    "ParameterServer",
    "PartDropout",
    "PeerFailedError",
    "PeriodicModelAverager",
    "Pool",
    "PoolExecutor",
    "RankState",
    "RowParallelConv",
    "RowParallelLinear",
    "SequenceParallelEncoderLayer",
    "SequenceParallelLayerNorm",
    "ShardedBatchSampler",
    "SyncBatchNorm",
    "VocabParallelEmbedding",
    "WorkerError",
    "all_reduce_cost",
    "assert_equivalent",
    "average_parameters",
    "bytes_held",
    "compare_gradients",
    "compare_parameters",
    "describe_split",
    "first_difference",
    "functional",
    "init",
    "launch",
    "map",
    "map_unordered",
    "over_nccl",
    "parallelize",
    "pipeline",
    "simulate_all_reduce",
    "simulate_schedule",
    "spatial",
    "tensor_parallel",
    "timeline",
    "vocab_parallel_cross_entropy",
]
