"""In which order a rank computes, for each schedule of the literature. Messages follow from that (`Schedule.of`).

p ranks, m micro-batches, v chunks (stages) a rank: rank r has the stages r, r + p, r + 2p, … Every function returns
a list of Compute a rank. In all of them each stage takes its micro-batches' gradients in the order 0, 1, 2, …: so a
sum of gradients has the same bits in every schedule.
"""

from __future__ import annotations

from collections.abc import Callable

from .schedule import Backward, BackwardInput, BackwardWeight, Compute, Forward, Schedule

Orders = list[list[Compute]]


def sequential(p: int, m: int) -> Orders:
    """A micro-batch goes all the way down and back before the next one starts: one rank works, the others wait.

    No rank says so: rank 0 does not start the next one before it has the last one's gradient.
    """
    return [[step(rank, i) for i in range(m) for step in (Forward, Backward)] for rank in range(p)]


def gpipe(p: int, m: int) -> Orders:
    """All forwards, then all backwards (Huang et al. 2018, arXiv 1811.06965). Every rank keeps m activations."""
    return [[Forward(rank, i) for i in range(m)] + [Backward(rank, i) for i in range(m)] for rank in range(p)]


def one_forward_one_backward(p: int, m: int) -> Orders:
    """As soon as a gradient is there, take it: never more than p activations (PipeDream-Flush, arXiv 2006.09503).

    Rank r runs p - 1 - r forwards ahead, so that from then on forwards and backwards alternate; it takes as long as
    GPipe, but rank r keeps only p - r activations.
    """
    orders: Orders = []
    for rank in range(p):
        ahead = min(p - 1 - rank, m)
        order: list[Compute] = [Forward(rank, i) for i in range(ahead)]
        for i in range(m):
            if ahead + i < m:
                order.append(Forward(rank, ahead + i))
            order.append(Backward(rank, i))
        orders.append(order)
    return orders


def interleaved(p: int, m: int, v: int) -> Orders:
    """1F1B with v chunks a rank: v times as many messages, a bubble 1/v as long (Narayanan et al., arXiv 2104.04473).

    The micro-batches go in groups of p: a group passes through a rank's first chunk, then through its second, …; and
    back through its last chunk first.
    """
    if m % p:
        raise ValueError(f"interleaved: microbatches={m} must be a multiple of the {p} ranks")
    orders: Orders = []
    for rank in range(p):
        forwards = _in_groups(p, m, v, rank, Forward)
        backwards = _in_groups(p, m, v, rank, Backward)
        ahead = min(2 * (p - 1 - rank) + (v - 1) * p, m * v)
        order = forwards[:ahead]
        for k, backward in enumerate(backwards):
            order += [*forwards[ahead + k : ahead + k + 1], backward]
        orders.append(order)
    return orders


def _in_groups(p: int, m: int, v: int, rank: int, step: type[Compute]) -> list[Compute]:
    """Rank `rank`'s steps forwards or backwards, the micro-batches in groups of p (the last of up to 2p - 1)."""
    chunks = range(v) if step is Forward else reversed(range(v))
    stages = [chunk * p + rank for chunk in chunks]
    starts = range(0, max(p, m - m % p), p)  # what is left over goes with the last group
    groups = [range(start, start + p if start + p in starts else m) for start in starts]
    return [step(stage, i) for group in groups for stage in stages for i in group]


def zero_bubble_h1(p: int, m: int) -> Orders:
    """1F1B whose backward is split: the gradients of the weights, which nobody waits for, fill the bubble.

    Rank r's are r micro-batches late, so every rank keeps p activations, as rank 0 does in 1F1B (ZB-H1 of Qi et al.,
    "Zero Bubble Pipeline Parallelism", arXiv 2401.10241).
    """
    orders: Orders = []
    for rank in range(p):
        ahead = min(p - 1 - rank, m)
        order: list[Compute] = [Forward(rank, i) for i in range(ahead)]
        for i in range(m):
            if ahead + i < m:
                order.append(Forward(rank, ahead + i))
            order.append(BackwardInput(rank, i))
            if i >= rank:
                order.append(BackwardWeight(rank, i - rank))
        orders.append(order + [BackwardWeight(rank, i) for i in range(max(0, m - rank), m)])
    return orders


def inference(p: int, m: int, v: int) -> Orders:
    """Forwards alone, one micro-batch after the other (in groups of p where a rank has several chunks)."""
    return [_in_groups(p, m, v, rank, Forward) for rank in range(p)]


_PLAIN: dict[str, Callable[[int, int], Orders]] = {
    "sequential": sequential,
    "gpipe": gpipe,
    "1f1b": one_forward_one_backward,
    "zb-h1": zero_bubble_h1,
}
_CHUNKED: dict[str, Callable[[int, int, int], Orders]] = {"interleaved": interleaved, "inference": inference}
SCHEDULES = (*_PLAIN, *_CHUNKED)


def make_schedule(name: str, ranks: int, microbatches: int, chunks: int = 1) -> Schedule:
    """The schedule of this name for a model of `ranks` · `chunks` stages, stage s being on rank s % `ranks`.

    | name | bubble time (F, B, W: of a rank's stages) | activations that rank r keeps |
    |---|---|---|
    | `"sequential"` | all but one rank wait | 1 |
    | `"gpipe"` | (p-1)(F+B+W) | m |
    | `"1f1b"` | (p-1)(F+B+W) | p-r |
    | `"interleaved"`, v `chunks` a rank; p must divide m | (p-1)(F+B+W)/v | rank 0: p(1 + (p-1)/(pv)) |
    | `"zb-h1"` | (p-1)(F+B-W) | p |
    | `"inference"`, forward alone | (p-1)F/v | |

    (for m ≥ p; `simulate` says it for any). ValueError for an unknown name, for fewer than 1 of anything, and for
    several chunks a rank where the schedule has no use for them.

    >>> print(minipar.parallel.pipeline.make_schedule("1f1b", ranks=2, microbatches=3))
    rank 0  F0 F1 .  .  B0 B0 F2 B1 B1 .  B2 B2
    rank 1  .  F0 B0 B0 F1 B1 B1 F2 B2 B2 .  .
    """
    if name not in SCHEDULES:
        raise ValueError(f"schedule {name!r} is unknown: choose one of {', '.join(SCHEDULES)}")
    for what, count in (("ranks", ranks), ("microbatches", microbatches), ("chunks", chunks)):
        if count < 1:
            raise ValueError(f"{what}={count} must be at least 1")
    if name in _CHUNKED:
        return Schedule.of(_CHUNKED[name](ranks, microbatches, chunks), name)
    if chunks > 1:
        raise ValueError(f"schedule {name!r} has one chunk a rank, not {chunks}: choose {' or '.join(_CHUNKED)}")
    return Schedule.of(_PLAIN[name](ranks, microbatches), name)
