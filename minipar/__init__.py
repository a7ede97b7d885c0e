"""minipar: a neural-network engine, readable end to end.

    import minipar as torch
    import minipar.nn as nn
    import minipar.nn.functional as F
    import minipar.optim as optim

What exists in PyTorch is spelled as in PyTorch. Importing this loads NumPy and nothing else: Numba, CuPy,
multiprocessing and the rooms of this house (nn, optim, data, …) load when they are first needed.
"""

import sys as _sys
from importlib.util import spec_from_file_location as _spec_from_file_location
from math import e, inf, nan, pi
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
newaxis = None  # x[minipar.newaxis]: PyTorch's, and NumPy's, name for a new axis

# ruff: noqa: E402 - the finder above must stand before anything that may want a kernel
from . import autograd, backend, random
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
    can_cast,
    float16,
    float32,
    float64,
    get_default_dtype,
    int8,
    int16,
    int32,
    int64,
    promote_types,
    result_type,
    set_default_dtype,
    uint8,
)
from .backend.limits import finfo, iinfo
from .backend.memory import contiguous_format, preserve_format
from .backend.precision import get_float32_matmul_precision, set_float32_matmul_precision
from .backend.random import Generator, initial_seed, manual_seed
from .backend.threads import get_num_threads, set_num_threads
from .capture import compile
from .creation import (
    arange,
    as_tensor,
    asarray,
    bernoulli,
    empty,
    empty_like,
    eye,
    from_dlpack,
    from_numpy,
    frombuffer,
    full,
    full_like,
    linspace,
    logspace,
    multinomial,
    normal,
    ones,
    ones_like,
    poisson,
    rand,
    rand_like,
    randint,
    randint_like,
    randn,
    randn_like,
    randperm,
    scalar_tensor,
    tensor,
    tril_indices,
    triu_indices,
    zeros,
    zeros_like,
)
from .later import Later as _Later
from .ops.activation_hard import hardshrink, threshold, threshold_
from .ops.activation_rectified import celu, celu_, prelu, relu, rrelu, rrelu_, selu, selu_
from .ops.arithmetic import add, addcdiv, addcmul, lerp, mul, neg, positive, rsub, sub
from .ops.arithmetic import mul as multiply
from .ops.arithmetic import neg as negative
from .ops.arithmetic import sub as subtract
from .ops.axes import adjoint, moveaxis, movedim, swapaxes, swapdims, t
from .ops.broadcast import broadcast_shapes, broadcast_tensors, broadcast_to, cartesian_prod, combinations, meshgrid
from .ops.compare import (
    bitwise_and,
    bitwise_left_shift,
    bitwise_not,
    bitwise_or,
    bitwise_right_shift,
    bitwise_xor,
    eq,
    gcd,
    ge,
    gt,
    lcm,
    le,
    logical_and,
    logical_not,
    logical_or,
    logical_xor,
    lt,
    ne,
)
from .ops.compare import ge as greater_equal
from .ops.compare import gt as greater
from .ops.compare import le as less_equal
from .ops.compare import lt as less
from .ops.compare import ne as not_equal
from .ops.covariance import corrcoef, cov
from .ops.decompose import legacy_svd as svd
from .ops.division import div, floor_divide, fmod, remainder, true_divide
from .ops.division import div as divide
from .ops.exponential import exp, exp2, expm1, log, log1p, log2, log10, logaddexp, logaddexp2, logit, sigmoid, xlogy
from .ops.extremes import clamp, clamp_max, clamp_min, fmax, fmin, maximum, minimum
from .ops.extremes import clamp as clip
from .ops.extremum import amax, amin, aminmax, argmax, argmin, max, min
from .ops.floats import frexp, nextafter
from .ops.gamma import digamma, lgamma, mvlgamma, polygamma
from .ops.gather import argwhere, gather, index_select, masked_select, nonzero, take, take_along_dim
from .ops.histogram import bincount, histc
from .ops.hyperbolic import acosh, asinh, atanh, cosh, sinh, tanh
from .ops.hyperbolic import acosh as arccosh
from .ops.hyperbolic import asinh as arcsinh
from .ops.hyperbolic import atanh as arctanh
from .ops.index_put import index_add, index_copy, index_fill, index_put, masked_fill, masked_scatter
from .ops.join import (
    atleast_1d,
    atleast_2d,
    atleast_3d,
    block_diag,
    cat,
    column_stack,
    concat,
    concatenate,
    dstack,
    hstack,
    row_stack,
    stack,
    vstack,
)
from .ops.least_squares import pinverse
from .ops.linalg import (
    addbmm,
    addmm,
    addmv,
    addr,
    baddbmm,
    bmm,
    chain_matmul,
    dot,
    inner,
    kron,
    matmul,
    mm,
    mv,
    outer,
    tensordot,
    vdot,
)
from .ops.magnitude import abs_ as abs
from .ops.magnitude import abs_ as absolute
from .ops.magnitude import copysign, heaviside, sign
from .ops.magnitude import sign as sgn
from .ops.norm import cosine_similarity, dist, norm, pairwise_distance, renorm
from .ops.overwrite import diagonal_scatter, index_reduce, put, select_scatter, slice_scatter
from .ops.power import float_power, ldexp, pow, reciprocal, rsqrt, sqrt, square
from .ops.predicates import (
    allclose,
    equal,
    is_floating_point,
    is_nonzero,
    is_tensor,
    isclose,
    isfinite,
    isinf,
    isnan,
    isneginf,
    isposinf,
    signbit,
)
from .ops.quantile import median, mode, nanmedian, nanquantile, quantile
from .ops.reduce import all, any, count_nonzero, logsumexp, mean, nanmean, nansum, prod, sum
from .ops.repeat import flip, fliplr, flipud, repeat_interleave, roll, rot90, tile
from .ops.rounding import ceil, floor, frac, round, trunc
from .ops.rounding import trunc as fix
from .ops.scan import cummax, cummin, cumprod, cumsum, diff, logcumsumexp
from .ops.scatter import scatter, scatter_add, scatter_reduce
from .ops.search import bucketize, isin, searchsorted
from .ops.select import nan_to_num, where
from .ops.shape import flatten, narrow, permute, ravel, reshape, squeeze, transpose, unflatten, unsqueeze
from .ops.softmax import log_softmax, softmax
from .ops.solve import cross, det, inverse, logdet, matrix_power, slogdet, trace
from .ops.sort import argsort, kthvalue, msort, sort, topk
from .ops.special import erf, erfc, erfinv
from .ops.split import chunk, dsplit, hsplit, select, split, split_with_sizes, tensor_split, unbind, vsplit
from .ops.split import chunk as unsafe_chunk
from .ops.split import split as unsafe_split
from .ops.split import split_with_sizes as unsafe_split_with_sizes
from .ops.strided import as_strided
from .ops.triangle import diag, diag_embed, diagflat, diagonal, tril, triu
from .ops.trigonometry import acos, asin, atan, atan2, cos, deg2rad, hypot, rad2deg, sin, sinc, tan
from .ops.trigonometry import acos as arccos
from .ops.trigonometry import asin as arcsin
from .ops.trigonometry import atan as arctan
from .ops.trigonometry import atan2 as arctan2
from .ops.unique import unique, unique_consecutive
from .ops.variance import std, std_mean, var, var_mean
from .random import get_rng_state, seed, set_rng_state
from .tensor import Size, Tensor

