"""The state of a model that is split: gathered under the unsplit model's names, and taken from there.

Each rank knows of each of its parameters and buffers under which names the unsplit model has it, and which part of it
(`parts`). Ranks that hold the same say it once.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from ..backend import namespace, to_numpy
from ..nn.module import Module
from ..tape import set_grad_mode
from ..tensor import Tensor, wrap
from .mesh import Mesh
from .parts import AnyPart, part_of


class WholeState:
    """What `model`, not yet cut into stages, has; after `keep`, what this rank holds of it."""

    def __init__(self, model: Module, mesh: Mesh) -> None:
        self._mesh = mesh
        saved = model.state_dict(keep_vars=True)
        self._order = list(saved)
        self._names: dict[int, list[str]] = {}
        for name, tensor in saved.items():
            self._names.setdefault(id(tensor), []).append(name)
        self._held = saved
        self._pieces: set[int] = set()  # ids of what no other rank has

    def keep(self, modules: Iterable[Module]) -> None:
        """From now on this rank holds what is in `modules` alone."""
        inside = {id(t) for module in modules for t in (*module.parameters(), *module.buffers())}
        self._held = OrderedDict((name, tensor) for name, tensor in self._held.items() if id(tensor) in inside)
        self._names = {key: names for key, names in self._names.items() if key in inside}

    def keep_pieces(self, sharded: Iterable[Tensor], pieces: Iterable[tuple[Tensor, Tensor]]) -> None:
        """From now on this rank has of the `sharded` tensors only pieces, (tensor, piece) each."""
        mine = {id(tensor): piece for tensor, piece in pieces}
        gone = {id(tensor) for tensor in sharded} - set(mine)
        for key, piece in mine.items():
            self._names[id(piece)] = self._names[key]
        self._pieces = set(map(id, mine.values()))
        held = [(name, mine.get(id(t), t)) for name, t in self._held.items() if id(t) not in gone]
        self._held = OrderedDict(held)

    def name(self, tensor: Tensor) -> str:
        """The first name of a parameter or buffer in the unsplit model."""
        return self._names[id(tensor)][0]

    def has(self, tensor: Tensor) -> bool:
        """Is this a tensor of the unsplit model, or a part of one?"""
        return id(tensor) in self._names

    def numbered(self, groups: list[list[str]]) -> dict[str, int]:
        """Numbers of names, through all groups, in the unsplit model's order within a group."""
        place = {name: i for i, name in enumerate(self._order)}
        ordered = [name for group in groups for name in sorted(set(group), key=place.__getitem__)]
        return {name: number for number, name in enumerate(ordered)}

    def gather(self, what: Callable[[Tensor], Any], all_names: bool = True) -> OrderedDict[str, Tensor]:
        """The array `what` of every tensor (or None), put together under the unsplit model's names, on every rank.

        In the unsplit model's order; names for which every rank has None are left out, and without `all_names` all but
        the first of a tied tensor. Collective.
        """
        first = self._mesh.replicas.rank == 0  # of those that hold the same
        wanted = [(name, t) for name, t in self._held.items() if all_names or name == self.name(t)]
        held = [(name, part_of(t), what(t)) for name, t in wanted if first or id(t) in self._pieces]
        mine = {name: (part, to_numpy(array)) for name, part, array in held if array is not None}
        whole: dict[str, np.ndarray] = {}
        for theirs in self._mesh.comm.all_gather_object(mine):
            for name, (part, array) in theirs.items():
                if part is None:
                    whole.setdefault(name, array)
                else:
                    part.put(array, whole.setdefault(name, np.empty(part.whole_shape(array.shape), array.dtype)))
        return OrderedDict((name, wrap(whole[name])) for name in self._order if name in whole)

    def take(self, state: Mapping[str, Any]) -> None:
        """Copy this rank's parts out of the unsplit model's state dict. Collective.

        RuntimeError naming every missing and unexpected key, and every shape that does not fit; then nothing changes.
        """
        problems = [f"missing key {name!r}" for name in self._order if name not in state]
        problems += [f"unexpected key {name!r}" for name in state if name not in set(self._order)]
        parts = []
        for name, tensor in self._held.items():
            if name in state:
                array = _array(state[name])
                part = part_of(tensor)
                shape = tensor.shape if part is None else part.whole_shape(tensor.shape)
                if array.shape != shape:
                    problems.append(f"{name!r} has shape {array.shape}, the model's is {tuple(shape)}")
                parts.append((tensor, part, array))
        problems = list(dict.fromkeys(p for theirs in self._mesh.comm.all_gather_object(problems) for p in theirs))
        if problems:
            raise RuntimeError(f"load_state_dict: {'; '.join(problems)}")
        with set_grad_mode(False):
            for tensor, part, array in parts:
                _copy(tensor, part, array)


def _array(value: Any) -> np.ndarray:
    return to_numpy(value.array) if isinstance(value, Tensor) else np.asarray(value)


def _copy(tensor: Tensor, part: AnyPart | None, whole: np.ndarray) -> None:
    tensor.array[...] = namespace(tensor.array).asarray(whole if part is None else part.of(whole))
    tensor.bump("load_state_dict")
