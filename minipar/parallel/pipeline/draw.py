"""A schedule as text, as the papers draw it: a row a rank, a column a slot of time."""

from __future__ import annotations

from .schedule import BackwardWeight, Compute, Forward, Schedule
from .simulate import Cost, simulate


def draw(
    schedule: Schedule,
    forward: Cost = 1.0,
    backward_input: Cost = 1.0,
    backward_weight: Cost = 1.0,
    send: Cost = 0.0,
    slot: float = 1.0,
) -> str:
    """The schedule simulated with these times (see `simulate`), in columns of `slot` each.

    F2 is the forward of micro-batch 2, B2 its backward (of the input alone, where W2 follows), a dot is waiting. Where
    a rank has several stages, a letter says which: F2a is its first. ValueError as `simulate`, and unless `slot` > 0.

    >>> pipeline = minipar.parallel.pipeline
    >>> print(pipeline.draw(pipeline.make_schedule("interleaved", ranks=2, microbatches=2, chunks=2)))
    rank 0  F0a F1a F0b F1b .   .   B0b B0b .   B1b B1b B0a B0a B1a B1a
    rank 1  .   F0a F1a F0b B0b B0b F1b B1b B1b B0a B0a B1a B1a .   .
    """
    if not slot > 0:
        raise ValueError(f"slot={slot} must be positive")
    run = simulate(schedule, forward, backward_input, backward_weight, send)
    columns = round(run.makespan / slot)
    rows = []
    for rank, order in enumerate(run.ranks):
        row = ["."] * columns
        stages = schedule.stages_of(rank)
        for x in order:
            if isinstance(x.instruction, Compute):
                first, end = round(x.start / slot), round(x.end / slot)
                row[first:end] = [_cell(x.instruction, stages)] * (end - first)
        rows.append(row)
    width = max((len(cell) for row in rows for cell in row), default=1)
    digits = len(str(len(rows) - 1))
    return "\n".join(
        f"rank {rank:{digits}}  " + " ".join(cell.ljust(width) for cell in row).rstrip()
        for rank, row in enumerate(rows)
    )


def _cell(x: Compute, stages: list[int]) -> str:
    kind = "F" if isinstance(x, Forward) else "W" if isinstance(x, BackwardWeight) else "B"
    chunk = chr(ord("a") + stages.index(x.stage)) if len(stages) > 1 else ""
    return f"{kind}{x.microbatch}{chunk}"
