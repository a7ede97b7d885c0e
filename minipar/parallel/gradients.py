"""Adding up the gradients of all ranks, bucket by bucket, while backward still runs.

Backward makes gradients from the last layer to the first; parameters lie in their buffer in that order. A bucket is a
stretch of it:

    buffer of gradients    [ fc2.bias | fc2.weight | fc1.bias | fc1.weight ]
                           '------ bucket 0 ------''------ bucket 1 -------'
    time ─▶                backward of fc2, all_reduce of bucket 0 begins, backward of fc1, all_reduce of bucket 1 …

As soon as the last gradient of a bucket is there, its all_reduce begins (Li et al., "PyTorch Distributed", VLDB 2020);
that of the last bucket when backward is through, since nothing is left to be done meanwhile.
Buckets go in one order on every rank, whatever a rank used: what it did not use counts as zeros.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import numpy as np

from ..backend import namespace, to_numpy
from ..nn.parameter import FlatBuffer, Parameter, flatten
from . import timeline
from .comm import Communicator

BUCKET = 25 << 20  # bytes: PyTorch's


def _nothing() -> None:
    pass


class GradientExchange:
    """Adds up the gradients of `parameters` over the ranks of `comm`, in buckets of at most `bucket` bytes.

    (A parameter that is larger makes a bucket of its own.) Collective. Gradients are kept where all ranks see them, so
    that nothing is copied to add them up, unless `in_shared_memory` is False or there is one rank.
    """

    def __init__(
        self,
        parameters: Iterable[Parameter],
        comm: Communicator,
        bucket: int = BUCKET,
        in_shared_memory: bool = True,
    ) -> None:
        self.comm = comm
        self.divisor = 1.0
        self._parameters = list(parameters)
        self._bytes = bucket
        self._buckets: list[list[Parameter]] = []
        self._place: dict[int, int] = {}  # id of a parameter: its bucket
        self._missing: list[int] = []  # of each bucket, how many gradients are still to come
        self._under_way: list[Callable[[], None]] = []  # what completes the buckets that have been sent
        self._sends = False
        self._shared: list[tuple[Parameter, Any]] = []  # what was in `.grad` before: the same on every rank
        self._own = False  # is what is in `.grad` now this rank's alone?
        self._strays: dict[int, tuple[Parameter, int]] = {}  # parameters with a gradient of a backward not seen here
        self.uses: dict[int, int] = {}  # id of a parameter: its backward passes a micro-batch, where they are not one
        self._arrivals: set[int] = set()  # ids of the parameters that this rank has used
        buffers = flatten(self._parameters) if in_shared_memory else []
        if comm.size > 1:  # else there is nobody to send to early
            _share_gradients(buffers, comm)
            for p in self._parameters:
                if p.tracked:
                    p.register_post_accumulate_grad_hook(self._arrived)

    @contextmanager
    def keeping(self) -> Iterator[None]:
        """Inside, gradients of backward passes stay with this rank; a later `adding_up` adds them up too."""
        self._set_aside()
        self._strays.clear()
        yield
        self._strays.clear()

    @contextmanager
    def adding_up(
        self, passes: int = 1, check: Callable[[], None] = _nothing, then: Callable[[], None] = _nothing
    ) -> Iterator[GradientExchange]:
        """Inside, gradients are sent as they become complete, after `passes` backward passes; on leaving all are.

        When none is under way any more `check` may raise an error, if it does so on all ranks: then none is kept. They
        are divided by what `divisor` of this exchange then is; `then` is called when they are there, before they are
        added to what was in `.grad` before. A parameter that some rank did not use gets zeros there; one that no
        rank used keeps `.grad` None. Every rank enters, whether it has a backward pass or not.
        """
        self.divisor = 1.0
        self._set_aside()
        self._plan()
        self._arrivals.clear()
        self._missing = [passes * sum(self.uses.get(id(p), 1) for p in bucket) for bucket in self._buckets]
        self._sends = True
        try:
            yield self
            with timeline.span("gradients of all ranks"):
                unused = self._finish()
                check()
                self._settle(unused)
            then()
        except BaseException:  # what is in `.grad` now is of this rank alone, and of a part of the batch
            for p in self._parameters:
                p.grad = None
            raise
        finally:
            self._sends, self._own = False, False
            self._under_way.clear()
            for p, grad in self._shared:
                p.accumulate(grad)
            self._shared = []

    def check_no_strays(self) -> None:
        """RuntimeError if an optimizer has stepped by gradients of this rank alone: the ranks' models differ now."""
        for p, version in self._strays.values():
            if p.changes() != version:
                raise RuntimeError(
                    "parameters were changed by gradients of this rank alone, so the ranks' models differ: "
                    "loss.backward() was called where the parallel model's own backward(loss), or train_step, adds up "
                    "the gradients of all ranks"
                )

    # -- as gradients arrive ---------------------------------------------------------------------------------------

    def _arrived(self, p: Any) -> None:
        if not self._sends:
            self._strays[id(p)] = p, p.changes()
            return
        self._arrivals.add(id(p))
        self._missing[self._place[id(p)]] -= 1
        while (place := len(self._under_way)) < len(self._buckets) - 1 and not self._missing[place]:
            self._send(self._buckets[place])

    def _send(self, bucket: list[Parameter]) -> None:
        """Begin the all_reduce of a bucket: in place where its gradients lie side by side, else of a copy."""
        if self.comm.size == 1:
            self._under_way.append(_nothing)
            return
        gradients = side_by_side(bucket)
        if gradients is not None and self.comm.takes(gradients):
            is_last = bucket is self._buckets[-1]  # to wait for it at once takes less than to be asked again and again
            sent = self.comm.all_reduce(gradients, async_op=not is_last)
            self._under_way.append(_nothing if is_last else sent.wait)
            return
        work = self.comm.all_reduce(pack(bucket, self.comm), async_op=True)
        self._under_way.append(lambda: unpack(work.wait(), bucket))

    def _finish(self) -> set[int]:
        """Send what has not left yet, and wait for all. Returns the ids of the parameters that no rank has used."""
        trained = [p for bucket in self._buckets for p in bucket]
        used = np.array([p.grad is not None or id(p) in self._arrivals for p in trained], np.float32)
        for bucket in self._buckets[len(self._under_way) :]:
            for p in bucket:
                if p.grad is None:
                    p.accumulate(namespace(p.array).zeros(p.shape, p.dtype))
            self._send(bucket)
        self.comm.all_reduce(used)  # by how many: a sum of a few floats is the cheapest call
        for complete in self._under_way:
            complete()
        return {id(p) for p, by_anyone in zip(trained, used) if not by_anyone}

    def _settle(self, unused: set[int]) -> None:
        """All gradients have been added up: forget those that nobody uses, and divide."""
        for bucket in self._buckets:
            for p in bucket:
                if id(p) in unused:
                    p.grad = None
        if self.divisor != 1.0:
            for bucket in self._buckets:
                _divide(bucket, self.divisor)

    # -- before they do --------------------------------------------------------------------------------------------

    def _set_aside(self) -> None:
        """From now on `.grad` holds what this rank alone has added since gradients were last added up."""
        held = [p for p in self._parameters if p.grad is not None]
        if self._own and held:
            return
        self._shared = [(p, p.grad.array.copy()) for p in held if p.grad is not None]
        for p in held:
            p.grad = None
        self._own = True

    def _plan(self) -> None:
        """Put the parameters that are trained now into buckets: a function of the model alone."""
        trained = [p for p in self._parameters if p.tracked][::-1]
        if [id(p) for p in trained] == list(self._place):
            return
        self._buckets, size = [], 0
        for p in trained:
            if not self._buckets or p.dtype != self._buckets[-1][0].dtype or size + p.array.nbytes > self._bytes:
                self._buckets.append([])
                size = 0
            self._buckets[-1].append(p)
            size += p.array.nbytes
        self._place = {id(p): place for place, bucket in enumerate(self._buckets) for p in bucket}


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


