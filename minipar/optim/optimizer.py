"""What all optimizers share: parameter groups, their state, and a step that goes run by run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from numbers import Real
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from ..autograd import enable_grad
from ..backend.current_gpu import copied, following
from ..nn.parameter import FlatBuffer, Parameter, flatten, zero_grad
from ..nn.split import check_whole
from ..tensor import Tensor, wrap
from .flat_state import NUMBERS, FlatState
from .hooks import StepHooks
from .runs import FlatRun, LoneRun, Plan

_SPOKEN = {"lr": "learning rate", "eps": "epsilon value"}


class Optimizer(StepHooks):
    """Base of all optimizers. A subclass says which state a step needs and how it updates one run.

    `params` is an iterable of leaf tensors or of (name, tensor) pairs (`model.named_parameters()`), or of dicts with
    such "params" and options that differ from the `defaults`. nn.Parameters among them are put into flat buffers (see
    nn.parameter). TypeError and ValueError for what cannot be optimized.

    >>> p = nn.Parameter(minipar.tensor([1.0]))
    >>> optimizer = optim.SGD([{"params": [p], "lr": 0.5}], lr=0.1)
    >>> (p * p).sum().backward()
    >>> optimizer.step()
    >>> p.tolist()
    [0.0]
    """

    unsupported: tuple[str, ...] = ()  # options of PyTorch's that are there, but can only be off
    not_negative: tuple[str, ...] = ()  # options that are numbers of at least 0
    decays: tuple[str, ...] = ()  # options that are two numbers of [0, 1)
    elementwise: bool = True  # is each number stepped by itself? then a rank can step its share of a split model
    needs_closure: bool = False  # must `step` be given what computes the loss and the gradients?

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any]) -> None:
        if isinstance(params, Tensor):
            raise TypeError("params must be an iterable of tensors or dicts, not a Tensor; for one parameter pass [p]")
        self._check(defaults)
        self.defaults = defaults
        self._remember(defaultdict(dict))
        self.param_groups: list[dict[str, Any]] = []
        self._forget_plans()
        self._forget_hooks()
        groups = _listed(params, "params")
        if not groups:
            raise ValueError("optimizer got an empty parameter list")
        for group in groups if isinstance(groups[0], dict) else [{"params": groups}]:
            self.add_param_group(group)

    @property
    def state(self) -> defaultdict[Tensor, dict[str, Any]]:
        """Of each parameter, by name, what the next step needs of the past. Whoever has seen it may change it at any
        time: from then on every step looks it through (1 µs a parameter or so).

        >>> p = nn.Parameter(minipar.ones(1))
        >>> optim.Adam([p]).state[p]
        {}
        """
        self._exposed = True
        return self._memory

    @state.setter
    def state(self, state: defaultdict[Tensor, dict[str, Any]]) -> None:
        self._remember(state)
        self._exposed = True  # whoever gave it may have kept it

    def _remember(self, state: defaultdict[Tensor, dict[str, Any]]) -> None:
        """Take over a state that nobody else has."""
        self._memory, self._exposed = state, False
        self._plans: dict[int, Plan] = {}  # by the group's number; made of the state that there was

    # ── what a subclass defines ───────────────────────────────────────────────────────────────────────────────────

    def _check(self, options: dict[str, Any]) -> None:
        """ValueError for an impossible option of a group, NotImplementedError for one that is not supported."""
        for name in self.unsupported:
            if options.get(name):
                raise NotImplementedError(f"{type(self).__name__}: {name}={options[name]!r} is not supported")
        if isinstance(options.get("lr"), Tensor) and options["lr"].numel() != 1:
            raise ValueError(f"Tensor lr must be 1-element, not of shape {tuple(options['lr'].shape)}")
        for name in self.not_negative:
            if not isinstance(options[name], (Real, Tensor)):
                raise TypeError(f"{name} must be a number, not {options[name]!r}")
            if not options[name] >= 0:
                raise ValueError(
                    f"Invalid {_SPOKEN.get(name, name + ' value')}: {options[name]} ({name} must be at least 0)"
                )
        for name in self.decays:
            _check_decays(name, options[name])

    def _check_whole(self, parameters: list[Tensor]) -> None:
        """ValueError if a step needs all numbers of a model, and these are a rank's share of one that is split."""
        if not self.elementwise:
            check_whole(
                type(self).__name__,
                parameters,
                "it goes with data and space ranks, without zero; optimizers that step each number by itself (SGD, "
                "Adam, …) go with every layout",
            )

    def _state(self, group: dict[str, Any]) -> dict[str, float]:
        """The names of the state that a step of this group needs, with the number that each is filled with at first."""
        raise NotImplementedError

    def _update(self, run: FlatRun | LoneRun, group: dict[str, Any]) -> None:
        """Step one run: change `run.data`, `run.moments` and `run.numbers` in place."""
        raise NotImplementedError

    # ── stepping ──────────────────────────────────────────────────────────────────────────────────────────────────

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient. Returns what `closure` (called first, if given) returns."""
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        changed_by = f"{type(self).__name__}.step"
        follow = following()
        try:
            for index, group in enumerate(self.param_groups):
                for run in self._runs(index, group):
                    if follow is not None:
                        follow(run.parameters[0])
                    self._update(run, group)
                    run.finish(changed_by)
        finally:
            if follow is not None:
                follow.back()
        return loss

    def _runs(self, index: int, group: dict[str, Any]) -> list[FlatRun | LoneRun]:
        start, parameters = self._state(group), group["params"]
        plan = self._plans.get(index)
        if plan is None or not plan.holds(parameters, start, self._memory if self._exposed else None):
            _flatten(parameters)  # some may have left their buffer, for another dtype or shape
            plan = self._plans[index] = Plan(parameters, start, self._memory, self._shelf)
        return plan.runs

    def _shelf(self, buffer: FlatBuffer) -> FlatState:
        if buffer not in self._flat_states:
            self._flat_states[buffer] = FlatState(buffer)
        return self._flat_states[buffer]

    def _forget_plans(self) -> None:
        self._plans = {}
        self._flat_states: WeakKeyDictionary[FlatBuffer, FlatState] = WeakKeyDictionary()

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget all gradients (`p.grad` is None until the next backward), or fill them with zeros in place."""
        for group in self.param_groups:
            zero_grad(group["params"], set_to_none)

    # ── parameter groups ──────────────────────────────────────────────────────────────────────────────────────────

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Train more parameters: {"params": …} and whichever options differ from the defaults.

        >>> optimizer = optim.SGD([nn.Parameter(minipar.ones(1))], lr=0.1)
        >>> optimizer.add_param_group({"params": nn.Parameter(minipar.ones(2)), "lr": 0.01})
        >>> [group["lr"] for group in optimizer.param_groups]
        [0.1, 0.01]
        """
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group).__name__}")
        if "params" not in param_group:
            raise KeyError("param_group needs an entry 'params': a parameter or a list of them")
        given = param_group["params"]
        listed = [given] if isinstance(given, Tensor) else _listed(given, "the parameters of a group")
        names, parameters = _without_names(listed)
        if names is not None:
            param_group = {**param_group, "param_names": names}
        for p in parameters:
            _check_parameter(p)
        self._check_whole(parameters)
        taken = [p for group in self.param_groups for p in group["params"]]
        if len({id(p) for p in parameters}) < len(parameters):
            raise ValueError("a parameter appears twice in one parameter group; pass each once")
        if {id(p) for p in parameters} & {id(p) for p in taken}:
            raise ValueError("some parameters appear in more than one parameter group; each belongs to one")
        group = {**self.defaults, **param_group, "params": parameters}
        for other in self.param_groups:
            if ("param_names" in other) != ("param_names" in group):
                raise ValueError("param_groups must all come with names, or all without")
        self._check(group)
        _flatten(parameters)
        self.param_groups.append(group)

    # ── saving and loading ────────────────────────────────────────────────────────────────────────────────────────

    def state_dict(self) -> dict[str, Any]:
        """{"state": {number: {name: tensor}}, "param_groups": [{option: value, "params": [numbers]}]}, as in PyTorch.

        Parameters are numbered through all groups. The tensors are the live ones: the next step changes them.
        """
        numbers = {p: i for i, p in enumerate(p for group in self.param_groups for p in group["params"])}
        return {
            "state": {number: dict(self.state[p]) for p, number in numbers.items() if p in self.state},
            "param_groups": [
                {**{k: v for k, v in group.items() if k != "params"}, "params": [numbers[p] for p in group["params"]]}
                for group in self.param_groups
            ],
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over the options, and a copy of the state, of a state dict for the same groups of parameters.

        State is cast to its parameter's dtype and device; steps stay float32. ValueError if the groups differ in number
        or size, or hold an impossible option; then nothing is changed.
        """
        groups, saved = self.param_groups, state_dict["param_groups"]
        if len(groups) != len(saved):
            raise ValueError(f"the state dict has {len(saved)} parameter groups, this optimizer {len(groups)}")
        for i, (group, other) in enumerate(zip(groups, saved)):
            if len(group["params"]) != len(other["params"]):
                raise ValueError(
                    f"group {i} of the state dict has {len(other['params'])} parameters, of this optimizer "
                    f"{len(group['params'])}"
                )
        names = [{"param_names": group["param_names"]} if "param_names" in group else {} for group in groups]
        new = [
            {**self.defaults, **named, **other, "params": group["params"]}
            for group, other, named in zip(groups, saved, names)
        ]
        for group in new:
            self._check(group)
        by_number = {
            number: p for group, other in zip(groups, saved) for number, p in zip(other["params"], group["params"])
        }
        state = {
            by_number[number]: {name: _copied(name, value, by_number[number]) for name, value in entry.items()}
            for number, entry in state_dict["state"].items()
            if number in by_number
        }
        self._remember(defaultdict(dict, state))
        self.param_groups = new

    def __getstate__(self) -> dict[str, Any]:
        """For copy.deepcopy and pickle: not the plans and flat arrays, which the copy makes for itself."""
        return {"defaults": self.defaults, "state": dict(self.state), "param_groups": self.param_groups}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.defaults, self.param_groups = state["defaults"], state["param_groups"]
        self._remember(defaultdict(dict, state["state"]))
        self._forget_plans()
        self._forget_hooks()

    def __repr__(self) -> str:
        text = f"{type(self).__name__} ("
        for i, group in enumerate(self.param_groups):
            options = [f"    {name}: {group[name]}\n" for name in sorted(group) if name != "params"]
            text += f"\nParameter Group {i}\n" + "".join(options)
        return text + ")"


