"""A GPU for tests where there is none: arrays are the CuPy double's, kernels run in ``minipar.kernels.simulate``.

So a host function is run as it is on a GPU: with CuPy's names and no others, and with the arguments that its kernel was
compiled for. New memory is full of NaN (or of a wild number), so that what a kernel does not write shows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import minipar
from minipar.kernels.cuda import launcher, wrong_targets
from minipar.kernels.cuda.plan import Kernel
from minipar.kernels.simulate.execute import execute
from tests.cupy_double.installed import double_installed

EPSILON = {np.dtype(np.float32): 2.0**-24, np.dtype(np.float64): 2.0**-53}  # the rounding of one operation


@contextmanager
def simulated_gpu() -> Iterator[SimpleNamespace]:
    """``to_gpu(array)`` and ``call(function, *args)``, which moves arrays there and back; ``launched``: the kernels."""
    launched: list[str] = []
    with double_installed() as cupy, pytest.MonkeyPatch.context() as patches, minipar.use_kernels("auto"):

        def loaded(kernel: Kernel, device: int) -> Callable[..., None]:
            def launch(grid: tuple, block: tuple, args: tuple) -> None:
                launched.append(kernel.name)
                hosts = [arg._host if isinstance(arg, cupy.ndarray) else arg for arg in args]
                for parameter, arg, host in zip(kernel.parameters, args, hosts, strict=True):
                    assert (f"{host.dtype}*" if isinstance(arg, cupy.ndarray) else str(host.dtype)) == parameter
                execute(kernel.function, grid, block, hosts)

            return launch

        def empty(*args: Any, **kwargs: Any) -> Any:
            made = cupy.zeros(*args, **kwargs)
            made._host.fill(np.nan if made.dtype.kind == "f" else np.iinfo(made.dtype).max - 3)
            return made

        patches.setattr(launcher, "_loaded", loaded)
        patches.setattr(wrong_targets, "_notes", {})  # this GPU's, and gone with it
        patches.setattr(wrong_targets, "_unread", set())
        patches.setattr(cupy, "empty", empty)

        def there(x: Any) -> Any:
            if isinstance(x, tuple):
                return tuple(map(there, x))
            return cupy.asarray(x) if isinstance(x, np.ndarray) else x

        def back(x: Any) -> Any:
            if isinstance(x, tuple):
                return tuple(map(back, x))
            return x.get() if isinstance(x, cupy.ndarray) else x

        def call(function: Callable[..., Any], *args: Any) -> Any:
            return back(function(*map(there, args)))

        yield SimpleNamespace(cupy=cupy, to_gpu=there, call=call, launched=launched)


def in_float64(*arrays: Any) -> list[Any]:
    """What a reference is asked with: no rounding but its own."""
    return [
        x.astype(np.float64) if isinstance(x, np.ndarray) and x.dtype.kind == "f" else x  # class numbers stay
        for x in arrays
    ]


def assert_within(actual: np.ndarray, expected: np.ndarray, bound: Any) -> None:
    """Equal up to ``bound`` (an array, or a number) roundings; where the reference is NaN or infinite, equal."""
    assert actual.shape == expected.shape
    finite = np.isfinite(expected)
    np.testing.assert_array_equal(actual[~finite], expected[~finite])
    bound = np.broadcast_to(bound * EPSILON[actual.dtype], expected.shape)
    error = np.abs(actual.astype(np.float64) - expected)
    worst = np.where(finite, error - bound, 0)
    assert (worst <= 0).all(), f"error {error.flat[worst.argmax()]:.3g}, bound {bound.flat[worst.argmax()]:.3g}"
