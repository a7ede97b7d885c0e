"""Rows of exponentials without overflow, for softmax and cross-entropy: e^(x − max x), and the sum of each row.

The exponentials are computed over several rows at a time, so that rows of ten numbers fill vector registers too.
"""

import numpy as np
from numba import njit, types
from numba.extending import overload

from .approximate import exp

TOGETHER = 4096  # elements whose three passes run while they lie in the first-level cache


@njit(error_model="numpy")
def exponentials_of_rows(x, powers, tops, sums, first, last):
    """powers = e^(x − top) and sums = Σ powers for rows first … last − 1 of x (N, C), where top is the row's largest.

    powers (N, C); tops and sums (N,). A row that holds a NaN or +inf, or nothing but −inf, is NaN.
    """
    width = x.shape[1]
    rows = max(1, TOGETHER // max(width, 1))
    flat = powers.reshape(-1)
    for start in range(first, last, rows):
        end = min(start + rows, last)
        for i in range(start, end):
            tops[i] = largest(x[i])
            subtract(x[i], tops[i], powers[i])
        exponentials(flat[start * width : end * width])
        for i in range(start, end):
            sums[i] = added_up(powers[i])


@njit(error_model="numpy")
def exponentials(row):
    """row ← e^row"""
    for i in range(len(row)):
        row[i] = exp(row[i])


@njit(error_model="numpy")
def subtract(row, number, to):
    """to ← row − number"""
    for i in range(len(row)):
        to[i] = row[i] - number


@njit(error_model="numpy")
def multiply(row, number):
    """row ← row · number"""
    for i in range(len(row)):
        row[i] *= number


# "reassoc": the terms may be added in any order, so a vector register at a time.
@njit(error_model="numpy", fastmath={"reassoc", "nsz"})
def added_up(row):
    total = row.dtype.type(0)
    for i in range(len(row)):
        total += row[i]
    return total


def largest(row):
    """The largest number of a row, or a NaN if it holds one; of an empty row, NaN."""
    return row.max() if len(row) else row.dtype.type(np.nan)


@overload(largest, jit_options={"error_model": "numpy"})
def _largest(row):
    # The maximum of floats is not vectorised, because of NaN; that of integers is. The bits of floats are ordered as
    # the floats are, NaN last, once those of negative ones, all but the sign, are turned.
    if row.dtype == types.float32:
        real, whole, sign_shift, others = np.float32, np.int32, np.int32(31), np.int32(2**31 - 1)
    else:
        real, whole, sign_shift, others = np.float64, np.int64, np.int64(63), np.int64(2**63 - 1)
    least = whole(-others - 1)

    def largest(row):
        top = least
        for i in range(len(row)):
            bits = real(row[i]).view(whole)
            key = whole(bits ^ (whole(bits >> sign_shift) & others))
            top = max(top, key)
        return whole(top ^ (whole(top >> sign_shift) & others)).view(real)

    return largest
