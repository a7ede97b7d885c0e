"""minipar: a neural-network engine, readable end to end."""

import sys as _sys
from importlib.util import spec_from_file_location as _spec_from_file_location
from pathlib import Path as _Path


class _SourceKernels:
    """In a checkout kernels/ lies beside minipar/; an installed copy has it inside."""

    folder = _Path(__file__).resolve().parent.parent / "kernels"

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        init = cls.folder / "__init__.py"
        if name == "minipar.kernels" and init.is_file():
            return _spec_from_file_location(name, init, submodule_search_locations=[str(cls.folder)])
        return None


if not (_Path(__file__).parent / "kernels").is_dir():
    _sys.meta_path.append(_SourceKernels)

__version__ = "0.1.0"

from . import autograd, backend  # noqa: E402
from .autograd import enable_grad, is_grad_enabled, no_grad, set_grad_enabled
from .backend import device
from .backend.dispatch import use_kernels
from .backend.dtypes import float16, float32, float64, get_default_dtype, int8, int16, int32, int64, set_default_dtype, uint8
from .backend.dtypes import bool_ as bool
from .backend.random import Generator, initial_seed, manual_seed
from .creation import *
from .ops.arithmetic import *
from .ops.pointwise import *
from .tensor import Tensor, tensor