def pack(bucket: list[Parameter], comm: Communicator | None = None) -> Any:
    """A copy of a bucket's gradients, one after the other: in host memory, unless `comm` takes them from a GPU."""
    parts = [p.grad.array.reshape(-1) for p in bucket]
    if comm is None or not all(map(comm.takes, parts)):
        parts = [to_numpy(part) for part in parts]
    return namespace(parts[0]).concatenate(parts)


def unpack(packed: np.ndarray, bucket: list[Parameter]) -> None:
    """Write to a bucket's gradients what `pack` has put one after the other."""
    start = 0
    for p in bucket:
        grad = p.grad.array
        grad[...] = namespace(grad).asarray(packed[start : start + grad.size]).reshape(grad.shape)
        start += grad.size


def _divide(bucket: list[Parameter], divisor: float) -> None:
    gradients = side_by_side(bucket)
    for array in [p.grad.array for p in bucket if p.grad is not None] if gradients is None else [gradients]:
        array *= array.dtype.type(1.0 / divisor)


def side_by_side(parameters: list[Parameter]) -> Any | None:
    """The gradients as one 1-D view, if they lie in this order in neighbouring slots of one buffer; else None."""
    buffer = parameters[0].buffer
    if buffer is None or not all(p.buffer is buffer and p.grad_in_buffer() for p in parameters):
        return None
    spans = [buffer.spans[p.slot] for p in parameters]
    if any(before[1] != after[0] for before, after in pairwise(spans)):
        return None
    return buffer.grad[spans[0][0] : spans[-1][1]]
