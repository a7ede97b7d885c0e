"""What an operation is: its forward and its gradient side by side.

    class Mul(Elementwise):
        saves = (0, 1)                          # which inputs the gradient needs

        def forward(self, a, b):                # arrays in, array out
            return a * b

        def vjp(self, g, a, b):                 # g: gradient of the output; then what was saved
            return g * b, g * a

An instance is one application of the operation, and is itself the node on the tape: `Mul()(x, y)`. Called with
Tensors it returns a Tensor and records itself if a gradient may be wanted; called with arrays it just computes.
Because `vjp` is written with operations (and the operators that arrays and Tensors share), the same lines serve the
fast backward, on arrays, and `create_graph=True`, on Tensors: so the gradient of a gradient needs no further rule.

vjp is the vector–Jacobian product: for y = f(x) it returns gᵀ ∂f/∂x, the only thing that reverse mode needs
(Griewank & Walther, Evaluating Derivatives, 2nd ed., ch. 3).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from typing import Any

import numpy as np

from .. import tape
from ..backend import device_of, dtypes, namespace
from ..backend.current_gpu import elsewhere, on_its_gpu
from ..tape import Value, Version
from .accepts import needs_float, no_tensor, tensor_dtype
from .named import Named

RELEASED: Any = ("released",)
_NUMBERS = (float, int)


class Deferred(Named):
    """Stands for what a node saved while it is let go (`autograd/recompute.py`)."""

    remember: Callable[[], None]
    stand_ins: list[Any]


class Op(tape.Node):
    """Base of all operations. Parameters of an operation (an axis, a stride) are arguments of its constructor."""

    __slots__ = ("needs", "saved", "versions", "result", "aux")

    saves: tuple[int, ...] = ()  # positions of the inputs that vjp needs
    needed_for: Mapping[int, int] = {}  # {0: 1}: input 0 is needed for the gradient of input 1 alone
    saves_output = False  # does vjp need the output too?

    saved: Any  # a list of values and arrays; Deferred, or RELEASED, while they are not here
    versions: list[int]  # how often each had been changed
    result: tuple[Any, Version]  # with saves_output: its array, and the counter of its changes
    aux: Any  # whatever else forward keeps for vjp, held constant by the gradient (a mask, indices)
    needs: Sequence[bool]  # for each input, whether its gradient is wanted

    def forward(self, *arrays: Any) -> Any:
        raise NotImplementedError

    def vjp(self, grad: Any, *saved: Any) -> Any:
        """One gradient an input (None where `self.needs` says that none is wanted)."""
        raise NotImplementedError

    def room(self, i: int) -> Any:
        """An array of input i's shape in which vjp may compute its gradient, to be its `.grad`; None if there is none.

        It is asked for once in a vjp, and then must be returned.
        """
        return self.edges[i][0]._grad_slot() if tape.mode.lends else None  # type: ignore[index]

    def __call__(self, *inputs: Any) -> Any:
        # The path of every step: all that the record needs of the inputs is gathered in one loop.
        arrays: list[Any] = []
        edges: list[tape.Edge | None] = []
        versions: list[int] = []
        first, kind = None, np.ndarray
        for x in inputs:
            if isinstance(x, Value):
                array, version = x.array, x.version
                if first is None:
                    first, kind = x, type(array)
                elif type(array) is not kind:
                    return self._across_devices(inputs, first, x)
                arrays.append(array)
                edges.append(None if not x.tracked else (x, 0) if x.node is None else (x.node, x.index))
                versions.append(0 if version is None else version.count)
            else:
                arrays.append(x)
                edges.append(None)
                versions.append(0)
        if kind is not np.ndarray and not issubclass(kind, np.ndarray):
            gpu = self._gpu_elsewhere(inputs)
            if gpu is not None:
                with gpu:
                    return Op.__call__(self, *inputs)
        self.aux = None
        result = self.forward(*arrays)
        if first is None:
            return result
        alone = self.outputs == 1
        self.needs = needs = [edge is not None for edge in edges]
        if not (True in needs and tape.mode.grad):
            return tape.new_value(result) if alone else tuple([tape.new_value(part) for part in result])
        self.record(edges)
        self._save(inputs, versions)
        values: Any = tape.result_of(self, result) if alone else self._several(result)
        if self.saves_output:
            value = values if alone else values[0]
            value.version = Version()  # not the value itself is kept, which points here (a cycle)
            self.result = value.array, value.version
        if tape.mode.watch is not None:
            tape.mode.watch(self, inputs, (values,) if alone else values)
        return values

    def _gpu_elsewhere(self, inputs: tuple) -> Any:
        """What makes the GPU of the inputs current, None where it is. RuntimeError if they lie on several."""
        values = [x for x in inputs if isinstance(x, Value)]
        first, *others = values
        for x in others:
            if x.array.data.device_id != first.array.data.device_id:
                raise device_error(self.name(), first, x)
        return elsewhere(first.array)

    def _across_devices(self, inputs: tuple, a: Value, b: Value) -> Any:
        """What happens where a and b are on two devices: an error, unless a subclass knows better."""
        raise device_error(self.name(), a, b)

    def _save(self, inputs: tuple, versions: list[int]) -> None:
        """Keep what the gradient will need; `versions` says how often each input had been changed."""
        if not self.saves:
            self.saved, self.versions = [], []
            return
        saved: list[Any] = [inputs[i] for i in self.saves]
        for i, other in self.needed_for.items():
            if not self.needs[other]:
                saved[i] = None
        self.versions = [versions[i] for i in self.saves]
        self.saved = saved

    def _several(self, results: Sequence[Any]) -> tuple[Any, ...]:
        """The outputs as values."""
        return tuple([tape.result_of(self, array, index) for index, array in enumerate(results)])

    def again(self, *inputs: Any) -> Any:
        """The same application on other inputs, as a node of its own."""
        return copy(self)(*inputs)

    def defer(self, remember: Callable[[], None], let_go: Callable[[Any], Any]) -> None:
        """Let go of what was saved, each as `let_go` says; before it is needed, `remember` must call `recall`."""
        kept = self.saved.stand_ins if isinstance(self.saved, Deferred) else self.saved
        self.saved = Deferred(remember, [let_go(x) for x in kept])
        self.aux = None
        if self.saves_output:
            self.result = None, self.result[1]

    def recall(self, twin: Op, merge: Callable[[Any, Any], Any]) -> None:
        """Take back what was let go, from a node that saved the same: `merge(stand-in, twin's)`."""
        if isinstance(twin.saved, Deferred):
            twin.saved.remember()
        if isinstance(self.saved, Deferred):
            before = self.saved.stand_ins
            self.saved = [merge(old, new) for old, new in zip(before, twin.saved)]
            self.versions = [v if x is old else 0 for v, x, old in zip(self.versions, self.saved, before)]
            self.aux = twin.aux
            if self.saves_output:
                self.result = twin.result[0], Version()

    def _unpack(self, as_values: bool) -> list[Any]:
        """What was saved, as arrays or as values, after checking that nobody changed it since."""
        if type(self.saved) is not list:
            self._remember()
        unpacked: list[Any] = []
        for x, version in zip(self.saved, self.versions):
            if isinstance(x, Value):
                if x.version is not None and x.version.count != version:
                    raise self._changed(x.array, x.version, version)
                unpacked.append(x if as_values else x.array)
            else:
                unpacked.append(x)
        if self.saves_output:
            unpacked.append(self._output(as_values))
        return unpacked

    def _output(self, as_values: bool) -> Any:
        """The output as it was; as a value, one that was made by this node."""
        array, version = self.result
        if version.count:
            raise self._changed(array, version, 0)
        if not as_values:
            return array
        alias = tape.result_of(self, array)
        alias.version = version
        return alias

    def _remember(self) -> None:
        if type(self.saved) is Deferred:
            self.saved.remember()
        if self.saved is RELEASED:
            raise RuntimeError(
                f"second backward through a freed graph (at {self.name()}): what it saved was released by the first; "
                "pass retain_graph=True to the first backward"
            )

    def _changed(self, array: Any, version: Version, saved_at: int) -> RuntimeError:
        return RuntimeError(
            f"{self.name()} needs a tensor of shape {tuple(array.shape)} for its gradient, but "
            f"{version.changed_by} changed it in place since (version {version.count}, saved at {saved_at}); "
            "change a copy instead: x = x.clone()"
        )

    def pull(self, grad: Any, create_graph: bool) -> Sequence[Any]:
        if self.outputs > 1:
            grad = tuple(grad)
        pulled = self.vjp(grad, *self._unpack(create_graph))
        return pulled if isinstance(pulled, tuple) else (pulled,)

    def release(self) -> None:
        if self.saved or self.aux is not None or self.saves_output:
            self.saved = RELEASED
            self.result = None, None  # type: ignore[assignment]
        self.aux = None


class Elementwise(Op):
    """An operation on corresponding elements: operands are promoted to one dtype and broadcast to one shape.

    The rule is written for operands of equal shape; what broadcasting repeated is summed back here.
    """

    __slots__ = ("shapes",)

    integers_become_floats = False  # true division and the transcendental functions

    def __call__(self, *operands: Any) -> Any:
        dtype = None
        for x in operands:
            if isinstance(x, Value):
                other = x.array.dtype
                if dtype is None or other is dtype or other == dtype:
                    dtype = other
                    continue
            operands = promoted(operands, self.integers_become_floats)
            break
        not_seen_float = self.integers_become_floats and (dtype is None or dtype.kind != "f")
        if not_seen_float and any(isinstance(x, Value) for x in operands):
            operands = tuple(
                [x if dtypes.is_floating(x.dtype) else cast(x, dtypes.get_default_dtype()) for x in operands]
            )
        try:
            return Op.__call__(self, *operands)
        except ValueError as error:
            if "broadcast" not in str(error):
                raise
            raise RuntimeError(broadcast_error(self.name(), [tuple(x.shape) for x in operands])) from None

    def _across_devices(self, inputs: tuple, a: Value, b: Value) -> Any:
        """A tensor of no axes on the CPU stands for a number: it is moved to the others, as in PyTorch."""
        from .device import Move

        here = [isinstance(x, Value) and isinstance(x.array, np.ndarray) for x in inputs]
        if any(x.array.ndim for x, on_cpu in zip(inputs, here) if on_cpu):
            raise device_error(self.name(), a, b)
        there = device_of((b if isinstance(a.array, np.ndarray) else a).array)
        return self(*[Move(there)(x) if on_cpu else x for x, on_cpu in zip(inputs, here)])

    def _save(self, inputs: tuple, versions: list[int]) -> None:
        self.shapes = [x.array.shape if isinstance(x, Value) else x.shape for x in inputs]
        Op._save(self, inputs, versions)

    def pull(self, grad: Any, create_graph: bool) -> Sequence[Any]:
        pulled = Op.pull(self, grad, create_graph)
        return [g if g is None or g.shape == shape else unbroadcast(g, shape) for g, shape in zip(pulled, self.shapes)]


class Fat(Op):
    """One node for what could be many: a hand-written array `vjp`, and a `composite` for the gradient of the gradient.

    `composite` is the same function in simple differentiable operations. Under create_graph it is run on the inputs
    and differentiated, so that no kernel ever needs a second derivative. For that every input is kept until the graph
    is freed, also where `vjp` alone would need fewer: `saves` says which must not be changed in place meanwhile.
    """

    __slots__ = ("inputs",)

    inputs: tuple

    def composite(self, *inputs: Any) -> Any:
        raise NotImplementedError

    def _save(self, inputs: tuple, versions: list[int]) -> None:
        self.inputs, self.versions, self.saved = inputs, versions, None

    def release(self) -> None:
        self.saved = RELEASED
        self.inputs = ()
        self.result = self.aux = None  # type: ignore[assignment]

    def defer(self, remember: Callable[[], None], let_go: Callable[[Any], Any]) -> None:
        self.saved = self.saved.stand_ins if isinstance(self.saved, Deferred) else self.inputs
        super().defer(remember, let_go)
        self.inputs = ()

    def recall(self, twin: Any, merge: Callable[[Any, Any], Any]) -> None:
        if isinstance(twin.saved, Deferred):
            twin.saved.remember()
        if isinstance(self.saved, Deferred):
            twin.saved = twin.inputs
            super().recall(twin, merge)
            self.inputs, self.saved, twin.saved = tuple(self.saved), None, None

    def _unpack(self, as_values: bool) -> list[Any]:
        if self.saved is not None:
            self._remember()
        unpacked: list[Any] = []
        inputs, versions, needed_for = self.inputs, self.versions, self.needed_for
        for i in self.saves:
            x = inputs[i]
            if i in needed_for and not self.needs[needed_for[i]]:
                x = None
            elif isinstance(x, Value):
                version = x.version
                if version is not None and version.count != versions[i]:
                    raise self._changed(x.array, version, versions[i])
                if not as_values:
                    x = x.array
            unpacked.append(x)
        if self.saves_output:
            unpacked.append(self._output(as_values))
        return unpacked

    def pull(self, grad: Any, create_graph: bool) -> Sequence[Any]:
        if create_graph:
            return self._pull_through_composite(grad)
        pulled = self.vjp(grad if self.outputs == 1 else tuple(grad), *self._unpack(False))
        return pulled if isinstance(pulled, tuple) else (pulled,)

    def _pull_through_composite(self, grad: Any) -> Sequence[Any]:
        if self.saved is not None:
            self._remember()
        for x, version in zip(self.inputs, self.versions):
            if isinstance(x, Value) and x.changes() != version:
                raise self._changed(x.array, x.own_version(), version)
        inputs = self.inputs
        # The walk back must stop at this node's inputs, not run on through what made them: so it stops at aliases.
        aliases = [Identity()(x) if need else x for x, need in zip(inputs, self.needs)]
        outputs = self.composite(*aliases)
        pairs = [(outputs, grad)] if self.outputs == 1 else zip(outputs, grad)
        roots, grads = zip(*[(y, g) for y, g in pairs if g is not None])
        wanted = [x for x, need in zip(aliases, self.needs) if need]
        found = iter(tape.run_backward(roots, grads, create_graph=True, retain_graph=True, wanted=wanted))
        return [next(found) if need else None for need in self.needs]


class Identity(Op):
    """y = x, as a new value."""

    __slots__ = ()

    def forward(self, x: Any) -> Any:
        return x

    def vjp(self, g: Any) -> Any:
        return g


class Cast(Op):
    """y = x in another dtype; the gradient comes back in x's."""

    __slots__ = ("dtype", "source")

    def __init__(self, dtype: Any) -> None:
        self.dtype = dtype

    def forward(self, x: Any) -> Any:
        self.source = x.dtype
        return x.astype(self.dtype)

    def vjp(self, g: Any) -> Any:
        return cast(g, self.source)


