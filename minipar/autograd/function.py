"""A user's own operation: forward and backward written by hand, as in PyTorch's `autograd.Function`."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from .. import tape
from ..backend import namespace
from ..ops.op import Op, cast, unbroadcast
from ..tensor import Tensor


class Context:
    """What `forward` leaves for `backward`: tensors through save_for_backward, anything else as attributes."""

    def __init__(self) -> None:
        self.to_save: tuple[Tensor | None, ...] = ()
        self.saved_tensors: tuple[Tensor | None, ...] = ()
        self.needs_input_grad: tuple[bool, ...] = ()
        self.dirty: tuple[Tensor, ...] = ()
        self.constant: tuple[Tensor, ...] = ()
        self.materialize_grads = True

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep inputs or outputs of forward for backward, where `ctx.saved_tensors` returns them."""
        self.to_save = tensors

    def mark_dirty(self, *args: Tensor) -> None:
        """Say that forward changed these arguments in place; it must return them."""
        self.dirty = args

    def mark_non_differentiable(self, *args: Tensor) -> None:
        """Say that these outputs have no gradient."""
        self.constant = args

    def set_materialize_grads(self, value: bool) -> None:
        """Whether backward gets zeros (the default) or None for an output that nobody used."""
        self.materialize_grads = value


class Function:
    """Subclass with static methods `forward(ctx, *args)` and `backward(ctx, *grads)`; call `YourFunction.apply(*args)`.

    `backward` gets one gradient an output and returns one an argument of forward (None for what is no tensor). Written
    with tensor operations it can itself be differentiated. A gradient of a shape to which the argument broadcasts is
    summed over what was repeated. `forward(*args)` without ctx goes with a static method
    `setup_context(ctx, inputs, output)`, as in PyTorch.

    >>> class Cube(minipar.autograd.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         ctx.save_for_backward(x)
    ...         return x**3
    ...
    ...     @staticmethod
    ...     def backward(ctx, g):
    ...         (x,) = ctx.saved_tensors
    ...         return g * 3 * x**2
    >>> x = minipar.tensor(2.0, requires_grad=True)
    >>> minipar.autograd.grad(Cube.apply(x), x)
    (tensor(12.),)
    """

    @staticmethod
    def forward(ctx: Context, *args: Any) -> Any:
        raise NotImplementedError("a Function needs a static method forward(ctx, *args)")

    @staticmethod
    def backward(ctx: Context, *grads: Tensor) -> Any:
        raise NotImplementedError("a Function needs a static method backward(ctx, *grads) to be differentiated")

    @staticmethod
    def setup_context(ctx: Context, inputs: tuple, output: Any) -> None:
        raise NotImplementedError

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """forward(*args), recorded as one operation. TypeError unless it returns a tensor or a tuple of them."""
        ctx = Context()
        tracked = tape.mode.grad and any(isinstance(x, Tensor) and x.tracked for x in args)
        ctx.needs_input_grad = tuple(isinstance(x, Tensor) and x.tracked for x in args)
        with tape.set_grad_mode(False):
            if cls.setup_context is Function.setup_context:
                made = cls.forward(ctx, *args)
            else:
                made = cls.forward(*args)
                cls.setup_context(ctx, args, made)
        outputs = made if isinstance(made, tuple) else (made,)
        if any(not isinstance(y, Tensor) for y in outputs):
            raise TypeError(f"{cls.__name__}.forward must return a Tensor or a tuple of Tensors")
        if not all(any(x is y for y in outputs) for x in ctx.dirty):
            raise RuntimeError(f"{cls.__name__}: forward must return every tensor that it marks as dirty")
        for x in ctx.dirty:
            x.bump(f"{cls.__name__}.forward")
        if not tracked:
            return made
        for x in ctx.dirty:
            _check_changeable(cls, x)
        node = FunctionNode(cls, ctx, args, outputs)
        fresh = tuple([node.output(index, y, args) for index, y in enumerate(outputs)])
        if tape.mode.watch is not None:
            tape.mode.watch(node, args, fresh)
        return fresh if isinstance(made, tuple) else fresh[0]


def once_differentiable(fn: Callable[..., Any]) -> Callable[..., Any]:
    """For a `backward` that is not written with tensor operations: what it returns cannot be differentiated again.

    RuntimeError where the gradient is.

    >>> class Double(minipar.autograd.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         return x * 2
    ...
    ...     @staticmethod
    ...     @minipar.autograd.function.once_differentiable
    ...     def backward(ctx, g):
    ...         return minipar.tensor(g.numpy() * 2)
    >>> x = minipar.tensor(3.0, requires_grad=True)
    >>> minipar.autograd.grad(Double.apply(x), x)
    (tensor(2.),)
    """

    @wraps(fn)
    def backward(ctx: Context, *grads: Any) -> Any:
        with tape.set_grad_mode(False):
            pulled = fn(ctx, *grads)
        if not (tape.mode.grad and any(isinstance(g, Tensor) and g.tracked for g in grads)):
            return pulled
        several = pulled if isinstance(pulled, tuple) else (pulled,)
        ends = tuple([g if g is None else _DifferentiatedTwice.apply(g.detach().requires_grad_()) for g in several])
        return ends if isinstance(pulled, tuple) else ends[0]

    return backward


