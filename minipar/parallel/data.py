"""Data parallelism: every rank holds the whole model and a share of each batch; gradients are added up.

    rank 0   rows 0…31  ─▶ loss sum, count ─▶ gradients ─┐
                                                           ├─ all-reduce (sum) ─▶ the same step on every rank
    rank 1   rows 32…63 ─▶ loss sum, count ─▶ gradients ─┘

A mean loss over the whole batch is (Σ over ranks of loss sums) / (Σ of their denominators): the mean of the ranks'
means is something else as soon as shares differ. So each rank's gradient is weighted by its own denominator over
everybody's, once, where backward starts; after that a plain sum is exact, for uneven and empty shares too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import pairwise
from typing import Any

import numpy as np

from ..backend import namespace, to_numpy
from ..backend.random import default_generator, sharded_samples
from ..nn.module import Module
from ..nn.parameter import FlatBuffer, Parameter, flatten
from ..ops.loss import Denominated
from ..tensor import Tensor, wrap
from . import timeline
from .comm import Communicator
from .shares import share


class DataParallel(Module):
    """`module` on every rank of `comm`, starting from rank 0's parameters and buffers.

        def train(comm):
            model = parallel.DataParallel(nn.Linear(4, 1), comm)
            loss_fn = lambda net, x, y: F.mse_loss(net(x), y)
            optimizer = optim.SGD(model.parameters(), lr=0.1)
            for x, y in batches:                                   # every rank sees the same batches …
                model.train_step(loss_fn, optimizer, x, y)             # … and works on its rows

    What is drawn for samples (dropout) is drawn for the rows of the last `shard`: the same that one process would draw.

    A `timeline` records forward, backward, the exchange of gradients and the update of `train_step`.

    (PyTorch's `nn.DataParallel` is threads in one process; this is its DistributedDataParallel, but exact for uneven
    shares, and with backward called on it instead of on the loss.)

    >>> def train(comm):
    ...     model = minipar.parallel.DataParallel(nn.Linear(1, 1), comm)
    ...     step = optim.SGD(model.parameters(), lr=0.1)
    ...     x, y = minipar.ones(3, 1), minipar.zeros(3, 1)
    ...     return model.train_step(lambda net, x, y: F.mse_loss(net(x), y), step, x, y)
    >>> first, second = minipar.parallel.launch(train, workers=2, backend="thread")
    >>> first == second
    True
    """

    _held: tuple[int, int, int] | None  # (start, count, total): which rows of which batch the last shard gave
    _draws: int  # that the generator had made then

    def __init__(self, module: Module, comm: Communicator) -> None:
        super().__init__()
        self.module = module
        self.comm = comm
        self._held, self._draws = None, 0
        _share_gradients(flatten(module.parameters()), comm)
        for state in (*module.parameters(), *module.buffers()):
            _through_host(comm.broadcast, state.array)
            state.bump("broadcast")

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        with self._samples():
            return self.module(*args, **kwargs)

    def _samples(self) -> AbstractContextManager[None]:
        return nullcontext() if self._held is None else sharded_samples(*self._held)

    def shard(self, *batch: Tensor) -> tuple[Tensor, ...]:
        """This rank's rows of each tensor of a global batch: consecutive, in order of rank, as equal as can be."""
        sizes = {len(x) for x in batch}
        if len(sizes) != 1:
            raise ValueError(f"the tensors of a batch must have one first size, got {sorted(sizes)}")
        total = sizes.pop()
        rows = share(total, self.comm.rank, self.comm.size)
        self._held = rows.start, rows.stop - rows.start, total
        self._draws = default_generator().get_state()[1]
        return tuple(x[rows] for x in batch)

    def train_step(self, loss_fn: Callable[..., Any], optimizer: Any, *batch: Tensor) -> float:
        """One step on a global batch, which every rank passes whole: returns the loss of the whole batch.

        `loss_fn(module, *rows)` returns the loss of this rank's rows: the result of a loss function of minipar (which
        knows its denominator), or a pair (sum, denominator). ValueError for a scalar of unknown denominator.
        """
        optimizer.zero_grad()
        rows = self.shard(*batch)
        with self._samples(), timeline.span("forward"):
            made = loss_fn(self.module, *rows) if len(rows[0]) else None
        total = self.backward(*made) if isinstance(made, tuple) else self.backward(made)
        with timeline.span("update"):
            optimizer.step()
        return total

    def backward(self, loss: Tensor | None, weight: float | None = None) -> float:
        """Add the gradient of the loss of all ranks to every `.grad`, on every rank; returns that loss.

        `loss` is this rank's, None if it has no rows. Without `weight` it must come from a loss function, which knows
        whether it is a mean, and over what. With `weight` it is a sum over this rank's rows, and the loss of all is
        Σ loss / Σ weight. ValueError for a loss whose denominator is unknown, or that comes with a second one.
        """
        kind, own, value = _NO_ROWS, 0.0, 0.0
        if loss is not None:
            kind, own = _denominator(loss, weight)
            value = loss.item() * (own if kind == _MEAN else 1.0) if own else 0.0
        kinds = np.bincount([kind], minlength=_NO_ROWS + 1)[:_NO_ROWS]
        drawn = self._drawn_by_first_rank()
        denominator, total, drawn, *ranks_of_kind = self.comm.all_reduce(np.array([own, value, drawn, *kinds]))
        self._keep_step(int(drawn), had_rows=loss is not None)
        if np.count_nonzero(ranks_of_kind) > 1:
            raise ValueError("all ranks must reduce their loss in the same way: mean, sum, or with a weight")
        divisor = 1.0 if ranks_of_kind[_SUM] else denominator
        with self._set_aside():
            if loss is not None and own:
                seed = (own if kind == _MEAN else 1.0) / divisor
                with timeline.span("backward"):
                    loss.backward(wrap(namespace(loss.array).full_like(loss.array, seed)))
            with timeline.span("gradients of all ranks"):
                self._all_reduce_gradients()
        with np.errstate(invalid="ignore", divide="ignore"):
            return float(np.float64(total) / divisor)

    def _drawn_by_first_rank(self) -> int:
        """Rank 0 (which has rows if anybody has) says how many draws it made since `shard`; the others say 0."""
        return 0 if self.comm.rank or self._held is None else default_generator().get_state()[1] - self._draws

    def _keep_step(self, drawn: int, had_rows: bool) -> None:
        """A rank without rows drew nothing: its generator goes where the others' are, for the next batch."""
        generator = default_generator()
        seed, draws = generator.get_state()
        if not had_rows and self._held is not None:
            draws = self._draws + drawn
            generator.set_state((seed, draws))
        self._draws = draws

    def _trained(self) -> list[Parameter]:
        return [p for p in self.module.parameters() if p.tracked]

    @contextmanager
    def _set_aside(self) -> Iterator[None]:
        """Inside, every `.grad` starts as None, so that only what this pass adds is exchanged; then both are added."""
        before = [(p, p.grad.array.copy()) for p in self._trained() if p.grad is not None]
        for p, _ in before:
            p.grad = None
        try:
            yield
        finally:
            for p, grad in before:
                p.accumulate(grad)

    def _all_reduce_gradients(self) -> None:
        """Sum the gradients over all ranks, in one message a dtype.

        A parameter that some rank did not use gets zeros there; one that no rank used keeps `.grad` None. The messages
        are a function of the model alone: where a rank's gradients do not lie side by side in a flat buffer (somebody
        keeps one, say), that rank packs them first.
        """
        trained = self._trained()
        used = np.array([p.grad is not None for p in trained], np.uint8)
        self.comm.all_reduce(used, "max")
        groups: dict[Any, list[Parameter]] = {}
        for p, by_anyone in zip(trained[::-1], used[::-1]):
            if by_anyone:
                groups.setdefault(p.dtype, []).append(p)
        for group in groups.values():
            for p in group:
                if p.grad is None:
                    p.accumulate(namespace(p.array).zeros(p.shape, p.dtype))
            gradients = side_by_side(group)
            if gradients is not None:
                _through_host(self.comm.all_reduce, gradients)
            else:
                _packed(self.comm.all_reduce, [p.grad.array for p in group if p.grad is not None])


