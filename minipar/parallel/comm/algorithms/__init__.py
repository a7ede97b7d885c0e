"""All-reduce by messages between two ranks: the classical algorithms, each in a file, with its steps and bytes counted.

ring.py                 least bytes, many steps: large arrays
halving_doubling.py     few steps and few bytes, at its best with 2^k ranks
tree.py                 few steps, whole arrays: small ones
master.py               everything through rank 0: the lesson
cost.py                 what is counted, and what no algorithm can do without
peers.py                what an algorithm may do: the same on threads, processes and MPI
simulation.py           all ranks in one thread, message by message
verdict.py              whether what came out is right
"""

from .cost import Cost, lower_bound
from .peers import TAG, Algorithm, Carrier, Peers, run
from .simulation import Simulation, simulate_all_reduce
from .table import ALGORITHMS, all_reduce_cost, find, name_of

__all__ = [
    "ALGORITHMS",
    "TAG",
    "Algorithm",
    "Carrier",
    "Cost",
    "Peers",
    "Simulation",
    "all_reduce_cost",
    "find",
    "lower_bound",
    "name_of",
    "run",
    "simulate_all_reduce",
]
