"""`torch.utils.data` under its own name: everything of `minipar.data`."""

from ..data import *  # noqa: F403
from ..data import __all__ as __all__
