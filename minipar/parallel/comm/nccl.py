"""The NCCL backend: each rank has a GPU, and CuPy's arrays travel from GPU to GPU. All else goes by the host beneath.

NCCL (docs.nvidia.com/deeplearning/nccl) puts a call into a CUDA stream and returns; the GPUs wait for one another.
Where ranks differ, or one has died, they do so for ever, and nobody is told. So here the host waits too: it asks the
GPU again and again whether a call is complete, and meanwhile hears of ranks that have failed and of the time, as on
every other backend; then `abort` frees the GPU. (PyTorch has this as TORCH_NCCL_BLOCKING_WAIT=1.) Nothing that is half
done is ever seen: after a call, or after `Work.wait()`, its result is there for any stream. What a rank computes goes
on beside an asynchronous call, for calls have a stream of their own.

What NCCL lacks is made of what it has: gather, scatter and all_to_all of sends and receives in one group; sums of bool,
int16 and the like, and the largest float where NaN may be, of an all_gather and additions in order of rank.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...backend.device import namespace
from .arguments import check_array, check_out, is_on_gpu
from .nccl_gpu import GPU
from .nccl_messages import GPUMessages
from .reduction import divide_mean, reduce_in_order
from .work import Steps


class NCCLCommunicator(GPUMessages):
    """One rank. NCCL's own communicator is made at the first call that needs it.

    With `debug` the ranks compare their calls first, over the host.
    """

    backend = "nccl"

    # -- arrays ----------------------------------------------------------------------------------------------------

    @property
    def own_algorithms(self) -> tuple[str, ...]:  # type: ignore[override]
        """Of arrays on the GPU: by NCCL, and with the bits of all other backends (n times the memory)."""
        return "nccl", "in-order"

    def _algorithms_for(self, array: Any) -> tuple[str, ...]:
        return self.own_algorithms if is_on_gpu(array) else self._host.own_algorithms

    def takes(self, array: Any) -> bool:
        return is_on_gpu(array) or super().takes(array)

    def _check_array(self, verb: str, array: Any, *, written: bool, name: str = "array") -> Any:
        if not is_on_gpu(array):
            return check_array(verb, array, written=written, name=name)
        if not self._gpu.holds(array):
            raise ValueError(
                f"{verb} takes arrays of this rank's own GPU, cuda:{self._gpu.number}, and its {name} is on "
                f"cuda:{array.device.id}: copy it first"
            )
        return array

    def _check_out(self, verb: str, out: Any, shape: tuple[int, ...], dtype: np.dtype, module: Any) -> Any:
        if module is np:
            return check_out(verb, out, shape, dtype)
        if out is None:
            array, free = self._gpu.empty(shape, dtype)
            self._gpu.stream.wait_event(free)
            return array
        if not is_on_gpu(out):
            raise TypeError(f"{verb}: out must be a CuPy array, as the array that is sent, not {type(out).__name__}")
        self._check_array(verb, out, written=True, name="out")
        if (out.shape, out.dtype) != (shape, dtype):
            raise ValueError(f"{verb}: out must be {dtype} {shape}, not {out.dtype} {out.shape}")
        return out

    # -- collective calls ------------------------------------------------------------------------------------------

    def _collective(self, kind: str, array: Any, detail: str, steps: Steps, async_op: bool) -> Any:
        if is_on_gpu(array):
            detail = f"{detail} on GPU".lstrip()
        if is_on_gpu(array) or kind == "scatter":  # of which only the root knows what it is about
            steps = self._gpu.beside(steps)
        return super()._collective(kind, array, detail, steps, async_op)

    def _broadcast(self, flat: Any, root: int) -> Steps:
        if not is_on_gpu(flat):
            return super()._broadcast(flat, root)
        start, count, byte = self._gpu.as_bytes(flat)
        return self._carry_out(flat, lambda link, stream: link.broadcast(start, start, count, byte, root, stream))

    def _all_reduce(self, flat: Any, op: str, algorithm: str | None) -> Steps:
        if not is_on_gpu(flat):
            yield from super()._all_reduce(flat, op, algorithm)
            return
        how = None if algorithm == "in-order" else self._gpu.reduction(op, flat)
        if how is None:
            yield from self._reduce_rows(flat, flat, op)
            return
        start = flat.data.ptr
        yield from self._carry_out(flat, lambda link, stream: link.allReduce(start, start, *how, stream))
        divide_mean(flat, op, self.size)

    def _reduce(self, flat: Any, out: Any, root: int, op: str) -> Steps:
        if not is_on_gpu(flat):
            yield from super()._reduce(flat, out, root, op)
            return
        how = self._gpu.reduction(op, flat)
        if how is None:
            rows = None if out is None else _rows_like(flat, self.size)
            yield from self._gather(flat, rows, root)
            if rows is not None:
                reduce_in_order(list(rows), op, out)
            return
        start, end = flat.data.ptr, (flat if out is None else out).data.ptr
        yield from self._carry_out(flat, lambda link, stream: link.reduce(start, end, *how, root, stream))
        if out is not None:
            divide_mean(out, op, self.size)

    def _reduce_scatter(self, rows: Any, out: Any, op: str) -> Steps:
        if not is_on_gpu(rows):
            yield from super()._reduce_scatter(rows, out, op)
            return
        how = self._gpu.reduction(op, out)
        if how is None:
            received = _rows_like(out, self.size)
            yield from self._all_to_all(rows, received)
            reduce_in_order(list(received), op, out)
            return
        start, end = rows.data.ptr, out.data.ptr
        yield from self._carry_out(rows, lambda link, stream: link.reduceScatter(start, end, *how, stream))
        divide_mean(out, op, self.size)

    def _reduce_rows(self, flat: Any, out: Any, op: str) -> Steps:
        """What NCCL cannot add, or not in this order: every rank gets the arrays of all."""
        rows = _rows_like(flat, self.size)
        yield from self._all_gather(flat, rows)
        reduce_in_order(list(rows), op, out)

    def _all_gather(self, flat: Any, rows: Any) -> Steps:
        if not is_on_gpu(flat):
            return super()._all_gather(flat, rows)
        start, count, byte = self._gpu.as_bytes(flat)
        end = rows.data.ptr
        return self._carry_out(flat, lambda link, stream: link.allGather(start, end, count, byte, stream))

    def _gather(self, flat: Any, rows: Any, root: int) -> Steps:
        if not is_on_gpu(flat):
            return super()._gather(flat, rows, root)
        return self._exchange(flat, {root: flat}, {} if rows is None else dict(enumerate(rows)))

    def _scatter(self, rows: Any, out: Any, root: int) -> Steps:
        if not is_on_gpu(out):
            return super()._scatter(rows, out, root)
        return self._exchange(out, {} if rows is None else dict(enumerate(rows)), {root: out})

    def _all_to_all(self, rows: Any, out: Any) -> Steps:
        if not is_on_gpu(rows):
            return super()._all_to_all(rows, out)
        return self._exchange(rows, dict(enumerate(rows)), dict(enumerate(out)))

    def _exchange(self, array: Any, sent: dict[int, Any], received: dict[int, Any]) -> Steps:
        """Arrays to some ranks and from some, by rank: in one group, so that none waits for another."""

        def post(link: Any, stream: int) -> None:
            self._gpu.nccl.groupStart()
            try:
                for peer, row in sent.items():
                    link.send(*self._gpu.as_bytes(row), peer, stream)
                for peer, row in received.items():
                    link.recv(*self._gpu.as_bytes(row), peer, stream)
            finally:
                self._gpu.nccl.groupEnd()

        return self._carry_out(array, post)

    # -- groups ----------------------------------------------------------------------------------------------------

    def _split(self, members: list[int] | None) -> Steps:
        """A communicator of NCCL's of its own, if it is ever needed: a group may have nothing for GPUs to tell."""
        path = f"of split #{self._number} {self._path}".rstrip()
        group = yield from self._host._split(members)
        if group is None:
            return None
        made = NCCLCommunicator(group, GPU(self._gpu.number), self._debug, path)
        self._groups = [*[other for other in self._groups if not other._closed], made]
        return made


def _rows_like(flat: Any, size: int) -> Any:
    return namespace(flat).empty((size, flat.size), flat.dtype)
