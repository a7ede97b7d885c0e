"""minipar: a neural-network engine, readable end to end.

    import minipar as torch
    import minipar.nn as nn
    import minipar.nn.functional as F
    import minipar.optim as optim

What exists in PyTorch is spelled as in PyTorch. Importing this loads NumPy and nothing else: Numba, CuPy and
multiprocessing load when they are first needed.
"""

import sys as _sys
from importlib.util import spec_from_file_location as _spec_from_file_location
from os import path as _path


class _SourceKernels:
    """In a checkout kernels/ lies beside minipar/; an installed copy has it inside."""

    folder = _path.join(_path.dirname(_path.dirname(_path.realpath(__file__))), "kernels")

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        init = _path.join(cls.folder, "__init__.py")
        if name == "minipar.kernels" and _path.isfile(init):
            return _spec_from_file_location(name, init, submodule_search_locations=[cls.folder])
        return None


if not _path.isdir(_path.join(_path.dirname(__file__), "kernels")):
    _sys.meta_path.append(_SourceKernels)

__version__ = "0.1.0"

# ruff: noqa: E402 - the finder above must stand before anything that may want a kernel
from . import autograd, backend, nn, optim
from .autograd import (
    enable_grad,
    inference_mode,
    is_anomaly_enabled,
    is_grad_enabled,
    is_inference_mode_enabled,
    no_grad,
    set_grad_enabled,
)
from .backend import device
from .backend.dispatch import use_kernels
from .backend.dtypes import bool_ as bool
from .backend.dtypes import (
    float16,
    float32,
    float64,
    get_default_dtype,
    int8,
    int16,
    int32,
    int64,
    result_type,
    set_default_dtype,
    uint8,
)
from .backend.random import Generator, initial_seed, manual_seed
from .checkpoint import load, save
from .creation import (
    arange,
    as_tensor,
    empty,
    eye,
    from_dlpack,
    from_numpy,
    full,
    linspace,
    ones,
    ones_like,
    rand,
    rand_like,
    randint,
    randn,
    randn_like,
    randperm,
    tensor,
    zeros,
    zeros_like,
)
from .ops.arithmetic import add, div, maximum, minimum, mul, neg, pow, sub
from .ops.linalg import matmul
from .ops.pointwise import abs_ as abs
from .ops.pointwise import clamp, cos, exp, log, relu, sigmoid, sign, sin, sqrt, tanh
from .ops.reduce import all, amax, amin, any, argmax, argmin, logsumexp, max, mean, min, std, sum, var
from .ops.select import logical_not, where
from .ops.shape import cat, flatten, permute, reshape, squeeze, stack, transpose, unsqueeze
from .ops.softmax import log_softmax, softmax
from .ops.special import erf, erfc
from .tensor import Tensor

float = float32
double = float64
half = float16
long = int64
int = int32

__all__ = [
    "__version__",
    "abs",
    "add",
    "all",
    "amax",
    "amin",
    "any",
    "arange",
    "argmax",
    "argmin",
    "as_tensor",
    "autograd",
    "backend",
    "bool",
    "cat",
    "clamp",
    "cos",
    "cuda",
    "data",
    "device",
    "div",
    "double",
    "empty",
    "enable_grad",
    "erf",
    "erfc",
    "exp",
    "eye",
    "flatten",
    "float",
    "float16",
    "float32",
    "float64",
    "from_dlpack",
    "from_numpy",
    "full",
    "Generator",
    "get_default_dtype",
    "half",
    "initial_seed",
    "inference_mode",
    "int",
    "int16",
    "int32",
    "int64",
    "int8",
    "is_anomaly_enabled",
    "is_grad_enabled",
    "is_inference_mode_enabled",
    "linspace",
    "load",
    "log",
    "log_softmax",
    "logical_not",
    "logsumexp",
    "long",
    "manual_seed",
    "matmul",
    "max",
    "maximum",
    "mean",
    "min",
    "minimum",
    "mul",
    "neg",
    "nn",
    "no_grad",
    "ones",
    "ones_like",
    "optim",
    "parallel",
    "permute",
    "pow",
    "rand",
    "rand_like",
    "randint",
    "randn",
    "randn_like",
    "randperm",
    "relu",
    "reshape",
    "result_type",
    "save",
    "set_default_dtype",
    "set_grad_enabled",
    "sigmoid",
    "sign",
    "sin",
    "softmax",
    "sqrt",
    "squeeze",
    "stack",
    "std",
    "sub",
    "sum",
    "tanh",
    "Tensor",
    "tensor",
    "transpose",
    "uint8",
    "unsqueeze",
    "use_kernels",
    "utils",
    "var",
    "viz",
    "where",
    "zeros",
    "zeros_like",
]


def __getattr__(name: str):
    """`minipar.cuda`, `data`, `parallel`, `utils` and `viz` load when they are first used."""
    if name in ("cuda", "data", "parallel", "utils", "viz"):
        from importlib import import_module

        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