def array_of(x: Any) -> Any:
    """The array of a value; an array as it is."""
    return x.array if isinstance(x, Value) else x


@on_its_gpu
def zero_of(like: Any) -> Any:
    """0 as an array of no axes, of the dtype and on the device of `like`."""
    array = array_of(like)
    return namespace(array).zeros((), array.dtype)


def cast(x: Any, dtype: Any) -> Any:
    return x if x.dtype == dtype else Cast(dtype)(x)


def promoted(operands: Sequence[Any], integers_become_floats: bool = False) -> tuple[Any, ...]:
    """The operands as values (or arrays, if all are) of the one dtype that PyTorch's promotion table gives them."""
    if len(operands) == 2:
        a, b = operands
        if type(b) in _NUMBERS and isinstance(a, Value) and a.array.dtype.kind == "f":
            return a, dtypes.scalar_like(b, a.array, a.array.dtype)
        if type(a) in _NUMBERS and isinstance(b, Value) and b.array.dtype.kind == "f":
            return dtypes.scalar_like(a, b.array, b.array.dtype), b
    values = [x for x in operands if isinstance(x, Value)]
    if values:  # np.float64(2) beside a tensor is a number like any other: it must not make float64 of float32
        operands = [x.item() if isinstance(x, np.generic) else x for x in operands]
        like = values[0].array
    else:
        like = next((x for x in operands if hasattr(x, "dtype")), None)
        if like is None:
            raise no_tensor(operands[0])
    dtype = dtypes.result_type(*[x.array if isinstance(x, Value) else x for x in operands])
    if integers_become_floats and values and not dtypes.is_floating(dtype):
        dtype = dtypes.get_default_dtype()  # before a number is made one of them: -1 must not wrap to uint8's 255
    return tuple(cast(x, dtype) if hasattr(x, "dtype") else dtypes.scalar_like(x, like, dtype) for x in operands)


