"""One library's process in the sweep: `python -m minipar.bench.sweep.worker LIBRARY`.

Orders are lines: the name of a case (build it, and answer with its first losses), or a number of seconds (answer with
the seconds of each step for so long). Answers are JSON, a line each; a case that fails is an answer too.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from importlib import import_module
from time import perf_counter
from typing import Any

from ..contenders import THREADS
from ..worker import messages, number
from ..workloads import Step, Workload, ordinary_step, prepare
from .cases import cases

LOSSES = 2
WARM_UP = 1


def serve(library: Any, known: dict[str, Workload], orders: Iterable[str], say: Callable[[Any], None]) -> int:
    """Answer each order; returns the exit code."""
    step: Step | None = None
    say({"version": library.__version__})
    for order in map(str.strip, orders):
        try:
            if order in known:
                step = None  # lets the last model go
                step = ordinary_step(prepare(library, known[order]))
                say({"losses": [number(step()) for _ in range(LOSSES)]})
            else:
                assert step is not None
                say(timed(step, float(order)))
        except Exception as error:
            say({"error": " ".join(f"{type(error).__name__}: {error}".split())})
    return 0


def timed(step: Step, limit: float) -> list[float]:
    """Seconds of each step, for `limit` seconds; two at the least, after the warm-up."""
    for _ in range(WARM_UP):
        step()
    seconds: list[float] = []
    deadline = perf_counter() + limit
    while len(seconds) < 2 or perf_counter() < deadline:
        start = perf_counter()
        step()
        seconds.append(perf_counter() - start)
    return seconds


def main() -> int:
    (name,) = sys.argv[1:]
    say = messages()
    library = import_module(name)
    if name == "torch":
        library.set_num_threads(THREADS)
    return serve(library, cases(), sys.stdin, say)


if __name__ == "__main__":
    sys.exit(main())
