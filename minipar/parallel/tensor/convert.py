"""Splitting a model over tensor ranks: which of its layers can be split, and what takes their places.

First a plan is made, of what can be split without asking anybody; then it is carried out, where the layers are. Two
layers that belong together become a column and a row (pairs.py); a layer alone is split by output features, which are
gathered behind it. What is not known stays whole on every rank, where all compute the same: that is always right, and
saves nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ... import nn
from ...nn.attention import MultiheadAttention
from ...nn.module import Module
from ..comm import Communicator
from .attention import HeadParallelAttention
from .conv import ColumnParallelConv
from .embedding import VocabParallelEmbedding
from .linear import ColumnParallelLinear
from .pairs import CONVOLUTIONS, Place, hidden_pair, outputs_of, pair_at_start
from .sequence import SequenceParallelEncoder, SequenceParallelEncoderLayer, sequence_axis_of

TRANSFORMER_LAYERS = (nn.TransformerEncoderLayer, nn.TransformerDecoderLayer)


def tensor_parallel(model: Module, comm: Communicator, sequence: bool = False, *, narrow: int = 16) -> Module:
    """Split `model`, which is the same on every rank of `comm`, in place: each rank keeps its part of the layers.

    Split are pairs of nn.Linear or of convolutions (of one group) in nn.Sequential, with what acts on single features
    or channels between them; transformer layers and nn.MultiheadAttention by heads; nn.Embedding by rows; any other
    nn.Linear or convolution, wherever it stands, by output features, gathered behind it, unless a rank would have fewer
    than `narrow` of them, which does not pay. Everything else stays whole: recurrent layers, norms, modules and
    parameters of the user's own, layers that are watched by hooks, tied or used twice (but for an embedding tied to a
    linear head). With `sequence` the positions between the split parts of a TransformerEncoderLayer are split as well,
    and in a TransformerEncoder they stay so from its first layer to its last.

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
        elif kind is nn.TransformerEncoder and self._is_stack_on_positions(place.module):
            self.steps.append(lambda: place.put(SequenceParallelEncoder(place.module, self.comm)))
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
        while row:
            pair = pair_at_start(row, self.comm.size, self._free_alone)
            if pair is None:
                self.visit(row[0])
                row = row[1:]
            else:
                self.steps.append(partial(pair.split, self.comm))
                row = row[2 + len(pair.between) :]

    def _visit_transformer_layer(self, place: Place) -> None:
        layer: Any = place.module
        if self._is_layer_on_positions(layer):
            self.steps.append(lambda: place.put(SequenceParallelEncoderLayer(layer, self.comm)))
            return
        for name in ("self_attn", "multihead_attn"):
            if layer._modules.get(name) is not None:
                self._plan_attention(Place(layer, name, layer._modules[name]))
        pair = hidden_pair(layer, self.comm.size, self._free_alone)
        if pair is not None:
            self.steps.append(partial(pair.split, self.comm))

    def _is_layer_on_positions(self, layer: Any) -> bool:
        """Is it to be split by heads, hidden features and, between these, positions?"""
        if not self.sequence or type(layer) is not nn.TransformerEncoderLayer:
            return False
        between = (layer.norm1, layer.norm2, layer.dropout1, layer.dropout2)
        pair = hidden_pair(layer, self.comm.size, self._free_alone)
        return pair is not None and self._has_heads(layer.self_attn) and all(map(self._free_alone, between))

    def _is_stack_on_positions(self, encoder: Any) -> bool:
        """… and are all of its layers, and the norm behind them?"""
        layers, norm = list(encoder.layers), encoder.norm
        return (
            self._free(encoder.layers)
            and all(self._free(layer) and self._is_layer_on_positions(layer) for layer in layers)
            and len(set(map(sequence_axis_of, layers))) == 1
            and (norm is None or (type(norm) is nn.LayerNorm and self._free_alone(norm)))
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
        return outputs_of(layer) >= self.comm.size * (1 if type(layer) is nn.Embedding else self.narrow)

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


def _flat(row: Module, free: Callable[[Module], bool]) -> Iterator[Place]:
    """The modules of a Sequential, and of Sequentials inside, in order."""
    for name, module in row._modules.items():
        if module is None:
            continue
        if type(module) is nn.Sequential and free(module):
            yield from _flat(module, free)
        else:
            yield Place(row, name, module)
