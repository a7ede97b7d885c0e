"""Linear layers of which each rank holds a part of the features (Shoeybi et al., Megatron-LM, 2019, arXiv 1909.08053).

Two in a row need one all-reduce forward and one backward. The first is split by output features, so that a function of
single numbers (ReLU, dropout) may follow; the second by input features, which are just those that this rank has:

                  columns of W₁ᵀ      rows of W₂ᵀ
    rank 0   x ──▶ [x W₁ᵀ]₀ ─▶ ReLU ─▶ ·W₂₀ᵀ ─┐
                                                ├─ add up ─▶ + b₂ ─▶ y, the same on both
    rank 1   x ──▶ [x W₁ᵀ]₁ ─▶ ReLU ─▶ ·W₂₁ᵀ ─┘

("Column" and "row" are those of the matrix that x is multiplied by; weight is stored as its transpose.)
"""

from __future__ import annotations

from collections.abc import Callable

from ...nn.fusion import fuse_also
from ...nn.linear import Linear
from ...ops.linear import linear as linear_map
from ...ops.linear import linear_relu
from ...tensor import Tensor
from ..comm import Communicator
from ..functional import copy_to_ranks, gather_from_ranks, reduce_from_ranks
from ..shares import shares
from .cut import Split, cut, own_units, span, take_over
from .positions import OnPositions, Positions


class ColumnParallelLinear(OnPositions, Linear):
    """This rank's output features of `linear`: x (…, in), the same on all ranks → (…, this rank's part of out).

    `gather_output` puts the parts together, so that every rank returns (…, out). `linear`, the same on every rank,
    gives its parameters away: they become parts, and it must not be used any more. Features need not divide evenly;
    `unit`: they are split in blocks of so many. With `sequence_axis` the input is this rank's part of a sequence, which
    is put together along that axis first.

    TypeError unless it is an nn.Linear, ValueError where there are fewer features than ranks.

    >>> def both(comm):
    ...     minipar.manual_seed(0)
    ...     whole = nn.Linear(3, 5)
    ...     x = minipar.ones(2, 3)
    ...     expected = whole(x)
    ...     layer = minipar.parallel.ColumnParallelLinear(whole, comm)
    ...     return layer(x).shape, tuple(layer.weight.shape), minipar.allclose(layer(x), expected[:, layer.rows])
    >>> minipar.parallel.launch(both, workers=2, backend="thread")
    [((2, 3), (3, 3), True), ((2, 2), (2, 3), True)]
    """

    def __init__(
        self, linear: Linear, comm: Communicator, gather_output: bool = False, *, unit: int = 1,
        sequence_axis: int | None = None,
    ) -> None:  # fmt: skip
        check_kind("ColumnParallelLinear", "linear", linear, Linear)
        take_over(self, linear)
        self.comm, self.gather_output = comm, gather_output
        self.positions = None if sequence_axis is None else Positions(comm, sequence_axis)
        own = own_units("ColumnParallelLinear", "output features", linear.out_features, comm, unit)
        self.rows = slice(own.start, own.stop)
        self.rows_of_ranks = [unit * blocks for blocks in shares(linear.out_features // unit, comm.size)]
        cut(self.weight, 0, own)
        if self.bias is not None:
            cut(self.bias, 0, own)

    def forward(self, input: Tensor) -> Tensor:
        return self._features(input, linear_map)

    def forward_relu(self, input: Tensor) -> Tensor:
        """relu(forward(input)), the ReLU as one node with the product."""
        return self._features(input, linear_relu)

    def _features(self, input: Tensor, function: Callable[..., Tensor]) -> Tensor:
        x = copy_to_ranks(input, self.comm) if self.positions is None else self.positions.gathered(input)
        y = function(x, self.weight, self.bias)
        return gather_from_ranks(y, self.comm, -1, self.rows_of_ranks) if self.gather_output else y

    def part_shown(self) -> str:
        return f"output features {span(range(self.rows.start, self.rows.stop), self.out_features)}"

    def collectives(self) -> tuple[int, int]:
        return int(self.gather_output) + int(self.positions is not None), 1


fuse_also(ColumnParallelLinear)


class RowParallelLinear(OnPositions, Linear):
    """This rank's input features of `linear`: x (…, this rank's part of in) → (…, out), the same on all ranks.

    The products of all ranks are added up, then the bias once. `unit`: features are split in blocks of so many, as what
    made them was. With `sequence_axis` each rank returns its part of the sequence along that axis instead. Otherwise as
    ColumnParallelLinear, which it follows.

    >>> def both(comm):
    ...     minipar.manual_seed(0)
    ...     first, second, x = nn.Linear(3, 5), nn.Linear(5, 4), minipar.ones(2, 3)
    ...     expected = second(first(x).relu())
    ...     first = minipar.parallel.ColumnParallelLinear(first, comm)
    ...     second = minipar.parallel.RowParallelLinear(second, comm)
    ...     return minipar.allclose(second(first(x).relu()), expected)
    >>> minipar.parallel.launch(both, workers=2, backend="thread")
    [True, True]
    """

    def __init__(self, linear: Linear, comm: Communicator, *, unit: int = 1, sequence_axis: int | None = None) -> None:
        check_kind("RowParallelLinear", "linear", linear, Linear)
        take_over(self, linear)
        self.comm = comm
        self.positions = None if sequence_axis is None else Positions(comm, sequence_axis)
        own = own_units("RowParallelLinear", "input features", linear.in_features, comm, unit)
        self.columns = slice(own.start, own.stop)
        cut(self.weight, 1, own)

    def forward(self, input: Tensor) -> Tensor:
        y, bias = linear_map(input, self.weight), self.bias
        if self.positions is None:
            y = reduce_from_ranks(y, self.comm)
        else:
            y = self.positions.added_up(y)
            (bias,) = self.positions.copies(bias)
        return y if bias is None else y + bias

    def part_shown(self) -> str:
        return f"input features {span(range(self.columns.start, self.columns.stop), self.in_features)}"

    def collectives(self) -> tuple[int, int]:
        if self.positions is None:
            return 1, 0
        return 1, 1 + (self.bias is not None and self.stands_alone)


def check_kind(layer: str, argument: str, given: object, kind: type) -> None:
    """TypeError unless `given` is an instance of `kind`."""
    if not isinstance(given, kind):
        raise TypeError(f"{layer}: {argument} must be an nn.{kind.__name__}, not {type(given).__name__}")
    if isinstance(given, Split):
        raise TypeError(f"{layer}: {argument} is split already")
