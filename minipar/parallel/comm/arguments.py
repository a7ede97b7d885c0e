"""What a communicator checks before it tells anybody of a call: a refusal leaves it as it was."""

import math
import operator
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...tensor import Tensor

LARGEST_TAG = 2**31 - 1


def check_array(verb: str, array: np.ndarray, *, written: bool, name: str = "array") -> np.ndarray:
    """The array. TypeError if it is not an ndarray of a numeric dtype, ValueError if it cannot be written."""
    if isinstance(array, Tensor):
        raise TypeError(
            f"{verb} takes a NumPy array{_as(name)}, not Tensor: pass tensor.array, through which backward does not go"
        )
    if is_on_gpu(array):
        raise TypeError(
            f"{verb} takes a NumPy array{_as(name)}, not a CuPy array: copy it (array.get()), or let the ranks' GPUs "
            f"speak to one another (parallel.over_nccl; then a call takes the one kind or the other)"
        )
    if not isinstance(array, np.ndarray) or isinstance(array, np.ma.MaskedArray):
        raise TypeError(
            f"{verb} takes a NumPy array{_as(name)}, not {type(array).__name__}: make one, for example by np.array"
        )
    if array.dtype.kind not in "biufc":
        raise TypeError(f"{verb} takes arrays of a numeric dtype{_as(name)}, not {array.dtype}")
    if written and not array.flags.writeable:
        raise ValueError(f"{verb} writes into its {name}, and this one is read-only: pass a copy")
    return array


def is_on_gpu(array: Any) -> bool:
    """Whether it is an array of CuPy's."""
    cupy = sys.modules.get("cupy")
    return cupy is not None and isinstance(array, cupy.ndarray)


def check_out(verb: str, out: np.ndarray | None, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """`out`, or a new array of this shape and dtype. TypeError, ValueError for an `out` that has others."""
    if out is None:
        return np.empty(shape, dtype)
    check_array(verb, out, written=True, name="out")
    if (out.shape, out.dtype) != (shape, dtype):
        raise ValueError(f"{verb}: out must be {dtype} {shape}, not {out.dtype} {out.shape}")
    return out


def check_new(shape: int | tuple[int, ...], dtype: Any) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and dtype of a new array. TypeError, ValueError if there is no such array, or it is not of numbers."""
    try:
        blank = np.broadcast_to(np.empty((), dtype), shape)
    except (TypeError, ValueError) as error:
        raise type(error)(f"empty: no array has shape={shape!r} and dtype={dtype!r}: {error}") from None
    check_array("empty", blank, written=False)
    return blank.shape, blank.dtype


def check_rows(verb: str, array: np.ndarray, size: int) -> None:
    """ValueError unless `array` has one row for each of `size` ranks."""
    if array.ndim == 0 or len(array) != size:
        raise ValueError(f"{verb} takes an array with one row a rank, ({size}, …), not one of shape {array.shape}")


def check_objects(verb: str, objects: Sequence[Any] | None, size: int) -> Sequence[Any]:
    """The objects. TypeError, ValueError unless they are a sequence with one for each of `size` ranks."""
    if not isinstance(objects, Sequence):
        raise TypeError(f"{verb} takes a list of objects, one a rank, on its root, not {type(objects).__name__}")
    if len(objects) != size:
        raise ValueError(f"{verb} takes one object a rank: {size}, not {len(objects)}")
    return objects


def check_rank(name: str, rank: int, size: int) -> int:
    """The rank as an int. TypeError if it is not whole, ValueError if there is no such rank."""
    rank = check_whole(name, rank)
    if not 0 <= rank < size:
        raise ValueError(f"{name}={rank} is not a rank: there are {size}, 0 to {size - 1}")
    return rank


def check_tag(tag: int) -> int:
    """The tag as an int. TypeError if it is not whole, ValueError if it is negative or larger than a C int."""
    tag = check_whole("tag", tag)
    if not 0 <= tag <= LARGEST_TAG:
        raise ValueError(f"tag={tag} must be between 0 and {LARGEST_TAG}")
    return tag


def check_whole(name: str, value: int) -> int:
    """An int. TypeError for anything else that NumPy and Python do not take as an index."""
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name}={value!r} must be a whole number, not {type(value).__name__}") from None


def check_timeout(timeout: float) -> float:
    """The timeout in seconds, which may be infinite. TypeError or ValueError if it is not a positive number."""
    if not isinstance(timeout, int | float):
        raise TypeError(f"timeout={timeout!r} must be a number of seconds")
    if math.isnan(timeout) or timeout <= 0:
        raise ValueError(f"timeout={timeout!r} must be a positive number of seconds (math.inf waits for ever)")
    return float(timeout)


def _as(name: str) -> str:
    return "" if name == "array" else f" as {name}"
