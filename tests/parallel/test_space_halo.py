"""Which rows a rank needs and who sends them: against a search through all windows, without any rank at work."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import minipar as torch
from minipar import nn, parallel
from minipar.nn import functional as F
from minipar.parallel import functional as pf
from minipar.parallel.shares import share
from minipar.parallel.space.halo import PADDING, Window, exchanged, plan, repeated

WINDOWS = [
    Window(kernel, stride, before, before, dilation, ceil_mode)
    for kernel, stride, before, dilation, ceil_mode in itertools.product(
        (1, 2, 3, 5), (1, 2, 3), (0, 1, 2), (1, 2), (False, True)
    )
]


def output_rows(window: Window, rows: int) -> int:
    """As many as PyTorch's pooling makes (its padding is at most half a span)."""
    x = torch.zeros(1, 1, rows, 1)
    geometry = (window.kernel, 1), (window.stride, 1), (window.before, 0), (window.dilation, 1)
    if window.ceil_mode:
        return F.max_pool2d(x, *geometry, ceil_mode=True).shape[2]
    return F.conv2d(x, torch.zeros(1, 1, window.kernel, 1), None, *geometry[1:]).shape[2]


def test_rows_needed_are_those_that_windows_look_at():
    seen = 0
    for window, rows in itertools.product(WINDOWS, (4, 7)):
        if window.span > rows + 2 * window.before or (window.ceil_mode and window.before > window.span // 2):
            continue
        height = output_rows(window, rows)
        assert window.height(rows) == height
        for size in (1, 2, 3, 4):
            for rank in range(size):
                wanted = share(height, rank, size)
                needed = window.rows_for(wanted, rows).tolist()
                looked_at = [
                    [o * window.stride - window.before + t * window.dilation for t in range(window.kernel)]
                    for o in range(wanted.start, wanted.stop)
                ]
                # Window i of the rows needed looks at the same numbers, and they are none too many.
                for i, numbers in enumerate(looked_at):
                    inside = [n if 0 <= n < rows else PADDING for n in numbers]
                    assert [needed[i * window.stride + t * window.dilation] for t in range(window.kernel)] == inside
                last = (len(looked_at) - 1) * window.stride + window.span if looked_at else window.span
                assert len(needed) == last
                seen += 1
    assert seen > 1000


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
def test_padding_repeats_what_pad_repeats(mode):
    numbers = F.pad(torch.arange(5.0).reshape(1, 1, 5), (4, 4), mode)[0, 0].tolist()
    assert repeated(np.arange(-4, 9), 5, mode).tolist() == numbers


@pytest.mark.parametrize("heights", [[3, 3, 2, 2], [5, 0, 1, 1], [1, 1, 1, 0], [0, 0, 4, 0]])
def test_a_plan_brings_every_row_from_where_it_is(heights):
    rows, size = sum(heights), len(heights)
    starts = np.cumsum([0, *heights])
    rng = np.random.default_rng(0)
    needed = [rng.integers(-1, rows, 6) for _ in range(size)]
    plans = [plan(needed, heights, rank) for rank in range(size)]
    for rank, mine in enumerate(plans):
        made = np.full(mine.count, PADDING)
        for transfer in (mine.kept, *mine.received):
            made[transfer.places] = transfer.rows + starts[rank if transfer is mine.kept else transfer.peer]
        assert made.tolist() == needed[rank].tolist()
        for transfer in mine.received:  # the sender knows of the same rows
            (same,) = [t for t in plans[transfer.peer].sent if t.peer == rank]
            assert same.rows.tolist() == transfer.rows.tolist()


def test_a_wide_halo_comes_from_two_ranks():
    window = Window(5, before=2, after=2)
    needed = [window.rows_for(share(4, rank, 4), 4) for rank in range(4)]  # one row a rank
    assert [t.peer for t in plan(needed, [1] * 4, 0).received] == [1, 2]
    assert [t.peer for t in plan(needed, [1] * 4, 1).received] == [0, 2, 3]


def test_gradients_that_come_back_are_added():
    """Every rank takes rows 0, 0 and 2: row 0 of rank 0 is used six times by three ranks."""

    def run(comm):
        x = torch.ones(1, 1, 1, 2, dtype=torch.float64, requires_grad=True)
        needed = [np.array([0, PADDING, 0, 2])] * comm.size
        y = exchanged(x * (comm.rank + 1), needed, [1] * comm.size, comm, fill=9.0)
        (y * (comm.rank + 1)).sum().backward()
        return y.detach()[0, 0, :, 0].tolist(), x.grad[0, 0, 0, 0].item()

    weights = 1 + 2 + 3
    made = parallel.launch(run, workers=3, backend="thread")
    assert [y for y, _ in made] == [[1.0, 9.0, 1.0, 3.0]] * 3
    assert [g for _, g in made] == [2.0 * weights, 0.0, 3.0 * weights]


def test_bytes_sent_are_those_of_the_formula():
    """Forward: the rows above and below, W · C · N numbers each; backward as much, the other way."""
    n, channels, height, width, kernel, padding = 2, 3, 10, 7, 5, 2

    def run(comm):
        layer = parallel.spatial(nn.Conv2d(channels, 4, kernel, padding=padding), comm)
        x = pf.own_part(torch.randn(n, channels, height, width), comm, -2).requires_grad_()
        sent = [comm.traffic.bytes]
        y = layer(x)
        sent.append(comm.traffic.bytes)
        y.sum().backward()
        return [after - before for before, after in itertools.pairwise([*sent, comm.traffic.bytes])]

    row = n * channels * width * 4
    for sides, sent in zip([1, 2, 1], parallel.launch(run, workers=3, backend="thread")):  # neighbours of each rank
        assert sent == [sides * padding * row] * 2
