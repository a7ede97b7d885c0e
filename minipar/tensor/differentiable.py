"""What makes an array differentiable: requires_grad, .grad, backward, and the hooks along the way."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Sequence
from typing import Any

from .. import tape
from ..backend.current_gpu import on_gpu_of
from .described import Described

_hook_keys = itertools.count()


class RemovableHandle:
    """Takes a hook off again: `handle.remove()`."""

    def __init__(self, hooks: dict[int, Callable], hook: Callable) -> None:
        self._hooks = hooks
        self._key = next(_hook_keys)  # not id(self): a handle that nobody keeps is gone, its hook is not
        hooks[self._key] = hook

    def remove(self) -> None:
        self._hooks.pop(self._key, None)


class Differentiable(Described):
    """The part of a Tensor that knows gradients; its results are Tensors."""

    __slots__ = ()

    @property
    def requires_grad(self) -> bool:
        """Is a gradient wanted of this tensor, or of one that it was made of? RuntimeError to switch off what was made.

        >>> w = minipar.ones(2, requires_grad=True)
        >>> w.requires_grad, (2 * w).requires_grad
        (True, True)
        """
        return self.tracked

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if self.node is not None:
            if not value:
                raise RuntimeError("requires_grad can only be switched off on a leaf; use x.detach()")
            return
        if value and not self.is_floating_point():
            raise RuntimeError(f"only floating-point tensors can require gradients, not {self.dtype.name}")
        self.tracked = bool(value)

    def requires_grad_(self, requires_grad: bool = True) -> Any:
        """Set `requires_grad`; returns the tensor. RuntimeError for integers, and to switch off what was made.

        >>> minipar.ones(2).requires_grad_()
        tensor([1., 1.], requires_grad=True)
        """
        self.requires_grad = requires_grad
        return self

    @property
    def is_leaf(self) -> bool:
        """Was this tensor made by the user, and by no operation that is on the tape?

        >>> w = minipar.ones(2, requires_grad=True)
        >>> w.is_leaf, (2 * w).is_leaf
        (True, False)
        """
        return self.node is None

    @property
    def grad_fn(self) -> tape.Node | None:
        """The node that made this tensor.

        >>> w = minipar.ones(2, requires_grad=True)
        >>> w.grad_fn is None, (2 * w).grad_fn is None
        (True, False)
        """
        return self.node

    @property
    def retains_grad(self) -> bool:
        """Does backward keep the gradient of this tensor, which is no leaf, because of retain_grad()?

        >>> y = 2 * minipar.ones(2, requires_grad=True)
        >>> y.retain_grad()
        >>> y.retains_grad
        True
        """
        if self.node is None or not self.node.retained or self.index not in self.node.retained:
            return False
        return self.node.retained[self.index]() is self

    @property
    def _version(self) -> int:
        """How often the tensor or what shares its memory was changed in place."""
        return self.changes()

    @property
    def grad(self) -> Any:
        """The accumulated gradient: a tensor of the same shape and dtype, or None.

        >>> w = minipar.ones(2, requires_grad=True)
        >>> (3 * w).sum().backward()
        >>> w.grad
        tensor([3., 3.])
        """
        return self._grad

    @grad.setter
    def grad(self, value: Any) -> None:
        if value is not None:
            if not isinstance(value, Differentiable):
                raise TypeError(f"grad must be a Tensor or None, not {type(value).__name__}")
            if value is self:
                raise RuntimeError("grad must be another tensor: a tensor cannot be its own gradient")
            if value.shape != self.shape or value.dtype != self.dtype:
                raise RuntimeError(
                    f"grad must have shape {self.shape} and dtype {self.dtype.name}, "
                    f"not {value.shape} and {value.dtype.name}"
                )
        self._grad = value

    @grad.deleter
    def grad(self) -> None:
        self._grad = None

    def backward(
        self,
        gradient: Any = None,
        retain_graph: bool | None = None,
        create_graph: bool = False,
        inputs: Any = None,
    ) -> None:
        """Add the gradient of this tensor with respect to every leaf that it depends on to the leaves' `.grad`.

        `gradient` is the gradient of some scalar with respect to this tensor (1 if this is a scalar itself), of its
        shape. `inputs` restricts the leaves. The graph is freed as it is walked unless `retain_graph` (by default
        `create_graph`). Raises RuntimeError without a graph, for a non-scalar without `gradient`, or for a freed graph.

        >>> w = minipar.tensor([1.0, 2.0], requires_grad=True)
        >>> (w * w).backward(gradient=minipar.tensor([1.0, 10.0]))
        >>> w.grad
        tensor([ 2., 40.])
        """
        accumulate([self], [gradient], retain_graph, create_graph, inputs)

    def detach(self) -> Any:
        """The same memory without the history; a change of either is noticed by whoever saved the other.

        >>> w = minipar.ones(2, requires_grad=True)
        >>> (2 * w).detach()
        tensor([2., 2.])
        """
        alias = tape.new_value(self.array)
        alias.version = self.own_version()
        return alias

    def detach_(self) -> Any:
        """Forget the history: the tensor becomes a leaf that wants no gradient. Returns it.

        >>> w = minipar.ones(2, requires_grad=True)
        >>> (2 * w).detach_().requires_grad
        False
        """
        self.node, self.index, self.tracked = None, 0, False
        return self

    @property
    def data(self) -> Any:
        """The same memory without the history, and without the version check: changes are not noticed by the tape.

        >>> w = minipar.ones(2, requires_grad=True)
        >>> w.data.mul_(3)
        tensor([3., 3.])
        >>> w
        tensor([3., 3.], requires_grad=True)
        """
        return tape.new_value(self.array)

    @data.setter
    def data(self, value: Any) -> None:
        if not isinstance(value, Differentiable):
            raise TypeError(f"data must be a Tensor, not {type(value).__name__}")
        self.array = value.array

    def register_hook(self, hook: Callable[[Any], Any]) -> RemovableHandle:
        """Call `hook(grad)` when this tensor's gradient is complete; what it returns (if not None) replaces it.

        >>> w = minipar.ones(2, requires_grad=True)
        >>> handle = w.register_hook(lambda grad: -grad)
        >>> w.sum().backward()
        >>> w.grad
        tensor([-1., -1.])
        """
        if not self.tracked:
            raise RuntimeError("cannot register a hook on a tensor that does not require a gradient")
        if self.node is None:
            tape.leaf_hooks.exist = True
            if self._hooks is None:
                self._hooks = {}
            return RemovableHandle(self._hooks, hook)
        if self.node.hooks is None:
            self.node.hooks = {}
        return RemovableHandle(self.node.hooks.setdefault(self.index, {}), hook)

    def register_post_accumulate_grad_hook(self, hook: Callable[[Any], None]) -> RemovableHandle:
        """Call `hook(tensor)` after a backward pass has added to this leaf's `.grad`.

        >>> w = minipar.ones(2, requires_grad=True)
        >>> handle = w.register_post_accumulate_grad_hook(lambda leaf: print(leaf.grad))
        >>> w.sum().backward()
        tensor([1., 1.])
        """
        if self.node is not None or not self.tracked:
            raise RuntimeError("post-accumulate hooks belong to leaf tensors that require grad")
        tape.leaf_hooks.exist = True
        if self._after_hooks is None:
            self._after_hooks = {}
        return RemovableHandle(self._after_hooks, hook)

    def retain_grad(self) -> None:
        """Keep the gradient of this non-leaf tensor in `.grad` too.

        >>> y = 2 * minipar.ones(2, requires_grad=True)
        >>> y.retain_grad()
        >>> y.sum().backward()
        >>> y.grad
        tensor([1., 1.])
        """
        if not self.tracked:
            raise RuntimeError("retain_grad on a tensor that does not require a gradient")
        if self.node is not None:
            if self.node.retained is None:
                self.node.retained = {}
            self.node.retained[self.index] = weakref.ref(self)


def accumulate(
    outputs: Sequence[Any], gradients: Sequence[Any], retain_graph: bool | None, create_graph: bool, inputs: Any
) -> None:
    """Walk back from the outputs and add to the `.grad` of the leaves, or of `inputs` alone."""
    keep = create_graph if retain_graph is None else retain_graph
    seeds = gradient_seeds(outputs, gradients, create_graph)
    if inputs is None:
        tape.run_backward(outputs, seeds, retain_graph=keep, create_graph=create_graph)
        return
    wanted = [inputs] if isinstance(inputs, Differentiable) else list(inputs)
    if not wanted:
        raise RuntimeError("inputs must name at least one tensor")
    check_inputs(wanted)
    found = tape.run_backward(outputs, seeds, retain_graph=keep, create_graph=create_graph, wanted=wanted)
    for x, g in zip(wanted, found):
        if g is not None:
            x.receive(g)


def _one(like: Any) -> Any:
    """1, as an array of one element like this one."""
    with on_gpu_of(like):
        one = like.copy()
        one.fill(1)
        return one


def check_inputs(inputs: Sequence[Any]) -> None:
    """RuntimeError unless every one of the tensors that a gradient is wanted for requires one."""
    for i, x in enumerate(inputs):
        if not x.tracked:
            raise RuntimeError(f"input {i} (shape {x.shape}) does not require a gradient")


def gradient_seeds(outputs: Sequence[Any], gradients: Sequence[Any], create_graph: bool) -> list[Any]:
    """The gradient that the walk back starts with at each output (1 for a scalar without one), checked.

    Arrays, or Tensors under `create_graph`. RuntimeError naming what is wrong with an output or its gradient.
    """
    seeds = []
    for y, g in zip(outputs, gradients):
        if not y.tracked:
            raise RuntimeError(
                "the tensor does not depend on anything that requires a gradient; set requires_grad=True on a leaf "
                "(and do not compute it under no_grad)"
            )
        if g is None:
            if y.array.size != 1:
                raise RuntimeError(
                    f"backward from a tensor of shape {y.shape} needs its gradient: reduce it to a scalar (.sum(), "
                    ".mean()) or pass a gradient of its shape"
                )
            one = _one(y.array)
            seeds.append(tape.new_value(one) if create_graph else one)
            continue
        if not isinstance(g, Differentiable):
            raise TypeError(f"the gradient must be a Tensor, not {type(g).__name__}")
        if g.shape != y.shape:
            raise RuntimeError(f"the gradient's shape {g.shape} is not the tensor's {y.shape}")
        if g.dtype != y.dtype:
            raise RuntimeError(f"the gradient's dtype {g.dtype.name} is not the tensor's {y.dtype.name}")
        if g.device != y.device:
            raise RuntimeError(f"the gradient is on {g.device}, the tensor on {y.device}; move it with .to()")
        seeds.append(g if create_graph else g.array)
    return seeds
