"""`minipar bench --comm`: all-reduce on one machine beside gloo and MPI, and what memory allows.

``contenders``  who takes part, and how their ranks start
``rank``        one rank's process, with MPI and gloo; ``own``: minipar's
``crew``        the parent's end of a contender's ranks
``contest``     blocks in turn
``bars``        the ratios wanted, and whether they were met
``pool_times``  starting workers, and a task's round trip; ``span_cost``: what the timeline costs
``comparison``  the run, and its tables
"""

from .comparison import RANKS, Comparison, measure

__all__ = ["RANKS", "Comparison", "measure"]