def _share_gradients(buffers: list[FlatBuffer], comm: Communicator) -> None:
    """Keep gradients where all ranks see them: then nothing is copied in or out to add them up.

    Not where they differ from rank to rank (somebody holds on to a gradient, say): there they stay as they are.
    """
    kinds = [(b.grad.dtype.str, b.grad.size) for b in buffers if isinstance(b.grad, np.ndarray)]
    movable = len(kinds) == len(buffers) and not any(b.has_gradients() for b in buffers)
    if any(theirs != (kinds, True) for theirs in comm.all_gather_object((kinds, movable))):
        return
    for buffer in buffers:
        grad = comm.empty(buffer.grad.size, buffer.grad.dtype)
        grad[:] = 0
        buffer.keep_gradients_in(grad)


def _through_host(collective: Callable[[np.ndarray], Any], array: Any) -> None:
    """Run a collective on `array` in place. The communicator speaks NumPy: a GPU's array goes through host memory."""
    host = to_numpy(array)
    collective(host)
    if host is not array:
        array[...] = namespace(array).asarray(host)


def _packed(collective: Callable[[np.ndarray], Any], arrays: list[Any]) -> None:
    """Run a collective on several arrays in place, as one message."""
    message = np.concatenate([to_numpy(array).reshape(-1) for array in arrays])
    collective(message)
    start = 0
    for array in arrays:
        array[...] = namespace(array).asarray(message[start : start + array.size]).reshape(array.shape)
        start += array.size


_MEAN, _SUM, _WEIGHTED, _NO_ROWS = range(4)


def _denominator(loss: Tensor, weight: float | None) -> tuple[int, float]:
    """How this rank's loss was reduced, and by what it was (or, for a weighted sum, is to be) divided."""
    node = loss.node
    if weight is not None:
        if isinstance(node, Denominated) and node.divide:
            raise ValueError("this loss is a mean already: leave weight out, or pass the sum (reduction='sum')")
        return _WEIGHTED, float(weight)
    if not isinstance(node, Denominated):
        raise ValueError(
            "the denominator of this loss is unknown: it must be the result of a loss function itself, or come with "
            "weight= (or as a pair (sum, denominator)), where the loss is then a sum over this rank's rows"
        )
    return (_MEAN, float(node.denominator)) if node.divide else (_SUM, 1.0)


def side_by_side(parameters: list[Parameter]) -> Any | None:
    """The gradients as one 1-D view, if they lie in this order in neighbouring slots of one buffer; else None."""
    buffer = parameters[0].buffer
    if buffer is None or not all(p.buffer is buffer and p.grad_in_buffer() for p in parameters):
        return None
    spans = [buffer.spans[p.slot] for p in parameters]
    if any(before[1] != after[0] for before, after in pairwise(spans)):
        return None
    return buffer.grad[spans[0][0] : spans[-1][1]]
