"""Wrong ways to split a training step, each one mistake away from a right one, and a case in which it must show."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from minipar.parallel import functional, losses, virtual_shards
from minipar.parallel.batch_loss import BatchLoss
from minipar.parallel.gradients import GradientExchange
from minipar.parallel.pipeline.run import Run
from minipar.parallel.pipeline.ties import TiedParameters
from minipar.parallel.space import halo
from minipar.parallel.zero import OwnersExchange, ShardedParameters
from tests.mutation.comm_mutants import Mutant, instead
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


# -- losses ------------------------------------------------------------------------------------------------------------


def mean_of_means(right: Any) -> Any:
    """Every part counts alike, however many samples it has."""

    def part_of_loss(loss: Any, weight: Any = None) -> Any:
        part = right(loss, weight)
        return replace(part, total=part.total / part.denominator, denominator=1.0) if part.denominator else part

    return part_of_loss


def not_divided(right: Any) -> Any:
    return lambda self, *arguments: (right(self, *arguments)[0], 1.0)


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
    "owners tell nobody what they have stepped": (
        instead(ShardedParameters, "tell_parameters", without),
        case("ZeRO 1"),
    ),
    "a layer's parameters are not put together": (instead(ShardedParameters, "_put_in", without), case("ZeRO 3")),
    "owners forget what they have added up": (instead(OwnersExchange, "_settle", without), case("ZeRO 2")),
    "tied copies are not added up": (instead(TiedParameters, "add_up", without), case("gpipe", "Transformer")),
    "mean of the parts' means": (instead(losses, "part_of_loss", mean_of_means), case("data over 2")),
    "not divided by the denominator": (instead(BatchLoss, "tell", not_divided), case("1f1b")),
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
    "a rank keeps its rows one row off": (instead(halo, "plan", first_wins), case("space over 3", "autoencoder")),
    "sums of the tree are not handed down": (
        instead(virtual_shards, "_hand_down", never),
        case("virtual shards", microbatches=1),
    ),
}
