"""The interface of every backend: MPI's vocabulary on NumPy arrays."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from ...backend.device import namespace
from . import algorithms
from .arguments import check_new, check_rank, check_rows, check_whole
from .layout import apart_from, flat_of, rows_of, write_back
from .objects import Objects, packed
from .reduction import check_reduction
from .shortcut import BARRIER
from .work import Steps

_NOTHING = np.empty(0)


class Communicator(Objects):
    """The ranks 0 … size-1 of one program, and what they can tell each other.

    Collective calls are made by every rank, in the same order and with the same shapes, dtypes and options; ranks that
    differ get a `MismatchError` naming both calls (MPI: with ``debug=True``). Every wait ends: with
    `CommunicatorTimeout` after `timeout` seconds, with `PeerFailedError` as soon as another rank has failed.

    With ``async_op=True`` a collective returns a `Work` at once, whose `wait()` returns the result. Calls of one
    communicator are carried out in the order in which they were made.

    Only the thread that made it (the rank's, under `launch`) may call it, else CommunicatorError: calls of several
    threads would have no order that the other ranks could follow (MPI_THREAD_FUNNELED).

    Arrays may have any numeric dtype, shape (0-d and empty ones too) and strides; what matters to the other ranks
    is the logical (C) order of the elements. ``out=`` takes the result instead of a new array: of the shape and dtype
    of the result, else ValueError. It may overlap the array that is sent, which costs a copy.
    Terms as in the MPI standard, chapters 3 and 6; "rows" below are what lies along the first axis.

    A backend fills in the generators with an underscore (work.py), which get arguments that have been checked.

    >>> def total(comm):
    ...     here = np.array([1.0 + comm.rank])
    ...     comm.all_reduce(here)
    ...     return here.item()
    >>> minipar.parallel.launch(total, workers=2, backend="thread")
    [3.0, 3.0]
    """

    # -- collective calls ------------------------------------------------------------------------------------------

    def barrier(self, *, async_op: bool = False) -> Any:
        """Return when every rank has called it."""
        if not async_op and self._take_shortcut(BARRIER, _NOTHING):
            return None
        return self._collective("barrier", None, "", self._barrier(), async_op)

    def broadcast(self, array: np.ndarray, root: int = 0, *, async_op: bool = False) -> Any:
        """Copy `array` of rank `root` into `array` of every other rank, in place; returns `array`."""
        root = check_rank("root", root, self.size)
        array = self._check_array("broadcast", array, written=self.rank != root)

        def steps() -> Steps:
            flat = flat_of(array)
            yield from self._broadcast(flat, root)
            if self.rank != root:
                write_back(flat, array)
            return array

        return self._collective("broadcast", array, f"root={root}", steps(), async_op)

    def all_reduce(
        self,
        array: np.ndarray,
        op: str = "sum",
        out: np.ndarray | None = None,
        *,
        algorithm: str | algorithms.Algorithm | None = None,
        async_op: bool = False,
    ) -> Any:
        """Combine `array` of all ranks element by element, in place (or into `out`) on every rank; returns the result.

        `op` is "sum", "mean", "max", "min" or "prod". The order is fixed, ((rank 0 + rank 1) + rank 2) + …, in the
        array's own dtype: every rank gets the same bits, in every run and on every backend. The mean is the sum
        divided by `size`. TypeError where the dtype has no such operation (the mean of integers, the largest complex).

        `algorithm` None is the backend's best. "ring", "tree", "halving-doubling" and "master" send messages from rank
        to rank as the textbooks say (package `algorithms`, docs/all-reduce.md), each adding in an order of its own, the
        same on every rank; or it is a generator function of your own, tried out in `parallel.simulate_all_reduce`.

        >>> def total(comm):
        ...     array = comm.all_reduce(np.full(8, comm.rank), algorithm="ring")
        ...     return array[0].item(), comm.traffic.messages, comm.traffic.bytes
        >>> minipar.parallel.launch(total, workers=4, backend="thread")[0]
        (6, 6, 96)
        """
        if out is None and algorithm is None and not async_op and self._take_shortcut(op, array):
            return array
        self._check_array("all_reduce", array, written=out is None)
        check_reduction(op, array.dtype)
        if out is not None and out is not array:
            self._check_out("all_reduce", out, array.shape, array.dtype, namespace(array))
        target = array if out is None else out
        named = None if algorithm is None else algorithms.find(algorithm, also=self._algorithms_for(array))
        own = algorithm if isinstance(algorithm, str) else None

        def steps() -> Steps:
            if target is not array:
                target[...] = array
            flat = flat_of(target)
            if named is None:
                yield from self._all_reduce(flat, op, own)
            else:
                yield from self._agree()
                yield from algorithms.run(named, self, flat, op)
            write_back(flat, target)
            return target

        detail = op if algorithm is None else f"{op} {algorithms.name_of(algorithm)}"
        return self._collective("all_reduce", array, detail, steps(), async_op)

    def reduce(
        self,
        array: np.ndarray,
        root: int = 0,
        op: str = "sum",
        out: np.ndarray | None = None,
        *,
        async_op: bool = False,
    ) -> Any:
        """`all_reduce` whose result rank `root` alone gets, in place or in `out`; elsewhere `array` stays as it is.

        Returns the result on the root, None elsewhere (where `out` is not looked at).
        """
        root = check_rank("root", root, self.size)
        here = self.rank == root
        self._check_array("reduce", array, written=here and out is None)
        check_reduction(op, array.dtype)
        target = None
        if here:
            target = array
            if out is not None and out is not array:
                target = self._check_out("reduce", out, array.shape, array.dtype, namespace(array))

        def steps() -> Steps:
            result = namespace(array).empty(array.size, array.dtype) if here else None
            yield from self._reduce(flat_of(array), result, root, op)
            if target is not None and result is not None:
                target[...] = result.reshape(array.shape)
            return target

        return self._collective("reduce", array, f"{op} root={root}", steps(), async_op)

    def all_gather(self, array: np.ndarray, out: np.ndarray | None = None, *, async_op: bool = False) -> Any:
        """The arrays of all ranks as the rows of one, (size, …), on every rank."""
        self._check_array("all_gather", array, written=False)
        target = self._check_out("all_gather", out, (self.size, *array.shape), array.dtype, namespace(array))

        def steps() -> Steps:
            rows = rows_of(target)
            yield from self._all_gather(flat_of(apart_from(out, array)), rows)
            write_back(rows, target)
            return target

        return self._collective("all_gather", array, "", steps(), async_op)

    def gather(self, array: np.ndarray, root: int = 0, out: np.ndarray | None = None, *, async_op: bool = False) -> Any:
        """The arrays of all ranks as the rows of one, (size, …), on rank `root`; None elsewhere."""
        root = check_rank("root", root, self.size)
        self._check_array("gather", array, written=False)
        target = None
        if self.rank == root:
            target = self._check_out("gather", out, (self.size, *array.shape), array.dtype, namespace(array))

        def steps() -> Steps:
            rows = None if target is None else rows_of(target)
            yield from self._gather(flat_of(apart_from(rows, array)), rows, root)
            if target is not None and rows is not None:
                write_back(rows, target)
            return target

        return self._collective("gather", array, f"root={root}", steps(), async_op)

    def scatter(
        self, array: np.ndarray | None, root: int = 0, out: np.ndarray | None = None, *, async_op: bool = False
    ) -> Any:
        """Row r of rank `root`'s `array`, (size, …), on rank r. The other ranks pass None; shape and dtype travel.

        An `out` of another shape or dtype than the row that comes is a ValueError, and fails the communicator.
        """
        root = check_rank("root", root, self.size)
        if self.rank == root:
            if array is None:
                raise TypeError("scatter takes a NumPy array on its root, not None")
            self._check_array("scatter", array, written=False)
            check_rows("scatter", array, self.size)
        if out is not None:
            self._check_array("scatter", out, written=True, name="out")

        def steps() -> Steps:
            yield from self._agree()
            mine = array if self.rank == root else None
            kind = None if mine is None else packed((namespace(mine).__name__, mine.dtype, mine.shape[1:]))
            module, dtype, shape = yield from self._tell(kind, root)
            target = self._check_out("scatter", out, shape, dtype, import_module(module))
            flat = flat_of(target)
            yield from self._scatter(None if mine is None else rows_of(apart_from(out, mine)), flat, root)
            write_back(flat, target)
            return target

        return self._collective("scatter", None, f"root={root}", steps(), async_op)

    def reduce_scatter(
        self, array: np.ndarray, op: str = "sum", out: np.ndarray | None = None, *, async_op: bool = False
    ) -> Any:
        """Row r of all ranks' `array`, (size, …), combined as `all_reduce` does, on rank r."""
        self._check_array("reduce_scatter", array, written=False)
        check_reduction(op, array.dtype)
        check_rows("reduce_scatter", array, self.size)
        target = self._check_out("reduce_scatter", out, array.shape[1:], array.dtype, namespace(array))

        def steps() -> Steps:
            flat = flat_of(target)
            yield from self._reduce_scatter(rows_of(apart_from(out, array)), flat, op)
            write_back(flat, target)
            return target

        return self._collective("reduce_scatter", array, op, steps(), async_op)

    def all_to_all(self, array: np.ndarray, out: np.ndarray | None = None, *, async_op: bool = False) -> Any:
        """Row s of rank r's `array`, (size, …), becomes row r of the result on rank s."""
        self._check_array("all_to_all", array, written=False)
        check_rows("all_to_all", array, self.size)
        target = self._check_out("all_to_all", out, array.shape, array.dtype, namespace(array))

        def steps() -> Steps:
            rows = rows_of(target)
            yield from self._all_to_all(rows_of(apart_from(out, array)), rows)
            write_back(rows, target)
            return target

        return self._collective("all_to_all", array, "", steps(), async_op)

    # -- groups and memory -----------------------------------------------------------------------------------------

    def split(self, color: int | None, key: int = 0) -> Communicator | None:
        """A communicator of the ranks that pass the same `color`, in order of `key`, then of their rank here.

        Returns None to a rank whose `color` is None. Collective: every rank of this communicator calls it.

        >>> def halves(comm):
        ...     half = comm.split(comm.rank // 2)
        ...     return half.rank, half.all_gather_object(comm.rank)
        >>> minipar.parallel.launch(halves, workers=4, backend="thread")
        [(0, [0, 1]), (1, [0, 1]), (0, [2, 3]), (1, [2, 3])]
        """
        color = None if color is None else check_whole("color", color)
        key = check_whole("key", key)
        return self._collective("split", None, "", self._split_steps(color, key), False)

    def _split_steps(self, color: int | None, key: int) -> Steps:
        wishes = yield from self._tell_all(packed((color, key)))
        members = sorted((wishes[rank][1], rank) for rank in range(self.size) if wishes[rank][0] == color)
        return (yield from self._split(None if color is None else [rank for _, rank in members]))

    def empty(self, shape: int | tuple[int, ...], dtype: Any = np.float32) -> np.ndarray:
        """A new array, of undefined contents, in memory that all ranks see. Collective: same shape and dtype.

        An `all_reduce` of such arrays, or of the same slice of each, copies nothing in or out: every rank reduces its
        share over the arrays of all. The memory goes with the last array that looks at it.
        """
        shape, dtype = check_new(shape, dtype)
        return self._collective(
            "empty", np.broadcast_to(np.empty((), dtype), shape), "", self._empty(shape, dtype), False
        )
