"""Splitting a model over tensor ranks: which layers belong together, and what takes their places.

First a plan is made, of what can be split without asking anybody; then it is carried out, where the layers are. Two
layers in a row, with nothing but functions of single features (or channels) between them, become a column and a row:

    Linear ─▶ ReLU ─▶ Dropout ─▶ Linear                       one all-reduce forward, one backward
    Conv2d ─▶ BatchNorm2d ─▶ ReLU ─▶ MaxPool2d ─▶ Conv2d
    Conv2d ─▶ ReLU ─▶ AdaptiveAvgPool2d ─▶ Flatten ─▶ Linear

A layer alone is split by output features, which are gathered behind it. What is not known stays whole on every rank,
where all compute the same: that is always right, and saves nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

from ... import nn
from ...nn import functional as F
from ...nn.attention import MultiheadAttention
from ...nn.module import Module
from ..comm import Communicator
from ..part_dropout import DROPOUTS, PartDropout
from .attention import HeadParallelAttention
from .conv import (
    CHANNEL_NORMS,
    ColumnParallelConv,
    RowParallelConv,
    block_of_channels,
    cut_channel_norm,
)
from .embedding import VocabParallelEmbedding
from .linear import ColumnParallelLinear, RowParallelLinear
from .sequence import SequenceParallelEncoderLayer

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
TRANSFORMER_LAYERS = (nn.TransformerEncoderLayer, nn.TransformerDecoderLayer)


class Place(NamedTuple):
    """A module, and where it stands."""

    parent: Module
    name: str
    module: Any

    def put(self, module: Module) -> None:
        setattr(self.parent, self.name, module)


def tensor_parallel(model: Module, comm: Communicator, sequence: bool = False, *, narrow: int = 16) -> Module:
    """Split `model`, which is the same on every rank of `comm`, in place: each rank keeps its part of the layers.

    Split are pairs of nn.Linear or of convolutions (of one group) in nn.Sequential, with what acts on single features
    or channels between them; transformer layers and nn.MultiheadAttention by heads; nn.Embedding by rows; any other
    nn.Linear or convolution, wherever it stands, by output features, gathered behind it, unless a rank would have fewer
    than `narrow` of them, which does not pay. Everything else stays whole: recurrent layers, norms, modules and
    parameters of the user's own, layers that are watched by hooks, tied or used twice (but for an embedding tied to a
    linear head). With `sequence` the positions between the split parts of a TransformerEncoderLayer are split as well.

    Input and output of the model are whole and the same on every rank, and so is the gradient of a parameter that is
    not split; `parts.part_of(p)` tells one that is. Modules must be called: a weight that is read is a part of itself.
    Returns the model, or what took its place where it is one layer. `describe_split` shows what was done.

    TypeError unless model is a Module and comm a Communicator, ValueError unless `narrow` is 1 or more.

    >>> def shown(comm):
    ...     net = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2))
    ...     net = minipar.parallel.tensor_parallel(net, comm)
    ...     return tuple(net[0].weight.shape), tuple(net[2].weight.shape), net(minipar.ones(1, 4)).shape
    >>> minipar.parallel.launch(shown, workers=2, backend="thread")
    [((3, 4), (2, 3), (1, 2)), ((3, 4), (2, 3), (1, 2))]
    """
    if not isinstance(model, Module):
        raise TypeError(f"tensor_parallel: model must be a Module, not {type(model).__name__}")
    if not isinstance(comm, Communicator):
        raise TypeError(f"tensor_parallel: comm must be a Communicator, not {type(comm).__name__}")
    if narrow < 1:
        raise ValueError(f"tensor_parallel: narrow must be 1 or more, not {narrow}")
    if comm.size == 1:
        return model
    root = nn.Sequential(model)
    plan = _Plan(root, comm, sequence, narrow)
    plan.visit(Place(root, "0", model))
    plan.carry_out()
    return root[0]


@dataclass
class _Plan:
    """What is to be done: `steps`, each a function that replaces layers; and layers that stand alone."""

    root: Module
    comm: Communicator
    sequence: bool
    narrow: int
    steps: list[Callable[[], None]] = field(default_factory=list)
    alone: list[Place] = field(default_factory=list)

    def __post_init__(self) -> None:
        everywhere = [module for _, module in self.root.named_modules(remove_duplicate=False)]
        self.uses = Counter(map(id, everywhere))
        self.users: dict[int, list[Module]] = {}
        for module in {id(module): module for module in everywhere}.values():
            for parameter in module._parameters.values():
                if parameter is not None:
                    self.users.setdefault(id(parameter), []).append(module)

    # ── finding ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def visit(self, place: Place) -> None:
        kind = type(place.module)
        if not self._free(place.module):
            return
        if kind is nn.Sequential:
            self._visit_row(list(_flat(place.module, self._free)))
        elif kind in TRANSFORMER_LAYERS:
            self._visit_transformer_layer(place)
        elif kind is nn.MultiheadAttention:
            self._plan_attention(place)
        elif kind in (nn.Linear, nn.Embedding, *CONVOLUTIONS):
            self.alone.append(place)
        else:
            for name, module in place.module._modules.items():
                if module is not None:
                    self.visit(Place(place.module, name, module))

    def _visit_row(self, row: list[Place]) -> None:
        at = 0
        while at < len(row):
            end = self._pair(row, at)
            if end is None:
                self.visit(row[at])
            at = at + 1 if end is None else end + 1

    def _pair(self, row: list[Place], at: int) -> int | None:
        """Plan the pair that begins at this place, if one does; returns where it ends."""
        first = row[at].module
        if not self._opens(first):
            return None
        width, flat = _width(first), False
        for end in range(at + 1, len(row)):
            module = row[end].module
            if self._closes(first, module, width, flat):
                between = row[at + 1 : end]
                block = block_of_channels([place.module for place in between])
                if width // block < self.comm.size:
                    return None
                self.steps.append(partial(self._make_pair, row[at], between, row[end], block))
                return end
            if type(module) is nn.Flatten and type(first) in CONVOLUTIONS and not flat:
                flat = module.start_dim == 1 and module.end_dim == -1
                if not flat:
                    return None
            elif not self._passes(first, module, width, flat):
                return None
        return None

    def _opens(self, module: Module) -> bool:
        kind = type(module)
        return self._free_alone(module) and (kind is nn.Linear or (kind in CONVOLUTIONS and module.groups == 1))

    def _closes(self, first: Any, module: Any, width: int, flat: bool) -> bool:
        if not self._opens(module):
            return False
        if flat:
            return type(module) is nn.Linear and module.in_features % width == 0
        return type(module) is type(first) and _inputs(module) == width

    def _passes(self, first: Any, module: Any, width: int, flat: bool) -> bool:
        """May it stand between the two of a pair?"""
        kind = type(module)
        if not self._free_alone(module):
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

    def _visit_transformer_layer(self, place: Place) -> None:
        layer: Any = place.module
        attentions = [(name, layer._modules.get(name)) for name in ("self_attn", "multihead_attn")]
        ready = [name for name, module in attentions if module is not None and self._has_heads(module)]
        pair = self._has_hidden_pair(layer)
        encoder = type(layer) is nn.TransformerEncoderLayer
        norms = (layer.norm1, layer.norm2, layer.dropout1, layer.dropout2) if encoder else ()
        if self.sequence and encoder and ready and pair and all(map(self._free_alone, norms)):
            self.steps.append(lambda: place.put(SequenceParallelEncoderLayer(layer, self.comm)))
            return
        for name in ready:
            self._plan_attention(Place(layer, name, layer._modules[name]))
        if pair:
            first, middle, last = (Place(layer, n, layer._modules[n]) for n in ("linear1", "dropout", "linear2"))
            self.steps.append(lambda: self._make_pair(first, [middle], last, 1))

    def _has_hidden_pair(self, layer: Any) -> bool:
        act = layer.activation
        known = act in FUNCTIONS_OF_SINGLE_NUMBERS if not isinstance(act, Module) else type(act) in OF_SINGLE_NUMBERS
        inner = (layer.linear1, layer.dropout, layer.linear2)
        return (
            known
            and all(map(self._free_alone, inner))
            and type(layer.linear1) is type(layer.linear2) is nn.Linear
            and type(layer.dropout) in DROPOUTS
            and layer.linear1.out_features >= self.comm.size
        )

    def _plan_attention(self, place: Place) -> None:
        if self._has_heads(place.module):
            self.steps.append(lambda: place.put(HeadParallelAttention(place.module, self.comm)))

    def _has_heads(self, attention: Any) -> bool:
        """Can its heads be split?"""
        free = self._free_alone(attention) and self._free_alone(attention.out_proj)
        return free and type(attention) is MultiheadAttention and attention.num_heads >= self.comm.size

    def _free(self, module: Module) -> bool:
        """Does it stand in one place, and nobody watch it?"""
        return self.uses[id(module)] == 1 and not module._hooked

    def _free_alone(self, module: Module) -> bool:
        """… and are its parameters its own, and no computed ones?"""
        own = module._parameters
        given = all(name in own or getattr(module, name, None) is None for name in ("weight", "bias"))
        return self._free(module) and given and all(p is None or len(self.users[id(p)]) == 1 for p in own.values())

    # ── splitting ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def carry_out(self) -> None:
        alone = {id(place.module) for place in self.alone if self._worth_it(place.module)}
        for place in self.alone:
            if id(place.module) in alone and self._tied_well(place.module, alone):
                self.steps.append(partial(self._make_alone, place))
        for step in self.steps:
            step()

    def _worth_it(self, layer: Any) -> bool:
        """Is it wide enough to be split by itself, in one group, with parameters that nobody computes?"""
        if "weight" not in layer._parameters or getattr(layer, "groups", 1) != 1:
            return False
        return _width(layer) >= self.comm.size * (1 if type(layer) is nn.Embedding else self.narrow)

    def _tied_well(self, layer: Any, alone: set[int]) -> bool:
        """Are all users of its parameters split alike: an embedding and linear layers by rows of one table?"""
        users = [user for p in layer._parameters.values() if p is not None for user in self.users[id(p)]]
        if all(user is layer for user in users):
            return True
        return all(id(user) in alone and type(user) in (nn.Linear, nn.Embedding) for user in users)

    def _make_alone(self, place: Place) -> None:
        kind = type(place.module)
        if kind is nn.Embedding:
            place.put(VocabParallelEmbedding(place.module, self.comm))
        elif kind is nn.Linear:
            place.put(ColumnParallelLinear(place.module, self.comm, gather_output=True))
        else:
            place.put(ColumnParallelConv(place.module, self.comm, gather_output=True))

    def _make_pair(self, first: Place, between: list[Place], last: Place, block: int) -> None:
        width, comm = _width(first.module), self.comm
        if type(first.module) is nn.Linear:
            column: Any = ColumnParallelLinear(first.module, comm)
            own, axis = range(column.rows.start, column.rows.stop), -1
        else:
            column = ColumnParallelConv(first.module, comm, unit=block)
            own, axis = column.channels, -1 - column.dims
        first.put(column)
        each = _inputs(last.module) // width  # features that a channel has become where Flatten stands between
        flat = False
        for place in between:
            flat = flat or type(place.module) is nn.Flatten
            if type(place.module) in DROPOUTS:
                times = each if flat else 1
                place.put(PartDropout(place.module, -1 if flat else axis, own.start * times, width * times))
            elif type(place.module) in NORMS:
                cut_channel_norm(place.module, own)
        if type(last.module) is nn.Linear:
            last.put(RowParallelLinear(last.module, comm, unit=block * each))
        else:
            last.put(RowParallelConv(last.module, comm, unit=block))


def _flat(row: Module, free: Callable[[Module], bool]) -> Iterator[Place]:
    """The modules of a Sequential, and of Sequentials inside, in order."""
    for name, module in row._modules.items():
        if module is None:
            continue
        if type(module) is nn.Sequential and free(module):
            yield from _flat(module, free)
        else:
            yield Place(row, name, module)


def _width(layer: Any) -> int:
    """How many output features, channels or rows it has."""
    kind = type(layer)
    return (
        layer.out_features
        if kind is nn.Linear
        else layer.num_embeddings
        if kind is nn.Embedding
        else layer.out_channels
    )


def _inputs(layer: Any) -> int:
    return layer.in_features if type(layer) is nn.Linear else layer.in_channels
