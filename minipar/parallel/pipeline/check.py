"""Is a schedule right? Every instruction is played through once, and must find what it needs on its rank.

What ranks hold is written down as (what, stage, micro-batch): an ACTIVATION is the output of that stage, a GRADIENT
that of its input. Messages carry just that, so one rule an instruction says it all:

    Forward(s, i)          ACTIVATION s-1  →  ACTIVATION s                  (stage -1 is the batch, always there)
    Backward(s, i)         ACTIVATION s, GRADIENT s+1  →  GRADIENT s        (the stage after the last: the loss)
    BackwardInput(s, i)    as Backward
    BackwardWeight(s, i)   GRADIENT s, which BackwardInput made here
"""

from __future__ import annotations

from collections.abc import Iterator

from .schedule import (
    ACTIVATION,
    GRADIENT,
    Backward,
    BackwardInput,
    BackwardWeight,
    Compute,
    Forward,
    Instruction,
    Message,
    Receive,
    Schedule,
    Send,
)

_Held = tuple[str, int, int]  # what, stage, micro-batch


def check(schedule: Schedule) -> Schedule:
    """Return the schedule if it is right. ValueError naming rank, index and instruction otherwise, where

    - a stage does not run every micro-batch forward exactly once, on its rank, and (if there is any backward pass)
      backward exactly once: by one Backward, or by BackwardInput and BackwardWeight;
    - an instruction comes before what it needs: a Forward before its input, a Backward before its Forward or before
      its gradient, a BackwardWeight before its BackwardInput, a Send before what it sends;
    - ranks wait for ever (sends never wait, a Receive takes the message that has its own tag), or a message is sent
      twice, or never received.

    >>> pipeline = minipar.parallel.pipeline
    >>> F, B = pipeline.Forward, pipeline.Backward
    >>> pipeline.check(pipeline.Schedule.of([[F(0, 0), B(0, 0)], [B(1, 0), F(1, 0)]]))
    Traceback (most recent call last):
    ValueError: schedule 'my own': rank 1, instruction 0, Backward(stage=1, microbatch=0): its Forward comes later
    """
    _check_that_all_is_there(schedule)
    held: list[set[_Held]] = [set() for _ in schedule.ranks]
    for rank, index, instruction in replay(schedule):
        for what, stage, microbatch in _needs(instruction):
            given = stage == (-1 if what == ACTIVATION else schedule.stages)
            if not given and (what, stage, microbatch) not in held[rank]:
                why = _lacks(instruction, what)
                raise ValueError(f"{_place(schedule, rank, index)}: {why}")
        held[rank].update(_gives(instruction))
    return schedule


def replay(schedule: Schedule) -> Iterator[tuple[int, int, Instruction]]:
    """(rank, index, instruction) of every instruction, in an order in which they can happen.

    ValueError when ranks wait for messages that nobody will send, for a message that is sent twice, and at the end for
    one that was never received.
    """
    under_way: dict[tuple[int, int, int], tuple[int, int]] = {}  # (source, dest, tag): who sent it, in which place
    sent: set[tuple[int, int, int]] = set()
    at = [0] * len(schedule.ranks)
    moved = True
    while moved:
        moved = False
        for rank, order in enumerate(schedule.ranks):
            while at[rank] < len(order):
                instruction = order[at[rank]]
                if isinstance(instruction, Receive):
                    if under_way.pop((instruction.peer, rank, schedule.tag(instruction)), None) is None:
                        break
                elif isinstance(instruction, Send):
                    message = rank, instruction.peer, schedule.tag(instruction)
                    if message in sent:
                        raise ValueError(f"{_place(schedule, rank, at[rank])}: this has been sent before")
                    sent.add(message)
                    under_way[message] = rank, at[rank]
                yield rank, at[rank], instruction
                at[rank] += 1
                moved = True
    waiting = [
        f"rank {rank} waits in instruction {index}, {order[index]}"
        for rank, (index, order) in enumerate(zip(at, schedule.ranks))
        if index < len(order)
    ]
    if waiting:
        raise ValueError(f"schedule {schedule.name!r}: nobody can go on: {'; '.join(waiting)}")
    for rank, index in under_way.values():
        raise ValueError(f"{_place(schedule, rank, index)}: nobody receives this")


def _check_that_all_is_there(schedule: Schedule) -> None:
    places: dict[Compute, tuple[int, int]] = {}
    for rank, order in enumerate(schedule.ranks):
        for index, x in enumerate(order):
            why = _foreign(schedule, rank, x)
            if isinstance(x, Compute):
                if x in places:
                    why = why or f"this is done before, at {places[x][1]}"
                places[x] = rank, index
            if why:
                raise ValueError(f"{_place(schedule, rank, index)}: {why}")
    trains = schedule.trains
    for stage, rank in enumerate(schedule.placement):
        for i in range(schedule.microbatches):
            whole, first, rest = Backward(stage, i), BackwardInput(stage, i), BackwardWeight(stage, i)
            wanted: list[Compute] = [Forward(stage, i)]
            if trains:
                wanted += [first, rest] if first in places or rest in places else [whole]
            for x in wanted:
                if x not in places:
                    raise ValueError(f"schedule {schedule.name!r}: rank {rank}, {x} is missing")
            if whole in places and whole not in wanted:
                raise ValueError(f"{_place(schedule, *places[whole])}: this is done in two parts, too")


def _foreign(schedule: Schedule, rank: int, x: Instruction) -> str:
    """Why this does not belong on this rank, or anywhere; "" if it does."""
    if not 0 <= x.stage < schedule.stages or not 0 <= x.microbatch < schedule.microbatches:
        return f"there are {schedule.stages} stages and {schedule.microbatches} micro-batches"
    if schedule.placement[x.stage] != rank:
        return f"stage {x.stage} is on rank {schedule.placement[x.stage]}"
    if isinstance(x, Message) and not (0 <= x.peer < len(schedule.ranks) and x.peer != rank):
        return f"peer={x.peer} is no other rank of {len(schedule.ranks)}"
    return ""


def _needs(x: Instruction) -> list[_Held]:
    stage, i = x.stage, x.microbatch
    if isinstance(x, Send):
        return [(x.what, stage, i)]
    if isinstance(x, Forward):
        return [(ACTIVATION, stage - 1, i)]
    if isinstance(x, BackwardWeight):
        return [(GRADIENT, stage, i)]
    if isinstance(x, Backward | BackwardInput):
        return [(ACTIVATION, stage, i), (GRADIENT, stage + 1, i)]
    return []


def _gives(x: Instruction) -> list[_Held]:
    if isinstance(x, Receive):
        return [(x.what, x.sender, x.microbatch)]
    if isinstance(x, Forward):
        return [(ACTIVATION, x.stage, x.microbatch)]
    if isinstance(x, Backward | BackwardInput):
        return [(GRADIENT, x.stage, x.microbatch)]
    return []


def _lacks(x: Instruction, what: str) -> str:
    if isinstance(x, Send):
        return "it has not been computed yet"
    if isinstance(x, BackwardWeight):
        return "its BackwardInput comes later"
    if isinstance(x, Forward):
        return f"the output of stage {x.stage - 1} has not come yet"
    return "its Forward comes later" if what == ACTIVATION else f"the gradient of stage {x.stage + 1} has not come yet"


def _place(schedule: Schedule, rank: int, index: int) -> str:
    return f"schedule {schedule.name!r}: rank {rank}, instruction {index}, {schedule.ranks[rank][index]}"
