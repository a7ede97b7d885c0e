"""What a name of a kernel's surroundings stands for in the simulator; refuses what no kernel can use."""

import builtins
import sys
from collections.abc import Callable
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any, NamedTuple

import numpy as np
from numba.core import types
from numba.np.numpy_support import as_dtype

from . import stops
from .device import Device
from .mathematics import mathematical
from .scalars import Scalar

CUDA = ("numba.cuda", "numba.cuda.simulator")
SCALARS = (bool, int, float, complex, np.number, np.bool_)


class Surroundings:
    """Finds stand-ins, over the ``device``; ``translated`` makes one of a device function."""

    def __init__(self, device: Device, translated: Callable[[FunctionType], Any]):
        self.device, self.translated = device, translated

    def stand_in(self, name: str, value: Any) -> Any:
        """What ``value``, which the kernel calls ``name``, stands for. TypeError if a kernel cannot use it."""
        if value is None or isinstance(value, (*SCALARS, str)):
            return np.float64(value) if type(value) is float else value
        if isinstance(value, tuple):
            return tuple(self.stand_in(name, part) for part in value)
        if isinstance(value, np.ndarray):
            return self.device.constant(name, value)
        if isinstance(value, ModuleType):
            return self._module(value)
        if isinstance(value, (types.Number, types.Boolean)):
            return Scalar(as_dtype(value))
        return self._function(name, value)

    def _module(self, module: ModuleType) -> Any:
        name = module.__name__.removeprefix("numba_cuda.")
        if name in CUDA:
            return self.device
        if name.startswith("numba.cuda."):
            return getattr(self.device, name.removeprefix("numba.cuda."))
        return Module(module, self.stand_in)

    def _function(self, name: str, value: Any) -> Any:
        if hasattr(value, "twin"):
            return value.twin
        if hasattr(value, "warp_twin"):
            return stops.Waiting(value.__name__, stops.intrinsic(value.__name__, value.warp_twin))
        if hasattr(value, "py_func"):
            return self.translated(value.py_func)
        for known, its in vars(sys.modules["numba.cuda"]).items():  # from numba.cuda import …
            if its is value:
                return Imported(known)
        if _is_type(value) or isinstance(value, np.ufunc) or vars(builtins).get(name) is value:
            return value
        if isinstance(value, BuiltinFunctionType) and value.__module__ == "math":
            function = mathematical(value.__name__)
            if function is not None:
                return function
        if isinstance(value, FunctionType):
            raise TypeError(f"a kernel calls device functions only: decorate {name} by @cuda.jit(device=True)")
        raise TypeError(f"a kernel cannot use {name}, which is {_article(type(value).__name__)}")


class Imported(NamedTuple):
    """A name that the kernel has from ``numba.cuda``: to be looked up when it runs, since ``threadIdx`` changes."""

    name: str


class Module:
    """``numba``, ``math`` or ``numpy`` inside a kernel."""

    def __init__(self, module: ModuleType, stand_in: Callable[[str, Any], Any]):
        self._module, self._stand_in, self._known = module, stand_in, dict[str, Any]()

    def __getattr__(self, name: str) -> Any:
        if name not in self._known:
            self._known[name] = self._stand_in(f"{self._module.__name__}.{name}", getattr(self._module, name))
        return self._known[name]


def _is_type(value: Any) -> bool:
    kinds = (np.generic, BaseException, *SCALARS, np.dtype)
    return isinstance(value, (np.dtype, types.Type)) or (isinstance(value, type) and issubclass(value, kinds))


def _article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"