def _listed(params: Any, what: str) -> list[Any]:
    if isinstance(params, (set, frozenset)):
        raise TypeError(f"{what} must be in an order that stays the same between runs: pass a list, not a set")
    try:
        return list(params)
    except TypeError:
        hint = "; pass model.parameters()" if callable(params) else ""  # a model, or its method not called
        raise TypeError(f"{what} must be an iterable of tensors or dicts, not {type(params).__name__}{hint}") from None


def _flatten(parameters: list[Tensor]) -> None:
    flatten(p for p in parameters if isinstance(p, Parameter))


def _without_names(listed: list[Any]) -> tuple[list[str] | None, list[Any]]:
    """The names and the tensors of (name, tensor) pairs; no names for tensors alone."""
    named = [isinstance(p, tuple) for p in listed]
    if not any(named):
        return None, listed
    if not all(named):
        raise ValueError("params must all be (name, tensor) pairs, or all tensors: some names are missing")
    return [name for name, _ in listed], [p for _, p in listed]


def _check_parameter(p: Any) -> None:
    if not isinstance(p, Tensor):
        raise TypeError(f"optimizer can only optimize Tensors, but one of the params is {type(p).__name__}")
    if not p.is_leaf:
        raise ValueError(
            "can't optimize a non-leaf Tensor (the result of an operation); optimize the tensors it was made from, "
            "or x.detach().requires_grad_()"
        )


def _copied(name: str, value: Any, p: Tensor) -> Any:
    """A loaded entry of the state as this optimizer's own; numbers and what is unknown stay as they are."""
    if isinstance(value, list):
        return [_copied(name, part, p) for part in value]
    if not isinstance(value, Tensor) and not hasattr(value, "__array__"):
        return value
    array = copied(value.array) if isinstance(value, Tensor) else np.asarray(value).copy()
    return wrap(array).cpu() if name in NUMBERS else wrap(array).to(device=p.device, dtype=p.dtype)


def check_pair(name: str, pair: Any) -> None:
    """ValueError if an option that is two numbers is none, or another number of them."""
    if not isinstance(pair, (tuple, list)) or len(pair) != 2:
        raise ValueError(f"Invalid {name}: {pair} ({name} must be two numbers)")


def _check_decays(name: str, pair: tuple[float, float]) -> None:
    check_pair(name, pair)
    for index, number in enumerate(pair):
        if not 0 <= number < 1:
            kind = name.removesuffix("s")
            raise ValueError(f"Invalid {kind} parameter at index {index}: {number} ({name} must be in [0, 1))")