_later = _Later(globals())
with _later:  # what lives in minipar.nn, or is written with it; and what few programs want
    from . import backends, cuda, data, einops, linalg, nn, onnx, optim, parallel, special, utils, viz
    from .checkpoint import load, save
    from .creation.tapers import bartlett_window, blackman_window, hamming_window, hann_window, kaiser_window
    from .functions import (
        alpha_dropout,
        clone,
        detach,
        dropout,
        embedding,
        feature_alpha_dropout,
        get_device,
        group_norm,
        is_complex,
        is_signed,
        layer_norm,
        numel,
    )
    from .nn.functional.activation import relu_
    from .nn.functional.vision import (
        adaptive_avg_pool1d,
        adaptive_max_pool1d,
        avg_pool1d,
        channel_shuffle,
        conv1d,
        conv2d,
        conv3d,
        conv_transpose1d,
        conv_transpose2d,
        conv_transpose3d,
        max_pool1d,
        max_pool2d,
        max_pool3d,
        pixel_shuffle,
        pixel_unshuffle,
    )
    from .ops.bilinear import bilinear
    from .ops.distance import cdist, pdist
    from .ops.einsum import einsum
    from .ops.integrate import cumulative_trapezoid, gradient, trapezoid, trapz, vander
    from .ops.normalization import rms_norm
    from .ops.unravel import unravel_index
    from .tensor.typed import (
        BoolTensor,
        ByteTensor,
        CharTensor,
        DoubleTensor,
        FloatTensor,
        HalfTensor,
        IntTensor,
        LongTensor,
        ShortTensor,
    )

