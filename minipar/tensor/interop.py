"""How a tensor speaks with Python, NumPy, DLPack, pickle and notebooks."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import numpy as np

from .. import tape
from ..backend import device as Device
from ..backend import dtypes, on_device, to_numpy
from ..backend.current_gpu import copied
from ..ops import (
    arithmetic,
    compare,
    division,
    exponential,
    extremes,
    hyperbolic,
    linalg,
    magnitude,
    power,
    predicates,
    rounding,
    trigonometry,
)
from ..tape import Value
from .described import Described


class Interop(Described):
    """The part of a Tensor that the rest of the ecosystem sees."""

    __slots__ = ()

    def numpy(self, *, force: bool = False) -> np.ndarray:
        """The memory as a NumPy array, without a copy. RuntimeError if a gradient is required, or on a GPU.

        With `force` always an array: that of `x.detach().cpu()`.

        >>> minipar.ones(2, requires_grad=True).numpy(force=True)
        array([1., 1.], dtype=float32)
        """
        if force:
            return to_numpy(self.array)
        if self.tracked:
            raise RuntimeError("numpy() would drop the gradient of a tensor that requires grad; use x.detach().numpy()")
        if not isinstance(self.array, np.ndarray):
            raise RuntimeError(f"numpy() of a tensor on {self.device}: copy it first with x.cpu().numpy()")
        return self.array

    def item(self) -> Any:
        """The one element as a Python number.

        >>> minipar.tensor([[2.5]]).item()
        2.5
        """
        if self.array.size != 1:
            raise RuntimeError(f"item() needs a tensor of one element, not of shape {self.shape}")
        return self.array.item() if isinstance(self.array, np.ndarray) else to_numpy(self.array).item()

    def tolist(self) -> Any:
        """The elements as Python numbers, in lists of lists.

        >>> minipar.tensor([[1, 2]]).tolist()
        [[1, 2]]
        """
        return to_numpy(self.array).tolist()

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
        function = _UFUNCS.get(ufunc)
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
        twin = type(self).__new__(type(self))
        Value.__init__(twin, copied(self.array), self.tracked)
        twin._grad = None if self._grad is None else tape.new_value(copied(self._grad.array))
        twin.__dict__.update(deepcopy(self.__dict__, memo))
        return twin

    def __reduce__(self) -> Any:
        if self.node is not None:
            raise RuntimeError("only leaf tensors can be pickled (sent to a worker); use x.detach()")
        return _rebuild, (type(self), to_numpy(self.array), self.tracked, str(self.device)), self.__dict__ or None

    def __repr__(self) -> str:
        values = np.array2string(to_numpy(self.array), separator=", ", prefix="tensor(", precision=4, threshold=1000)
        notes = f", size={self.shape}" if not self.array.size and self.ndim > 1 else ""
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


_UFUNCS: dict[np.ufunc, Callable] = {
    np.add: arithmetic.add,
    np.subtract: arithmetic.sub,
    np.multiply: arithmetic.mul,
    np.negative: arithmetic.neg,
    np.positive: arithmetic.positive,
    np.divide: division.div,
    np.floor_divide: division.floor_divide,
    np.remainder: division.remainder,
    np.fmod: division.fmod,
    np.power: power.pow,
    np.float_power: power.float_power,
    np.square: power.square,
    np.sqrt: power.sqrt,
    np.reciprocal: power.reciprocal,
    np.exp: exponential.exp,
    np.exp2: exponential.exp2,
    np.expm1: exponential.expm1,
    np.log: exponential.log,
    np.log1p: exponential.log1p,
    np.log2: exponential.log2,
    np.log10: exponential.log10,
    np.logaddexp: exponential.logaddexp,
    np.logaddexp2: exponential.logaddexp2,
    np.sin: trigonometry.sin,
    np.cos: trigonometry.cos,
    np.tan: trigonometry.tan,
    np.arcsin: trigonometry.asin,
    np.arccos: trigonometry.acos,
    np.arctan: trigonometry.atan,
    np.arctan2: trigonometry.atan2,
    np.hypot: trigonometry.hypot,
    np.deg2rad: trigonometry.deg2rad,
    np.radians: trigonometry.deg2rad,
    np.rad2deg: trigonometry.rad2deg,
    np.degrees: trigonometry.rad2deg,
    np.sinh: hyperbolic.sinh,
    np.cosh: hyperbolic.cosh,
    np.tanh: hyperbolic.tanh,
    np.arcsinh: hyperbolic.asinh,
    np.arccosh: hyperbolic.acosh,
    np.arctanh: hyperbolic.atanh,
    np.floor: rounding.floor,
    np.ceil: rounding.ceil,
    np.trunc: rounding.trunc,
    np.rint: rounding.round,
    np.absolute: magnitude.abs_,
    np.fabs: magnitude.abs_,
    np.sign: magnitude.sign,
    np.copysign: magnitude.copysign,
    np.heaviside: magnitude.heaviside,
    np.ldexp: power.ldexp,
    np.maximum: extremes.maximum,
    np.minimum: extremes.minimum,
    np.fmax: extremes.fmax,
    np.fmin: extremes.fmin,
    np.isnan: predicates.isnan,
    np.isinf: predicates.isinf,
    np.isfinite: predicates.isfinite,
    np.signbit: predicates.signbit,
    np.equal: compare.eq,
    np.not_equal: compare.ne,
    np.less: compare.lt,
    np.less_equal: compare.le,
    np.greater: compare.gt,
    np.greater_equal: compare.ge,
    np.logical_and: compare.logical_and,
    np.logical_or: compare.logical_or,
    np.logical_xor: compare.logical_xor,
    np.logical_not: compare.logical_not,
    np.bitwise_and: compare.bitwise_and,
    np.bitwise_or: compare.bitwise_or,
    np.bitwise_xor: compare.bitwise_xor,
    np.invert: compare.bitwise_not,
    np.left_shift: compare.bitwise_left_shift,
    np.right_shift: compare.bitwise_right_shift,
    np.gcd: compare.gcd,
    np.lcm: compare.lcm,
    np.matmul: linalg.matmul,
}
