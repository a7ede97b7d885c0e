"""Sequence parallelism: how much is sent, of all calls of a step, and how far positions stay split."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from math import ceil

import numpy as np
import pytest

import minipar
from minipar import nn, optim, parallel
from minipar.nn import functional as F
from minipar.parallel import timeline
from minipar.parallel.parts import part_of
from minipar.parallel.tensor.positions import Positions
from minipar.parallel.tensor.sequence import SequenceParallelEncoder

WIDTH, SAMPLES = 8, 3


def layer(**options) -> nn.Module:
    return nn.TransformerEncoderLayer(WIDTH, 4, 10, 0.1, **options)


def stack(layers: int, norm: nn.Module | None = None, **options) -> nn.Module:
    return nn.TransformerEncoder(layer(**options), layers, norm)


def batch(length: int) -> minipar.Tensor:
    return minipar.randn(length, SAMPLES, WIDTH, dtype=minipar.float64, requires_grad=True)


# ── what is sent ──────────────────────────────────────────────────────────────────────────────────────────────────────


def calls_of_a_step(comm, build, length, sequence):
    """Name and bytes of every call of this rank, forward and backward, from an input that wants a gradient."""
    net, x = parallel.tensor_parallel(build().double(), comm, sequence), batch(length)
    with timeline.record() as recording:
        (net(x) ** 2).sum().backward()
    return [(span.name, span.nbytes) for span in recording]


def on_ranks(ranks, *arguments):
    first, *others = parallel.launch(calls_of_a_step, *arguments, workers=ranks, backend="thread")
    assert others == [first] * (ranks - 1)
    return first


def all_reduced(nbytes: int, ranks: int) -> Fraction:
    """What each rank sends to add up an array of so many bytes, in a ring."""
    return Fraction(2 * nbytes * (ranks - 1), ranks)


def sent(calls: list[tuple[str, int]], ranks: int) -> Fraction:
    """What each rank sends in these calls: of all collectives there are three here, each counted as a ring makes it."""
    of = {
        "all_reduce": lambda whole: all_reduced(whole, ranks),
        "reduce_scatter": lambda whole: all_reduced(whole, ranks) / 2,
        "all_gather": lambda part: Fraction(part * (ranks - 1)),
    }
    return sum((of[name](nbytes) for name, nbytes in calls), Fraction(0))


def activations(length: int) -> int:
    return 8 * length * SAMPLES * WIDTH


OF_A_LAYER, OF_A_NORM = 6 * 8 * WIDTH, 2 * 8 * WIDTH  # bytes: parameters that every rank has whole
BUILDS = {  # name → model, its layers, its borders, bytes in its sums of small gradients
    "one layer": (layer, 1, 1, [OF_A_LAYER]),
    "norm first": (lambda: layer(norm_first=True, activation="gelu"), 1, 1, [OF_A_LAYER]),
    "stack of two": (lambda: stack(2), 2, 1, [OF_A_LAYER] * 2),
    "stack of three": (lambda: stack(3, norm_first=True), 3, 1, [OF_A_LAYER] * 3),
    "stack and norm": (lambda: stack(2, nn.LayerNorm(WIDTH)), 2, 1, [OF_A_LAYER] * 2 + [OF_A_NORM]),
    "stack without biases": (lambda: stack(2, bias=False), 2, 1, [2 * 8 * WIDTH] * 2),
    "two layers in a row": (lambda: nn.Sequential(layer(), layer()), 2, 2, [OF_A_LAYER] * 2),
}


@pytest.mark.parametrize("ranks", [2, 3, 4])
@pytest.mark.parametrize("name", BUILDS)
def test_as_much_as_without_and_the_border(name, ranks):
    """docs/tensor-parallel.md: four all-reduces a layer either way; on top one a border, and the small gradients."""
    build, layers, borders, small = BUILDS[name]
    of_a_batch = all_reduced(activations(12), ranks)
    without, split = (sent(on_ranks(ranks, build, 12, sequence), ranks) for sequence in (False, True))
    assert without == 4 * layers * of_a_batch
    assert split == without + borders * of_a_batch + sum(all_reduced(nbytes, ranks) for nbytes in small)


@pytest.mark.parametrize(("length", "ranks"), [(7, 2), (7, 3), (2, 3), (1, 4)])
def test_positions_that_do_not_divide_evenly_are_sent_in_equal_parts(length, ranks):
    filled_up = activations(ranks * ceil(length / ranks))
    small = 2 * all_reduced(OF_A_LAYER, ranks)
    assert sent(on_ranks(ranks, lambda: stack(2), length, True), ranks) == 9 * all_reduced(filled_up, ranks) + small


def test_the_calls_of_two_layers():
    """No call tells how long the parts are, and none sends a whole batch but to add up parts of it."""
    b = activations(12)
    assert Counter(on_ranks(2, lambda: stack(2), 12, False)) == {("all_reduce", b): 8}
    assert Counter(on_ranks(2, lambda: stack(2), 12, True)) == {
        ("all_gather", b // 2): 10,
        ("reduce_scatter", b): 8,
        ("all_reduce", OF_A_LAYER): 2,
    }


# ── how far positions stay split ──────────────────────────────────────────────────────────────────────────────────────


def trained(comm, build, length, use=lambda net, x: net(x)):
    """Output and gradients of the unsplit model, and of the split one: what differs between them."""
    minipar.manual_seed(1)
    whole, x = build().double(), batch(length)
    minipar.manual_seed(2)
    expected = use(whole, x)
    (expected**2).sum().backward()
    gradients = {name: p.grad.numpy() for name, p in whole.named_parameters()}
    of_input, x.grad = x.grad.numpy(), None
    whole.zero_grad()
    net = parallel.tensor_parallel(whole, comm, sequence=True)
    minipar.manual_seed(2)
    made = use(net, x)
    (made**2).sum().backward()
    pairs = [(made.detach().numpy(), expected.detach().numpy()), (x.grad.numpy(), of_input)]
    for name, p in net.named_parameters():
        part = part_of(p)
        pairs.append((p.grad.numpy(), gradients[name] if part is None else part.of(gradients[name])))
    for here, there in pairs:
        np.testing.assert_allclose(here, there, rtol=1e-10, atol=1e-10)
    return type(net), [type(module).__name__ for module in net.modules()]


def all_trained(ranks, *arguments):
    return parallel.launch(trained, *arguments, workers=ranks, backend="thread")[0]


@pytest.mark.parametrize(("length", "ranks"), [(6, 2), (7, 3), (2, 3), (1, 4)])
def test_a_stack_computes_what_one_process_does(length, ranks):
    kind, _ = all_trained(ranks, lambda: stack(2, nn.LayerNorm(WIDTH), norm_first=True), length)
    assert kind is SequenceParallelEncoder


def test_stacks_in_a_pipeline_train_as_in_one_process():
    """… also where their gradients come in two parts, or what they have computed is computed again."""
    model = nn.Sequential(stack(2, nn.LayerNorm(WIDTH), batch_first=True), stack(1, batch_first=True)).double()
    x, y = minipar.randn(2, 5, 7, WIDTH, dtype=minipar.float64)
    layouts = [
        "tensor=2,sequence=True,recompute=True",
        "pipeline=2,tensor=2,sequence=True,microbatches=2,schedule=zb-h1",
        "data=2,tensor=2,sequence=True,zero=3",
    ]
    parallel.assert_equivalent(
        model, (x, y), F.mse_loss, lambda parameters: optim.SGD(parameters, lr=0.1), layouts, steps=3
    )


def test_the_ranks_of_a_stack_have_their_positions_between_its_layers(monkeypatch):
    seen = []
    whole = Positions.gathered

    def gathered(self, part):
        seen.append(part.shape[self.axis])
        return whole(self, part)

    monkeypatch.setattr(Positions, "gathered", gathered)
    on_ranks(3, lambda: stack(2), 9, True)
    assert seen == [3] * 3 * 4


def test_a_layer_of_a_stack_that_is_called_by_itself():
    """… takes whole sequences, as any other layer."""

    def one_by_one(net, x):
        for each in net.layers:
            x = each(x)
        return x

    assert all_trained(2, lambda: stack(2), 5, one_by_one)[0] is SequenceParallelEncoder


def test_a_stack_after_an_error_begins_anew():
    def failing(net, x):
        with pytest.raises(RuntimeError, match="mask"):
            net(x, mask=minipar.ones(2, 2))
        return net(x)

    all_trained(2, lambda: stack(2), 5, failing)


class Scaled(nn.Module):
    """Looks at all positions at once."""

    def forward(self, x):
        return x / x.abs().max()


def watched():
    net = stack(2)
    net.layers[0].register_forward_hook(lambda module, x, y: None)
    return net


@pytest.mark.parametrize(
    ("build", "layers_on_positions"),
    [(lambda: stack(2, Scaled()), 2), (watched, 1), (lambda: stack(2, activation=lambda x: x.softmax(-1)), 0)],
)
def test_a_stack_of_which_something_needs_whole_sequences(build, layers_on_positions):
    """Its layers are split one by one, as far as they can be."""
    kind, kinds = all_trained(2, build, 5)
    assert kind is nn.TransformerEncoder
    assert kinds.count("SequenceParallelEncoderLayer") == layers_on_positions


def test_frozen_parameters_are_not_added_up():
    def build():
        net = stack(2, nn.LayerNorm(WIDTH))
        net.requires_grad_(False)
        net.layers[1].norm2.requires_grad_(True)
        return net

    calls = on_ranks(2, build, 4, True)
    assert [nbytes for name, nbytes in calls if name == "all_reduce"] == [OF_A_NORM]