float = float32
double = float64
half = float16
long = int64
int = int32

__all__ = [
    "__version__", "abs", "absolute", "acos", "acosh", "adaptive_avg_pool1d", "adaptive_max_pool1d", "add", "addbmm",
    "addcdiv", "addcmul", "addmm", "addmv", "addr", "adjoint", "all", "allclose", "alpha_dropout", "amax", "amin",
    "aminmax", "any", "arange", "arccos", "arccosh", "arcsin", "arcsinh", "arctan", "arctan2", "arctanh", "argmax",
    "argmin", "argsort", "argwhere", "as_strided", "as_tensor", "asarray", "asin", "asinh", "atan", "atan2", "atanh",
    "atleast_1d", "atleast_2d", "atleast_3d", "autograd", "avg_pool1d", "backend", "backends", "baddbmm",
    "bartlett_window", "bernoulli", "bilinear", "bincount", "bitwise_and", "bitwise_left_shift", "bitwise_not",
    "bitwise_or", "bitwise_right_shift", "bitwise_xor", "blackman_window", "block_diag", "bmm", "bool", "BoolTensor",
    "broadcast_shapes", "broadcast_tensors", "broadcast_to", "bucketize", "ByteTensor", "can_cast", "cartesian_prod",
    "cat", "cdist", "ceil", "celu", "celu_", "chain_matmul", "channel_shuffle", "CharTensor", "chunk", "clamp",
    "clamp_max", "clamp_min", "clip", "clone", "column_stack", "combinations", "compile", "concat", "concatenate",
    "contiguous_format", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d",
    "copysign", "corrcoef", "cos", "cosh", "cosine_similarity", "count_nonzero", "cov", "cross", "cuda", "cummax",
    "cummin", "cumprod", "cumsum", "cumulative_trapezoid", "data", "deg2rad", "det", "detach", "device", "diag",
    "diag_embed", "diagflat", "diagonal", "diagonal_scatter", "diff", "digamma", "dist", "div", "divide", "dot",
    "double", "DoubleTensor", "dropout", "dsplit", "dstack", "e", "einsum", "embedding", "empty", "empty_like",
    "enable_grad", "eq", "equal", "erf", "erfc", "erfinv", "exp", "exp2", "expm1", "eye", "feature_alpha_dropout",
    "finfo", "fix", "flatten", "flip", "fliplr", "flipud", "float", "float16", "float32", "float64", "float_power",
    "FloatTensor", "floor", "floor_divide", "fmax", "fmin", "fmod", "frac", "frexp", "from_dlpack", "from_numpy",
    "frombuffer", "full", "full_like", "gather", "gcd", "ge", "Generator", "get_default_dtype", "get_device",
    "get_float32_matmul_precision", "get_num_threads", "get_rng_state", "gradient", "greater", "greater_equal",
    "group_norm", "gt", "half", "HalfTensor", "hamming_window", "hann_window", "hardshrink", "heaviside", "histc",
    "hsplit", "hstack", "hypot", "iinfo", "index_add", "index_copy", "index_fill", "index_put", "index_reduce",
    "index_select", "inf", "inference_mode", "initial_seed", "inner", "int", "int16", "int32", "int64", "int8",
    "IntTensor", "inverse", "is_anomaly_enabled", "is_complex", "is_floating_point", "is_grad_enabled",
    "is_inference_mode_enabled", "is_nonzero", "is_signed", "is_tensor", "isclose", "isfinite", "isin", "isinf",
    "isnan", "isneginf", "isposinf", "kaiser_window", "kron", "kthvalue", "layer_norm", "lcm", "ldexp", "le", "lerp",
    "less", "less_equal", "lgamma", "linalg", "linspace", "load", "log", "log10", "log1p", "log2", "log_softmax",
    "logaddexp", "logaddexp2", "logcumsumexp", "logdet", "logical_and", "logical_not", "logical_or", "logical_xor",
    "logit", "logspace", "logsumexp", "long", "LongTensor", "lt", "manual_seed", "masked_fill", "masked_scatter",
    "masked_select", "matmul", "matrix_power", "max", "max_pool1d", "max_pool2d", "max_pool3d", "maximum", "mean",
    "median", "meshgrid", "min", "minimum", "mm", "mode", "moveaxis", "movedim", "msort", "mul", "multinomial",
    "multiply", "mv", "mvlgamma", "nan", "nan_to_num", "nanmean", "nanmedian", "nanquantile", "nansum", "narrow", "ne",
    "neg", "negative", "newaxis", "nextafter", "nn", "no_grad", "nonzero", "norm", "normal", "not_equal", "numel",
    "ones", "ones_like", "onnx", "optim", "outer", "pairwise_distance", "parallel", "pdist", "permute", "pi",
    "pinverse", "pixel_shuffle", "pixel_unshuffle", "poisson", "polygamma", "positive", "pow", "prelu",
    "preserve_format", "prod", "promote_types", "put", "quantile", "rad2deg", "rand", "rand_like", "randint",
    "randint_like", "randn", "randn_like", "random", "randperm", "ravel", "reciprocal", "relu", "relu_", "remainder",
    "renorm", "repeat_interleave", "reshape", "result_type", "rms_norm", "roll", "rot90", "round", "row_stack", "rrelu",
    "rrelu_", "rsqrt", "rsub", "save", "scalar_tensor", "scatter", "scatter_add", "scatter_reduce", "searchsorted",
    "seed", "select", "select_scatter", "selu", "selu_", "set_default_dtype", "set_float32_matmul_precision",
    "set_grad_enabled", "set_num_threads", "set_rng_state", "sgn", "ShortTensor", "sigmoid", "sign", "signbit", "sin",
    "sinc", "sinh", "Size", "slice_scatter", "slogdet", "softmax", "sort", "special", "split", "split_with_sizes",
    "sqrt", "square", "squeeze", "stack", "std", "std_mean", "sub", "subtract", "sum", "svd", "swapaxes", "swapdims",
    "t", "take", "take_along_dim", "tan", "tanh", "Tensor", "tensor", "tensor_split", "tensordot", "threshold",
    "threshold_", "tile", "topk", "trace", "transpose", "trapezoid", "trapz", "tril", "tril_indices", "triu",
    "triu_indices", "true_divide", "trunc", "uint8", "unbind", "unflatten", "unique", "unique_consecutive",
    "unravel_index", "unsafe_chunk", "unsafe_split", "unsafe_split_with_sizes", "unsqueeze", "use_kernels", "utils",
    "vander", "var", "var_mean", "vdot", "viz", "vsplit", "vstack", "where", "xlogy", "zeros", "zeros_like",
]  # fmt: skip

__getattr__ = _later.find


def __dir__():
    return sorted({*globals(), *__all__})


if "einops" in _sys.modules:  # which then learns of our tensors; imported later, it does with `import minipar.einops`
    from . import einops as einops
