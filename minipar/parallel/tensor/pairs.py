"""Two layers that become a column and a row: found in a row of modules, and split.

Between them stands nothing but functions of single features (or channels), of which each rank computes its own:

    Linear ─▶ ReLU ─▶ Dropout ─▶ Linear                       one all-reduce forward, one backward
    Conv2d ─▶ BatchNorm2d ─▶ ReLU ─▶ MaxPool2d ─▶ Conv2d
    Conv2d ─▶ ReLU ─▶ AdaptiveAvgPool2d ─▶ Flatten ─▶ Linear
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from ... import nn
from ...nn import functional as F
from ...nn.module import Module
from ..comm import Communicator
from ..part_dropout import DROPOUTS, PartDropout
from .conv import CHANNEL_NORMS, ColumnParallelConv, RowParallelConv, block_of_channels, cut_channel_norm
from .linear import ColumnParallelLinear, RowParallelLinear

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
OF_SINGLE_NUMBERS = (
    nn.ReLU, nn.ReLU6, nn.SELU, nn.CELU, nn.ELU, nn.GELU, nn.Hardshrink, nn.Hardsigmoid, nn.Hardswish, nn.Hardtanh,
    nn.LeakyReLU, nn.LogSigmoid, nn.Mish, nn.Sigmoid, nn.SiLU, nn.Softplus, nn.Softshrink, nn.Softsign, nn.Tanh,
    nn.Tanhshrink, nn.Threshold, nn.Identity,
)  # fmt: skip
OF_SINGLE_CHANNELS = (
    nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d, nn.AdaptiveAvgPool1d,
    nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d, nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d,
    nn.ZeroPad1d, nn.ZeroPad2d, nn.ZeroPad3d, nn.Upsample,
)  # fmt: skip
FUNCTIONS_OF_SINGLE_NUMBERS = (F.relu, F.gelu, F.silu, F.tanh, F.sigmoid, F.elu, F.leaky_relu, F.selu, F.mish)
NORMS = (*CHANNEL_NORMS, nn.GroupNorm)

IsFree = Callable[[Module], bool]  # may this module be split, or run on a part: is it nobody else's?


class Place(NamedTuple):
    """A module, and where it stands."""

    parent: Module
    name: str
    module: Any

    def put(self, module: Module) -> None:
        setattr(self.parent, self.name, module)


@dataclass(frozen=True)
class Pair:
    """Two layers, and what stands between them. Channels are split in blocks of so many."""

    first: Place
    between: list[Place]
    last: Place
    block: int = 1

    def split(self, comm: Communicator) -> None:
        """Put a column and a row in their places, and make what is between them fit."""
        width = outputs_of(self.first.module)
        if type(self.first.module) is nn.Linear:
            column: Any = ColumnParallelLinear(self.first.module, comm)
            own, axis = range(column.rows.start, column.rows.stop), -1
        else:
            column = ColumnParallelConv(self.first.module, comm, unit=self.block)
            own, axis = column.channels, -1 - column.dims
        self.first.put(column)
        each = _inputs_of(self.last.module) // width  # features that a channel has become, behind a Flatten
        flat = False
        for place in self.between:
            flat = flat or type(place.module) is nn.Flatten
            if type(place.module) in DROPOUTS:
                times = each if flat else 1
                place.put(PartDropout(place.module, -1 if flat else axis, own.start * times, width * times))
            elif type(place.module) in NORMS:
                cut_channel_norm(place.module, own)
        if type(self.last.module) is nn.Linear:
            self.last.put(RowParallelLinear(self.last.module, comm, unit=self.block * each))
        else:
            self.last.put(RowParallelConv(self.last.module, comm, unit=self.block))


def pair_at_start(row: list[Place], ranks: int, is_free: IsFree) -> Pair | None:
    """The pair that begins with the first of these modules, which run one after the other; None if none does."""
    first = row[0].module
    if not _can_open(first, is_free):
        return None
    width, flat = outputs_of(first), False
    for end in range(1, len(row)):
        module = row[end].module
        if _can_close(first, module, width, flat, is_free):
            between = row[1:end]
            block = block_of_channels([place.module for place in between])
            return None if width // block < ranks else Pair(row[0], between, row[end], block)
        if type(module) is nn.Flatten and type(first) in CONVOLUTIONS and not flat:
            flat = module.start_dim == 1 and module.end_dim == -1
            if not flat:
                return None
        elif not _can_stand_between(first, module, width, flat, is_free):
            return None
    return None


def hidden_pair(layer: Any, ranks: int, is_free: IsFree) -> Pair | None:
    """The two linear layers of a transformer layer, with its activation and a dropout between them."""
    act = layer.activation
    known = act in FUNCTIONS_OF_SINGLE_NUMBERS if not isinstance(act, Module) else type(act) in OF_SINGLE_NUMBERS
    first, middle, last = (Place(layer, name, layer._modules[name]) for name in ("linear1", "dropout", "linear2"))
    fits = (
        known
        and all(is_free(place.module) for place in (first, middle, last))
        and type(first.module) is type(last.module) is nn.Linear
        and type(middle.module) in DROPOUTS
        and first.module.out_features >= ranks
    )
    return Pair(first, [middle], last) if fits else None


def outputs_of(layer: Any) -> int:
    """How many output features, channels or rows it has."""
    kind = type(layer)
    return (
        layer.out_features
        if kind is nn.Linear
        else layer.num_embeddings
        if kind is nn.Embedding
        else layer.out_channels
    )


def _inputs_of(layer: Any) -> int:
    return layer.in_features if type(layer) is nn.Linear else layer.in_channels


def _can_open(module: Any, is_free: IsFree) -> bool:
    kind = type(module)
    return is_free(module) and (kind is nn.Linear or (kind in CONVOLUTIONS and module.groups == 1))


def _can_close(first: Any, module: Any, width: int, flat: bool, is_free: IsFree) -> bool:
    if not _can_open(module, is_free):
        return False
    if flat:
        return type(module) is nn.Linear and module.in_features % width == 0
    return type(module) is type(first) and _inputs_of(module) == width


def _can_stand_between(first: Any, module: Any, width: int, flat: bool, is_free: IsFree) -> bool:
    kind = type(module)
    if not is_free(module):
        return False
    if kind in (*OF_SINGLE_NUMBERS, *DROPOUTS):
        return True
    if flat:
        return False
    if type(first) is nn.Linear:
        return kind is nn.BatchNorm1d and module.num_features == width
    if kind in OF_SINGLE_CHANNELS:
        return not getattr(module, "return_indices", False)
    return kind in NORMS and width == (module.num_channels if kind is nn.GroupNorm else module.num_features)
