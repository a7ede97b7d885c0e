"""How a tensor speaks with Python, NumPy, DLPack, pickle and notebooks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .. import tape
from ..backend import device as Device
from ..backend import dtypes, on_device, to_numpy
from ..ops import arithmetic, linalg, pointwise, select
from ..tape import Value
from .described import Described


class Interop(Described):
    """The part of a Tensor that the rest of the ecosystem sees."""

    __slots__ = ()

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
        return float(self.item())

    def __int__(self) -> Any:
        return int(self.item())

    def __index__(self) -> Any:
        if self.dtype.kind not in "iub":
            raise TypeError(f"only integer tensors of one element can be an index, not {self.dtype.name}")
        return int(self.item())

    def __bool__(self) -> Any:
        if self.array.size != 1:
            raise RuntimeError(f"the truth value of a tensor of shape {self.shape} is ambiguous; use .any() or .all()")
        return bool(self.item())

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

    def __deepcopy__(self, memo: dict) -> Any:
        if self.node is not None:
            raise RuntimeError("only leaf tensors can be deep-copied; use x.detach().clone()")
        copied = type(self).__new__(type(self))
        Value.__init__(copied, self.array.copy(), self.tracked)
        copied._grad = None if self._grad is None else tape.new_value(self._grad.array.copy())
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
        from ..viz.graph import graph

        return graph(self)._repr_svg_()


def _rebuild(kind: Any, array: np.ndarray, tracked: bool, device: str) -> Any:
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
