"""Tensor: an array with a gradient and operators, spelled as in PyTorch.

Every method is one line over an operation of `minipar.ops`; what is particular to a Tensor is how it is converted,
changed in place, and shown.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from . import tape
from .backend import device as Device
from .backend import device_of, dtypes, namespace, on_device, to_numpy
from .ops import arithmetic, index, linalg, op, pointwise, reduce, select
from .ops import shape as shaping
from .ops.inplace import in_place, write
from .tape import Value


class Extremum(NamedTuple):
    """What max(dim) and min(dim) return."""

    values: Tensor
    indices: Tensor


_hook_keys = itertools.count()


class RemovableHandle:
    """Takes a hook off again: `handle.remove()`."""

    def __init__(self, hooks: dict[int, Callable], hook: Callable) -> None:
        self._hooks = hooks
        self._key = next(_hook_keys)  # not id(self): a handle that nobody keeps is gone, its hook is not
        hooks[self._key] = hook

    def remove(self) -> None:
        self._hooks.pop(self._key, None)


class Tensor(Value):
    """An n-dimensional array of one dtype on one device, that remembers how it was made.

    `Tensor(data)` gives a float tensor, as PyTorch's constructor does; `minipar.tensor(data)` keeps the data's type.
    """

    __slots__ = ()

    def __init__(self, data: Any = ()) -> None:
        array = _as_array(data, dtypes.get_default_dtype())
        super().__init__(array.copy() if isinstance(data, np.ndarray) else array)

    # ── what it is ────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    @property
    def dtype(self) -> np.dtype:
        return self.array.dtype

    @property
    def device(self) -> Device:
        return device_of(self.array)

    @property
    def ndim(self) -> int:
        return self.array.ndim

    def dim(self) -> int:
        return self.array.ndim

    def size(self, dim: int | None = None) -> Any:
        return self.shape if dim is None else self.shape[shaping.normal_dim(dim, self.ndim)]

    def numel(self) -> int:
        return self.array.size

    def element_size(self) -> int:
        return self.array.itemsize

    def is_floating_point(self) -> bool:
        return dtypes.is_floating(self.dtype)

    def is_contiguous(self) -> bool:
        return self.array.flags.c_contiguous

    def __len__(self) -> int:
        if not self.ndim:
            raise TypeError("len() of a 0-d tensor")
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        if not self.ndim:
            raise TypeError("iteration over a 0-d tensor")
        return (self[i] for i in range(len(self)))

    def __contains__(self, element: Any) -> bool:
        return bool((self == element).array.any())

    # ── gradients ─────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def requires_grad(self) -> bool:
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

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        self.requires_grad = requires_grad
        return self

    @property
    def is_leaf(self) -> bool:
        return self.node is None

    @property
    def grad_fn(self) -> tape.Node | None:
        """The node that made this tensor."""
        return self.node

    @property
    def grad(self) -> Tensor | None:
        """The accumulated gradient: a tensor of the same shape and dtype, or None."""
        return self._grad  # type: ignore[return-value]

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is not None:
            if not isinstance(value, Tensor):
                raise TypeError(f"grad must be a Tensor or None, not {type(value).__name__}")
            if value.shape != self.shape or value.dtype != self.dtype:
                raise RuntimeError(
                    f"grad must have shape {self.shape} and dtype {self.dtype.name}, "
                    f"not {value.shape} and {value.dtype.name}"
                )
        self._grad = value

    def backward(
        self,
        gradient: Tensor | None = None,
        retain_graph: bool | None = None,
        create_graph: bool = False,
        inputs: Sequence[Tensor] | None = None,
    ) -> None:
        """Add the gradient of this tensor with respect to every leaf that it depends on to the leaves' `.grad`.

        `gradient` is the gradient of some scalar with respect to this tensor (1 if this is a scalar itself), of its
        shape. `inputs` restricts the leaves. The graph is freed as it is walked unless `retain_graph` (by default
        `create_graph`). Raises RuntimeError without a graph, for a non-scalar without `gradient`, or for a freed graph.
        """
        keep = create_graph if retain_graph is None else retain_graph
        wanted = None if inputs is None else [inputs] if isinstance(inputs, Tensor) else list(inputs)
        if wanted is not None and not wanted:
            raise RuntimeError("inputs must name at least one tensor")
        check_inputs(wanted or ())
        seeds = gradient_seeds([self], [gradient], create_graph)
        found = tape.run_backward([self], seeds, retain_graph=keep, create_graph=create_graph, wanted=wanted)
        for x, g in zip(wanted or (), found):
            if g is not None:
                x.receive(g)

    def detach(self) -> Tensor:
        """The same memory without the history; a change of either is noticed by whoever saved the other."""
        alias = wrap(self.array)
        alias.version = self.own_version()
        return alias

    def detach_(self) -> Tensor:
        self.node, self.index, self.tracked = None, 0, False
        return self

    @property
    def data(self) -> Tensor:
        """The same memory without the history, and without the version check: changes are not noticed by the tape."""
        return wrap(self.array)

    @data.setter
    def data(self, value: Tensor) -> None:
        if not isinstance(value, Tensor):
            raise TypeError(f"data must be a Tensor, not {type(value).__name__}")
        self.array = value.array

    def register_hook(self, hook: Callable[[Tensor], Tensor | None]) -> RemovableHandle:
        """Call `hook(grad)` when this tensor's gradient is complete; what it returns (if not None) replaces it."""
        if not self.tracked:
            raise RuntimeError("cannot register a hook on a tensor that does not require a gradient")
        if self.node is None:
            if self._hooks is None:
                self._hooks = {}
            return RemovableHandle(self._hooks, hook)
        if self.node.hooks is None:
            self.node.hooks = {}
        return RemovableHandle(self.node.hooks.setdefault(self.index, {}), hook)

    def register_post_accumulate_grad_hook(self, hook: Callable[[Tensor], None]) -> RemovableHandle:
        """Call `hook(tensor)` after a backward pass has added to this leaf's `.grad`."""
        if self.node is not None or not self.tracked:
            raise RuntimeError("post-accumulate hooks belong to leaf tensors that require grad")
        if self._after_hooks is None:
            self._after_hooks = {}
        return RemovableHandle(self._after_hooks, hook)

    def retain_grad(self) -> None:
        """Keep the gradient of this non-leaf tensor in `.grad` too."""
        if not self.tracked:
            raise RuntimeError("retain_grad on a tensor that does not require a gradient")
        if self.node is not None:
            import weakref

            if self.node.retained is None:
                self.node.retained = {}
            self.node.retained[self.index] = weakref.ref(self)

    # ── operators ─────────────────────────────────────────────────────────────────────────────────────────────────

    def __add__(self, other: Any) -> Tensor:
        return arithmetic.Add()(self, other) if _operand(other) else NotImplemented

    def __radd__(self, other: Any) -> Tensor:
        return arithmetic.Add()(other, self) if _operand(other) else NotImplemented

    def __sub__(self, other: Any) -> Tensor:
        return arithmetic.Sub()(self, other) if _operand(other) else NotImplemented

    def __rsub__(self, other: Any) -> Tensor:
        return arithmetic.Sub()(other, self) if _operand(other) else NotImplemented

    def __mul__(self, other: Any) -> Tensor:
        return arithmetic.Mul()(self, other) if _operand(other) else NotImplemented

    def __rmul__(self, other: Any) -> Tensor:
        return arithmetic.Mul()(other, self) if _operand(other) else NotImplemented

    def __truediv__(self, other: Any) -> Tensor:
        return arithmetic.Div()(self, other) if _operand(other) else NotImplemented

    def __rtruediv__(self, other: Any) -> Tensor:
        return arithmetic.Div()(other, self) if _operand(other) else NotImplemented

    def __pow__(self, other: Any) -> Tensor:
        return arithmetic.pow(self, other) if _operand(other) else NotImplemented

    def __rpow__(self, other: Any) -> Tensor:
        return arithmetic.Pow()(other, self) if _operand(other) else NotImplemented

    def __matmul__(self, other: Any) -> Tensor:
        return linalg.matmul(self, other) if _operand(other) else NotImplemented

    def __rmatmul__(self, other: Any) -> Tensor:
        return linalg.matmul(other, self) if _operand(other) else NotImplemented

    def __neg__(self) -> Tensor:
        return arithmetic.neg(self)

    def __pos__(self) -> Tensor:
        return self

    def __abs__(self) -> Tensor:
        return pointwise.abs_(self)

    def __invert__(self) -> Tensor:
        return select.invert(self)

    def __and__(self, other: Any) -> Tensor:
        return select.compare("and_", self, other) if _operand(other) else NotImplemented

    def __or__(self, other: Any) -> Tensor:
        return select.compare("or_", self, other) if _operand(other) else NotImplemented

    def __xor__(self, other: Any) -> Tensor:
        return select.compare("xor", self, other) if _operand(other) else NotImplemented

    __rand__, __ror__, __rxor__ = __and__, __or__, __xor__

    def __lt__(self, other: Any) -> Tensor:
        return select.compare("lt", self, other) if _operand(other) else NotImplemented

    def __le__(self, other: Any) -> Tensor:
        return select.compare("le", self, other) if _operand(other) else NotImplemented

    def __gt__(self, other: Any) -> Tensor:
        return select.compare("gt", self, other) if _operand(other) else NotImplemented

    def __ge__(self, other: Any) -> Tensor:
        return select.compare("ge", self, other) if _operand(other) else NotImplemented

    def __eq__(self, other: object) -> Tensor:  # type: ignore[override]
        return select.compare("eq", self, other) if _operand(other) else NotImplemented

    def __ne__(self, other: object) -> Tensor:  # type: ignore[override]
        return select.compare("ne", self, other) if _operand(other) else NotImplemented

    __hash__ = object.__hash__  # a tensor is a key by identity: == compares elements

    def __getitem__(self, key: Any) -> Tensor:
        return index.getitem(self, key)

    def __setitem__(self, key: Any, value: Any) -> None:
        """x[key] = value: broadcast and cast to this dtype (floats are cut to integers, as in PyTorch)."""
        if not isinstance(value, Tensor):
            value = wrap(_as_array(value, None if hasattr(value, "dtype") else self.dtype, like=self.array))
        if not (tape.mode.grad and (self.tracked or value.tracked)):
            write(self, "__setitem__", value.array, index.plain(key))
        else:
            in_place(self, "__setitem__", lambda x: index.SetItem(key)(x, op.cast(value, x.dtype)))

    # ── in place ──────────────────────────────────────────────────────────────────────────────────────────────────

    def add_(self, other: Any, *, alpha: float = 1) -> Tensor:
        return in_place(self, "add_", lambda x: arithmetic.add(x, other, alpha=alpha))

    def sub_(self, other: Any, *, alpha: float = 1) -> Tensor:
        return in_place(self, "sub_", lambda x: arithmetic.sub(x, other, alpha=alpha))

    def mul_(self, other: Any) -> Tensor:
        return in_place(self, "mul_", lambda x: arithmetic.mul(x, other))

    def div_(self, other: Any) -> Tensor:
        return in_place(self, "div_", lambda x: arithmetic.div(x, other))

    def clamp_(self, min: float | None = None, max: float | None = None) -> Tensor:
        return in_place(self, "clamp_", lambda x: pointwise.clamp(x, min, max))

    def relu_(self) -> Tensor:
        return in_place(self, "relu_", pointwise.relu)

    def fill_(self, value: float) -> Tensor:
        """Every element ← value."""
        return self._overwrite("fill_", wrap(_as_array(value, self.dtype, like=self.array)))

    def zero_(self) -> Tensor:
        return self._overwrite("zero_", wrap(_as_array(0, self.dtype, like=self.array)))

    def copy_(self, source: Tensor) -> Tensor:
        """Every element ← the corresponding one of `source`, which is broadcast, cast and moved to this device."""
        return self._overwrite("copy_", source.to(self.device, self.dtype))

    def _overwrite(self, name: str, value: Tensor) -> Tensor:
        return in_place(self, name, lambda x: index.SetItem(...)(x, value))

    __iadd__, __isub__, __imul__, __itruediv__ = add_, sub_, mul_, div_

    # ── functions as methods ──────────────────────────────────────────────────────────────────────────────────────

    add = arithmetic.add
    sub = arithmetic.sub
    mul = arithmetic.mul
    div = arithmetic.div
    neg = arithmetic.neg
    pow = arithmetic.pow
    maximum = arithmetic.maximum
    minimum = arithmetic.minimum
    exp = pointwise.exp
    log = pointwise.log
    sqrt = pointwise.sqrt
    sin = pointwise.sin
    cos = pointwise.cos
    tanh = pointwise.tanh
    sigmoid = pointwise.sigmoid
    relu = pointwise.relu
    abs = pointwise.abs_
    sign = pointwise.sign
    clamp = pointwise.clamp
    logical_not = select.logical_not
    matmul = linalg.matmul
    sum = reduce.sum
    mean = reduce.mean
    var = reduce.var
    std = reduce.std
    amax = reduce.amax
    amin = reduce.amin
    logsumexp = reduce.logsumexp
    squeeze = shaping.squeeze
    unsqueeze = shaping.unsqueeze
    flatten = shaping.flatten
    transpose = shaping.transpose
    narrow = shaping.narrow

    def max(self, dim: Any = None, keepdim: bool = False) -> Any:
        """The maximum of all elements (ties share the gradient); with `dim` an int, (values, indices) along it;
        with `dim` a tensor, the larger of the two, element by element."""
        return maximum_of(self, dim, keepdim)

    def min(self, dim: Any = None, keepdim: bool = False) -> Any:
        """The minimum, with the rules of `max`."""
        return minimum_of(self, dim, keepdim)

    def argmax(self, dim: int | None = None, keepdim: bool = False) -> Tensor:
        return reduce.arg("argmax", self, dim, keepdim)

    def argmin(self, dim: int | None = None, keepdim: bool = False) -> Tensor:
        return reduce.arg("argmin", self, dim, keepdim)

    def all(self) -> Tensor:
        return wrap(self.array.all())

    def any(self) -> Tensor:
        return wrap(self.array.any())

    def where(self, condition: Tensor, other: Any) -> Tensor:
        return select.where(condition, self, other)

    def reshape(self, *sizes: Any) -> Tensor:
        return shaping.reshape(self, _sizes(sizes))

    def view(self, *sizes: Any) -> Tensor:
        """As reshape, but never a copy: RuntimeError where the strides do not allow it."""
        viewed = shaping.reshape(self, _sizes(sizes))
        if viewed.array.size and not namespace(self.array).may_share_memory(viewed.array, self.array):
            raise RuntimeError(f"view: a tensor of shape {self.shape} with these strides needs a copy; use reshape")
        return viewed

    def permute(self, *dims: Any) -> Tensor:
        return shaping.permute(self, _sizes(dims))

    def expand(self, *sizes: Any) -> Tensor:
        return shaping.expand(self, _sizes(sizes))

    def expand_as(self, other: Tensor) -> Tensor:
        return shaping.expand(self, other.shape)

    @property
    def T(self) -> Tensor:
        return shaping.permute(self, range(self.ndim)[::-1])

    @property
    def mT(self) -> Tensor:
        return shaping.transpose(self, -1, -2)

    # ── conversions ───────────────────────────────────────────────────────────────────────────────────────────────

    def to(self, *args: Any, device: Any = None, dtype: Any = None, copy: bool = False) -> Tensor:
        """`x.to(dtype)`, `x.to(device)`, `x.to(device, dtype)` or `x.to(other)`: x itself if nothing changes."""
        for arg in args:
            if isinstance(arg, Tensor):
                device, dtype = arg.device, arg.dtype
            elif isinstance(arg, (Device, str)) and (
                isinstance(arg, Device) or arg.partition(":")[0] in ("cpu", "cuda")
            ):
                device = arg
            else:
                dtype = arg
        moved = self
        if device is not None and (target := Device(device)) != self.device:
            moved = Move(target)(moved)
        if dtype is not None:
            moved = op.cast(moved, dtypes.as_dtype(dtype))
        return moved.clone() if copy and moved is self else moved

    def type_as(self, other: Tensor) -> Tensor:
        return self.to(other.dtype)

    def float(self) -> Tensor:
        return self.to(dtypes.float32)

    def double(self) -> Tensor:
        return self.to(dtypes.float64)

    def half(self) -> Tensor:
        return self.to(dtypes.float16)

    def long(self) -> Tensor:
        return self.to(dtypes.int64)

    def int(self) -> Tensor:
        return self.to(dtypes.int32)

    def bool(self) -> Tensor:
        return self.to(dtypes.bool_)

    def cpu(self) -> Tensor:
        return self.to("cpu")

    def cuda(self, device: Any = None) -> Tensor:
        return self.to("cuda" if device is None else Device("cuda", device) if isinstance(device, int_) else device)

    def clone(self) -> Tensor:
        """A copy in memory of its own; the gradient flows through."""
        return shaping.Copy()(self)

    def contiguous(self) -> Tensor:
        return self if self.is_contiguous() else self.clone()

    def numpy(self) -> np.ndarray:
        """The memory as a NumPy array, without a copy. RuntimeError if a gradient is required, or on a GPU."""
        if self.tracked:
            raise RuntimeError("numpy() would drop the gradient of a tensor that requires grad; use x.detach().numpy()")
        if not isinstance(self.array, np.ndarray):
            raise RuntimeError(f"numpy() of a tensor on {self.device}: copy it first with x.cpu().numpy()")
        return self.array

    def item(self) -> Any:
        """The one element as a Python number."""
        if self.array.size != 1:
            raise RuntimeError(f"item() needs a tensor of one element, not of shape {self.shape}")
        return self.array.item()

    def tolist(self) -> Any:
        return self.array.tolist()

    def __float__(self) -> Any:
        return float_(self.item())

    def __int__(self) -> Any:
        return int_(self.item())

    def __index__(self) -> Any:
        if self.dtype.kind not in "iub":
            raise TypeError(f"only integer tensors of one element can be an index, not {self.dtype.name}")
        return int_(self.item())

    def __bool__(self) -> Any:
        if self.array.size != 1:
            raise RuntimeError(f"the truth value of a tensor of shape {self.shape} is ambiguous; use .any() or .all()")
        return bool_(self.item())

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return np.array(self.numpy(), dtype=dtype, copy=copy)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        """np.exp(t), array + t: a supported ufunc becomes the operation of the same meaning."""
        function = _ufuncs().get(ufunc)
        if function is None or method != "__call__" or kwargs:
            raise TypeError(
                f"np.{ufunc.__name__}{'' if method == '__call__' else '.' + method} of a Tensor is not supported; "
                "convert it first: t.detach().numpy()"
            )
        return function(*inputs)

    def __dlpack__(self, **kwargs: Any) -> Any:
        if self.tracked:
            raise BufferError("DLPack would drop the gradient of a tensor that requires grad; export x.detach()")
        return self.array.__dlpack__(**kwargs)

    def __dlpack_device__(self) -> Any:
        return self.array.__dlpack_device__()

    @property
    def __cuda_array_interface__(self) -> Any:
        if isinstance(self.array, np.ndarray):
            raise AttributeError("this tensor is on the CPU")
        if self.tracked:
            raise AttributeError("__cuda_array_interface__ would drop the gradient; export x.detach()")
        return self.array.__cuda_array_interface__

    def __deepcopy__(self, memo: dict) -> Tensor:
        if self.node is not None:
            raise RuntimeError("only leaf tensors can be deep-copied; use x.detach().clone()")
        copied = type(self).__new__(type(self))
        Value.__init__(copied, self.array.copy(), self.tracked)
        copied._grad = None if self._grad is None else wrap(self._grad.array.copy())
        return copied

    def __reduce__(self) -> Any:
        if self.node is not None:
            raise RuntimeError("only leaf tensors can be pickled (sent to a worker); use x.detach()")
        return _rebuild, (type(self), to_numpy(self.array), self.tracked, str(self.device))

    def __repr__(self) -> str:
        values = np.array2string(to_numpy(self.array), separator=", ", prefix="tensor(", precision=4, threshold=1000)
        notes = ""
        if self.dtype not in (dtypes.get_default_dtype(), dtypes.int64, dtypes.bool_) or not self.array.size:
            notes += f", dtype={self.dtype.name}"
        if self.device.type != "cpu":
            notes += f", device='{self.device}'"
        if self.node is not None:
            notes += f", grad_fn=<{self.node.name()}>"
        elif self.tracked:
            notes += ", requires_grad=True"
        return f"tensor({values}{notes})"

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if self.array.size == 1 and not self.ndim else object.__format__(self, spec)

    def _repr_svg_(self) -> str | None:
        """A notebook shows the graph of a result: the one place where this floor looks up (DESIGN §3), and lazily."""
        if self.node is None:
            return None
        from .viz.graph import graph

        return graph(self)._repr_svg_()


