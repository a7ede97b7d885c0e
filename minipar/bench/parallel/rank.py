"""One rank of a contender: asleep on a socket until an order comes, then a block of steps.

An order is (kind, subject, layout, repeats): steps of that kind are made once, and kept until another subject or layout
is asked for. The answer to 0 repeats is the first losses; to more, what each repeat says: seconds.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Client, Connection
from time import perf_counter
from typing import Any

WARM_UP = 2  # untimed steps of each block: caches have gone cold while others had their turn
LOSSES = 3  # first ones, to be compared


@dataclass
class Work:
    """What is timed: `repeat` does it once and returns the seconds. `losses`: of the first steps, which are done."""

    repeat: Callable[[], Any]
    losses: list[float]


Build = Callable[[str, str, str], Work]  # kind, subject, layout


def steps(step: Callable[[], Any]) -> Work:
    """Training steps, from the first on; `step` returns its loss."""

    def repeat() -> float:
        start = perf_counter()
        step()
        return perf_counter() - start

    return Work(repeat, [float(step()) for _ in range(LOSSES)])


def asleep() -> Work:
    """The part of a rank that has none."""
    return Work(lambda: 0.0, [])


def serve(rank: int, version: str, build: Build, address: str) -> None:
    """Say who is here, then answer orders, to the last."""
    with Client(address) as channel:
        channel.send({"rank": rank, "pid": os.getpid(), "version": version})
        try:
            _answer(channel, build)
        except EOFError:
            return
        except Exception as error:
            channel.send({"error": f"rank {rank}: {type(error).__name__}: {error}"})
            raise


def _answer(channel: Connection, build: Build) -> None:
    current: tuple[str, str] = ("", "")
    made: dict[str, Work] = {}
    while True:
        kind, subject, layout, repeats = channel.recv()
        if current != (subject, layout):
            current, made = (subject, layout), {}
        if kind not in made:
            made[kind] = build(kind, subject, layout)
        work = made[kind]
        for _ in range(WARM_UP if repeats else 0):
            work.repeat()
        channel.send([work.repeat() for _ in range(repeats)] if repeats else work.losses)
