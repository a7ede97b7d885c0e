"""A pipeline schedule is data: for each rank a plain list of what it does, one thing after the other.

A model is cut into stages, a batch into micro-batches. A rank works on one (stage, micro-batch) at a time:

    Forward(stage, microbatch)          run the stage, keep what its backward needs; the last stage computes the loss
    Backward(stage, microbatch)         the gradients of the stage's input and of its weights
    BackwardInput(stage, microbatch)    of its input alone: all that the stage before waits for …
    BackwardWeight(stage, microbatch)   … and, at any later time, of its weights

and tells its neighbours, with the stage that *this* rank works on:

    Receive(stage, microbatch, ACTIVATION, peer)    the stage's input, of the stage before, which is on rank `peer`
    Send(stage, microbatch, ACTIVATION, peer)       the stage's output, for the stage after
    Receive(stage, microbatch, GRADIENT, peer)      the gradient of the stage's output, of the stage after
    Send(stage, microbatch, GRADIENT, peer)         the gradient of the stage's input, for the stage before

A Send never waits (`isend`); a Receive waits for its own message, whatever else has arrived. Between two stages of one
rank nothing is sent. The same list is drawn, simulated, checked and executed: what is drawn is what is run.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

ACTIVATION, GRADIENT = "activation", "gradient"


@dataclass(frozen=True)
class Instruction:
    """Something that a rank does with one micro-batch (0 … m-1) at one stage (0, 1, …)."""

    stage: int
    microbatch: int


class Compute(Instruction):
    """Work on the rank itself."""


class Forward(Compute):
    """Run the stage on one micro-batch.

    >>> minipar.parallel.pipeline.Forward(stage=0, microbatch=3)
    Forward(stage=0, microbatch=3)
    """


class Backward(Compute):
    """The whole backward pass of the stage: the gradient of its input and those of its weights.

    >>> minipar.parallel.pipeline.Backward(stage=0, microbatch=3)
    Backward(stage=0, microbatch=3)
    """


class BackwardInput(Compute):
    """The first part of `Backward`: the gradient of the stage's input.

    >>> minipar.parallel.pipeline.BackwardInput(stage=0, microbatch=3)
    BackwardInput(stage=0, microbatch=3)
    """


class BackwardWeight(Compute):
    """The rest of `Backward`, any time after `BackwardInput`: the gradients of the stage's weights.

    >>> minipar.parallel.pipeline.BackwardWeight(stage=0, microbatch=3)
    BackwardWeight(stage=0, microbatch=3)
    """


@dataclass(frozen=True)
class Message(Instruction):
    """One end of a message to or from rank `peer`; `what` is ACTIVATION or GRADIENT."""

    what: str
    peer: int

    @property
    def sender(self) -> int:
        """The stage that the message comes from: both ends know the message by (sender, microbatch, what)."""
        if isinstance(self, Send):
            return self.stage
        return self.stage - 1 if self.what == ACTIVATION else self.stage + 1


class Send(Message):
    """Send the stage's output, or the gradient of its input, and go on at once.

    >>> minipar.parallel.pipeline.Send(1, 3, "gradient", peer=0)
    Send(stage=1, microbatch=3, what='gradient', peer=0)
    """


class Receive(Message):
    """Wait for the stage's input, or for the gradient of its output.

    >>> minipar.parallel.pipeline.Receive(1, 3, "activation", peer=0)
    Receive(stage=1, microbatch=3, what='activation', peer=0)
    """


@dataclass(frozen=True, repr=False)
class Schedule:
    """What each rank does: `ranks[r]` is rank r's list of instructions. `placement[s]` is the rank that has stage s.

    `make_schedule` makes those of the literature, `Schedule.of` one of your own; `check` says whether it is right.
    Printed, it is a picture: a row a rank, from left to right in time (see `draw`).

    >>> pipeline = minipar.parallel.pipeline
    >>> F, B = pipeline.Forward, pipeline.Backward
    >>> first = [F(0, 0), F(0, 1), B(0, 0), B(0, 1)]
    >>> last = [F(1, 0), B(1, 0), F(1, 1), B(1, 1)]
    >>> schedule = pipeline.Schedule.of([first, last])
    >>> schedule
    Schedule('my own', 2 ranks, 2 stages, 2 micro-batches)
    >>> schedule.ranks[1][:3]
    (Receive(stage=1, microbatch=0, what='activation', peer=0), Forward(stage=1, microbatch=0), \
Backward(stage=1, microbatch=0))
    """

    name: str
    ranks: tuple[tuple[Instruction, ...], ...]
    placement: tuple[int, ...]
    microbatches: int

    @classmethod
    def of(cls, orders: Sequence[Iterable[Compute]], name: str = "my own") -> Schedule:
        """The schedule in which rank r computes `orders[r]` in that order; it sends and receives what that needs.

        A stage belongs to the rank that runs its Forward. ValueError where a stage has no Forward, or has them on two
        ranks; whatever else may be wrong, `check` finds.
        """
        computes = [tuple(order) for order in orders]
        placement = _placement(computes)
        microbatches = 1 + max(compute.microbatch for compute in chain(*computes))
        return cls(name, with_communication(computes, placement), placement, microbatches)

    @property
    def stages(self) -> int:
        return len(self.placement)

    @cached_property
    def trains(self) -> bool:
        """Is there a backward pass?"""
        return any(not isinstance(x, Forward | Message) for x in chain(*self.ranks))

    def stages_of(self, rank: int) -> list[int]:
        """The stages (chunks of the model) that this rank has, in the model's order."""
        return [stage for stage, owner in enumerate(self.placement) if owner == rank]

    def tag(self, message: Message) -> int:
        """A tag for the communicator: the same at both ends of a message, another for each message of a batch."""
        return 2 * (message.sender * self.microbatches + message.microbatch) + (message.what == GRADIENT)

    def tag_of_draws(self, stage: int) -> int:
        """A tag for what the stage after this one has to know of random numbers: that of no message of the schedule."""
        return 2 * self.stages * self.microbatches + stage

    def __str__(self) -> str:
        from .draw import draw  # which stands above

        return draw(self)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.name!r}, {len(self.ranks)} ranks, {self.stages} stages, "
            f"{self.microbatches} micro-batches)"
        )


