"""One place that answers whether kernels can run on a GPU here, and whether they can be compiled."""

from functools import cache
from importlib.util import find_spec
from types import ModuleType

INSTALL = 'pip install ".[gpu]" (in the checkout)'


def status() -> tuple[bool, str]:
    """(usable, reason). ``reason`` says in one line what is missing and how to install it; it is "" where usable.

    Never raises: a broken CuPy installation is one more reason.
    """
    try:
        import cupy
    except ModuleNotFoundError as error:
        return False, f"no module named {error.name!r}: {INSTALL}"
    except Exception as error:  # a wheel for another CUDA version or a half-installed one fails in many ways
        return False, f"cupy cannot be imported ({_one_line(error)}): {INSTALL}"
    try:
        if not cupy.cuda.is_available():
            return False, _why_unavailable(cupy)
    except Exception as error:
        return False, f"cupy finds no CUDA device ({_one_line(error)})"
    return compiler_status()


def _why_unavailable(cupy: ModuleType) -> str:
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except Exception as error:  # CUDARuntimeError: no driver, or one that is too old
        return f"cupy finds no CUDA device ({_one_line(error)}): is an NVIDIA driver installed?"
    return f"cupy finds no CUDA device (the driver counts {count})"


def compiler_status() -> tuple[bool, str]:
    """(usable, reason) of Numba-CUDA and the libraries that make cubins; these need no GPU. Never raises."""
    if find_spec("numba_cuda") is None:
        return False, f"the CUDA kernels need numba-cuda: {INSTALL}"
    try:
        _load_libraries()
    except Exception as error:  # ImportError, DynamicLibNotFoundError, or a loader's complaint
        return False, f"the CUDA compiler libraries cannot be loaded ({_one_line(error)}): {INSTALL}"
    return True, ""


@cache
def _load_libraries() -> None:
    """Once is enough; after a failure, which raises, they are looked for again: they may be installed by then."""
    from cuda.bindings import nvjitlink  # noqa: F401  (its absence is the answer)
    from cuda.pathfinder import load_nvidia_dynamic_lib

    for library in ("nvvm", "nvrtc", "nvJitLink"):
        load_nvidia_dynamic_lib(library)


def _one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
