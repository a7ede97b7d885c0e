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
from typing import Any

import numpy as np

from ..backend import namespace, to_numpy
from ..nn.module import Module
from ..nn.parameter import Parameter, flatten
from ..ops.loss import Reduced
from ..tensor import Tensor, wrap
from .comm import Communicator


class DataParallel(Module):
    """`module` on every rank of `comm`, starting from rank 0's parameters and buffers.

        def train(comm):
            model = parallel.DataParallel(nn.Linear(4, 1), comm)
            loss_fn = lambda net, x, y: F.mse_loss(net(x), y)
            optimizer = optim.SGD(model.parameters(), lr=0.1)
            for x, y in batches:                                   # every rank sees the same batches …
                model.train_step(loss_fn, optimizer, x, y)             # … and works on its rows

    (PyTorch's `nn.DataParallel` is threads in one process; this is its DistributedDataParallel, but exact for uneven
    shares, and with backward called on it instead of on the loss.)
    """

    def __init__(self, module: Module, comm: Communicator) -> None:
        super().__init__()
        self.module = module
        self.comm = comm
        flatten(module.parameters())
        for state in (*module.parameters(), *module.buffers()):
            _through_host(comm.broadcast, state.array)
            state.bump("broadcast")

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.module(*args, **kwargs)

    def shard(self, *batch: Tensor) -> tuple[Tensor, ...]:
        """This rank's rows of each tensor of a global batch: consecutive, in order of rank, as equal as can be."""
        sizes = {len(x) for x in batch}
        if len(sizes) != 1:
            raise ValueError(f"the tensors of a batch must have one first size, got {sorted(sizes)}")
        rows = share(sizes.pop(), self.comm.rank, self.comm.size)
        return tuple(x[rows] for x in batch)

    def train_step(self, loss_fn: Callable[..., Any], optimizer: Any, *batch: Tensor) -> float:
        """One step on a global batch, which every rank passes whole: returns the loss of the whole batch.

        `loss_fn(module, *rows)` returns the loss of this rank's rows: the result of a loss function of minipar (which
        knows its denominator), or a pair (sum, denominator). ValueError for a scalar of unknown denominator.
        """
        optimizer.zero_grad()
        rows = self.shard(*batch)
        made = loss_fn(self.module, *rows) if len(rows[0]) else None
        total = self.backward(*made) if isinstance(made, tuple) else self.backward(made)
        optimizer.step()
        return total

    def backward(self, loss: Tensor | None, weight: float | None = None) -> float:
        """Add the gradient of the loss of all ranks to every `.grad`, on every rank; returns that loss.

        `loss` is this rank's, None if it has no rows. Without `weight` it must come from a loss function, which knows
        whether it is a mean, and over what. With `weight` it is a sum over this rank's rows, and the loss of all is
        Σ loss / Σ weight.
        """
        kind, own, value = _NO_ROWS, 0.0, 0.0
        if loss is not None:
            kind, own = _denominator(loss, weight)
            value = loss.item() * (own if kind == _MEAN else 1.0) if own else 0.0
        mine = np.array([own, value, kind == _SUM])
        everybody = self.comm.all_reduce(mine)
        is_plain_sum = everybody[2] > 0
        divisor = 1.0 if is_plain_sum else everybody[0]
        before = [(p, p.grad) for p in self._trained() if p.grad is not None]
        for p, _ in before:
            p.grad = None  # only what this pass adds is exchanged
        if loss is not None and own:
            seed = (own if kind == _MEAN else 1.0) / divisor
            loss.backward(wrap(namespace(loss.array).full_like(loss.array, seed)))
        self._all_reduce_gradients()
        for p, grad in before:
            p.grad = grad if p.grad is None else wrap(grad.array + p.grad.array)
        with np.errstate(invalid="ignore", divide="ignore"):
            return float(np.float64(everybody[1]) / divisor)

    def _trained(self) -> Iterator[Parameter]:
        return (p for p in self.module.parameters() if p.tracked)

    def _all_reduce_gradients(self) -> None:
        """Sum the gradients over all ranks: one message for each stretch of a flat buffer.

        A parameter that some rank did not use gets zeros there; one that no rank used keeps `.grad` None.
        """
        trained = list(self._trained())
        used = np.array([p.grad is not None for p in trained], np.uint8)
        self.comm.all_reduce(used, "max")
        present = [p for p, any_rank in zip(trained, used) if any_rank]
        for p in present:
            if p.grad is None:
                p.accumulate(namespace(p.array).zeros(p.shape, p.dtype))
        for gradient in stretches(present):
            _through_host(self.comm.all_reduce, gradient)


def _through_host(collective: Callable[[np.ndarray], Any], array: Any) -> None:
    """Run a collective on `array` in place. The communicator speaks NumPy: a GPU's array goes through host memory."""
    host = to_numpy(array)
    collective(host)
    if host is not array:
        array[...] = namespace(array).asarray(host)


_MEAN, _SUM, _WEIGHTED, _NO_ROWS = range(4)


def _denominator(loss: Tensor, weight: float | None) -> tuple[int, float]:
    if weight is not None:
        return _WEIGHTED, float(weight)
    if not isinstance(loss.node, Reduced):
        raise ValueError(
            "the denominator of this loss is unknown: it must be the result of a loss function itself, or come with "
            "weight= (or as a pair (sum, denominator)), where the loss is then a sum over this rank's rows"
        )
    return (_MEAN, float(loss.node.denominator)) if loss.node.divide else (_SUM, 1.0)


def share(total: int, rank: int, size: int) -> slice:
    """Rank's part of `total` rows: the first `total % size` ranks have one more than the others."""
    each, more = divmod(total, size)
    start = rank * each + min(rank, more)
    return slice(start, start + each + (rank < more))


def stretches(parameters: list[Parameter]) -> list[np.ndarray]:
    """The gradients of the parameters in as few arrays as possible: adjacent slots of a buffer are one 1-D view."""
    found: list[np.ndarray] = []
    spans: dict[Any, list[tuple[int, int]]] = {}
    for p in parameters:
        if p.buffer is not None and p.grad_in_buffer():
            spans.setdefault(p.buffer, []).append(p.buffer.spans[p.slot])
        elif p.grad is not None:
            found.append(p.grad.array)
    for buffer, pieces in spans.items():
        pieces.sort()
        start, end = pieces[0]
        for a, b in pieces[1:]:
            if a > end:
                found.append(buffer.grad[start:end])
                start = a
            end = b
        found.append(buffer.grad[start:end])
    return found