def _placement(orders: Sequence[Sequence[Compute]]) -> tuple[int, ...]:
    owner: dict[int, int] = {}
    for rank, order in enumerate(orders):
        for compute in order:
            if isinstance(compute, Forward) and owner.setdefault(compute.stage, rank) != rank:
                raise ValueError(
                    f"stage {compute.stage} runs forward on ranks {owner[compute.stage]} and {rank}: choose one"
                )
    if not owner or sorted(owner) != list(range(len(owner))):
        raise ValueError(f"the stages that run forward must be 0, 1, 2 and so on, not {sorted(owner)}")
    for compute in chain(*orders):
        if compute.stage not in owner:
            raise ValueError(f"{compute}: no rank runs this stage forward")
    return tuple(owner[stage] for stage in range(len(owner)))


def with_communication(
    orders: Sequence[Iterable[Compute]], placement: Sequence[int]
) -> tuple[tuple[Instruction, ...], ...]:
    """Each rank's order of computing, with every message received just before it is needed, and sent once it is there.

    >>> with_communication([[Forward(0, 0)], [Forward(1, 0)]], placement=[0, 1])[0]
    (Forward(stage=0, microbatch=0), Send(stage=0, microbatch=0, what='activation', peer=1))
    """
    ranks = []
    for rank, order in enumerate(orders):
        instructions: list[Instruction] = []
        for compute in order:
            stage, microbatch = compute.stage, compute.microbatch
            before = placement[stage - 1] if stage > 0 else rank
            after = placement[stage + 1] if stage + 1 < len(placement) else rank
            if isinstance(compute, Forward):
                source, dest, what = before, after, ACTIVATION
            elif isinstance(compute, BackwardWeight):
                source, dest, what = rank, rank, ""  # all that it needs, BackwardInput has left here
            else:
                source, dest, what = after, before, GRADIENT
            if source != rank:
                instructions.append(Receive(stage, microbatch, what, source))
            instructions.append(compute)
            if dest != rank:
                instructions.append(Send(stage, microbatch, what, dest))
        ranks.append(tuple(instructions))
    return tuple(ranks)
