"""A user's own operation: forward and backward written by hand, as in PyTorch's `autograd.Function`."""

from __future__ import annotations

from typing import Any

from .. import tape
from ..ops.op import Op
from ..tensor import Tensor


class Context:
    """What `forward` leaves for `backward`: tensors through save_for_backward, anything else as attributes."""

    def __init__(self) -> None:
        self.to_save: tuple[Tensor | None, ...] = ()
        self.saved_tensors: tuple[Tensor | None, ...] = ()
        self.needs_input_grad: tuple[bool, ...] = ()

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        self.to_save = tensors


class Function:
    """Subclass with static methods `forward(ctx, *args)` and `backward(ctx, *grads)`; call `YourFunction.apply(*args)`.

    `backward` gets one gradient an output and returns one an argument of forward (None for what is no tensor). Written
    with tensor operations it can itself be differentiated.
    """

    @staticmethod
    def forward(ctx: Context, *args: Any) -> Any:
        raise NotImplementedError("a Function needs a static method forward(ctx, *args)")

    @staticmethod
    def backward(ctx: Context, *grads: Tensor) -> Any:
        raise NotImplementedError("a Function needs a static method backward(ctx, *grads) to be differentiated")

    @classmethod
    def apply(cls, *args: Any) -> Any:
        ctx = Context()
        tracked = tape.mode.grad and any(isinstance(x, Tensor) and x.tracked for x in args)
        ctx.needs_input_grad = tuple(isinstance(x, Tensor) and x.tracked for x in args)
        with tape.set_grad_mode(False):
            made = cls.forward(ctx, *args)
        outputs = made if isinstance(made, tuple) else (made,)
        if any(not isinstance(y, Tensor) for y in outputs):
            raise TypeError(f"{cls.__name__}.forward must return a Tensor or a tuple of Tensors")
        if not tracked:
            return made
        node = FunctionNode(cls, ctx, args, outputs)
        fresh = []
        for index, y in enumerate(outputs):
            value = tape.new_value(y.array)
            if any(y is x for x in args) or y.version is not None:
                y.share_version(value)
            if y.is_floating_point():
                value.tracked, value.node, value.index = True, node, index
            fresh.append(value)
        if tape.mode.watch is not None:
            tape.mode.watch(node, args, fresh)
        return tuple(fresh) if isinstance(made, tuple) else fresh[0]


class FunctionNode(Op):
    """The node of one call of a Function."""

    __slots__ = ("function", "ctx", "outputs", "shapes")

    def __init__(self, function: type[Function], ctx: Context, args: tuple, outputs: tuple[Tensor, ...]) -> None:
        self.function, self.ctx, self.outputs = function, ctx, len(outputs)  # type: ignore[misc]
        self.shapes = [(y.array.shape, y.array.dtype) for y in outputs]
        self.needs = ctx.needs_input_grad
        self.aux = ctx
        self.saved = []
        for x in ctx.to_save:
            made = [i for i, y in enumerate(outputs) if x is y and not any(x is a for a in args)]
            # A saved output must not point back here (a cycle): keep a bare alias and its place.
            self.saved.append((tape.new_value(x.array), made[0]) if made else x)
        self.versions = [x.changes() if isinstance(x, Tensor) else 0 for x in self.saved]
        ctx.to_save = ()
        self.record(tuple([x.edge() if isinstance(x, Tensor) else None for x in args]))

    def name(self) -> str:
        return self.function.__name__

    def again(self, *args: Any) -> Any:
        return self.function.apply(*args)

    def _restored(self, x: Any) -> Any:
        if not isinstance(x, tuple):
            return x
        value, index = x
        output = tape.new_value(value.array)
        output.tracked, output.node, output.index = True, self, index
        return output

    def pull(self, grad: Any, create_graph: bool) -> list[Any]:
        self.ctx.saved_tensors = tuple([self._restored(x) for x in self._unpack(as_values=True)])
        grads = [grad] if self.outputs == 1 else grad
        grads = [self._as_tensor(g, shape, dtype) for g, (shape, dtype) in zip(grads, self.shapes)]
        pulled = self.function.backward(self.ctx, *grads)
        self.ctx.saved_tensors = ()
        pulled = pulled if isinstance(pulled, tuple) else (pulled,)
        if len(pulled) != len(self.edges):
            raise RuntimeError(
                f"{self.name()}.backward returned {len(pulled)} gradients for the {len(self.edges)} arguments of forward"
            )
        for i, (g, edge) in enumerate(zip(pulled, self.edges)):
            if edge is not None and g is not None and not isinstance(g, Tensor):
                raise TypeError(
                    f"{self.name()}.backward: gradient {i} must be a Tensor or None, not {type(g).__name__}"
                )
        return [g if create_graph or g is None or edge is None else g.array for g, edge in zip(pulled, self.edges)]

    def _as_tensor(self, g: Any, shape: tuple[int, ...], dtype: Any) -> Tensor:
        if g is None:
            import numpy as np

            return tape.new_value(np.zeros(shape, dtype))
        return g if isinstance(g, Tensor) else tape.new_value(g)
