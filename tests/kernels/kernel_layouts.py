"""Arrays of equal values in the memory layouts a caller may bring."""

import numpy as np
from hypothesis import strategies as st

LAYOUTS = ("contiguous", "transposed", "sliced", "reversed", "read-only")


def laid_out(array: np.ndarray, layout: str) -> np.ndarray:
    """The same values, over other memory."""
    if layout == "transposed":
        return array.T.copy().T
    if layout == "sliced":
        return np.repeat(array, 2, axis=-1)[..., ::2]
    if layout == "reversed":
        backwards = tuple(slice(None, None, -1) for _ in array.shape)
        return array[backwards].copy()[backwards]
    array = array.copy()
    array.flags.writeable = layout != "read-only"
    return array


layouts = st.sampled_from(LAYOUTS)
seeds = st.integers(0, 2**32 - 1)
