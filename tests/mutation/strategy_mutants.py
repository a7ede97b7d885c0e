"""Wrong ways to split a training step, each one mistake away from a right one, and a case in which it must show."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import numpy as np

from minipar.autograd.recompute import _Region
from minipar.nn import LayerNorm
from minipar.parallel import (
    SequenceParallelLayerNorm,
    data,
    functional,
    losses,
    sync_batch_norm,
    uneven,
    virtual_shards,
)
from minipar.parallel.batch_loss import BatchLoss
from minipar.parallel.gradients import GradientExchange
from minipar.parallel.pipeline import stages
from minipar.parallel.pipeline.run import Run
from minipar.parallel.pipeline.ties import TiedParameters
from minipar.parallel.space import halo
from minipar.parallel.tensor import cross_entropy
from minipar.parallel.zero import OwnersExchange, ShardedParameters
from tests.mutation.comm_mutants import Mutant, instead
from tests.parallel.equivalence.beside_the_matrix import Program, layers_alike, other_starts, positions, vocabulary
from tests.parallel.equivalence.trainings import Case


def case(
    strategy: str, model: str = "CNN", loss: str = "weighted", microbatches: int = 2, sizes: str = "uneven"
) -> Case:
    return Case(strategy, model, loss, "sgd", "float64", sizes, microbatches, "thread")


def without(right: Any) -> Any:
    """Nothing is done."""
    return lambda *arguments, **options: None


def never(right: Any) -> Any:
    """The steps of a collective, without any."""
    return lambda *arguments: iter(())


# -- gradients ---------------------------------------------------------------------------------------------------------


def kept_to_themselves(right: Any) -> Any:
    return lambda self, bucket: self._under_way.append(lambda: None)


def one_pass_early(right: Any) -> Any:
    """A bucket leaves before the last micro-batch has added to it."""
    return lambda self, passes=1, *rest: right(self, max(1, passes - 1), *rest)


def of_a_later_micro_batch(right: Any) -> Any:
    """What the first one gives is lost."""
    return lambda self, i: right(self, i) if i else 0.0


# -- losses ------------------------------------------------------------------------------------------------------------


def mean_of_means(right: Any) -> Any:
    """Every part counts alike, however many samples it has."""

    def part_of_loss(loss: Any, weight: Any = None) -> Any:
        part = right(loss, weight)
        return replace(part, total=part.total / part.denominator, denominator=1.0) if part.denominator else part

    return part_of_loss


def not_divided(right: Any) -> Any:
    return lambda self, *arguments: (right(self, *arguments)[0], 1.0)


def as_if_shares_were_equal(right: Any) -> Any:
    """The loss is right, but every part's gradient counts alike, however many samples it has."""

    def slope(self: Any, i: int) -> float:
        equal = self._rows / (self._mesh.data.size * len(self._targets[0]))
        return right(self, i) * equal / max(len(self._targets[0][i]), 1)

    return slope


def rounded_down(right: Any) -> Any:
    """What is left over is dealt out to nobody."""
    return lambda total, weights: np.floor(np.asarray(weights) * (total / np.sum(weights))).astype(int).tolist()


# -- pipeline ----------------------------------------------------------------------------------------------------------


def draws_that_do_not_travel(right: Any) -> Any:
    def receive(self: Any, x: Any) -> None:
        right(self, x)
        array, _ = self.held[x.what, x.sender, x.microbatch]
        self.held[x.what, x.sender, x.microbatch] = array, self.draws

    return receive


def always_the_first_samples(right: Any) -> Any:
    def made(self: Any, *arguments: Any, **options: Any) -> None:
        right(self, *arguments, **options)
        self.samples = [(0, count, total) for _, count, total in self.samples]

    return made


def in_reverse(right: Any) -> Any:
    def made(self: Any, *arguments: Any, **options: Any) -> None:
        right(self, *arguments, **options)
        self.inputs = self.inputs[::-1]

    return made


def first_weights_forgotten(right: Any) -> Any:
    return lambda self, x: right(self, x) if x.microbatch else self.late.clear()


