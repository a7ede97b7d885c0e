"""One contender's process: `python -m minipar.bench.worker CONTENDER WORKLOAD`.

It speaks JSON, one line a message. First it says what it is and its first losses; then it reads a number of steps from
each line of its input and answers with the seconds of each step, until its input ends. What goes wrong is its last
message.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable
from time import perf_counter
from typing import Any

from .contenders import CONTENDERS, Prepared

FIRST_LOSSES = 5
WARM_UP = 3  # steps before each block, untimed: caches and thread pools have gone cold while others had their turn
WARM_UP_LIMIT = 0.3  # seconds, after which one is enough


def serve(prepare: Callable[[str], Prepared], workload: str, orders: Iterable[str], say: Callable[[Any], None]) -> int:
    """Prepare, then answer each order; returns the exit code."""
    try:
        prepared = prepare(workload)
        losses = prepared.losses or [number(prepared.step()) for _ in range(FIRST_LOSSES)]
        say({"losses": list(losses), "version": prepared.version, "threads": prepared.threads})
        for order in orders:
            calls = -(-int(order) // prepared.steps_per_call)
            say([seconds / prepared.steps_per_call for seconds in timed(prepared.step, calls)])
    except Exception as error:
        say({"error": " ".join(f"{type(error).__name__}: {error}".split())})
        return 1
    return 0


def number(loss: Any) -> float:
    return loss.item() if hasattr(loss, "item") else float(loss)


def timed(step: Callable[[], Any], count: int) -> list[float]:
    """Seconds of each of `count` steps, after the warm-up."""
    deadline = perf_counter() + WARM_UP_LIMIT
    for _ in range(WARM_UP):
        step()
        if perf_counter() > deadline:
            break
    seconds = []
    for _ in range(count):
        start = perf_counter()
        step()
        seconds.append(perf_counter() - start)
    return seconds


def messages() -> Callable[[Any], None]:
    """A function that sends one message; whatever a library prints from now on goes elsewhere, not between them."""
    output = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)

    def say(message: Any) -> None:
        output.write(json.dumps(message) + "\n")

    return say


def main() -> int:
    contender, workload = sys.argv[1:]
    return serve(CONTENDERS[contender].prepare, workload, sys.stdin, messages())


if __name__ == "__main__":
    sys.exit(main())