def unbroadcast(g: Any, shape: tuple[int, ...]) -> Any:
    """Sum `g` over the axes that broadcasting repeated, back to `shape`."""
    if g.shape == shape:
        return g
    from .reduce import sum
    from .shape import reshape

    lead = len(g.shape) - len(shape)
    repeated = [lead + i for i, n in enumerate(shape) if n == 1 and g.shape[lead + i] != 1]
    return reshape(sum(g, (*range(lead), *repeated), True), shape)


def check_dtypes(name: str, x: Any, *others: Any) -> None:
    """RuntimeError unless x is floating point and the others (None is skipped) have its dtype."""
    needs_float(name, x)
    for other in others:
        if other is not None and tensor_dtype(other) != x.dtype:
            raise RuntimeError(
                f"{name}: input is {x.dtype.name}, but got {other.dtype.name} too; convert one with .to()"
            )


def broadcast_error(name: str, shapes: Sequence[tuple[int, ...]]) -> str:
    return (
        f"{name}: shapes {', '.join(map(str, shapes))} cannot be broadcast; compared from the last axis on, "
        "sizes must be equal or 1"
    )


def check_devices(name: str, *operands: Any) -> None:
    """RuntimeError, which names both, if two of the operands that are tensors are on two devices."""
    tensors = [x for x in operands if isinstance(x, Value)]
    for x in tensors[1:]:
        here = type(x.array) is type(tensors[0].array) is np.ndarray  # the usual answer, sooner
        if not here and device_of(x.array) != device_of(tensors[0].array):
            raise device_error(name, tensors[0], x)


def device_error(name: str, a: Value, b: Value) -> RuntimeError:
    return RuntimeError(
        f"{name} got tensors on two devices: {device_of(a.array)} (shape {tuple(a.array.shape)}) and "
        f"{device_of(b.array)} (shape {tuple(b.array.shape)}); move one with .to({str(device_of(a.array))!r})"
    )