class _DifferentiatedTwice(Function):
    """The identity, which has no gradient: the end of what is differentiable once."""

    @staticmethod
    def forward(ctx: Context, *args: Any) -> Any:
        return args[0].clone()

    @staticmethod
    def backward(ctx: Context, *grads: Tensor) -> Any:
        raise RuntimeError("the backward of a Function marked with once_differentiable cannot be differentiated")


def _check_changeable(function: type[Function], x: Tensor) -> None:
    """RuntimeError where a change in place that carries a gradient would leave the tape wrong."""
    if x.tracked and x.node is None:
        raise RuntimeError(f"{function.__name__}: forward changed a leaf tensor that requires grad in place")
    if x.own_version().beside(x):
        raise RuntimeError(
            f"{function.__name__}: forward changed a tensor that shares its memory with a view in place; "
            "pass it a copy instead: x.clone()"
        )


class FunctionNode(Op):
    """The node of one call of a Function."""

    __slots__ = ("function", "ctx", "outputs", "made", "constant", "taken", "own", "zeros")

    def __init__(self, function: type[Function], ctx: Context, args: tuple, outputs: tuple[Tensor, ...]) -> None:
        self.function, self.ctx, self.outputs = function, ctx, len(outputs)
        self.zeros = namespace(outputs[0].array).zeros  # for an output that nobody used
        self.made = [(y.array.shape, y.array.dtype) for y in outputs]
        self.constant = [any(y is x for x in ctx.constant) for y in outputs]
        self.taken: list[Any] = [(x.array.shape, x.array.dtype) if isinstance(x, Tensor) else None for x in args]
        self.needs = ctx.needs_input_grad
        self.aux = None
        self.saved = list(ctx.to_save)
        self.own = {}
        for place, x in enumerate(self.saved):
            index = next((i for i, y in enumerate(outputs) if x is y and not any(x is a for a in args)), None)
            if index is not None:  # a saved output must not point back here (a cycle): an alias stands for it
                self.saved[place] = tape.new_value(x.array)
                self.own[place] = index
        self.versions = [x.changes() if isinstance(x, Tensor) else 0 for x in self.saved]
        ctx.to_save = ()
        self.record(tuple([x.edge() if isinstance(x, Tensor) else None for x in args]))

    def output(self, index: int, made: Tensor, args: tuple) -> Tensor:
        """Output `index` of forward, as a new tensor on the tape."""
        dirty = any(made is x for x in self.ctx.dirty)
        value = made if dirty else tape.new_value(made.array)
        if not dirty and (any(made is x for x in args) or made.version is not None):  # an argument, or a view
            made.share_version(value)
        for place, saved in self.own.items():
            if saved == index:
                self.saved[place].version = value.own_version()
                self.versions[place] = value.changes()
        if made.is_floating_point() and not self.constant[index]:
            value.tracked, value.node, value.index = True, self, index
        return value

    def name(self) -> str:
        return self.function.__name__

    def again(self, *args: Any) -> Any:
        return self.function.apply(*args)

    def _unpack(self, as_values: bool) -> list[Any]:
        unpacked = super()._unpack(as_values)
        for place, index in self.own.items():
            alias = unpacked[place]
            unpacked[place] = tape.new_value(alias.array)
            unpacked[place].version = alias.version
            if alias.is_floating_point():
                unpacked[place].tracked, unpacked[place].node, unpacked[place].index = True, self, index
        return unpacked

    def pull(self, grad: Any, create_graph: bool) -> list[Any]:
        grads = [grad] if self.outputs == 1 else grad
        grads = [self._as_tensor(g, shape, dtype) for g, (shape, dtype) in zip(grads, self.made)]
        self.ctx.saved_tensors = tuple(self._unpack(as_values=True))
        try:
            pulled = self.function.backward(self.ctx, *grads)
        finally:
            self.ctx.saved_tensors = ()  # a restored output points to this node: a cycle
        pulled = pulled if isinstance(pulled, tuple) else (pulled,)
        if len(pulled) > len(self.edges) and all(g is None for g in pulled[len(self.edges) :]):
            pulled = pulled[: len(self.edges)]
        if len(pulled) != len(self.edges):
            raise RuntimeError(
                f"{self.name()}.backward returned {len(pulled)} gradients, but forward took {len(self.edges)} arguments"
            )
        checked = [None if edge is None else self._checked(i, g) for i, (g, edge) in enumerate(zip(pulled, self.edges))]
        return [g if create_graph or g is None else g.array for g in checked]

    def _checked(self, i: int, g: Any) -> Tensor | None:
        """Gradient i as it must be to add up with others; TypeError or RuntimeError naming what is wrong."""
        if g is None:
            return None
        if not isinstance(g, Tensor):
            raise TypeError(f"{self.name()}.backward: gradient {i} must be a Tensor or None, not {type(g).__name__}")
        shape, dtype = self.taken[i]
        if not _expands(shape, g.shape):
            raise RuntimeError(f"{self.name()}.backward: gradient {i} has shape {g.shape}, its argument {shape}")
        return cast(unbroadcast(g, shape), dtype)

    def _as_tensor(self, g: Any, shape: tuple[int, ...], dtype: Any) -> Tensor | None:
        if g is None:
            return tape.new_value(self.zeros(shape, dtype)) if self.ctx.materialize_grads else None
        return g if isinstance(g, Tensor) else tape.new_value(g)


def _expands(shape: tuple[int, ...], to: tuple[int, ...]) -> bool:
    """Whether an array of `shape` broadcasts to the shape `to`."""
    return len(shape) <= len(to) and all(n in (1, m) for n, m in zip(reversed(shape), reversed(to)))
