"""An array class that refuses what CuPy's refuses, over a NumPy array: for tests where there is no GPU.

It is not a GPU: the numbers are NumPy's. What it shows is which functions are called and with which kinds of operands:
only its own kind, Python numbers and NumPy scalars, as in CuPy; and names, arguments and dtypes that CuPy has
(surface.json, recorded from CuPy by record_surface.py). Where CuPy returns arrays of no axes, so does it.
Where CuPy would compute on one GPU with another's memory (a PerformanceWarning, and the result on the wrong one), it
refuses. It cannot show: rounding and speed on a GPU, the CUDA kernels, what is asynchronous, the undefined order of
repeated writes, indices out of range (CuPy wraps them around) and singular matrices (CuPy gives infinities and NaN, no
error).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from inspect import Parameter, Signature
from types import SimpleNamespace
from typing import Any

import numpy as np

from tests.cupy_double.double_cuda import Device, alloc, current

with open(f"{__file__.rpartition('/')[0]}/surface.json") as file:
    SURFACE = json.load(file)

IMPLICIT = (
    "Implicit conversion to a NumPy array is not allowed. Please use `.get()` to construct a NumPy array explicitly."
)
ADDED_AT = ["int32", "int64", "float16", "float32", "float64", "uint32", "uint64"]  # what CUDA adds atomically
EXTREME_AT = [name for name in ADDED_AT if name != "float16"]


def signature(names: list[str]) -> Signature:
    """A signature from its record: `a` is required, `a=` is not, what follows `*` goes by keyword."""
    made, kind = [], Parameter.POSITIONAL_OR_KEYWORD
    for name in names:
        if name == "*":
            kind = Parameter.KEYWORD_ONLY
        elif name.startswith("**"):
            made.append(Parameter(name[2:], Parameter.VAR_KEYWORD))
        elif name.startswith("*"):
            made.append(Parameter(name[1:], Parameter.VAR_POSITIONAL))
            kind = Parameter.KEYWORD_ONLY
        else:
            made.append(Parameter(name.rstrip("="), kind, default=None if name.endswith("=") else Parameter.empty))
    return Signature(made)


def on_host(x: Any, uploads: bool = False) -> Any:
    """The NumPy arrays within doubles, in nested sequences too. TypeError for NumPy arrays, unless `uploads`."""
    if isinstance(x, ndarray):
        return x._here()
    if isinstance(x, np.ndarray) and not uploads:
        raise TypeError(f"Unsupported type {type(x)}")
    if type(x) in (tuple, list):
        return type(x)(on_host(part, uploads) for part in x)
    return x


def wrapped(x: Any, *sources: Any) -> Any:
    """A result as doubles: itself where it is one of the arguments, a view of theirs where it shares their memory."""
    if isinstance(x, (tuple, list)):
        parts = [wrapped(part, *sources) for part in x]
        return parts if type(x) is list else tuple(parts)
    if not isinstance(x, (np.ndarray, np.generic)):
        return x
    host = np.asarray(x)
    for source in sources:
        if isinstance(source, ndarray):
            if source._host is x:
                return source
            if np.may_share_memory(source._host, host):
                return source._view(host)
    return ndarray._of(host)


class Memory:
    """What `ndarray.data` is: where the elements begin."""

    def __init__(self, array: ndarray) -> None:
        self.host, self.device_id, self.mem = array._host, array._gpu, array._memory
        self.ptr = array._host.ctypes.data


class ndarray:
    """Stands for cupy.ndarray."""

    __slots__ = ("_gpu", "_host", "_memory", "base", "__weakref__")
    __array_priority__ = 100
    __hash__ = None  # type: ignore[assignment]

    def __init__(
        self, shape: Any, dtype: Any = float, memptr: Any = None, strides: Any = None, order: str = "C"
    ) -> None:
        self.base, self._gpu = None, current.gpu if memptr is None else memptr.device_id
        if memptr is None:
            self._host = np.ndarray(shape, dtype, strides=strides, order=order)
            self._memory = alloc(self._host.nbytes).mem
        else:
            self._memory = memptr.mem
            self._host = np.ndarray(shape, dtype, memoryview(memptr.host).cast("B"), 0, strides, order)

    @classmethod
    def _of(cls, host: np.ndarray) -> ndarray:
        made = cls.__new__(cls)
        made._host, made.base, made._gpu = host, None, current.gpu
        made._memory = alloc(host.nbytes).mem
        return made

    def _view(self, host: np.ndarray) -> ndarray:
        made = type(self).__new__(type(self))
        made._host, made._gpu, made._memory = host, self._gpu, self._memory
        made.base = self if self.base is None else self.base
        return made

    def _here(self) -> np.ndarray:
        """The elements, for a computation on the current GPU."""
        if self._gpu != current.gpu:
            raise ValueError(
                f"The device where the array resides ({self._gpu}) is different from the current device ({current.gpu})"
            )
        return self._host

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(IMPLICIT)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        import cupy

        found = getattr(cupy, ufunc.__name__, None)
        if found is None or method != "__call__" or not all(is_operand(x) for x in inputs):
            return NotImplemented
        if "out" in kwargs:
            (kwargs["out"],) = kwargs["out"]
        return found(*inputs, **kwargs)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        import cupy

        module = cupy.linalg if function.__module__ == "numpy.linalg" else cupy
        found = getattr(module, function.__name__, None)
        if found is None or not set(types) <= {ndarray, np.ndarray}:
            return NotImplemented
        return found(*args, **kwargs)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {**self._host.__array_interface__, "version": 3}

    def __dlpack_device__(self) -> tuple[int, int]:
        return (2, self._gpu)

    @property
    def device(self) -> Any:
        return Device(self._gpu)

    @property
    def data(self) -> Memory:
        return Memory(self)

    @property
    def flags(self) -> Any:
        ours = self._host.flags
        return SimpleNamespace(
            c_contiguous=ours.c_contiguous, f_contiguous=ours.f_contiguous, owndata=self.base is None,
            forc=ours.forc, fnc=ours.fnc,
        )  # fmt: skip

    def __getitem__(self, index: Any) -> ndarray:
        places = on_host(index, uploads=True)
        if is_basic(places):  # a view, of a single element too
            places = places if isinstance(places, tuple) else (places,)
            places = places if any(i is Ellipsis for i in places) else (*places, ...)
            return wrapped(self._host[places], self)
        return wrapped(self._here()[places])

    def __setitem__(self, index: Any, value: Any) -> None:
        places = on_host(index, uploads=True)
        if isinstance(value, np.ndarray) and value.ndim and is_basic(places):
            raise ValueError("non-scalar numpy.ndarray cannot be used for fill")
        self._here()[places] = on_host(value, uploads=True)

    def __iter__(self) -> Any:
        return (self[i] for i in range(len(self._host)))

    def __len__(self) -> int:
        return len(self._host)

    def __bool__(self) -> bool:
        return bool(self._host)

    def __int__(self) -> int:
        return int(self._host)

    def __float__(self) -> float:
        return float(self._host)

    def __repr__(self) -> str:
        return repr(self._host)

    def __copy__(self) -> ndarray:
        return self.copy()

    def __deepcopy__(self, memo: dict) -> ndarray:
        return self.copy()

    def __reduce__(self) -> Any:
        import cupy

        return cupy.array, (self.get(),)

    # ── methods that differ from NumPy's ────────────────────────────────────────────────────────────────────────────

    def get(self, stream: Any = None, order: str = "C", out: Any = None, blocking: bool = True) -> np.ndarray:
        return self._host.copy(order)

    def item(self) -> Any:
        return self._host.item()

    def tolist(self) -> Any:
        return self._host.tolist()

    def fill(self, value: Any) -> None:
        if isinstance(value, np.ndarray) and value.ndim:
            raise ValueError("non-scalar numpy.ndarray cannot be used for fill")
        self._here().fill(on_host(value))

    def astype(
        self, dtype: Any, order: str = "K", casting: Any = None, subok: Any = None, copy: bool = True
    ) -> ndarray:
        if casting is not None or subok is not None:
            raise TypeError("casting and subok are not supported yet")
        with np.errstate(all="ignore"):
            return wrapped(self._here().astype(dtype, order or "K", copy=copy), self)

    def argmax(self, axis: Any = None, out: Any = None, dtype: Any = None, keepdims: bool = False) -> ndarray:
        return wrapped(np.argmax(self._here(), axis, keepdims=keepdims))

    def argmin(self, axis: Any = None, out: Any = None, dtype: Any = None, keepdims: bool = False) -> ndarray:
        return wrapped(np.argmin(self._here(), axis, keepdims=keepdims))

    def sort(self, axis: int = -1, kind: Any = None) -> None:
        if not self._host.flags.c_contiguous:
            raise NotImplementedError("Sorting non-contiguous array is not supported.")
        self._here().sort(axis, stable(kind))

    def argsort(self, axis: Any = -1, kind: Any = None) -> ndarray:
        return wrapped(self._here().argsort(axis, stable(kind)))

    def nonzero(self) -> tuple[ndarray, ...]:
        if not self._host.ndim:
            raise ValueError(
                "Calling nonzero on 0d arrays is not allowed. Use cp.atleast_1d(scalar).nonzero() instead."
            )
        return wrapped(self._here().nonzero())

    def diagonal(self, offset: int = 0, axis1: int = 0, axis2: int = 1) -> ndarray:
        host = self._host.diagonal(offset, axis1, axis2)
        host.flags.writeable = True
        return wrapped(host, self)

    def clip(self, min: Any = None, max: Any = None, out: Any = None) -> ndarray:
        import cupy

        return cupy.clip(self, min, max, out)

    def scatter_add(self, slices: Any, value: Any) -> None:
        self._combine(np.add, "add", ADDED_AT, slices, value)

    def scatter_max(self, slices: Any, value: Any) -> None:
        self._combine(np.maximum, "maximum", EXTREME_AT, slices, value)

    def scatter_min(self, slices: Any, value: Any) -> None:
        self._combine(np.minimum, "minimum", EXTREME_AT, slices, value)

    def _combine(self, ufunc: np.ufunc, name: str, dtypes: list[str], index: Any, value: Any) -> None:
        places = on_host(index, uploads=True)
        parts = places if isinstance(places, tuple) else (places,)
        by_mask = len(parts) == 1 and getattr(parts[0], "dtype", None) == np.bool_
        if not is_basic(places) and not by_mask and self._host.dtype.name not in dtypes:
            raise TypeError(f"cupy.{name}.at only supports {', '.join(dtypes)} as data type")
        ufunc.at(self._here(), places, on_host(value, uploads=True))


def stable(kind: Any) -> str:
    """The only sort there is."""
    if kind not in (None, "stable"):
        raise ValueError("kind can only be None or 'stable'")
    return "stable"


def is_operand(x: Any) -> bool:
    """May x stand in an operation? (A NumPy array may, and is refused there; anything else answers for itself.)"""
    return isinstance(x, (ndarray, np.ndarray, np.generic, bool, int, float, complex))


def is_basic(index: Any) -> bool:
    """Only slices, ints, None and …"""

    def picks_by_position(i: Any) -> bool:
        return i is None or i is Ellipsis or type(i) in (slice, int) or isinstance(i, np.integer)

    return all(map(picks_by_position, index if isinstance(index, tuple) else (index,)))


def _attribute(name: str) -> property:
    return property(lambda self: wrapped(getattr(self._host, name), self))


VIEWS = ("copy", "ravel", "reshape", "squeeze", "swapaxes", "transpose", "view")  # of another GPU's array too


def _method(name: str, names: list[str]) -> Callable[..., Any]:
    expected = signature(names)

    def method(self: ndarray, *args: Any, **kwargs: Any) -> Any:
        expected.bind(*args, **kwargs)
        uploads = name in ("take", "put", "searchsorted")
        host = self._host if name in VIEWS else self._here()
        host_kwargs = {key: on_host(x, uploads) for key, x in kwargs.items()}
        with np.errstate(all="ignore"):
            result = getattr(host, name)(*on_host(args, uploads), **host_kwargs)
        return wrapped(result, self, *args, *kwargs.values())

    method.__name__ = name
    return method


def _operator(name: str, ufunc: str, swapped: bool, in_place: bool) -> Callable[..., Any]:
    def operator(self: ndarray, *others: Any) -> Any:
        import cupy

        if not all(is_operand(x) for x in others):
            return NotImplemented
        operands = (*others, self) if swapped else (self, *others)
        return getattr(cupy, ufunc)(*operands, **({"out": self} if in_place else {}))

    operator.__name__ = name
    return operator


BINARY = {
    "add": "add", "sub": "subtract", "mul": "multiply", "truediv": "true_divide", "floordiv": "floor_divide",
    "mod": "remainder", "pow": "power", "lshift": "left_shift", "rshift": "right_shift", "and": "bitwise_and",
    "or": "bitwise_or", "xor": "bitwise_xor", "matmul": "matmul", "divmod": "divmod",
}  # fmt: skip
COMPARISONS = {
    "lt": "less",
    "le": "less_equal",
    "eq": "equal",
    "ne": "not_equal",
    "gt": "greater",
    "ge": "greater_equal",
}
UNARY = {"neg": "negative", "abs": "absolute", "invert": "invert", "pos": "positive"}


def _complete(kind: type) -> None:
    """Give the class the attributes, methods and operators of the record that it does not define itself."""
    for name in SURFACE["attributes"]:
        if name not in vars(kind) and hasattr(np.ndarray, name):
            setattr(kind, name, _attribute(name))
    for name, names in SURFACE["methods"].items():
        if name not in vars(kind) and hasattr(np.ndarray, name):
            setattr(kind, name, _method(name, names))
    for name, ufunc in {**BINARY, **COMPARISONS, **UNARY}.items():
        for prefix in ("", "r", "i") if name in BINARY else ("",):
            full = f"__{prefix}{name}__"
            if name in COMPARISONS or full in SURFACE["operators"]:
                setattr(kind, full, _operator(full, ufunc, prefix == "r", prefix == "i"))


_complete(ndarray)
