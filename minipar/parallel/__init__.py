"""Parallel training: ranks, what they tell each other, and the strategies written on top.

Importing this starts nothing and loads no multiprocessing: the process backend does when it is first used.
"""

from . import functional, timeline
from .comm import Communicator, CommunicatorError, CommunicatorTimeout, MismatchError, PeerFailedError
from .comm.algorithms import all_reduce_cost, simulate_all_reduce
from .data import DataParallel
from .equality import Difference, compare_gradients, compare_parameters, first_difference
from .mesh import Mesh
from .part_dropout import PartDropout
from .ranks.environment import init
from .ranks.errors import RankState, WorkerError
from .ranks.launch import launch
from .ranks.pool import Pool
from .sync_batch_norm import SyncBatchNorm
from .tasks.assignment import Assignment, simulate_schedule
from .tasks.executor import PoolExecutor
from .tasks.job import JobError
from .tasks.map import map, map_unordered

__all__ = [
    "Assignment",
    "Communicator",
    "CommunicatorError",
    "CommunicatorTimeout",
    "DataParallel",
    "Difference",
    "JobError",
    "Mesh",
    "MismatchError",
    "PartDropout",
    "PeerFailedError",
    "Pool",
    "PoolExecutor",
    "RankState",
    "SyncBatchNorm",
    "WorkerError",
    "all_reduce_cost",
    "compare_gradients",
    "compare_parameters",
    "first_difference",
    "functional",
    "init",
    "launch",
    "map",
    "map_unordered",
    "simulate_all_reduce",
    "simulate_schedule",
    "timeline",
]
