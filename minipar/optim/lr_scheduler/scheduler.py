"""What all schedules share: they count epochs, and write a learning rate into every parameter group."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from types import FunctionType
from typing import Any

from ...tensor import Tensor
from ..optimizer import Optimizer

EPOCH_IS_DEPRECATED = (
    "the epoch argument of scheduler.step() is deprecated: call scheduler.step(). Where a schedule has a closed form, "
    "that is what an epoch asks for"
)
STEP_ORDER = "; see https://pytorch.org/docs/stable/optim.html#how-to-adjust-learning-rate"


class LRScheduler:
    """Base of all schedules; a subclass defines `get_lr`, and `_get_closed_form_lr` if it has one.

    A new schedule takes each group's lr for its "initial_lr" (unless there is one) and sets that of epoch 0. With
    `last_epoch` ≥ 0 it goes on from there, and the groups must have an "initial_lr" (KeyError otherwise). TypeError if
    `optimizer` is no Optimizer.

    >>> class Halving(optim.lr_scheduler.LRScheduler):
    ...     def get_lr(self):
    ...         return [base_lr / 2**self.last_epoch for base_lr in self.base_lrs]
    >>> optimizer = optim.SGD([nn.Parameter(minipar.ones(1))], lr=1.0)
    >>> scheduler = Halving(optimizer)
    >>> optimizer.step()
    >>> scheduler.step()
    >>> scheduler.get_last_lr()
    [0.5]
    """

    _get_lr_called_within_step = False
    _is_initial = False
    _last_lr: list[Any]

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        self.optimizer = checked_optimizer(optimizer)
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", own(group["lr"]))
            elif "initial_lr" not in group:
                raise KeyError(
                    f"param 'initial_lr' is not specified in param_groups[{i}]: with last_epoch={last_epoch} a "
                    "scheduler resumes, so load the optimizer's state dict first"
                )
        self.base_lrs = [own(group["initial_lr"]) for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        _watch_steps(optimizer)
        self._initial_step()

    def _initial_step(self) -> None:
        self._step_count = 0
        self._is_initial = True
        self.step()
        self._is_initial = False

    def get_lr(self) -> list[Any]:
        """The learning rates of `last_epoch`, one a group: what `step` asks for. Users ask `get_last_lr`."""
        raise NotImplementedError

    def get_last_lr(self) -> list[Any]:
        """The learning rates that the last step set, one a parameter group.

        >>> optimizer = optim.SGD([nn.Parameter(minipar.ones(1))], lr=0.5)
        >>> optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.9).get_last_lr()
        [0.5]
        """
        return self._last_lr

    def step(self, epoch: int | None = None) -> None:
        """Go on to the next epoch, and set its learning rates; call it after `optimizer.step()`.

        Warns where the optimizer has not been stepped before (the first learning rate would be skipped), and of an
        `epoch`, which is deprecated.
        """
        if self._step_count == 1:
            self._warn_of_order()
        self._step_count += 1
        if epoch is not None:
            warnings.warn(EPOCH_IS_DEPRECATED, UserWarning, stacklevel=2)
        self._update_lr(epoch)

    def _warn_of_order(self) -> None:
        if self.optimizer._overridden():
            problem = (
                "Seems like `optimizer.step()` has been overridden after the scheduler was made. Please, make sure to"
            )
        elif not self.optimizer._opt_called:  # type: ignore[attr-defined]
            problem = (
                "Detected call of `lr_scheduler.step()` before `optimizer.step()`: the first value of the schedule is "
                "skipped. Please"
            )
        else:
            return
        warnings.warn(
            f"{problem} call `optimizer.step()` before `lr_scheduler.step()`{STEP_ORDER}", UserWarning, stacklevel=3
        )

    def _update_lr(self, epoch: int | None = None) -> None:
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        closed_form = getattr(self, "_get_closed_form_lr", None)
        self._set(self._asked() if epoch is None or closed_form is None else closed_form())

    def _asked(self) -> list[Any]:
        self._get_lr_called_within_step = True
        try:
            return self.get_lr()
        finally:
            self._get_lr_called_within_step = False

    def _set(self, lrs: Iterable[Any]) -> None:
        for group, lr in zip(self.optimizer.param_groups, lrs, strict=True):
            put(group, "lr", lr)
        self._last_lr = self._current()

    def _current(self) -> list[Any]:
        return [own(group["lr"]) for group in self.optimizer.param_groups]

    def _scaled(self, factor: float) -> list[Any]:
        return [group["lr"] * factor for group in self.optimizer.param_groups]

    def _from_base(self, factor: float) -> list[Any]:
        return [base_lr * factor for base_lr in self.base_lrs]

    def _check_within_step(self) -> None:
        if not self._get_lr_called_within_step:
            warnings.warn(
                "To get the last learning rate computed by the scheduler, please use `get_last_lr()`.",
                UserWarning,
                stacklevel=3,
            )

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer, under PyTorch's names.

        >>> optimizer = optim.SGD([nn.Parameter(minipar.ones(1))], lr=0.5)
        >>> optim.lr_scheduler.StepLR(optimizer, step_size=3).state_dict()["last_epoch"]
        0
        """
        return {name: value for name, value in vars(self).items() if name != "optimizer"}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from where `state_dict` was taken; the optimizer's own is to be loaded too."""
        self.__dict__.update(state_dict)


def own(value: Any) -> Any:
    """A number, or a copy of a tensor, which somebody else may change."""
    return value.clone() if isinstance(value, Tensor) else value


def put(group: dict[str, Any], name: str, value: Any) -> None:
    """group[name] ← value; into the tensor that stands there, if one does."""
    if isinstance(group[name], Tensor):
        group[name].fill_(float(value))
    else:
        group[name] = value


def a_group_each(name: str, optimizer: Optimizer, value: Any) -> list[Any]:
    """One value for each parameter group. ValueError for a list of another length."""
    count = len(optimizer.param_groups)
    if not isinstance(value, (list, tuple)):
        return [own(value) for _ in range(count)]
    if len(value) != count:
        raise ValueError(f"{name} must have one value for each of the {count} param_groups, not {len(value)}")
    return [own(v) for v in value]


def checked_optimizer(optimizer: Any) -> Optimizer:
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"optimizer: {type(optimizer).__name__} is not an Optimizer")
    return optimizer


def callable_state(function: Any) -> dict[str, Any] | None:
    """What a state dict holds of a function: the attributes of a callable object; a plain function has none to keep."""
    return None if isinstance(function, FunctionType) else dict(vars(function))


def _watch_steps(optimizer: Any) -> None:
    """From the first scheduler on: was the optimizer stepped?"""
    if not hasattr(optimizer, "_opt_called"):
        optimizer._opt_called = False
        optimizer.register_step_pre_hook(_called)


def _called(optimizer: Any, args: Any, kwargs: Any) -> None:
    optimizer._opt_called = True
