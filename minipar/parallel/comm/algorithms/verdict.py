"""Is the result of an all-reduce right? Compared with the same reduction in higher precision."""

from collections.abc import Sequence

import numpy as np

from ..reduction import reduce_in_order

_HIGHER = {"f2": np.float64, "f4": np.float64, "f8": np.longdouble, "c8": np.complex128, "c16": np.clongdouble}


def faults(inputs: Sequence[np.ndarray], results: Sequence[np.ndarray], op: str) -> list[str]:
    """What is wrong with these results, one sentence a fault; none if they are right, and the same bits everywhere.

    Integers, booleans, "max" and "min" must be exact. Sums may be off by the rounding of p additions in any order,
    p·ε·Σ|x|, and products by that of p multiplications (neither overflowing nor underflowing on the way).
    """
    wanted = _exact(inputs, op)
    allowed = _rounding(inputs, op, wanted)
    found = []
    for rank, result in enumerate(results):
        with np.errstate(invalid="ignore"):
            close = np.isclose(result, wanted, rtol=0, atol=allowed, equal_nan=True)
        wrong = np.flatnonzero(~close)
        if wrong.size:
            first = wrong[0]
            found.append(
                f"rank {rank}: {wrong.size} of {result.size} elements are wrong; element {first} is {result[first]}, "
                f"and should be {wanted[first].astype(result.dtype)}"
            )
    if not found:
        found = [
            f"rank {rank} has other bits than rank 0: add up each element in the same order everywhere"
            for rank, result in enumerate(results)
            if result.tobytes() != results[0].tobytes()
        ]
    return found


def _exact(inputs: Sequence[np.ndarray], op: str) -> np.ndarray:
    dtype = inputs[0].dtype
    higher = np.dtype(_HIGHER.get(dtype.str[1:], dtype))
    wanted = np.empty(inputs[0].shape, higher)
    with np.errstate(all="ignore"):
        reduce_in_order([array.astype(higher) for array in inputs], op, wanted)
    return wanted


def _rounding(inputs: Sequence[np.ndarray], op: str, wanted: np.ndarray) -> np.ndarray | float:
    dtype = inputs[0].dtype
    if dtype.kind not in "fc" or op in ("max", "min"):
        return 0.0
    limits = np.finfo(dtype)
    with np.errstate(all="ignore"):
        if op == "prod":
            size = np.abs(wanted)
        else:
            size = np.sum([np.abs(array.astype(wanted.dtype)) for array in inputs], axis=0)
            size = size / len(inputs) if op == "mean" else size
        return (2 * len(inputs) * limits.eps * size + 2 * limits.smallest_subnormal).astype(np.float64)
