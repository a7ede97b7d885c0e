"""`torch.utils.data` under its own name: everything of `minipar.data`, also by the file it is in in PyTorch."""

from ...data import *  # noqa: F403
from ...data import __all__ as __all__
from . import dataloader as dataloader
from . import dataset as dataset
from . import sampler as sampler
