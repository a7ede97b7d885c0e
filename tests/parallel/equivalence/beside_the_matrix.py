"""What the matrix of layouts does not contain: programs of ranks that say what is wrong, and nothing if all is well.

Here mutants of these parts must show (tests/mutation/strategy_mutants.py).
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

import numpy as np

import minipar
from minipar import nn, optim, parallel
from minipar.nn import functional as F
from minipar.parallel import Communicator, Layout
from minipar.parallel.equivalence import Training, assert_same_run
from minipar.parallel.parts import part_of
from minipar.parallel.shares import share
from tests.parallel.equivalence.matrix import trouble
from tests.parallel.equivalence.trainings import Case, training_of

Program = Callable[[Communicator], str]  # for two ranks


def other_starts(comm: Communicator) -> str:
    """Ranks come with parameters and buffers of their own: all start from those of rank 0."""
    case = Case("data over 2", "CNN with batch norm", "mean", "sgd", "float64", "even", 1, "thread")
    training = training_of(case)
    for state in (*training.model.parameters(), *training.model.buffers()):
        state.array[...] += comm.rank
    run = training.in_layout(comm, case.layout)
    return trouble(case, [run] * comm.size)


def layers_alike(comm: Communicator) -> str:
    """Every stage could stand for any other: only the numbers tell in which order they ran."""
    minipar.manual_seed(1)
    model = nn.Sequential(*[layer for _ in range(4) for layer in (nn.Linear(6, 6), nn.Tanh())]).double()
    x, y = minipar.randn(2, 5, 6, dtype=minipar.float64)
    training = Training(model, [(x, y)], F.mse_loss, lambda parameters: optim.SGD(parameters, lr=0.1), steps=3)
    layout = Layout.parse("pipeline=2,microbatches=2,schedule=interleaved,chunks=2")
    try:
        assert_same_run(training.in_layout(comm, layout), training.in_one_process(), 1e-10, str(layout))
    except AssertionError as error:
        return str(error)
    return ""


def vocabulary(comm: Communicator) -> str:
    """Cross entropy of logits of which each rank has some classes. They are so large that exp needs the maximum."""
    minipar.manual_seed(1)
    logits = (minipar.randn(5, 7, dtype=minipar.float64) * 400).requires_grad_()
    target = minipar.tensor([0, 6, 3, -100, 4])
    how = {"weight": minipar.linspace(0.3, 2.0, 7, dtype=minipar.float64), "label_smoothing": 0.1}
    expected = F.cross_entropy(logits, target, **how)
    expected.backward()
    classes = share(7, comm.rank, comm.size)
    part = logits.detach()[:, classes].requires_grad_()
    loss = parallel.vocab_parallel_cross_entropy(part, target, comm, **how)
    loss.backward()
    return differing({"loss": (loss, expected), "gradient": (part.grad, logits.grad[:, classes])})


def positions(comm: Communicator) -> str:
    """An encoder layer between whose parts each rank has some positions of the sequence."""
    minipar.manual_seed(1)
    whole = nn.TransformerEncoderLayer(8, 2, 6, dropout=0.2).double()
    split = parallel.SequenceParallelEncoderLayer(deepcopy(whole), comm)
    x = minipar.randn(5, 3, 8, dtype=minipar.float64)
    outputs = []
    for layer in (whole, split):
        minipar.manual_seed(2)
        outputs.append(layer(x))
        (outputs[-1] ** 2).sum().backward()
    pairs = {"output": (outputs[1], outputs[0])}
    expected = dict(whole.named_parameters())
    for name, p in split.named_parameters():
        gradient, part = expected[name].grad.numpy(), part_of(p)
        pairs[name] = p.grad, minipar.tensor(gradient if part is None else part.of(gradient))
    return differing(pairs)


def differing(pairs: dict[str, tuple[minipar.Tensor, minipar.Tensor]]) -> str:
    """The names of those that are not equal but for rounding."""
    compared = {name: (a.detach().numpy(), b.detach().numpy()) for name, (a, b) in pairs.items()}
    return ", ".join(name for name, (a, b) in compared.items() if not np.allclose(a, b, rtol=1e-10, atol=1e-10))
