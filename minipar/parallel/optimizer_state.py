"""An optimizer's state under a split model: gathered as the unsplit model's optimizer would have it, and taken back.

A tensor of a parameter's shape (a momentum) is split as the parameter is; anything else (a count of steps) is the same
on every rank. Parameters are numbered through all groups, in the unsplit model's order within a group.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backend import to_numpy
from ..tensor import Tensor, wrap
from .mesh import Mesh
from .parts import part_of
from .state import WholeState

Gathered = dict[str, dict[str, Any]]  # name of a parameter: {name of a state: value}


def gather_optimizer_state(optimizer: Any, whole: WholeState, mesh: Mesh) -> dict[str, Any]:
    """`optimizer.state_dict()` of one process, on every rank. Collective."""
    mine = [_state_of_group(optimizer, group, whole) for group in optimizer.param_groups]
    groups: list[Gathered] = [{} for _ in mine]
    for theirs in mesh.comm.all_gather_object(mine):
        for gathered, named in zip(groups, theirs):
            for name, (part, shape, entry) in named.items():
                _merge(gathered.setdefault(name, {}), part, shape, entry)
    numbers = whole.numbered([list(named) for named in groups])
    return {
        "state": {
            numbers[name]: {key: _kept(value) for key, value in named[name].items()}
            for named in groups
            for name in sorted(named, key=numbers.__getitem__)
            if named[name]
        },
        "param_groups": [
            _whole_group(group, sorted(named, key=numbers.__getitem__), numbers)
            for group, named in zip(optimizer.param_groups, groups)
        ],
    }


def take_optimizer_state(optimizer: Any, state: dict[str, Any], whole: WholeState, mesh: Mesh) -> None:
    """Give `optimizer` this rank's parts of one process's `state`. ValueError if it has other groups of parameters."""
    held = [[p for p in group["params"] if whole.has(p)] for group in optimizer.param_groups]
    everyone = mesh.comm.all_gather_object([[whole.name(p) for p in group] for group in held])
    numbers = whole.numbered([[name for theirs in everyone for name in theirs[i]] for i in range(len(held))])
    counts = [len({name for theirs in everyone for name in theirs[i]}) for i in range(len(held))]
    saved_counts = [len(group["params"]) for group in state["param_groups"]]
    if counts != saved_counts:
        raise ValueError(
            f"the state dict has groups of {saved_counts} parameters, the optimizers of this model of {counts}"
        )
    entries, groups, local = {}, [], 0
    for group, saved in zip(optimizer.param_groups, state["param_groups"]):
        first = local
        for p in group["params"]:
            entry = state["state"].get(numbers[whole.name(p)]) if whole.has(p) else None
            if entry is not None:
                entries[local] = {key: _own(p, value) for key, value in entry.items()}
            local += 1
        names = {"param_names": group["param_names"]} if "param_names" in group else {}  # of what this rank holds
        groups.append({**_options(saved), **names, "params": list(range(first, local))})
    optimizer.load_state_dict({"state": entries, "param_groups": groups})


def _state_of_group(optimizer: Any, group: dict[str, Any], whole: WholeState) -> dict[str, Any]:
    """name → (part, shape of the part, {key: array or number}) of the parameters of a group."""
    return {
        whole.name(p): (part_of(p), tuple(p.shape), {k: _value(v) for k, v in optimizer.state.get(p, {}).items()})
        for p in group["params"]
        if whole.has(p)
    }


def _whole_group(group: dict[str, Any], names: list[str], numbers: dict[str, int]) -> dict[str, Any]:
    told = {"param_names": names} if "param_names" in group else {}
    return {**_options(group), **told, "params": [numbers[name] for name in names]}


def _merge(into: dict[str, Any], part: Any, shape: tuple[int, ...], entry: dict[str, Any]) -> None:
    for key, value in entry.items():
        if part is None or np.shape(value) != shape:
            into[key] = value
        else:
            array = np.asarray(value)
            part.put(array, into.setdefault(key, np.empty(part.whole_shape(shape), array.dtype)))


def _own(p: Any, value: Any) -> Any:
    part, array = part_of(p), _value(value)
    if part is None or np.shape(array) != part.whole_shape(tuple(p.shape)):
        return value
    return wrap(part.of(array))


def _value(value: Any) -> Any:
    if isinstance(value, list):  # what LBFGS remembers
        return [_value(part) for part in value]
    return to_numpy(value.array) if isinstance(value, Tensor) else value


def _kept(value: Any) -> Any:
    """`_value` undone, in host memory: arrays are tensors again."""
    if isinstance(value, list):
        return [_kept(part) for part in value]
    return wrap(np.asarray(value)) if isinstance(value, np.ndarray | np.generic) else value


def _options(group: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in group.items() if key not in ("params", "param_names")}
