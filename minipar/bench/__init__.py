"""`minipar bench`: training steps against other libraries, where their time goes, and everything about the GPU kernels.

``command``     what the command line offers
``workloads``   the models, in code that minipar and PyTorch both run
``contenders``  who is measured; a new one is a file in ``peers`` and an entry there
``harness``     the race, with ``racer`` and ``worker`` (the two ends of a contender's process) and ``cpu_clock``
``summary``     statistics, and what makes a number unbelievable
``bars``        what the ratios are meant to be; ``limits``: how fast this machine could be
``table``       all workloads; ``report`` (tables, Markdown and JSON, with the conditions from ``machine``) and ``plot``
``sweep``       `--sweep`: many shapes beside PyTorch
``fresh``       `--memory` (with ``memory_probe``) and `--startup`: what only new processes can show
``threads``     `--threads`: minipar beside itself with one thread
``profile``     `--profile`: where a step's time goes
``comm``        `--comm`: all-reduce between processes, beside gloo and MPI
``parallel``    `--parallel`: training steps split over two workers
``all_results`` `--all-results`: all of these as files
``gpu``         `minipar bench --gpu`: checks and timings of the CUDA kernels
"""

from .command import add_arguments, run

__all__ = ["add_arguments", "run"]
