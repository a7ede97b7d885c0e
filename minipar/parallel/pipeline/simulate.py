"""How long a schedule takes, how much of it is waiting, and how many activations are kept: worked out, not measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from .check import replay
from .schedule import ACTIVATION, Backward, BackwardInput, BackwardWeight, Forward, Instruction, Receive, Schedule, Send

Cost = float | Sequence[float]


@dataclass(frozen=True)
class Timed:
    """An instruction, and when it starts and ends: of a Receive, when its rank starts to wait and has the message.

    >>> pipeline = minipar.parallel.pipeline
    >>> pipeline.simulate(pipeline.make_schedule("gpipe", ranks=1, microbatches=2)).ranks[0][1]
    Timed(instruction=Forward(stage=0, microbatch=1), start=1.0, end=2.0)
    """

    instruction: Instruction
    start: float
    end: float


@dataclass(frozen=True)
class Simulation:
    """When each rank does what: `ranks[r]`, in the order of the schedule, in the unit of the costs (or seconds).

    | attribute | is |
    |---|---|
    | `makespan` | the time from the first start to the last end |
    | `busy` | for each rank the time in which it computes |
    | `bubble` | the share of all ranks' time in which they do not compute |
    | `peak_activations` | for each rank the most (stage, micro-batch) pairs that wait for their backward at one time, |
    | | divided by its stages: 1 is what a single micro-batch keeps on this rank |

    >>> pipeline = minipar.parallel.pipeline
    >>> run = pipeline.simulate(pipeline.make_schedule("1f1b", ranks=2, microbatches=3), forward=[1.0, 0.5])
    >>> run.makespan, run.busy, run.peak_activations
    (11.0, [9.0, 7.5], [2.0, 1.0])
    """

    schedule: Schedule = field(repr=False)
    ranks: tuple[tuple[Timed, ...], ...]

    @property
    def makespan(self) -> float:
        return max((order[-1].end for order in self.ranks if order), default=0.0)

    @property
    def busy(self) -> list[float]:
        return [sum(x.end - x.start for x in order if not isinstance(x.instruction, Receive)) for order in self.ranks]

    @property
    def bubble(self) -> float:
        everything = len(self.ranks) * self.makespan
        return 1 - sum(self.busy) / everything if everything else 0.0

    @property
    def peak_activations(self) -> list[float]:
        return [_peak(self.schedule, rank) for rank in range(len(self.ranks))]


def simulate(
    schedule: Schedule,
    forward: Cost = 1.0,
    backward_input: Cost = 1.0,
    backward_weight: Cost = 1.0,
    send: Cost = 0.0,
) -> Simulation:
    """Run through the schedule with these times: of one micro-batch in one stage, one number or one a stage.

    A Backward takes `backward_input` + `backward_weight`. A message is there `send` later than it was sent (one number,
    or one for each boundary between stages s and s + 1); ranks work on meanwhile. ValueError for a schedule whose ranks
    wait for ever, for negative times, and for lists of another length.

    >>> pipeline = minipar.parallel.pipeline
    >>> for name in ("gpipe", "1f1b", "zb-h1"):
    ...     run = pipeline.simulate(pipeline.make_schedule(name, ranks=4, microbatches=8))
    ...     print(f"{name:6} {run.makespan} {run.bubble:.1%} {run.peak_activations}")
    gpipe  33.0 27.3% [8.0, 8.0, 8.0, 8.0]
    1f1b   33.0 27.3% [4.0, 3.0, 2.0, 1.0]
    zb-h1  27.0 11.1% [4.0, 4.0, 4.0, 4.0]
    """
    stages = schedule.stages
    f = _each("forward", forward, stages)
    b = _each("backward_input", backward_input, stages)
    w = _each("backward_weight", backward_weight, stages)
    latency = _each("send", send, stages - 1)
    seconds = {Forward: f, BackwardInput: b, BackwardWeight: w, Backward: [x + y for x, y in zip(b, w)]}
    there: dict[tuple[int, int], float] = {}  # (dest, tag): when that message has arrived
    clock = [0.0] * len(schedule.ranks)
    ranks: list[list[Timed]] = [[] for _ in schedule.ranks]
    for rank, _, x in replay(schedule):
        start = end = clock[rank]
        if isinstance(x, Receive):
            end = max(start, there[rank, schedule.tag(x)])
        elif isinstance(x, Send):
            boundary = x.stage if x.what == ACTIVATION else x.stage - 1
            there[x.peer, schedule.tag(x)] = start + latency[boundary]
        else:
            end = start + seconds[type(x)][x.stage]  # type: ignore[index]
        ranks[rank].append(Timed(x, start, end))
        clock[rank] = end
    return Simulation(schedule, tuple(tuple(order) for order in ranks))


def _each(name: str, cost: Cost, count: int) -> list[float]:
    costs = [float(cost)] * count if isinstance(cost, int | float) else [float(x) for x in cost]
    if len(costs) != count:
        raise ValueError(f"{name} has {len(costs)} numbers, and must have one or {count}")
    if any(not x >= 0 for x in costs):
        raise ValueError(f"{name}={cost} must not be negative")
    return costs


def _peak(schedule: Schedule, rank: int) -> float:
    """An activation is kept from its Forward until the weights' gradients are known; without training, not at all."""
    kept = most = 0
    for x in schedule.ranks[rank] if schedule.trains else ():
        if isinstance(x, Forward):
            kept += 1
        elif isinstance(x, Backward | BackwardWeight):
            kept -= 1
        most = max(most, kept)
    return most / max(1, len(schedule.stages_of(rank)))