def last_chunks_first(right: Any) -> Any:
    """Each rank has the layers that it should have, but the second half of the model runs before the first."""

    def stages_of_model(model: Any, count: int, *arguments: Any) -> Any:
        made = right(model, count, *arguments)
        return made[count // 2 :] + made[: count // 2]

    return stages_of_model


# -- batch norm --------------------------------------------------------------------------------------------------------


class Alone:
    """A communicator that asks nobody."""

    all_gather = staticmethod(lambda array: array[None])
    all_reduce = staticmethod(lambda array: array)


def of_own_samples(right: Any) -> Any:
    return lambda planes, comm: right(planes, Alone)


def with_own_sums(right: Any) -> Any:
    def backward(ctx: Any, g: Any) -> Any:
        ctx.comm = Alone
        return right(ctx, g)

    return staticmethod(backward)


# -- tensor, space, tree -----------------------------------------------------------------------------------------------


def own_gradient_alone(right: Any) -> Any:
    return staticmethod(lambda ctx, g: (g, None))


def own_sum_alone(right: Any) -> Any:
    return staticmethod(lambda ctx, x, comm: x.detach())


def of_the_first_rank(right: Any) -> Any:
    return lambda x, dim, start, size: right(x, dim, 0, size)


def last_wins(right: Any) -> Any:
    def add_rows(to: Any, numbers: np.ndarray, rows: Any) -> None:
        to[..., numbers, :] = rows

    return add_rows


def not_sent_back(right: Any) -> Any:
    """The gradient of the halo stays where it arose."""

    def backward(ctx: Any, g: Any) -> Any:
        ctx.plan = replace(ctx.plan, sent=(), received=())
        return right(ctx, g)

    return staticmethod(backward)


def own(operation: str) -> Callable[[Any], Any]:
    """This rank's maximum, or sum, for that of all."""
    return lambda right: lambda part, comm, what: part if what == operation else right(part, comm, what)


def first_wins(right: Any) -> Any:
    def plan(needed: Any, heights: Any, rank: int) -> Any:
        made = right(needed, heights, rank)
        return replace(made, kept=replace(made.kept, rows=np.maximum(made.kept.rows - 1, 0)))

    return plan


MUTANTS: dict[str, tuple[Mutant, Case]] = {
    "gradients are not added up": (instead(GradientExchange, "_send", kept_to_themselves), case("data over 2")),
    "a bucket leaves one micro-batch early": (
        instead(GradientExchange, "adding_up", one_pass_early),
        case("data over 2"),
    ),
    "the first micro-batch's gradient is dropped": (
        instead(BatchLoss, "slope", of_a_later_micro_batch),
        case("gpipe"),
    ),
    "owners tell nobody what they have stepped": (
        instead(ShardedParameters, "tell_parameters", without),
        case("ZeRO 1"),
    ),
    "a layer's parameters are not put together": (instead(ShardedParameters, "_put_in", without), case("ZeRO 3")),
    "owners forget what they have added up": (instead(OwnersExchange, "_settle", without), case("ZeRO 2")),
    "tied copies are not added up": (instead(TiedParameters, "add_up", without), case("gpipe", "Transformer")),
    "mean of the parts' means": (instead(losses, "part_of_loss", mean_of_means), case("data over 2")),
    "not divided by the denominator": (instead(BatchLoss, "tell", not_divided), case("1f1b")),
    "uneven shares weigh as equal ones": (
        instead(BatchLoss, "slope", as_if_shares_were_equal),
        case("measured shares", microbatches=1),
    ),
    "shares are rounded down": (instead(uneven, "by_largest_remainder", rounded_down), case("measured shares")),
    "copies of the head count as samples": (
        instead(losses, "whole_loss", lambda right: lambda summed, copies=1: right(summed)),
        case("space over 2", loss="sum"),
    ),
    "draws do not travel with activations": (instead(Run, "_receive", draws_that_do_not_travel), case("1f1b")),
    "every micro-batch draws for the first samples": (
        instead(Run, "__init__", always_the_first_samples),
        case("one rank", "MLP"),
    ),
    "micro-batches enter in reverse": (instead(Run, "__init__", in_reverse), case("gpipe")),
    "late gradients of one micro-batch are forgotten": (
        instead(Run, "_backward_weight", first_weights_forgotten),
        case("zb-h1"),
    ),
    "recomputing draws other numbers": (
        instead(_Region, "_same_numbers", lambda right: lambda self: nullcontext()),
        case("one rank, recomputed", "MLP"),
    ),
    "batch norm of this rank's samples": (
        instead(sync_batch_norm, "_moments_of_all", of_own_samples),
        case("data over 2", "CNN with batch norm", microbatches=1),
    ),
    "batch norm does not add up backward": (
        instead(sync_batch_norm._StandardizedOverRanks, "backward", with_own_sums),
        case("data over 2", "CNN with batch norm", microbatches=1),
    ),
    "copy_to_ranks does not add up backward": (
        instead(functional._CopyToRanks, "backward", own_gradient_alone),
        case("tensor over 2", "Transformer"),
    ),
    "reduce_from_ranks does not add up forward": (
        instead(functional._ReduceFromRanks, "forward", own_sum_alone),
        case("tensor over 2", "MLP"),
    ),
    "gathered gradients of the first rank for all": (
        instead(functional, "_part_at", of_the_first_rank),
        case("tensor over 2", "LSTM"),
    ),
    "a row's gradient is the last one that came": (instead(halo, "_add_rows", last_wins), case("space over 2")),
    "a halo's gradient is not sent back": (
        instead(halo._ExchangedRows, "backward", not_sent_back),
        case("space over 2"),
    ),
    "a rank keeps its rows one row off": (instead(halo, "plan", first_wins), case("space over 3", "autoencoder")),
    "sums of the tree are not handed down": (
        instead(virtual_shards, "_hand_down", never),
        case("virtual shards", microbatches=1),
    ),
}

BESIDE_THE_MATRIX: dict[str, tuple[Mutant, Program]] = {
    "ranks keep the parameters that they come with": (instead(data, "broadcast_state", without), other_starts),
    "the last chunks run first": (instead(stages, "stages_of_model", last_chunks_first), layers_alike),
    "logits are counted from this rank's largest": (instead(cross_entropy, "_of_all", own("max")), vocabulary),
    "exponentials of this rank's classes alone": (instead(cross_entropy, "_of_all", own("sum")), vocabulary),
    "a norm's gradient of this rank's positions": (
        instead(SequenceParallelLayerNorm, "forward", lambda right: LayerNorm.forward),
        positions,
    ),
}
