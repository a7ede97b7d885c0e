"""`minipar bench`: training steps against other libraries, and everything about the GPU kernels.

``command``     what the command line offers
``workloads``   the models, in code that minipar and PyTorch both run
``contenders``  who is measured; a new one is a function and an entry there
``harness``     the race, with ``racer`` and ``worker`` (the two ends of a contender's process) and ``cpu_clock``
``summary``     statistics, and what makes a number unbelievable
``report``      tables, Markdown and JSON, with the conditions from ``machine``
``gpu``         `minipar bench --gpu`: checks and timings of the CUDA kernels
"""

from .command import add_arguments, run

__all__ = ["add_arguments", "run"]