# Tensor has methods of these names, which hide the types inside the class body.
int_, float_, bool_ = int, float, bool


class Move(op.Op):
    """y = x on another device; the gradient comes back to x's."""

    __slots__ = ("target", "source")

    def __init__(self, target: Device) -> None:
        self.target = target

    def forward(self, x):
        self.source = device_of(x)
        return on_device(x, self.target)

    def vjp(self, g):
        return Move(self.source)(g)


def wrap(array: Any) -> Tensor:
    """An array (or NumPy scalar) as a Tensor, sharing its memory."""
    value = Tensor.__new__(Tensor)
    Value.__init__(
        value, array if type(array) is np.ndarray or not isinstance(array, np.generic) else np.asarray(array)
    )
    return value


tape.use_value_type(wrap)


def tensor(data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A new leaf tensor with a copy of `data`: numbers, nested lists, arrays or a tensor.

    Python floats become the default dtype (float32), ints int64, bools bool; arrays keep their dtype. TypeError for
    what has no such dtype, ValueError for ragged lists.
    """
    array = data.array if isinstance(data, Tensor) else data
    array = _as_array(array, None if dtype is None else dtypes.as_dtype(dtype)).copy()
    if device is not None:
        array = on_device(array, Device(device))
    return wrap(array).requires_grad_(requires_grad) if requires_grad else wrap(array)


def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """`data` as a tensor, sharing memory where that is possible."""
    found = (
        data if isinstance(data, Tensor) else wrap(_as_array(data, None if dtype is None else dtypes.as_dtype(dtype)))
    )
    return found.to(found.device if device is None else device, dtype=dtype)


def from_numpy(array: np.ndarray) -> Tensor:
    """A tensor over the same memory."""
    if not isinstance(array, np.ndarray):
        raise TypeError(f"from_numpy expects a NumPy array, not {type(array).__name__}")
    dtypes.as_dtype(array.dtype)
    return wrap(np.asarray(array))


def from_dlpack(other: Any) -> Tensor:
    """A tensor over the memory of any object with `__dlpack__`."""
    if other.__dlpack_device__()[0] == 2:  # kDLCUDA
        import cupy

        array = cupy.from_dlpack(other)
    else:
        array = np.from_dlpack(other)
    dtypes.as_dtype(array.dtype)
    return wrap(array)


def check_inputs(inputs: Sequence[Tensor]) -> None:
    """RuntimeError unless every one of the tensors that a gradient is wanted for requires one."""
    for i, x in enumerate(inputs):
        if not x.tracked:
            raise RuntimeError(f"input {i} (shape {x.shape}) does not require a gradient")


def gradient_seeds(outputs: Sequence[Tensor], gradients: Sequence[Tensor | None], create_graph: bool) -> list[Any]:
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
            g = wrap(namespace(y.array).ones_like(y.array))
        elif not isinstance(g, Tensor):
            raise TypeError(f"the gradient must be a Tensor, not {type(g).__name__}")
        elif g.shape != y.shape:
            raise RuntimeError(f"the gradient's shape {g.shape} is not the tensor's {y.shape}")
        elif g.dtype != y.dtype:
            raise RuntimeError(f"the gradient's dtype {g.dtype.name} is not the tensor's {y.dtype.name}")
        elif g.device != y.device:
            raise RuntimeError(f"the gradient is on {g.device}, the tensor on {y.device}; move it with .to()")
        seeds.append(g if create_graph else g.array)
    return seeds


def maximum_of(x: Tensor, dim: Any = None, keepdim: bool = False) -> Any:
    return _extremum(x, dim, keepdim, "argmax", reduce.amax, arithmetic.maximum)


def minimum_of(x: Tensor, dim: Any = None, keepdim: bool = False) -> Any:
    return _extremum(x, dim, keepdim, "argmin", reduce.amin, arithmetic.minimum)


def _extremum(x: Tensor, dim: Any, keepdim: bool, which: str, of_all: Callable, of_two: Callable) -> Any:
    if dim is None:
        return of_all(x)
    if isinstance(dim, Tensor):
        return of_two(x, dim)
    return Extremum(*reduce.extremum(which, x, dim, keepdim))


def _operand(x: Any) -> bool:
    return isinstance(x, (Value, int, float, np.ndarray, np.generic)) or hasattr(x, "__cuda_array_interface__")


def _sizes(sizes: tuple) -> Sequence[int]:
    """f(2, 3) and f((2, 3)) mean the same."""
    return sizes[0] if len(sizes) == 1 and not isinstance(sizes[0], int) else sizes


def _as_array(data: Any, dtype: Any, like: Any = None) -> Any:
    """Numbers, nested lists (of numbers or tensors) and arrays as an array of a supported dtype."""
    if isinstance(data, Value):
        data = data.array
    if not hasattr(data, "dtype"):
        if isinstance(data, (list, tuple)) and any(isinstance(x, Value) for x in data):
            data = [x.array if isinstance(x, Value) else x for x in data]
        array = np.asarray(data)
        if array.dtype == np.float64 and dtype is None:
            dtype = dtypes.get_default_dtype()
        if array.dtype.kind not in "biuf":
            raise TypeError(f"expected numbers, nested lists of numbers or an array, not {type(data).__name__}")
    else:
        array = np.asarray(data) if isinstance(data, (np.generic, np.ndarray)) else data  # np.memmap too
    if dtype is not None:
        array = array.astype(dtype, copy=False)
    dtypes.as_dtype(array.dtype)
    return array if like is None or isinstance(array, type(like)) else namespace(like).asarray(array)


def _rebuild(kind: Any, array: np.ndarray, tracked: bool, device: str) -> Tensor:
    value = kind.__new__(kind)
    Value.__init__(value, on_device(array, Device(device)), tracked)
    return value


def _ufuncs() -> dict[np.ufunc, Callable]:
    return {
        np.add: arithmetic.add,
        np.subtract: arithmetic.sub,
        np.multiply: arithmetic.mul,
        np.divide: arithmetic.div,
        np.negative: arithmetic.neg,
        np.power: arithmetic.pow,
        np.maximum: arithmetic.maximum,
        np.minimum: arithmetic.minimum,
        np.exp: pointwise.exp,
        np.log: pointwise.log,
        np.sqrt: pointwise.sqrt,
        np.sin: pointwise.sin,
        np.cos: pointwise.cos,
        np.tanh: pointwise.tanh,
        np.absolute: pointwise.abs_,
        np.sign: pointwise.sign,
        np.matmul: linalg.matmul,
        np.logical_not: select.logical_not,
        np.invert: select.invert,
        np.bitwise_and: lambda a, b: select.compare("and_", a, b),
        np.bitwise_or: lambda a, b: select.compare("or_", a, b),
        np.bitwise_xor: lambda a, b: select.compare("xor", a, b),
        np.less: lambda a, b: select.compare("lt", a, b),
        np.less_equal: lambda a, b: select.compare("le", a, b),
        np.greater: lambda a, b: select.compare("gt", a, b),
        np.greater_equal: lambda a, b: select.compare("ge", a, b),
        np.equal: lambda a, b: select.compare("eq", a, b),
        np.not_equal: lambda a, b: select.compare("ne", a, b),
    }
