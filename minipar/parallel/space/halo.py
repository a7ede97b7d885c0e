"""Which rows of an image a rank needs for its rows of a layer's output, and how it gets them from the others.

A window (a convolution's or a pooling's) with kernel k, stride s, dilation d and p rows of padding before the image
looks, for output rows a … b − 1, at the input rows from a·s − p up to (b − 1)·s − p + d(k − 1). What a rank does not
hold of these is its halo; what lies outside the image is padding:

    input rows     0 1 2 3 4 5 6 │ 7 8 9 10 11 12        two ranks, k = 3, s = 1, p = 1
    rank 0 needs · 0 1 2 3 4 5 6   7                     · is padding, 7 comes from rank 1
    rank 1 needs               6   7 8 9 10 11 12 ·      6 comes from rank 0

A halo may be wider than a neighbour's rows (then it comes from several ranks), and a rank may have no rows at all. The
gradient of what was received goes back to where it came from and is *added* there: each row was used by several ranks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...autograd.function import Function, once_differentiable
from ...backend import namespace
from ...tensor import Tensor, wrap
from ..comm import Communicator
from ..shares import share
from ..travel import beside, to_send

PADDING = -1  # in place of a row's number: a row that is outside the image

_FORWARD, _BACKWARD = 0x51A0, 0x51A1  # tags of our messages


@dataclass(frozen=True)
class Window:
    """The arguments of a convolution or a pooling along the rows. `mode` says what padding repeats, as in F.pad."""

    kernel: int
    stride: int = 1
    before: int = 0
    after: int = 0
    dilation: int = 1
    ceil_mode: bool = False
    mode: str = "zeros"

    @property
    def span(self) -> int:
        """Rows from the first that one output row looks at to the last."""
        return self.dilation * (self.kernel - 1) + 1

    def height(self, rows: int) -> int:
        """Output rows for an image of so many."""
        beyond = rows + self.before + self.after - self.span
        if self.ceil_mode:
            height = -(-beyond // self.stride) + 1
            return height - (height > 0 and (height - 1) * self.stride >= rows + self.before)
        return max(beyond // self.stride + 1, 0)

    def rows_for(self, wanted: slice, rows: int) -> np.ndarray:
        """The numbers of the input rows, in order, that output rows `wanted` look at; PADDING outside the image.

        For no output rows those of one, all padding: a rank without a share computes it and drops it, so that it
        takes part in forward and backward like every other.
        """
        if wanted.start == wanted.stop:
            return np.full(self.span, PADDING)
        first = wanted.start * self.stride - self.before
        behind = (wanted.stop - 1) * self.stride - self.before + self.span
        return repeated(np.arange(first, behind), rows, self.mode)


def repeated(numbers: np.ndarray, rows: int, mode: str) -> np.ndarray:
    """Row numbers of which some lie outside the image, each as the row that stands in for it by the padding `mode`."""
    if mode == "replicate":
        return np.clip(numbers, 0, rows - 1)
    if mode == "circular":
        return numbers % rows
    if mode == "reflect":
        inside = np.abs(numbers)
        return np.where(inside < rows, inside, 2 * (rows - 1) - inside)
    return np.where((numbers >= 0) & (numbers < rows), numbers, PADDING)


@dataclass(frozen=True)
class Transfer:
    """Rows (as this rank counts its own) that go to `places` of the rows that some rank needs; `peer` is the other."""

    peer: int
    rows: np.ndarray
    places: np.ndarray


@dataclass(frozen=True)
class Plan:
    """What one rank keeps of its own rows, sends and receives, to hold `count` rows."""

    count: int
    kept: Transfer
    sent: tuple[Transfer, ...]
    received: tuple[Transfer, ...]


def plan(needed: Sequence[np.ndarray], heights: Sequence[int], rank: int) -> Plan:
    """Who sends which rows to whom: rank r has heights[r] rows of the image, after those of the ranks before it."""
    starts = np.concatenate([[0], np.cumsum(heights)])

    def transfer(owner: int, taker: int) -> Transfer:
        numbers = needed[taker]
        places = np.flatnonzero((starts[owner] <= numbers) & (numbers < starts[owner + 1]))
        return Transfer(taker if owner == rank else owner, numbers[places] - starts[owner], places)

    def existing(transfers: Iterable[Transfer]) -> tuple[Transfer, ...]:
        return tuple([t for t in transfers if len(t.rows)])

    others = [peer for peer in range(len(heights)) if peer != rank]
    return Plan(
        len(needed[rank]),
        transfer(rank, rank),
        existing(transfer(rank, peer) for peer in others),
        existing(transfer(peer, rank) for peer in others),
    )


# -- on ranks ----------------------------------------------------------------------------------------------------------


def heights_of(x: Tensor, comm: Communicator) -> list[int]:
    """How many rows of the image each rank holds. Every rank calls it."""
    return [x.shape[-2]] if comm.size == 1 else comm.all_gather(np.array(x.shape[-2])).tolist()


def rows_of_window(x: Tensor, window: Window, comm: Communicator, fill: float = 0.0) -> tuple[Tensor, slice, int]:
    """The rows that this rank's share of the window's output looks at; that share; and the height of the image.

    x (…, rows, W) is what this rank holds. Padding is full of `fill`. RuntimeError for too small an image.
    """
    heights = heights_of(x, comm)
    rows = sum(heights)
    _check_repeats(window, rows)
    height = window.height(rows)
    if height < 1:
        raise RuntimeError(f"an image of {rows} rows is too small for a window of {window.span} ({window})")
    wanted = [share(height, rank, comm.size) for rank in range(comm.size)]
    needed = [window.rows_for(part, rows) for part in wanted]
    return exchanged(x, needed, heights, comm, fill), wanted[comm.rank], rows


def _check_repeats(window: Window, rows: int) -> None:
    most = {"reflect": rows - 1, "circular": rows}.get(window.mode, max(window.before, window.after))
    if max(window.before, window.after) > most:
        raise RuntimeError(
            f"padding mode {window.mode!r} can add at most {most} rows to an image of {rows}, not "
            f"{(window.before, window.after)}"
        )


def own_rows(y: Tensor, wanted: slice) -> Tensor:
    """What was computed for a share of the output; nothing of it where the share is empty (see `Window.rows_for`)."""
    return y[..., :0, :] if wanted.start == wanted.stop else y


def exchanged(
    x: Tensor, needed: Sequence[np.ndarray], heights: Sequence[int], comm: Communicator, fill: float = 0.0
) -> Tensor:
    """The rows needed[rank] of the image of which this rank holds x (…, heights[rank], W)."""
    return _ExchangedRows.apply(x, plan(needed, heights, comm.rank), comm, fill)


class _ExchangedRows(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, plan: Plan, comm: Communicator, fill: float) -> Tensor:
        ctx.plan, ctx.comm, ctx.rows = plan, comm, x.shape[-2]
        here = x.array
        out = _like(here, plan.count)
        sent = [comm.isend(_message(here, t.rows, comm), t.peer, _FORWARD) for t in plan.sent]
        received = [comm.irecv(t.peer, _FORWARD) for t in plan.received]
        outside = np.ones(plan.count, bool)
        for transfer in (plan.kept, *plan.received):
            outside[transfer.places] = False
        out[..., _where(np.flatnonzero(outside)), :] = fill
        out[..., _where(plan.kept.places), :] = here[..., _where(plan.kept.rows), :]
        for transfer, work in zip(plan.received, received):
            out[..., _where(transfer.places), :] = beside(work.wait(), here)
        for work in sent:
            work.wait()
        return wrap(out)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> Any:
        plan, comm, here = ctx.plan, ctx.comm, g.array
        sent = [comm.isend(_message(here, t.places, comm), t.peer, _BACKWARD) for t in plan.received]
        received = [comm.irecv(t.peer, _BACKWARD) for t in plan.sent]
        dx = namespace(here).zeros_like(here, shape=(*here.shape[:-2], ctx.rows, here.shape[-1]))
        _add_rows(dx, plan.kept.rows, here[..., _where(plan.kept.places), :])
        for transfer, work in zip(plan.sent, received):
            _add_rows(dx, transfer.rows, beside(work.wait(), here))
        for work in sent:
            work.wait()
        return wrap(dx), None, None, None


def _like(array: Any, rows: int) -> Any:
    """A new array of another number of rows, with its axes in memory in the same order."""
    return namespace(array).empty_like(array, shape=(*array.shape[:-2], rows, array.shape[-1]))


def _where(numbers: np.ndarray) -> Any:
    """Row numbers as an index: a slice, which copies nothing, where they follow one another."""
    if not len(numbers):
        return slice(0, 0)
    first, last = int(numbers[0]), int(numbers[-1])
    follow = last - first == len(numbers) - 1 and bool((np.diff(numbers) == 1).all())
    return slice(first, last + 1) if follow else numbers


def _message(array: Any, rows: np.ndarray, comm: Communicator) -> Any:
    sent = to_send(array[..., _where(rows), :], comm)
    return namespace(sent).ascontiguousarray(sent)


def _add_rows(to: Any, numbers: np.ndarray, rows: Any) -> None:
    """to[…, numbers, :] += rows, of which several may go to the same."""
    where = _where(numbers)
    if isinstance(where, slice):
        to[..., where, :] += rows
        return
    for place, number in enumerate(numbers):
        to[..., number, :] += rows[..., place, :]
