"""Signatures in short: one line for a kernel that exists for float32 and for float64."""

import re

_ARRAY = re.compile(r"(in|out|ids)(\d)(A?)")


def real_signatures(arguments: str, returns: str = "void") -> list[str]:
    """The signatures, for float32 and float64, of a function of these arguments (words, separated by spaces).

    `in2` is a C-contiguous array of two axes that is only read (one that may not be written fits too), `out2` one that
    is written, `ids1` one of int64 that is only read; with an A behind, of any strides. `real` is a number of the
    arrays' dtype, any other word a type of Numba's.

    >>> real_signatures("in1 int64")[0]
    "void(Array(float32, 1, 'C', readonly=True), int64)"
    """
    return [
        f"{_typed(returns, real)}({', '.join(_typed(word, real) for word in arguments.split())})"
        for real in ("float32", "float64")
    ]


def _typed(word: str, real: str) -> str:
    array = _ARRAY.fullmatch(word)
    if array is None:
        return real if word == "real" else word
    use, ndim, layout = array.groups()
    read_only = "" if use == "out" else ", readonly=True"
    return f"Array({'int64' if use == 'ids' else real}, {ndim}, '{layout or 'C'}'{read_only})"
