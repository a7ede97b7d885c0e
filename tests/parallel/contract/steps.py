"""The steps that programs are made of: plain data, whose `repr` is Python that makes them again.

Where something is a tuple by rank, every rank may have it differently: the layout of its array, whether it passes
`out`, whether it waits at once. The other options must be the same on all ranks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.parallel.contract.arrays import Shape

Delay = int | None  # None: a synchronous call. n: asynchronous, waited for when n more steps have begun


@dataclass(frozen=True)
class Barrier:
    delays: tuple[Delay, ...] = ()
    late: int | None = None  # the rank that comes 2 ms after the others


@dataclass(frozen=True)
class Collective:
    """One call of `verb` with each rank's `values(seed, rank)`; `shape` is that of one rank's piece."""

    verb: str
    seed: int
    shape: Shape
    dtype: str
    op: str = "sum"
    root: int = 0
    algorithm: str | None = None  # "own": the first of the backend's own
    layouts: tuple[str, ...] = ()
    outs: tuple[str | None, ...] = ()  # the layout of `out`; None where it is not passed
    registered: tuple[bool, ...] = ()  # whose array lies in memory of `comm.empty`; () if that is not called
    registered_outs: bool = False  # whether every rank passes an `out` that `comm.empty` made
    delays: tuple[Delay, ...] = ()
    late: int | None = None


@dataclass(frozen=True)
class ObjectCollective:
    verb: str
    seed: int
    root: int = 0


@dataclass(frozen=True)
class Message:
    """One message; `dtype` None sends an object. `out` is the layout of the receiver's `out`."""

    source: int
    dest: int
    tag: int
    seed: int
    shape: Shape
    dtype: str | None
    layout: str = "plain"
    out: str | None = None
    send_delay: Delay = None
    receive_delay: Delay = None


@dataclass(frozen=True)
class Exchange:
    """Every rank sends its messages in this order and receives those for it in `receive_order` (their indices).

    Messages of one source, dest and tag stand in that order as they stand in `messages`. With `receive_first` the
    receives, then all asynchronous, are begun before anything is sent.
    """

    messages: tuple[Message, ...]
    receive_order: tuple[int, ...]
    receive_first: bool = False


@dataclass(frozen=True)
class Split:
    """Sub-communicators by colour; each runs its own steps, then all ranks run `meanwhile`, then those of `after`."""

    colors: tuple[int | None, ...]
    keys: tuple[int, ...]
    before: dict[int, tuple[Any, ...]]
    meanwhile: tuple[Any, ...]
    after: dict[int, tuple[Any, ...]]
    close: bool = False


Step = Barrier | Collective | ObjectCollective | Exchange | Split


@dataclass(frozen=True)
class Program:
    size: int
    steps: tuple[Step, ...]


TAKES_ALL = ("reduce_scatter", "all_to_all")  # every rank's array has one piece for each rank
GIVES_ALL = ("all_gather", "all_to_all")


def members(colors: tuple[int | None, ...], keys: tuple[int, ...], color: int) -> list[int]:
    """The ranks of one colour in the order of their ranks in the new communicator."""
    return sorted((rank for rank, other in enumerate(colors) if other == color), key=lambda rank: (keys[rank], rank))


def input_shape(step: Collective, rank: int, size: int) -> Shape | None:
    """Of the array that `rank` passes; None where it passes no array."""
    if step.verb == "scatter":
        return (size, *step.shape) if rank == step.root else None
    return (size, *step.shape) if step.verb in TAKES_ALL else step.shape


def out_shape(step: Collective, rank: int, size: int) -> Shape | None:
    """Of what `rank` gets; None where `out` has no meaning."""
    if step.verb in ("reduce", "gather") and rank != step.root:
        return None
    return (size, *step.shape) if step.verb in (*GIVES_ALL, "gather") else step.shape


def object_of(seed: int, rank: int) -> Any:
    """Something picklable, from a number to half a megabyte."""
    things: tuple[Any, ...] = (
        rank,
        None,
        {"rank": rank, "text": "é" * (seed % 100)},
        (1.5, [rank, {seed}]),
        bytes([rank]) * (seed % 200_000),
        b"",
    )
    return things[(seed + rank) % len(things)]
