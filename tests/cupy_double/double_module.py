"""Modules that stand for `cupy` and `cupyx` over the array class of double_array.py: CuPy's names and no others."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from tests.cupy_double.double_array import SURFACE, ndarray, on_host, signature, stable, wrapped
from tests.cupy_double.double_cuda import MemoryPool, current, make_cuda

UPLOADS = {"array", "asarray", "asanyarray", "ascontiguousarray", "asfortranarray"}
FREE = UPLOADS | {  # functions that need no array
    "zeros", "ones", "empty", "full", "arange", "linspace", "logspace", "eye", "identity", "tri", "indices",
    "result_type", "can_cast", "promote_types", "min_scalar_type", "isscalar", "broadcast_shapes",
    "tril_indices", "triu_indices", "diag_indices",
}  # fmt: skip
PYTHON_NUMBERS = (bool, int, float, complex)


class ufunc:
    """Stands for a cupy.ufunc: it picks the first loop that all operands can be cast to safely."""

    def __init__(self, name: str, types: list[str], numpy_function: Callable[..., Any], at: bool) -> None:
        self.__name__ = name
        self.types = types
        self.loops = [tuple(map(tuple, loop.split("->"))) for loop in types]
        self.nin, self.nout = map(len, self.loops[0])
        self.numpy_function, self.has_at = numpy_function, at

    def __call__(self, *args: Any, out: Any = None, dtype: Any = None, casting: str = "same_kind") -> Any:
        if len(args) > self.nin:
            args, out = args[: self.nin], args[self.nin]
        if len(args) != self.nin:
            raise TypeError(f"Wrong number of arguments for {self.__name__!r}")
        hosts = on_host(args)
        for x in hosts:
            if not isinstance(x, (np.ndarray, np.generic, *PYTHON_NUMBERS)):
                raise TypeError(f"Unsupported type {type(x)}")
        ins, outs = self.loop(hosts, dtype)
        with np.errstate(all="ignore"):
            results = self.numpy_function(*[np.asarray(x).astype(kind) for x, kind in zip(hosts, ins)])
            results = results if isinstance(results, tuple) else (results,)
            results = tuple([np.asarray(y).astype(kind, copy=False) for y, kind in zip(results, outs)])
        if out is None:
            return wrapped(results if self.nout > 1 else results[0])
        if not isinstance(out, ndarray):
            raise TypeError(f"return arrays must be of ArrayType, not {type(out)}")
        if not np.can_cast(results[0].dtype, out.dtype, casting):
            raise TypeError(f"output (typecode {outs[0]!r}) could not be coerced to {out.dtype} by {casting!r}")
        out._host[...] = results[0]
        return out

    def loop(self, hosts: tuple, dtype: Any) -> tuple:
        strong = [x.dtype for x in hosts if not isinstance(x, PYTHON_NUMBERS) or isinstance(x, np.generic)]
        kinds = [x.dtype if hasattr(x, "dtype") else np.result_type(*strong, x) for x in hosts]
        for ins, outs in self.loops:
            if dtype is not None and np.dtype(outs[0]) == np.dtype(dtype):
                return ins, outs
            if dtype is None and all(np.can_cast(kind, i) for kind, i in zip(kinds, ins)):
                return ins, outs
        raise TypeError(f"Wrong type ({', '.join(map(str, kinds))}) of arguments for cupy_{self.__name__}")

    def at(self, a: ndarray, indices: Any, b: Any = None) -> None:
        if not self.has_at:
            raise NotImplementedError(f"`cupy_{self.__name__}.at` is not supported yet")
        if self.__name__ not in ("add", "maximum", "minimum"):
            raise AssertionError(f"the double has no {self.__name__}.at")
        {"add": a.scatter_add, "maximum": a.scatter_max, "minimum": a.scatter_min}[self.__name__](indices, b)


def function(name: str, names: list[str], numpy_function: Callable[..., Any]) -> Callable[..., Any]:
    """NumPy's function with CuPy's parameters, on doubles."""
    expected = signature(names)

    def call(*args: Any, **kwargs: Any) -> Any:
        bound = expected.bind(*args, **kwargs)
        uploads = name in UPLOADS or name == "take"
        if name not in FREE and not _holds_double(list(bound.arguments.values())):
            raise TypeError(f"cupy.{name} needs a cupy.ndarray, not {[type(x).__name__ for x in args]}")
        if "kind" in bound.arguments:
            stable(bound.arguments["kind"])
            kwargs["kind"] = "stable"
        if name in UPLOADS and isinstance(args[0], ndarray) and args[0].device.id != current.gpu:
            args = (args[0].copy(), *args[1:])  # from another GPU
        hosts = on_host(list(args), uploads)
        hosts_by_name = {key: on_host(x, uploads) for key, x in kwargs.items() if key != "blocking"}
        with np.errstate(all="ignore"):
            result = numpy_function(*hosts, **hosts_by_name)
        if name in UPLOADS and any(result is x for x in hosts) and not isinstance(args[0], ndarray):
            result = result.copy()
        result = np.asarray(result) if name in ALWAYS_ARRAYS else result
        return wrapped(result, *args, *kwargs.values())

    call.__name__ = name
    return call


ALWAYS_ARRAYS = {"allclose", "array_equal", "array_equiv"}


def _holds_double(x: Any) -> bool:
    return isinstance(x, ndarray) or (isinstance(x, (list, tuple)) and any(_holds_double(part) for part in x))


def where(condition: Any, x: Any = None, y: Any = None) -> Any:
    if not isinstance(condition, (ndarray, np.bool_)):
        raise AttributeError(f"{type(condition).__name__!r} object has no attribute 'astype'")
    return condition.nonzero() if x is None else wrapped(np.where(*on_host((condition, x, y))))


def lexsort(keys: Any) -> ndarray:
    host = on_host(keys)
    if host.ndim > 2:
        raise NotImplementedError("Keys with the rank of three or more is not supported in lexsort")
    return wrapped(np.lexsort(host))


def copyto(dst: ndarray, src: Any, casting: str = "same_kind", where: Any = None) -> None:
    np.copyto(dst._host, on_host(src), casting, True if where is None else on_host(where))


def about_memory(name: str) -> Callable[..., bool]:
    """Of addresses alone: the arrays may lie on any GPU."""

    def call(a: ndarray, b: ndarray, max_work: Any = None) -> bool:
        return getattr(np, name)(a._host, b._host)

    return call


def bincount(x: ndarray, weights: Any = None, minlength: Any = None) -> ndarray:
    host = on_host(x)
    return wrapped(np.bincount(host, on_host(weights), 0 if minlength is None else minlength))


def make_linalg() -> ModuleType:
    linalg = ModuleType("cupy.linalg")
    linalg.LinAlgError = np.linalg.LinAlgError  # type: ignore[attr-defined]

    def of_floats(name: str, inner: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            if any(isinstance(x, ndarray) and x.dtype == np.float16 for x in args) and name not in ("norm", "matmul"):
                raise TypeError("float16 is unsupported in linalg")
            return inner(*args, **kwargs)

        return call

    for name, names in SURFACE["linalg"].items():
        if hasattr(np.linalg, name):
            setattr(linalg, name, of_floats(name, function(name, names, getattr(np.linalg, name))))
    return linalg


def make_cupy() -> ModuleType:
    """The module `cupy`."""
    cupy = ModuleType("cupy")
    for name in SURFACE["types"] + SURFACE["constants"]:
        if hasattr(np, name):
            setattr(cupy, name, getattr(np, name))
    for name, names in SURFACE["functions"].items():
        if hasattr(np, name):
            setattr(cupy, name, function(name, names, getattr(np, name)))
    for name, types in SURFACE["ufuncs"].items():
        if hasattr(np, name):
            setattr(cupy, name, ufunc(name, types, getattr(np, name), name in SURFACE["ufuncs with at"]))
    grids = {n: SimpleNamespace() for n in ("ogrid", "mgrid")}
    for name in grids:
        setattr(cupy, name, type(name, (), {"__getitem__": lambda self, key, name=name: _grid(name, key)})())
    strides = SimpleNamespace(
        **{n: function(n, p, getattr(np.lib.stride_tricks, n)) for n, p in SURFACE["stride_tricks"].items()}
    )
    pool = MemoryPool()
    cupy.__dict__.update(
        ndarray=ndarray, ufunc=ufunc, newaxis=None, where=where, lexsort=lexsort, copyto=copyto, bincount=bincount,
        may_share_memory=about_memory("may_share_memory"), shares_memory=about_memory("shares_memory"),
        linalg=make_linalg(), lib=SimpleNamespace(stride_tricks=strides), __version__=SURFACE["version"],
        cuda=make_cuda(pool), get_default_memory_pool=lambda: pool, asnumpy=lambda a: a.get(),
    )  # fmt: skip
    return cupy


def _grid(name: str, key: Any) -> Any:
    return wrapped(list(getattr(np, name)[key])) if isinstance(key, tuple) else wrapped(getattr(np, name)[key])


def make_cupyx() -> dict[str, ModuleType]:
    """`cupyx` and its modules; cupyx.scipy.special has the functions that minipar calls on a GPU."""
    cupyx, scipy, special = (ModuleType(name) for name in ("cupyx", "cupyx.scipy", "cupyx.scipy.special"))
    cupyx.scatter_add = lambda a, slices, value: a.scatter_add(slices, value)  # type: ignore[attr-defined]
    cupyx.scatter_max = lambda a, slices, value: a.scatter_max(slices, value)  # type: ignore[attr-defined]
    cupyx.scatter_min = lambda a, slices, value: a.scatter_min(slices, value)  # type: ignore[attr-defined]
    from minipar.ops import gamma
    from minipar.ops import special as ours

    oracles: dict[str, Callable[[Any], Any]] = {
        "erf": np.vectorize(math.erf, [float]), "erfc": np.vectorize(math.erfc, [float]), "erfinv": ours._erfinv,
        "gammaln": gamma._lgamma, "digamma": gamma._digamma,
    }  # fmt: skip
    for name, oracle in oracles.items():
        setattr(special, name, ufunc(name, SURFACE["special"][name], oracle, False))
    cupyx.scipy, scipy.special = scipy, special  # type: ignore[attr-defined]
    return {module.__name__: module for module in (cupyx, scipy, special)}
